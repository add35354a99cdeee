//! From what is said and how it should look to what every frame shows. Pure: no tensors, no clock, no I/O; the same
//! direction and seed give the same frames everywhere.
//!
//! | file | gives |
//! |---|---|
//! | `viseme`, `mouth` | the mouth's shape in each frame, from the phoneme timeline |
//! | `expression` | moods and the way from one to the next |
//! | `eyes` | blinks and gaze |
//! | `motion` | the head's pose, with emphasis from the voice |
//! | `camera` | what part of the frame is seen |
//! | `face` | all of it as LivePortrait's editing controls |
//! | `planner` | which frames are rendered, reused or blended when time is short |
//! | `storyboard` | a drawing of the controls, to look at without a model |
//!
#![doc = include_str!("direction/README.md")]

pub(crate) mod camera;
pub(crate) mod expression;
pub(crate) mod eyes;
pub(crate) mod face;
pub mod motion;
pub(crate) mod mouth;
pub(crate) mod planner;
mod random;
pub(crate) mod storyboard;
pub(crate) mod viseme;

use std::time::Duration;

use camera::Camera;
use expression::Expression;
use motion::{HeadMotion, Motion};

use crate::contract::Warning;
use crate::types::{FrameSource, Pcm, PlannedFrame, Timeline};

/// How a video should look and what is said in it.
#[derive(Clone, Copy, Debug)]
pub struct Direction<'a> {
    /// What is said when.
    pub timeline: &'a Timeline,
    /// The sound itself, for emphasis.
    pub voice: &'a Pcm,
    /// The video's length.
    pub duration: Duration,
    /// Frames a second, 1 to 60.
    pub fps: u32,
    /// How the head moves.
    pub motion: Motion,
    /// Presets that share the time evenly; none is neutral.
    pub expressions: &'a [Expression],
    /// How the camera moves.
    pub camera: Camera,
    /// Of blinks, gaze and phases.
    pub seed: u64,
}

/// Every frame of a video at full rate, before the planner has looked at the time left.
#[derive(Clone, Debug, PartialEq)]
pub struct Directed {
    /// Frames a second.
    pub fps: u32,
    /// Every frame, to be rendered.
    pub frames: Vec<PlannedFrame>,
    /// Frames in which the lips are pressed together.
    pub closed: Vec<bool>,
    /// `audio_longer`, `audio_shorter`, `unknown_phonemes`.
    pub warnings: Vec<Warning>,
}

/// Why there is no video to direct.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectionError {
    /// The video has no frame.
    #[error(
        "a video of {duration:?} at {fps} frames a second has no frame; accepted: at least one, 1 to 60 frames a second"
    )]
    NoFrames {
        /// Its length.
        duration: Duration,
        /// Frames a second.
        fps: u32,
    },
    /// The sound has samples that are no numbers.
    #[error("sample {index} of the voice is {value}, not a number")]
    NotANumber {
        /// Its place.
        index: usize,
        /// What it is.
        value: String,
    },
}

/// Frames of a video of `duration` at `fps`, to the nearest; a duration of a whole number of frames gives just that.
pub fn frame_count(duration: Duration, fps: u32) -> usize {
    let frames = (duration.as_nanos() * u128::from(fps) + 500_000_000) / 1_000_000_000;
    usize::try_from(frames).unwrap_or(usize::MAX)
}

/// Directs every frame at full rate.
///
/// Sound that is longer than the video is cut off by its end, sound that is shorter leaves the mouth at rest; either
/// warns where it is more than a frame.
pub fn direct(direction: &Direction<'_>) -> Result<Directed, DirectionError> {
    let Direction { timeline, voice, duration, fps, .. } = *direction;
    let count = frame_count(duration, fps);
    if count == 0 || !(1..=60).contains(&fps) {
        return Err(DirectionError::NoFrames { duration, fps });
    }
    if let Some((index, value)) = voice.samples.iter().enumerate().find(|(_, sample)| !sample.is_finite()) {
        return Err(DirectionError::NotANumber { index, value: value.to_string() });
    }

    let mouth = mouth::mouth(timeline, fps, count);
    let lids = eyes::lids(direction.seed, fps, count);
    let looks = eyes::gaze(direction.seed, fps, count);
    let emphasis = motion::emphasis(&voice.samples, voice.sample_rate, fps, count);
    let head = HeadMotion::new(direction.motion, direction.seed);
    let frame = |place: usize| {
        let at = if count > 1 { place as f32 / (count - 1) as f32 } else { 0.0 };
        let mood = expression::mood(direction.expressions, at);
        PlannedFrame {
            pose: head.pose(place as f32 / fps as f32, mood.head_motion, emphasis[place]),
            face: face::face(mouth.shapes[place], mouth.closed[place], &mood, lids[place], looks[place]),
            camera: camera::view(direction.camera, at),
            source: FrameSource::Render,
        }
    };
    let frames = (0..count).map(frame).collect();
    let warnings = warnings(timeline, duration, fps, &mouth.unknown);
    Ok(Directed { fps, frames, closed: mouth.closed, warnings })
}

fn warnings(timeline: &Timeline, video: Duration, fps: u32, unknown: &[String]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let frame = Duration::from_secs(1) / fps;
    let sound = timeline.duration();
    if sound > video + frame {
        warnings.push(Warning::new(
            "audio_longer",
            format!("the sound lasts {sound:?}, the video {video:?}: what comes after its end is not shown"),
        ));
    }
    if sound + frame < video {
        warnings.push(Warning::new(
            "audio_shorter",
            format!("the sound lasts {sound:?}, the video {video:?}: the mouth rests after it"),
        ));
    }
    if !unknown.is_empty() {
        warnings.push(Warning::new(
            "unknown_phonemes",
            format!("no mouth shape is known for {}: the mouth rests there", unknown.join(" ")),
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
