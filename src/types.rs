//! The plain data that every part shares: bytes, ids, deadlines, sound, pictures and timelines.
//!
//! Owns no behaviour beyond parsing, printing and invariants; knows nothing else of the crate.

mod bytes;
mod deadline;
mod frames;
mod git_hash;
mod ids;
mod nearest;
mod path_field;
mod picture;
mod sha256;
mod sound;
mod speech;
mod trace;
mod work;

pub use bytes::{Bytes, ParseBytesError};
pub use deadline::Deadline;
pub use frames::{CameraView, FaceControls, FramePlan, FrameSource, HeadPose, PlannedFrame};
pub use git_hash::GitHash;
pub(crate) use ids::names;
pub use ids::{
    AttemptId, DeviceId, ModelId, ParseDeviceError, PerModel, PerStage, SlotId, Stage, UnknownName,
};
pub use nearest::{nearest, nearest_few};
pub(crate) use path_field::{PathField, with_path};
pub use picture::{Resolution, RgbImage, WrongImageSize};
pub use sha256::Sha256;
pub use sound::{Pcm, Phoneme, SAMPLE_RATE, Timeline, TimelineError};
pub use speech::{Emotion, Prosody, SpeechSpeed, VoiceBlend, VoiceError};
pub use trace::{TraceParent, TraceParentError};
pub use work::{WorkId, WorkIdError};
