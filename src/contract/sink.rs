//! Where frames go as they are made.

use crate::types::Resolution;

/// One frame, borrowed from the animator's buffer: u8 RGB, rows from the top.
#[derive(Clone, Copy, Debug)]
pub struct RgbFrame<'a> {
    /// Its place in the video, from 0.
    pub index: u32,
    /// Its size, the same for all frames of a video.
    pub resolution: Resolution,
    /// `3 · width · height` bytes.
    pub data: &'a [u8],
}

/// Whoever takes the frames has gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver of the frames has gone: {reason}")]
pub struct SinkClosed {
    /// Why, as far as known.
    pub reason: String,
}

/// Takes frames in order. Implementations copy each into a recycled buffer of a bounded channel to the encoder's own
/// OS thread; frames never pass through an actor.
pub trait FrameSink: Send {
    /// Takes a frame; blocks while the receiver is full, which is the back-pressure.
    fn push(&mut self, frame: RgbFrame<'_>) -> Result<(), SinkClosed>;
}
