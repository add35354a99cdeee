//! Sound, pictures and videos as files; owns the encoder's thread and the unfinished file, knows no actor and no model.
//!
//! [benches]: crate::benchmarks#rendering
//!
#![doc = include_str!("media/README.md")]

mod colour;
mod container;
mod h264;
mod level;
pub mod png;
mod sound;
mod thread;
mod video;
pub mod wav;

pub use colour::Yuv;
pub use video::{VideoEnd, VideoError, VideoFile, VideoSink, VideoSpec, video};
