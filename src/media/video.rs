//! A video as its maker sees it: a sink for frames, and an end to wait for.
//!
//! Owns the bounded channel to the encoder's thread and the recycled buffers; never encodes and never writes.

use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::thread;
use crate::contract::{FrameSink, RgbFrame, SinkClosed};
use crate::types::{Bytes, Pcm, Resolution};

/// What OpenH264 takes, the longer side first.
const LARGEST: (u32, u32) = (3840, 2160);
/// One macroblock.
const SMALLEST: u32 = 16;
const FASTEST: u32 = 60;
/// What fits into the MP4 field.
const FASTEST_SOUND: u32 = u16::MAX as u32;

/// Frames under way are worth this much at most, so that 2048×2048 needs no more memory than 512×512 …
const UNDER_WAY: u64 = 32 << 20;
/// … and as many as this at most, a batch of the animator's and more; and at least two, so that one is encoded while the
/// next is copied.
const FRAMES_UNDER_WAY: (u64, u64) = (2, 16);

/// What a video is to be.
#[derive(Clone, Debug)]
pub struct VideoSpec {
    /// Size of every frame: even sides of at least 16, at most 3840×2160 or 2160×3840.
    pub resolution: Resolution,
    /// Frames a second, 1 … 60.
    pub fps: u32,
    /// How many frames, at least one.
    pub frames: u32,
    /// What is to be heard; cut, or followed by silence, to last exactly `frames / fps` seconds.
    pub sound: Arc<Pcm>,
}

/// A finished video, whole and synced under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: Bytes,
    /// How many frames it has.
    pub frames: u32,
    /// How long the picture lasts.
    pub duration: Duration,
    /// How long the sound lasts; differs by at most half a sample.
    pub sound: Duration,
    /// How long the encoder's thread was busy; waiting for frames does not count.
    pub encoding: Duration,
    /// As RFC 6381 names it, such as `avc1.42c01e`.
    pub video_codec: String,
    /// Likewise: `fLaC`.
    pub audio_codec: &'static str,
}

/// Why there is no video. Nothing of it is left on the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VideoError {
    /// It cannot be made like this.
    #[error("no such video can be made: {0}")]
    Spec(String),
    /// A frame is not the one that was due.
    #[error("frame {due} was due, and what came was {came}")]
    Frame {
        /// The index that was due, from 0.
        due: u32,
        /// What came instead.
        came: String,
    },
    /// Whoever made the frames stopped.
    #[error("only {received} of {expected} frames came")]
    Incomplete {
        /// Frames that came.
        received: u32,
        /// Frames of the whole video.
        expected: u32,
    },
    /// A library refused.
    #[error("{0}")]
    Encoder(String),
    /// The file could not be written.
    #[error("writing {}: {cause}", path.display())]
    Write {
        /// Under which name it would have been.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A defect of the encoder; the process goes on.
    #[error("the encoder panicked: {0}")]
    Panicked(String),
}

/// The encoder's answer.
pub(super) type Answer = oneshot::Sender<Result<VideoFile, VideoError>>;

/// What the sink and the thread both know: why it failed, said by whoever saw it first.
#[derive(Debug, Default)]
pub(super) struct Fate {
    failed: OnceLock<VideoError>,
}

impl Fate {
    /// Why it failed, if it did.
    pub(super) fn failed(&self) -> Option<&VideoError> {
        self.failed.get()
    }

    /// It failed; the first cause stays.
    pub(super) fn fail(&self, error: VideoError) -> VideoError {
        self.failed.get_or_init(|| error).clone()
    }
}

/// The thread's ends of the channels.
pub(super) struct Feed {
    /// Full buffers.
    pub full: Receiver<Vec<u8>>,
    /// Where they go back.
    pub empty: Sender<Vec<u8>>,
    /// Why there are no more.
    pub fate: Arc<Fate>,
}

/// Takes the frames of one video. Dropped before the last one came, it takes the unfinished file with it.
pub struct VideoSink {
    path: PathBuf,
    spec: VideoSpec,
    received: u32,
    fate: Arc<Fate>,
    state: State,
}

/// The end of one video.
#[derive(Debug)]
pub struct VideoEnd {
    answer: oneshot::Receiver<Result<VideoFile, VideoError>>,
}

enum State {
    /// No frame came yet: no thread, no file.
    Waiting(Answer),
    /// The thread takes frames.
    Running { full: SyncSender<Vec<u8>>, empty: Receiver<Vec<u8>> },
    /// No frame is taken any more.
    Ended,
}

/// A sink for one video under `path`, and its end. File, encoder and thread come with the first frame.
pub fn video(path: PathBuf, spec: VideoSpec) -> (VideoSink, VideoEnd) {
    let (sender, answer) = oneshot::channel();
    let sink = VideoSink { path, spec, received: 0, fate: Arc::default(), state: State::Waiting(sender) };
    (sink, VideoEnd { answer })
}

impl VideoEnd {
    /// Resolves when the file is complete and synced, or when it never will be.
    pub async fn closed(self) -> Result<VideoFile, VideoError> {
        self.answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The same for threads outside of any runtime; panics inside one, where blocking is a defect.
    pub fn wait(self) -> Result<VideoFile, VideoError> {
        self.answer.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> VideoError {
    VideoError::Encoder("the encoder's thread has gone without an answer".to_owned())
}

impl VideoSpec {
    /// Whether it can be made.
    fn check(&self) -> Result<(), VideoError> {
        let (width, height) = (self.resolution.width.get(), self.resolution.height.get());
        let (long, short) = (width.max(height), width.min(height));
        let wrong = if width % 2 + height % 2 > 0 || short < SMALLEST || long > LARGEST.0 || short > LARGEST.1
        {
            format!(
                "its frames are {}; both sides must be even and at least {SMALLEST}, the longer at most {} and the \
                 shorter at most {}",
                self.resolution, LARGEST.0, LARGEST.1
            )
        } else if !(1..=FASTEST).contains(&self.fps) {
            format!("it has {} frames a second; 1 to {FASTEST} can be had", self.fps)
        } else if self.frames == 0 {
            "it has no frames; it needs one at least".to_owned()
        } else if !(1..=FASTEST_SOUND).contains(&self.sound.sample_rate) {
            let rate = self.sound.sample_rate;
            format!("its sound has {rate} samples a second; 1 to {FASTEST_SOUND} can be had")
        } else {
            return Ok(());
        };
        Err(VideoError::Spec(wrong))
    }

    fn check_frame(&self, due: u32, frame: &RgbFrame<'_>) -> Result<(), VideoError> {
        let bytes = frame.resolution.rgb_bytes().get();
        let came = if due == self.frames {
            format!("frame {} of a video of {}", frame.index, self.frames)
        } else if frame.index != due {
            format!("frame {}", frame.index)
        } else if frame.resolution != self.resolution {
            format!("one of {} in a video of {}", frame.resolution, self.resolution)
        } else if frame.data.len() as u64 != bytes {
            format!("one of {} bytes where {} has {bytes}", frame.data.len(), frame.resolution)
        } else {
            return Ok(());
        };
        Err(VideoError::Frame { due, came })
    }
}

impl VideoSink {
    fn take(&mut self, frame: &RgbFrame<'_>) -> Result<(), VideoError> {
        if let Some(error) = self.fate.failed() {
            return Err(error.clone());
        }
        self.spec.check()?;
        self.spec.check_frame(self.received, frame)?;
        if matches!(self.state, State::Waiting(_)) {
            self.start()?;
        }
        let State::Running { full, empty } = &self.state else { return Err(gone()) };
        // Every buffer is under way or in `empty`: there is never more than a channel of them and two in hand.
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(frame.data);
        // The thread tells its fate before it lets go of the channel.
        full.send(buffer).map_err(|_| self.fate.failed().cloned().unwrap_or_else(gone))?;
        self.received += 1;
        if self.received == self.spec.frames {
            self.state = State::Ended;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), VideoError> {
        let State::Waiting(answer) = mem::replace(&mut self.state, State::Ended) else { return Ok(()) };
        let (least, most) = FRAMES_UNDER_WAY;
        let depth = (UNDER_WAY / self.spec.resolution.rgb_bytes().get().max(1)).clamp(least, most);
        let (full, taken) = mpsc::sync_channel(depth as usize);
        let (returned, empty) = mpsc::channel();
        let feed = Feed { full: taken, empty: returned, fate: Arc::clone(&self.fate) };
        thread::start(self.path.clone(), self.spec.clone(), feed, answer)?;
        self.state = State::Running { full, empty };
        Ok(())
    }
}

impl VideoSink {
    /// It failed: no frame is taken any more, and the thread, which may be waiting for one, ends now.
    fn fail(&mut self, error: VideoError) -> VideoError {
        let error = self.fate.fail(error);
        if let State::Waiting(answer) = mem::replace(&mut self.state, State::Ended) {
            let _ = answer.send(Err(error.clone())); // nobody need be waiting
        }
        error
    }

    /// Whether frames are missing still.
    fn incomplete(&self) -> bool {
        self.received < self.spec.frames || self.spec.frames == 0
    }
}

impl FrameSink for VideoSink {
    fn push(&mut self, frame: RgbFrame<'_>) -> Result<(), SinkClosed> {
        self.take(&frame).map_err(|error| {
            // One frame too many spoils nothing: the video has all of its own.
            let error = if self.incomplete() { self.fail(error) } else { error };
            SinkClosed { reason: error.to_string() }
        })
    }
}

impl Drop for VideoSink {
    fn drop(&mut self) {
        if self.incomplete() {
            let error = self.spec.check().err();
            let (received, expected) = (self.received, self.spec.frames);
            self.fail(error.unwrap_or(VideoError::Incomplete { received, expected }));
        }
    }
}

impl fmt::Debug for VideoSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoSink({}, {} of {} frames)", self.path.display(), self.received, self.spec.frames)
    }
}
