//! Recipe v2: what a slot is to show and say, read strictly and completely.
//!
//! A recipe is a JSON document; `//` comments are allowed in files and take no part in its signature. Reading it lists
//! *all* that is wrong with it. Owns the schema and the signature; knows no actor and no model.

pub(crate) mod check;
pub mod document;
pub mod example;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod schema;
pub(crate) mod signature;

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use crate::direction::camera::Camera;
use crate::direction::expression::Expression;
use crate::direction::motion::Motion;
use crate::types::{Emotion, Resolution, SlotId, SpeechSpeed};

pub use check::{Problem, Problems};
pub use signature::{Security, SignatureError};

/// The version that this node reads.
pub const VERSION: &str = "2.0.0";
/// The longest video (the origin's slot).
pub const LONGEST: Duration = Duration::from_secs(45);
/// Frames a second.
pub const FPS: (u64, u64) = (1, 60);
/// Sides of a frame in pixels: Flux needs a multiple of 16, H.264 an even number; the bundle may allow less.
pub const SIDE: (u32, u32) = (64, 2048);
/// Every side is a multiple of this.
pub const SIDE_STEP: u32 = 16;
/// Characters of a script: 45 s hold about a thousand; ten times that is a mistake.
pub const SCRIPT: usize = 20_000;
/// Characters of a prompt: T5 sees 256 tokens; what is longer by far is a mistake.
pub const PROMPT: usize = 10_000;
/// Concepts per list, and characters of each.
pub const CONCEPTS: (usize, usize) = (32, 200);
/// Speaking speed.
pub const SPEED: (f64, f64) = (0.8, 1.2);
/// The largest integer that JSON numbers carry exactly everywhere (RFC 7493), which the signature relies on.
pub const LARGEST_INTEGER: u64 = (1 << 53) - 1;
/// Bytes of a recipe file.
pub const FILE_SIZE: usize = 1 << 20;

/// A recipe that has passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// `recipe_id`: names the slot.
    pub id: Uuid,
    /// `slot_params.slot_number`.
    pub slot_number: u64,
    /// `slot_params.duration_sec`.
    pub duration: Duration,
    /// `slot_params.resolution`.
    pub resolution: Resolution,
    /// `slot_params.fps`.
    pub fps: u32,
    /// `audio_track`.
    pub audio: AudioTrack,
    /// `visual_track`.
    pub visual: VisualTrack,
    /// `semantic_constraints`.
    pub constraints: SemanticConstraints,
    /// `security`; absent in an unsigned recipe. Present says nothing of whether it holds: see [`signature::verify`].
    pub security: Option<Security>,
    /// `seed`, or one derived from `recipe_id`.
    pub seed: u64,
    /// `deadline`, since the Unix epoch.
    pub deadline: Option<Duration>,
    document: Value,
}

/// What is said and how.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioTrack {
    /// The text.
    pub script: String,
    /// A character voice, a Kokoro voice or a blend, not yet resolved.
    pub voice_id: String,
    /// The speed, 0.8 to 1.2 times the voice's own.
    pub speed: SpeechSpeed,
    /// In what mood.
    pub emotion: Emotion,
}

/// What is seen and how it moves.
#[derive(Clone, Debug, PartialEq)]
pub struct VisualTrack {
    /// What the picture shows.
    pub prompt: String,
    /// What must not be seen, comma-separated; schnell runs without guidance, so it acts at verification only.
    pub negative_prompt: Option<String>,
    /// How the head moves.
    pub motion: Motion,
    /// Expressions in order; they share the time evenly.
    pub expressions: Vec<Expression>,
    /// How the camera moves.
    pub camera: Camera,
}

/// What the finished video must mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SemanticConstraints {
    /// Floor of the ensemble's CLIPScore, in addition to the bundle's thresholds.
    pub min_clip_score: Option<f64>,
    /// What must not be seen.
    pub banned: Vec<String>,
    /// What must be seen.
    pub required: Vec<String>,
}

impl Recipe {
    /// Reads and checks a whole recipe; lists everything that is wrong with it.
    pub fn read(text: &[u8]) -> Result<Self, Problems> {
        check::check(document::parse(text)?)
    }

    /// The slot that it makes.
    pub fn slot(&self) -> SlotId {
        SlotId::new(self.id)
    }

    /// What is wrong at `now`, since the Unix epoch, where the deadline has passed; no deadline ever passes.
    pub fn too_late(&self, now: Duration) -> Option<Problem> {
        let deadline = self.deadline?;
        let late = now.checked_sub(deadline)?.as_secs();
        let (count, unit) = match late {
            0..120 => (late, "second"),
            120..7_200 => (late / 60, "minute"),
            7_200..172_800 => (late / 3_600, "hour"),
            _ => (late / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        let found = format!("{} has passed, {count} {unit}{plural} ago", deadline.as_secs());
        Some(Problem::new(
            "deadline",
            found,
            "a time to come, in seconds since 1970-01-01T00:00:00Z, or none",
        ))
    }

    /// The JSON document as read, without comments.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

#[cfg(test)]
mod tests;
