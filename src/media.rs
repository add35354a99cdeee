//! Sound, pictures and videos as files: what the node's plain data looks like to everyone else.
//!
//! A video is H.264 and FLAC in one MP4 whose index stands in front (fast start), written while its frames are made.
//! It holds no time of day: the same frames and the same sound give the same bytes. It owns its encoder's thread and
//! the unfinished file; it never touches an actor or a model.
//!
//! Why these libraries, each built by cargo with nothing but a C++ compiler:
//! - `openh264` (BSD-2, Cisco's encoder from its own source): the one H.264 encoder with a free licence that is still
//!   maintained. It uses `nasm` where the build finds one and does without it otherwise.
//! - `shiguredo_mp4` (Apache-2.0, no dependencies): writes `avc1` and `fLaC` tracks, and keeps room in front for the
//!   index, so that nothing is copied at the end.
//! - `flacenc` (Apache-2.0, all Rust): FLAC plays in the MP4 of every current browser, loses nothing, and has neither
//!   priming nor a fixed frame length, so that both tracks end together to the sample. Opus would need 48 kHz, a delay
//!   and an edit list; no AAC encoder has an acceptable licence.

mod colour;
mod container;
mod h264;
pub mod png;
mod sound;
mod thread;
mod video;
pub mod wav;

pub use colour::Yuv;
pub use video::{VideoEnd, VideoError, VideoFile, VideoSink, VideoSpec, video};
