//! The played models: durations, memory and misfortune as the scenario declares them, behind the host's own contract.
//!
//! One [`Player`] for all four roles; which one is what it plays is its [`Role`]. Owns the memory it takes of the
//! scripted device, gives it back when dropped, and keeps no time: the host sleeps.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Part, RunFault};
use super::theatre::{Theatre, leak};
use crate::actors::host::{Act, Beat, Ending, Launch, Loader, Script, ScriptHost, Scripted, ThreadHost};
use crate::actors::job::{Job, Output, WrongJob};
use crate::actors::limits::ModelLimits;
use crate::actors::spec::ModelSpec;
use crate::contract::{
    Animate, Animation, Keyframe, ModelError, Paint, Painting, Progress, Score, Scores, Speak, Speech, Unit,
};
use crate::types::{Bytes, ModelId, Pcm, PerModel, RgbImage, SAMPLE_RATE, Stage, Timeline};
use crate::vram::{ScriptedAllocation, ScriptedChange};

/// What a kind of model is asked and answers.
pub(crate) trait Role: Send + 'static {
    /// As [`Script::Job`].
    type Job: Send + TryFrom<Job, Error = WrongJob> + 'static;
    /// As [`Script::Output`].
    type Output: Send + Into<Output> + 'static;
    /// What its steps count.
    const UNIT: Unit;
    /// The number of the slot that `job` is for.
    fn slot(job: &Self::Job) -> u64;
    /// What it answers, at once and always the same.
    fn output(job: &Self::Job) -> Result<Self::Output, ModelError>;
}

/// Kokoro's role.
pub(crate) struct Speaker;
/// Flux's role.
pub(crate) struct Painter;
/// LivePortrait's role.
pub(crate) struct Animator;
/// Both CLIPs' role.
pub(crate) struct Scorer;

impl Role for Speaker {
    type Job = Speak;
    type Output = Speech;
    const UNIT: Unit = Unit::Sentences;

    fn slot(job: &Speak) -> u64 {
        job.seed
    }

    fn output(_: &Speak) -> Result<Speech, ModelError> {
        let timeline = Timeline::new(SAMPLE_RATE, 0, Vec::new())
            .map_err(|error| ModelError::own("a timeline of nothing").because(error))?;
        let pcm = Pcm { sample_rate: SAMPLE_RATE, samples: Vec::new() };
        Ok(Speech { pcm, timeline, warnings: Vec::new() })
    }
}

impl Role for Painter {
    type Job = Paint;
    type Output = Painting;
    const UNIT: Unit = Unit::Steps;

    fn slot(job: &Paint) -> u64 {
        job.seed
    }

    fn output(job: &Paint) -> Result<Painting, ModelError> {
        let size = job.resolution.rgb_bytes().get() as usize;
        let image = RgbImage::new(job.resolution, vec![0; size])
            .map_err(|error| ModelError::own("a black picture").because(error))?;
        Ok(Painting { image, warnings: Vec::new() })
    }
}

impl Role for Animator {
    type Job = Animate;
    type Output = Animation;
    const UNIT: Unit = Unit::Frames;

    fn slot(job: &Animate) -> u64 {
        job.keyframes.first().copied().map_or(0, u64::from)
    }

    fn output(job: &Animate) -> Result<Animation, ModelError> {
        let keyframe = |index: &u32| Keyframe { index: *index, image: (*job.image).clone() };
        let keyframes = job.keyframes.iter().map(keyframe).collect();
        Ok(Animation { frames: 1, rendered: 1, batch: 1, keyframes, warnings: Vec::new() })
    }
}

impl Role for Scorer {
    type Job = Score;
    type Output = Scores;
    const UNIT: Unit = Unit::Images;

    fn slot(job: &Score) -> u64 {
        job.texts.first().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn output(_: &Score) -> Result<Scores, ModelError> {
        Ok(Scores {
            image_embeddings: Vec::new(),
            text_embeddings: Vec::new(),
            cosines: Vec::new(),
            logit_scale: 100.0,
            warnings: Vec::new(),
        })
    }
}

/// One played model.
pub(crate) struct Player<R> {
    model: ModelId,
    stage: Stage,
    part: Part,
    theatre: Arc<Theatre>,
    resident: Option<ScriptedAllocation>,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> Player<R> {
    fn new(model: ModelId, stage: Stage, part: Part, theatre: Arc<Theatre>) -> Self {
        Self { model, stage, part, theatre, resident: None, role: PhantomData }
    }

    /// `whole` in equal steps.
    fn beats(&self, whole: Duration) -> Vec<Beat> {
        let steps = self.part.steps.get();
        if whole.is_zero() {
            return Vec::new();
        }
        let step = |done| Beat { wait: whole / steps, step: Some(Progress::new(R::UNIT, done, steps)) };
        (1..=steps).map(step).collect()
    }

    fn bring(job: &R::Job) -> Ending<R::Output> {
        match R::output(job) {
            Ok(output) => Ending::Bring(output),
            Err(error) => Ending::Fail(error),
        }
    }

    fn wait(wait: Duration) -> Vec<Beat> {
        if wait.is_zero() {
            Vec::new()
        } else {
            vec![Beat { wait, step: Some(Progress::new(Unit::Parts, 1, 1)) }]
        }
    }
}

impl<R: Role> Script for Player<R> {
    type Job = R::Job;
    type Output = R::Output;

    fn load(&mut self) -> Act<()> {
        let ending = if let Some(error) = self.theatre.load_fails(self.model) {
            Ending::Fail(error)
        } else {
            match self.theatre.device.allocate(self.model, self.part.resident) {
                Ok(memory) => {
                    self.resident = Some(memory);
                    Ending::Bring(())
                }
                Err(error) => Ending::Fail(ModelError::out_of_memory("loading").because(error)),
            }
        };
        Act { beats: Self::wait(self.part.load), holds: None, ending }
    }

    fn resident(&self) -> Bytes {
        self.part.resident
    }

    fn workspace(&self, _: &R::Job) -> Bytes {
        self.part.workspace
    }

    fn run(&mut self, job: R::Job) -> Act<R::Output> {
        let (number, device) = (R::slot(&job), &self.theatre.device);
        let memory = match device.allocate(self.model, self.part.workspace) {
            Ok(memory) => memory,
            Err(error) => {
                let error = ModelError::out_of_memory("taking workspace").because(error);
                return Act::at_once(Ending::Fail(error));
            }
        };
        let kept = self.theatre.leak_per_slot(self.model);
        if kept > Bytes::ZERO {
            leak(device, self.model, kept);
        }
        let mut beats = self.beats(self.part.run);
        let fault = self.theatre.run_fault(self.stage, self.model, number);
        if fault.is_some() {
            // Things go wrong halfway.
            beats.truncate(beats.len().div_ceil(2));
        }
        let ending = match fault {
            None => Self::bring(&job),
            Some(RunFault::OutOfMemory) => {
                Ending::Fail(ModelError::out_of_memory("the scenario makes the device run out of memory"))
            }
            Some(RunFault::Panic) => Ending::Panic("the scenario makes it panic".to_owned()),
            Some(RunFault::Error) => Ending::Fail(ModelError::own("the scenario makes it fail")),
            Some(RunFault::Hang) => Ending::Hang,
            Some(RunFault::Poison) => {
                Ending::Fail(ModelError::poisoned("the scenario poisons the device's context"))
            }
            Some(RunFault::Slow(by)) => {
                beats = self.beats(self.part.run.saturating_add(by));
                Self::bring(&job)
            }
        };
        Act { beats, holds: Some(Box::new(memory)), ending }
    }

    fn canary(&mut self) -> Act<()> {
        Act { beats: Self::wait(self.part.canary), holds: None, ending: Ending::Bring(()) }
    }

    fn trim(&mut self) -> Bytes {
        // What it gives back once, it has taken beyond its leases before: the device's pool slack.
        let freed = std::mem::take(&mut self.part.slack);
        if freed > Bytes::ZERO {
            self.theatre.device.apply(ScriptedChange::PoolSlack(Bytes::ZERO));
        }
        freed
    }
}

impl<R> Drop for Player<R> {
    fn drop(&mut self) {
        let Some(memory) = &self.resident else { return };
        let held = memory.bytes();
        // What leaked on its thread goes with its thread.
        self.theatre.device.forget_leaks(self.model, held);
        if self.theatre.keeps(self.model) {
            self.theatre.device.apply(ScriptedChange::Leak(self.model, held));
        }
    }
}

/// Whether models play on tokio tasks (for a paused clock) or on OS threads of their own, as real ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosting {
    /// Tasks.
    Tasks,
    /// Threads.
    Threads,
}

fn spec<R: Role>(
    model: ModelId,
    stage: Stage,
    part: Part,
    limits: ModelLimits,
    theatre: Arc<Theatre>,
    hosting: Hosting,
) -> ModelSpec {
    let cast = move || Player::<R>::new(model, stage, part, Arc::clone(&theatre));
    let launch: Arc<dyn Launch<R::Job, R::Output>> = match hosting {
        Hosting::Tasks => Arc::new(ScriptHost::new(Arc::new(cast))),
        Hosting::Threads => {
            let loader: Loader<Scripted<Player<R>>> = Arc::new(move |run| Scripted::load(cast(), run));
            Arc::new(ThreadHost::new(loader))
        }
    };
    ModelSpec::new::<Scripted<Player<R>>>(model, part.budget, part.workspace, limits, launch)
}

/// All five models, played.
pub(crate) fn company(
    parts: &PerModel<Part>,
    limits: ModelLimits,
    theatre: &Arc<Theatre>,
    hosting: Hosting,
) -> Vec<ModelSpec> {
    ModelId::ALL
        .into_iter()
        .map(|model| {
            let (part, theatre) = (parts[model], Arc::clone(theatre));
            match model {
                ModelId::Flux => spec::<Painter>(model, Stage::Image, part, limits, theatre, hosting),
                ModelId::LivePortrait => {
                    spec::<Animator>(model, Stage::Video, part, limits, theatre, hosting)
                }
                ModelId::Kokoro => spec::<Speaker>(model, Stage::Audio, part, limits, theatre, hosting),
                ModelId::ClipB | ModelId::ClipL => {
                    spec::<Scorer>(model, Stage::Verify, part, limits, theatre, hosting)
                }
            }
        })
        .collect()
}
