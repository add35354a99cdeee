//! One slot: from an accepted recipe to the five models' jobs, the verdict and the result.
//!
//! Owns the slot's recipe, questions and notes; its timings and its folder are kept under its id. Everything here is plain
//! data and quick; encoder, disk and signature are begun by the threads that do the work.

use std::sync::Arc;
use std::time::Duration;

use enum_map::enum_map;

use super::encoders::encoded;
use super::notes::Notes;
use super::result::{self, Ended};
use super::{FULL_FRAMES, Shared, World};
use crate::actors::pipeline::{Delivering, PipelineError, SlotPipeline};
use crate::actors::plan::Costs;
use crate::clock;
use crate::contract::{Animate, Animation, Paint, Painting, Score, Scores, Speak, Speech, Warning};
use crate::direction::planner::{Budget, plan};
use crate::direction::{Directed, Direction, DirectionError, direct, frame_count};
use crate::journal::{Accepted, Ending, Failure, Judgement, Outputs};
use crate::media::{self, VideoSpec, wav};
use crate::models::workspace::SlotSize;
use crate::recipe::{LONGEST, Recipe};
use crate::types::{AttemptId, Deadline, Pcm, Resolution, Stage, VoiceBlend};
use crate::verify::{self, Criteria, Questions, Verdict};
use crate::vram::Shape;

/// Denoising steps: what schnell was distilled for.
const STEPS: u32 = 4;

fn criteria(recipe: &Recipe) -> Criteria {
    Criteria {
        prompt: recipe.visual.prompt.clone(),
        negative_prompt: recipe.visual.negative_prompt.clone().unwrap_or_default(),
        required: recipe.constraints.required.clone(),
        banned: recipe.constraints.banned.clone(),
        min_clip_score: recipe.constraints.min_clip_score,
    }
}

fn warnings_of(recipe: &Recipe, world: Option<&World>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if recipe.visual.negative_prompt.as_deref().is_some_and(|text| !text.trim().is_empty()) {
        warnings.push(Warning::new(
            "negative_prompt_not_painted",
            "the image model runs without guidance: the negative prompt is looked for when the video is verified",
        ));
    }
    if let Some(World { words, about }) = world {
        let unknown = words.unknown_words(&recipe.visual.prompt);
        if !unknown.is_empty() {
            let about = about.as_deref().unwrap_or("it draws what it can");
            let message = format!("the image model does not know {}: {about}", unknown.join(", "));
            warnings.push(Warning::new("prompt_outside_vocabulary", message));
        }
    }
    warnings
}

/// What is said in a slot of this recipe, and how.
pub(crate) fn speak(recipe: &Recipe, voice: VoiceBlend) -> Speak {
    let audio = &recipe.audio;
    Speak {
        text: audio.script.clone(),
        voice,
        speed: audio.speed,
        emotion: audio.emotion,
        duration: recipe.duration,
        seed: recipe.seed,
    }
}

/// Every frame of the video at full rate, and the voice that it moves to.
pub(crate) fn directed(recipe: &Recipe, speech: &Speech) -> Result<(Directed, Pcm), DirectionError> {
    // As a reader of the sound's file gets it, so that a resumed slot goes on from the very same samples.
    let voice = wav::quantised(&speech.pcm);
    let directed = direct(&Direction {
        timeline: &speech.timeline,
        voice: &voice,
        duration: recipe.duration,
        fps: recipe.fps,
        motion: recipe.visual.motion,
        expressions: &recipe.visual.expressions,
        camera: recipe.visual.camera,
        seed: recipe.seed,
    })?;
    Ok((directed, voice))
}

/// Characters that are spoken in a second: English has about 15, and figures stand for more than they are long.
const SPOKEN: f64 = 12.0;
/// The least that a stage costs whatever it is about: what is done once for each run.
const LEAST: Duration = Duration::from_secs(1);

/// How much work speaking `script` is for a slot of `duration`, relative to the longest: nothing is spoken beyond its end.
fn speech_cost(script: &str, duration: Duration) -> f64 {
    let spoken = script.chars().count() as f64 / SPOKEN;
    spoken.min(duration.as_secs_f64()).max(LEAST.as_secs_f64()) / LONGEST.as_secs_f64()
}

/// How much work a picture is, relative to one of the planned size: what Flux computes goes by its tokens, one for 16 × 16
/// pixels, beside the prompt's.
fn image_cost(painted: Resolution) -> f64 {
    const PROMPT: f64 = 256.0;
    let tokens = |of: Resolution| PROMPT + of.pixels() as f64 / 256.0;
    tokens(painted) / tokens(SlotSize::PLANNED.resolution)
}

/// The work of one slot.
pub(super) struct RecipeSlot {
    accepted: Accepted,
    recipe: Recipe,
    /// Where the recipe names one.
    deadline: Option<Deadline>,
    questions: Questions,
    notes: Arc<Notes>,
    shared: Arc<Shared>,
    /// Held while the result is written; whether a final one has been.
    delivered: Arc<tokio::sync::Mutex<bool>>,
}

impl RecipeSlot {
    /// Reads `accepted`; does nothing else, so that a slot may be considered and refused.
    pub(super) fn open(accepted: &Accepted, shared: &Arc<Shared>) -> Result<Self, PipelineError> {
        let recipe = Recipe::read(&accepted.recipe)
            .map_err(|problems| PipelineError::new(Failure::Recipe, problems.to_string()))?;
        let deadline = recipe.deadline.is_some().then_some(accepted.deadline);
        let notes = Arc::new(Notes::default());
        notes.add(warnings_of(&recipe, shared.vocabulary.as_ref()));
        let questions = Questions::new(&criteria(&recipe));
        let (accepted, shared) = (accepted.clone(), Arc::clone(shared));
        Ok(Self { accepted, recipe, deadline, questions, notes, shared, delivered: Arc::default() })
    }

    fn frames(&self) -> u32 {
        u32::try_from(frame_count(self.recipe.duration, self.recipe.fps)).unwrap_or(u32::MAX)
    }

    /// The voice that the recipe names, or the one that stands in for it, with a warning.
    fn voice(&self) -> Result<VoiceBlend, PipelineError> {
        let Shared { voices, known_voices, .. } = &*self.shared;
        let speaker = voices
            .speaker(&self.recipe.audio.voice_id, known_voices)
            .map_err(|error| PipelineError::new(Failure::Recipe, error.to_string()))?;
        self.notes.add(speaker.replaced.map(|message| Warning::new("voice_replaced", message)));
        Ok(speaker.voice)
    }

    /// Has the slot's folder made where there is none yet, beside the first run. What goes wrong is told by whoever writes.
    fn make_folder(&self) {
        let (folders, slot) = (Arc::clone(&self.shared.folders), self.accepted.slot);
        if folders.get(slot).is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn_blocking(move || folders.ensure(slot).map(drop)));
        }
    }

    /// Time for the video, where there is a deadline.
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.remaining(clock::now()).saturating_sub(self.shared.afterwards))
    }
}

impl SlotPipeline for RecipeSlot {
    fn begin(&self) {
        self.shared.timings.begin(self.accepted.slot, self.accepted.at);
    }

    fn costs(&self) -> Costs {
        let frames = f64::from(self.frames()) / FULL_FRAMES;
        let painted = image_cost(self.shared.paints.unwrap_or(self.recipe.resolution));
        let speech = speech_cost(&self.recipe.audio.script, self.recipe.duration);
        enum_map! {
            Stage::Audio => speech,
            Stage::Image => painted,
            Stage::Verify => 1.0,
            Stage::Video | Stage::Package => frames,
        }
    }

    fn shape(&self, stage: Stage) -> Shape {
        let Recipe { resolution, duration, .. } = self.recipe;
        let size = |of: Resolution| [of.width.get(), of.height.get()];
        let [width, height] = match stage {
            Stage::Image => size(self.shared.paints.unwrap_or(resolution)),
            _ => size(resolution),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Shape(match stage {
            // Sentences are spoken one by one, each into the whole sound.
            Stage::Audio => [count(self.recipe.audio.script.len()), count(duration.as_secs() as usize), 0, 0],
            Stage::Image | Stage::Video => [width, height, 0, 0],
            Stage::Verify => [width, height, count(self.questions.texts().len()), 0],
            Stage::Package => [0; 4],
        })
    }

    fn speak(&self) -> Result<Speak, PipelineError> {
        self.make_folder();
        Ok(speak(&self.recipe, self.voice()?))
    }

    fn paint(&self) -> Result<Paint, PipelineError> {
        self.make_folder();
        Ok(Paint {
            prompt: self.recipe.visual.prompt.clone(),
            seed: self.recipe.seed,
            resolution: self.shared.paints.unwrap_or(self.recipe.resolution),
            steps: STEPS,
        })
    }

    fn animate(
        &self,
        _: AttemptId,
        speech: &Arc<Speech>,
        painting: &Arc<Painting>,
    ) -> Result<Animate, PipelineError> {
        let (directed, voice) = directed(&self.recipe, speech)
            .map_err(|error| PipelineError::new(Failure::Recipe, error.to_string()))?;
        let planned = plan(directed, Budget { per_frame: self.shared.per_frame, left: self.left() });
        self.notes.add(planned.warnings);
        let frames = self.frames();
        let (slot, resolution) = (self.recipe.slot(), self.recipe.resolution);
        let spec = VideoSpec { resolution, fps: self.recipe.fps, frames, sound: Arc::new(voice) };
        // Made when the first stage began, so that nothing is waited for here.
        let folder = self
            .shared
            .folders
            .ensure(slot)
            .map_err(|error| PipelineError::new(Failure::Journal, error.to_string()))?;
        let (sink, end) = media::video(folder.partial_video(), spec);
        folder.encoding(encoded(slot, end, self.shared.bus.clone()));
        Ok(Animate {
            image: Arc::new(painting.image.clone()),
            plan: Arc::new(planned.plan),
            resolution,
            keyframes: verify::keyframes(frames),
            sink: Box::new(sink),
        })
    }

    fn score(&self, animation: &Arc<Animation>) -> Result<Score, PipelineError> {
        let keyframes = animation.keyframes.iter().map(|keyframe| keyframe.image.clone()).collect();
        Ok(Score { keyframes, texts: self.questions.texts() })
    }

    fn judge(&self, b32: &Scores, l14: &Scores) -> Result<Judgement, PipelineError> {
        let failed = |message: String| PipelineError::new(Failure::Rejected, message);
        let verdict = verify::judge(&self.questions, b32, l14, &self.shared.thresholds)
            .map_err(|error| failed(error.to_string()))?;
        let report = serde_json::to_value(&verdict)
            .map_err(|error| failed(format!("the verdict cannot be written down: {error}")))?;
        self.notes.judged(verdict.clone());
        if !verdict.passed {
            let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
            return Err(failed(reasons.join("; ")));
        }
        let Verdict { clip_b, clip_l, ensemble, .. } = verdict;
        let summary =
            format!("passed: clip_b scores {clip_b:.3}, clip_l {clip_l:.3}, together {ensemble:.3}");
        Ok(Judgement { summary, report })
    }

    fn deliver(&self, ending: &Ending, outputs: &Outputs) -> Delivering {
        let ended = Ended {
            accepted: self.accepted.clone(),
            recipe: self.recipe.clone(),
            notes: Arc::clone(&self.notes),
            ending: ending.clone(),
            outputs: outputs.clone(),
        };
        let (shared, delivered) = (Arc::clone(&self.shared), Arc::clone(&self.delivered));
        Box::pin(async move {
            // A package that was given up may still be on its way to the disk; the slot's end comes after it, and nothing
            // after that.
            let mut is_final = delivered.lock().await;
            if *is_final {
                return Err(PipelineError::new(Failure::Package, "the slot has ended already"));
            }
            let completes = matches!(ended.ending, Ending::Completed { .. });
            let parcel = result::deliver(ended, shared).await?;
            *is_final = !completes;
            Ok(parcel)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_costs_what_is_said_and_a_picture_what_is_painted() {
        let of =
            |words: usize, seconds| speech_cost(&"word ".repeat(words), Duration::from_secs(seconds)) * 45.0;
        assert_eq!(of(2, 45), 1.0, "a word in a long slot teaches nothing about a long text");
        assert_eq!(of(1_000, 45), 45.0, "nothing is spoken beyond the end");
        assert!(of(60, 45) > 20.0 && of(60, 45) < 30.0, "{}", of(60, 45));
        let side = |side| image_cost(Resolution::new(side, side).unwrap());
        assert_eq!(side(512), 1.0);
        assert!((side(256), side(1024)) == (0.4, 3.4), "{} {}", side(256), side(1024));
    }
}
