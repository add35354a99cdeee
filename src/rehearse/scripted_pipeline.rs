//! The recipes and ids of a rehearsal: a slot's number and nothing else. Makes the smallest jobs there are.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::pipeline::{Delivering, Pipeline, PipelineError, SlotPipeline};
use crate::actors::plan::Costs;
use crate::contract::{
    Animate, Animation, FrameSink, Paint, Painting, RgbFrame, Score, Scores, SinkClosed, Speak, Speech,
};
use crate::journal::{Accepted, Ending, Failure, Judgement, Outputs, Parcel};
use crate::types::{AttemptId, Emotion, FramePlan, Resolution, RgbImage, SlotId, SpeechSpeed, VoiceBlend};

/// Reads a rehearsal's recipes.
pub(super) struct ScriptedPipeline {
    voice: VoiceBlend,
    plan: Arc<FramePlan>,
    image: Arc<RgbImage>,
    package: Duration,
}

impl ScriptedPipeline {
    /// Packaging takes `package`.
    pub(super) fn new(package: Duration) -> Result<Self, Box<dyn Error + Send + Sync>> {
        // The smallest picture there is.
        let size = Resolution { width: NonZeroU32::MIN, height: NonZeroU32::MIN };
        Ok(Self {
            voice: "rehearsal".parse()?,
            plan: Arc::new(FramePlan { fps: 24, frames: Vec::new() }),
            image: Arc::new(RgbImage::new(size, vec![0; 3])?),
            package,
        })
    }
}

impl ScriptedPipeline {
    /// The work of slot `number`.
    pub(super) fn slot(&self, number: u64) -> Arc<dyn SlotPipeline> {
        let (voice, plan, image) = (self.voice.clone(), Arc::clone(&self.plan), Arc::clone(&self.image));
        Arc::new(ScriptedSlot { number, voice, plan, image, package: self.package })
    }
}

/// The recipe of slot `number`.
pub(super) fn recipe(number: u64) -> Arc<[u8]> {
    Arc::new(number.to_le_bytes())
}

/// The id of slot `number`: the same in every run.
pub(super) fn slot_id(number: u64) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(u128::from(number)))
}

impl Pipeline for ScriptedPipeline {
    fn open(&self, accepted: &Accepted) -> Result<Arc<dyn SlotPipeline>, PipelineError> {
        let bytes: [u8; 8] = (*accepted.recipe)
            .try_into()
            .map_err(|_| PipelineError::new(Failure::Recipe, "a rehearsal's recipe is eight bytes long"))?;
        Ok(self.slot(u64::from_le_bytes(bytes)))
    }
}

struct ScriptedSlot {
    number: u64,
    voice: VoiceBlend,
    plan: Arc<FramePlan>,
    image: Arc<RgbImage>,
    package: Duration,
}

/// Takes frames and forgets them: nothing is rendered in a rehearsal.
struct NoFrames;

impl FrameSink for NoFrames {
    fn push(&mut self, _: RgbFrame<'_>) -> Result<(), SinkClosed> {
        Ok(())
    }
}

impl SlotPipeline for ScriptedSlot {
    fn costs(&self) -> Costs {
        enum_map::enum_map! { _ => 1.0 }
    }

    fn speak(&self) -> Result<Speak, PipelineError> {
        Ok(Speak {
            text: String::new(),
            voice: self.voice.clone(),
            speed: SpeechSpeed::NORMAL,
            emotion: Emotion::Neutral,
            duration: Duration::ZERO,
            seed: self.number,
        })
    }

    fn paint(&self) -> Result<Paint, PipelineError> {
        let resolution = self.image.resolution();
        Ok(Paint { prompt: String::new(), seed: self.number, resolution, steps: 4 })
    }

    fn animate(&self, _: AttemptId, _: &Arc<Speech>, _: &Arc<Painting>) -> Result<Animate, PipelineError> {
        let resolution: Resolution = self.image.resolution();
        // The one keyframe carries the slot's number to the player.
        let keyframes = vec![u32::try_from(self.number).unwrap_or(u32::MAX)];
        let (image, plan) = (Arc::clone(&self.image), Arc::clone(&self.plan));
        Ok(Animate { image, plan, resolution, keyframes, sink: Box::new(NoFrames) })
    }

    fn score(&self, animation: &Arc<Animation>) -> Result<Score, PipelineError> {
        let keyframes = animation.keyframes.iter().map(|keyframe| keyframe.image.clone()).collect();
        Ok(Score { keyframes, texts: Arc::new([self.number.to_string()]) })
    }

    fn judge(&self, _: &Scores, _: &Scores) -> Result<Judgement, PipelineError> {
        Ok(Judgement { summary: "played".to_owned(), report: serde_json::Value::Null })
    }

    fn deliver(&self, ending: &Ending, _: &Outputs) -> Delivering {
        let package = if matches!(ending, Ending::Completed { .. }) { self.package } else { Duration::ZERO };
        Box::pin(async move {
            if !package.is_zero() {
                tokio::time::sleep(package).await;
            }
            Ok(Parcel { artifacts: Vec::new() })
        })
    }
}
