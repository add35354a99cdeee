//! The jobs of a checked slot, in two sizes; the same every time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::contract::{
    Animate, Animation, FrameSink, ModelError, Paint, Painting, RgbFrame, Score, SinkClosed, Speak,
};
use crate::models::bundle::Bundle;
use crate::types::{
    CameraView, Emotion, FaceControls, FramePlan, FrameSource, HeadPose, ModelId, PlannedFrame, Resolution,
    RgbImage, SpeechSpeed, VoiceBlend,
};

/// How large a slot's jobs are.
#[derive(Clone, Debug)]
pub(super) struct Size {
    side: Resolution,
    words: usize,
    sound: Duration,
    frames: u32,
}

/// The smallest picture that both sizes of Flux paint, and the product's.
const SIDES: [u32; 2] = [64, 512];

impl Size {
    /// As small as it goes.
    pub(super) fn tiny(frames: u32) -> Self {
        Self { side: square(SIDES[0]), words: 6, sound: Duration::from_secs(2), frames }
    }

    /// A slot as the product has it.
    pub(super) fn full(frames: u32) -> Self {
        // 45 s of calm speech.
        Self { side: square(SIDES[1]), words: 110, sound: Duration::from_secs(45), frames }
    }

    /// Frames rendered in a slot.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// For Flux.
    pub(super) fn paint(&self) -> Paint {
        let prompt = "portrait of an astronaut, studio light".to_owned();
        Paint { prompt, seed: 7, resolution: self.side, steps: 4 }
    }

    /// For Kokoro, in the bundle's first voice.
    pub(super) fn speak(&self, bundle: &Bundle) -> Result<Speak, ModelError> {
        const WORDS: [&str; 6] = ["every", "card", "proves", "itself", "before", "work."];
        let text: Vec<&str> = WORDS.into_iter().cycle().take(self.words).collect();
        let paths = bundle.paths(ModelId::Kokoro, "voices");
        let name = paths.first().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy());
        let name = name.ok_or_else(|| ModelError::own("the bundle has no voice"))?;
        let voice: VoiceBlend = name.parse().map_err(|error| {
            ModelError::own(format!("the voice {name:?} has no usable name")).because(error)
        })?;
        Ok(Speak {
            text: text.join(" "),
            voice,
            speed: SpeechSpeed::NORMAL,
            emotion: Emotion::Neutral,
            duration: self.sound,
            seed: 7,
        })
    }

    /// For LivePortrait.
    pub(super) fn animate(&self, image: Arc<RgbImage>, sink: Box<dyn FrameSink>) -> Animate {
        let frame = |at: u32| PlannedFrame {
            pose: HeadPose { yaw: 10.0 * (at as f32 * 0.1).sin(), ..HeadPose::REST },
            face: FaceControls { lips: 60.0 * (at as f32 * 0.7).sin(), ..FaceControls::REST },
            camera: CameraView::WHOLE,
            source: FrameSource::Render,
        };
        let last = self.frames.saturating_sub(1);
        Animate {
            image,
            plan: Arc::new(FramePlan { fps: 24, frames: (0..self.frames).map(frame).collect() }),
            resolution: self.side,
            keyframes: (0..5).map(|place| (place * self.frames / 4).min(last)).collect(),
            sink,
        }
    }

    /// For both CLIPs.
    pub(super) fn score(animation: &Animation) -> Score {
        let keyframes = animation.keyframes.iter().map(|keyframe| keyframe.image.clone()).collect();
        let texts = ["a portrait of an astronaut", "a photograph"].map(str::to_owned);
        Score { keyframes, texts: Arc::new(texts) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, sound, frames, .. } = self;
        write!(f, "pictures of {side}, {} s of speech, {frames} frames", sound.as_secs())
    }
}

fn square(side: u32) -> Resolution {
    let side = std::num::NonZeroU32::new(side).unwrap_or(std::num::NonZeroU32::MIN);
    Resolution { width: side, height: side }
}

/// The picture that was painted, to be animated.
pub(super) fn portrait(painting: Painting) -> Arc<RgbImage> {
    Arc::new(painting.image)
}

/// Keeps the pixels of every frame, or only looks at them.
#[derive(Clone, Debug, Default)]
pub(super) struct Film {
    keeps: bool,
    pixels: Arc<Mutex<Vec<u8>>>,
}

impl Film {
    /// Keeps everything.
    pub(super) fn kept() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    /// What was kept.
    pub(super) fn pixels(&self) -> Vec<u8> {
        std::mem::take(&mut *self.pixels.lock())
    }
}

impl FrameSink for Film {
    fn push(&mut self, frame: RgbFrame<'_>) -> Result<(), SinkClosed> {
        if self.keeps {
            self.pixels.lock().extend_from_slice(frame.data);
        }
        Ok(())
    }
}
