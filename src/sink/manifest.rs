//! The manifest: what was made, from what, how it was judged, how long it took, by whom. Plain data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::contract::{Animation, Warning};
use crate::journal::{Artifact, CancelCause, Ending, Failure};
use crate::recipe::document;
use crate::signing::{from_hex, to_hex};
use crate::types::{Bytes, DeviceId, FramePlan, FrameSource, ModelId, Resolution, Sha256, SlotId, Stage};
use crate::verify::Verdict;

/// Of the manifest's format.
pub const VERSION: u32 = 1;

/// Everything that a result says, but its signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of the format: [`VERSION`].
    pub version: u32,
    /// Of the trace that the slot belongs to: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The recipe's id.
    pub recipe_id: SlotId,
    /// How it ended.
    pub outcome: Outcome,
    /// What it was made from.
    pub recipe: RecipeRef,
    /// With which models.
    pub bundle: BundleRef,
    /// Every file of the result, the recipe included.
    pub artifacts: Vec<Artifact>,
    /// The verifier's verdict, where it came to one.
    pub verification: Option<Verdict>,
    /// The stages, in order.
    pub stages: Vec<StageReport>,
    /// From acceptance to the end, seconds.
    pub elapsed: f64,
    /// By when it was to be handed over, Unix seconds; none where the recipe leaves it open.
    pub deadline: Option<u64>,
    /// Whether it was; nothing is missed where there is no deadline.
    pub deadline_met: bool,
    /// What became of each model that took part.
    pub models: Vec<ModelReport>,
    /// How the video was made, where one was.
    pub frames: Option<Frames>,
    /// What the requester should know all the same.
    pub warnings: Vec<Warning>,
    /// Who made it.
    pub node: NodeReport,
    /// When this was written, Unix seconds.
    pub rendered_at: u64,
}

/// How the slot ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The video is good.
    Completed,
    /// It is not, or there is none.
    Failed {
        /// What kind of failure.
        cause: Failure,
        /// In which stage, if in one.
        stage: Option<Stage>,
        /// What happened, with the values.
        message: String,
        /// Everything that speaks against the video, a line each; empty where it was not judged.
        reasons: Vec<String>,
    },
    /// It was stopped before it was done.
    Cancelled {
        /// What stopped it.
        cause: CancelCause,
    },
}

/// The recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeRef {
    /// Of its canonical document (RFC 8785): the same whatever its layout and comments.
    pub sha256: Sha256,
}

/// The bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// What people call it.
    pub name: String,
    /// Of its description, which names the hash of every file, or leaves it to the lock.
    pub sha256: Sha256,
    /// Of its lock, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_sha256: Option<Sha256>,
}

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageReport {
    /// The stage.
    pub stage: Stage,
    /// Done by an earlier run, and taken over: the other figures are none of this run's.
    pub resumed: bool,
    /// Seconds from acceptance to its first attempt.
    pub began: f64,
    /// Seconds from acceptance to its output.
    pub ended: f64,
    /// How often it was begun.
    pub attempts: u32,
    /// Of the device, where it was sampled.
    pub memory: Option<Memory>,
}

/// Memory in use around a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// When it began.
    pub before: Bytes,
    /// At most.
    pub peak: Bytes,
    /// When it ended.
    pub after: Bytes,
}

/// One model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelReport {
    /// The model.
    pub model: ModelId,
    /// Runs that it was given.
    pub attempts: u32,
    /// How often it was started anew meanwhile.
    pub restarts: u32,
}

/// How the video was made: the summary of its frame plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Size of each.
    pub resolution: Resolution,
    /// Frames a second.
    pub fps: u32,
    /// Frames of the video.
    pub total: u32,
    /// Of these, rendered by the networks.
    pub rendered: u32,
    /// Of these, the one before again.
    pub reused: u32,
    /// Of these, between two rendered ones.
    pub blended: u32,
    /// Frames per batch at the end.
    pub batch: u32,
    /// The ones that were looked at.
    pub keyframes: Vec<u32>,
    /// Of the whole plan's canonical JSON.
    pub plan_sha256: Sha256,
}

/// The node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeReport {
    /// Its public key, which signs.
    pub id: PublicKey,
    /// Of the software.
    pub version: String,
    /// Where its models live.
    pub device: DeviceId,
    /// The profile in force.
    pub profile: String,
    /// Threads that compute.
    pub threads: u32,
    /// Frames rendered at once, as configured.
    pub frame_batch: u32,
}

/// An Ed25519 public key, 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl Frames {
    /// Of a video made by `plan`.
    pub fn of(plan: &FramePlan, animation: &Animation, resolution: Resolution) -> Self {
        let count = |is: fn(&FrameSource) -> bool| {
            u32::try_from(plan.frames.iter().filter(|frame| is(&frame.source)).count()).unwrap_or(u32::MAX)
        };
        // Numbers and lists only: it can always be written.
        let whole = serde_json::to_value(plan).unwrap_or_default();
        Self {
            resolution,
            fps: plan.fps,
            total: animation.frames,
            rendered: animation.rendered,
            reused: count(|source| matches!(source, FrameSource::Reuse)),
            blended: count(|source| matches!(source, FrameSource::Blend { .. })),
            batch: animation.batch,
            keyframes: animation.keyframes.iter().map(|keyframe| keyframe.index).collect(),
            plan_sha256: Sha256::of(&document::canonical(&whole)),
        }
    }
}

impl Outcome {
    /// Of a slot that ended so.
    pub fn of(ending: &Ending, verdict: Option<&Verdict>) -> Self {
        match ending {
            Ending::Completed { .. } => Self::Completed,
            Ending::Failed { cause, stage, message } => Self::Failed {
                cause: *cause,
                stage: *stage,
                message: message.clone(),
                reasons: verdict.iter().flat_map(|it| &it.reasons).map(ToString::to_string).collect(),
            },
            Ending::Cancelled { cause } => Self::Cancelled { cause: *cause },
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        from_hex(text).map(Self).ok_or_else(|| {
            format!(
                "{text:?} is no public key; write 64 hexadecimal digits, such as the `node.id` of a result"
            )
        })
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
