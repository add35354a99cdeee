//! The four jobs and what comes of them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FrameSink;
use crate::types::{Emotion, FramePlan, Pcm, Resolution, RgbImage, SpeechSpeed, Timeline, VoiceBlend};

/// Something that the requester should know, though the job was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What kind, stable for machines: `prompt_truncated`, `script_cut`, …
    pub code: Cow<'static, str>,
    /// What happened, with the values.
    pub message: String,
}

impl Warning {
    /// A warning of this kind.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into() }
    }
}

/// Say `text`. Answered by [`Speech`].
#[derive(Clone, Debug, PartialEq)]
pub struct Speak {
    /// What to say.
    pub text: String,
    /// In which voice; character names are already resolved.
    pub voice: VoiceBlend,
    /// The speed, 0.8 to 1.2 times the voice's own.
    pub speed: SpeechSpeed,
    /// In what mood.
    pub emotion: Emotion,
    /// The finished sound is exactly this long: cut at a word's end, or padded with silence.
    pub duration: Duration,
    /// Of the harmonic source's noise.
    pub seed: u64,
}

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Mono, 24 kHz, in [−1, 1]; at the loudness of all speech, times the emotion's energy.
    pub pcm: Pcm,
    /// Which phoneme sounds when; as long as the sound.
    pub timeline: Timeline,
    /// `script_cut`, `word_spelled`, …
    pub warnings: Vec<Warning>,
}

/// Paint `prompt`. Answered by [`Painting`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paint {
    /// What to show.
    pub prompt: String,
    /// Of the initial noise.
    pub seed: u64,
    /// Size of the picture; both sides divisible by 16.
    pub resolution: Resolution,
    /// Denoising steps; schnell is made for 4.
    pub steps: u32,
}

/// What was painted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painting {
    /// The picture, of the size asked for.
    pub image: RgbImage,
    /// `clip_prompt_truncated`, `t5_prompt_truncated`, …
    pub warnings: Vec<Warning>,
}

/// Animate `image` as `plan` says and push every frame into `sink`. Answered by [`Animation`].
pub struct Animate {
    /// The portrait, of any size.
    pub image: Arc<RgbImage>,
    /// Every frame of the video.
    pub plan: Arc<FramePlan>,
    /// Size of the finished frames.
    pub resolution: Resolution,
    /// Frames to hand back for verification, ascending.
    pub keyframes: Vec<u32>,
    /// Takes the frames in order.
    pub sink: Box<dyn FrameSink>,
}

impl fmt::Debug for Animate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Animate")
            .field("image", &self.image)
            .field("frames", &self.plan.frames.len())
            .field("resolution", &self.resolution)
            .field("keyframes", &self.keyframes)
            .finish_non_exhaustive()
    }
}

/// A frame handed back for verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyframe {
    /// Its place in the video.
    pub index: u32,
    /// Its pixels, as pushed into the sink.
    pub image: RgbImage,
}

/// What was animated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Animation {
    /// Frames pushed into the sink.
    pub frames: u32,
    /// Of these, rendered by the networks.
    pub rendered: u32,
    /// Frames per batch at the end; smaller than configured after an out-of-memory.
    pub batch: u32,
    /// The frames asked for, in the order asked for.
    pub keyframes: Vec<Keyframe>,
    /// `batch_lowered`, …
    pub warnings: Vec<Warning>,
}

/// Compare every keyframe with every text. Answered by [`Scores`].
#[derive(Clone, Debug)]
pub struct Score {
    /// Pictures of any one size; shared by both models.
    pub keyframes: Arc<[RgbImage]>,
    /// Texts, each one prompt or concept.
    pub texts: Arc<[String]>,
}

/// A vector of length one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitEmbedding(Vec<f32>);

impl UnitEmbedding {
    /// `values` scaled to length one; `None` where they have no direction (all zero, or not finite).
    pub fn normalise(mut values: Vec<f32>) -> Option<Self> {
        let norm = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if !(norm.is_finite() && norm > 0.0) {
            return None;
        }
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
        Some(Self(values))
    }

    /// The components.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The cosine with another of the same dimension, summed in f64.
    pub fn cosine(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }
}

/// How well keyframes and texts agree, by one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// One per keyframe.
    pub image_embeddings: Vec<UnitEmbedding>,
    /// One per text.
    pub text_embeddings: Vec<UnitEmbedding>,
    /// `cosines[keyframe][text]`.
    pub cosines: Vec<Vec<f32>>,
    /// The model's temperature: cosines times this are its logits (already exponentiated; 100 in the published ones).
    pub logit_scale: f32,
    /// `text_truncated`, …
    pub warnings: Vec<Warning>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn embeddings_have_length_one(values in prop::collection::vec(-1e3f32..1e3, 1..64)) {
            if let Some(unit) = UnitEmbedding::normalise(values.clone()) {
                prop_assert!((unit.cosine(&unit) - 1.0).abs() < 1e-6);
            } else {
                prop_assert!(values.iter().all(|v| *v == 0.0));
            }
        }
    }

    #[test]
    fn what_has_no_direction_is_no_embedding() {
        assert!(UnitEmbedding::normalise(vec![0.0; 3]).is_none());
        assert!(UnitEmbedding::normalise(vec![f32::NAN, 1.0]).is_none());
        assert!(UnitEmbedding::normalise(vec![f32::INFINITY, 1.0]).is_none());
    }
}
