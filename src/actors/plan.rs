//! One slot's walk as a pure state machine: audio ∥ image → video → verify → package.
//!
//! Owns which tasks are done, running or due, their retries, timeouts and the deadline's prediction. Never starts,
//! waits for or stores anything: the orchestrator asks, carries out, and reports what happened with the instant it did.

use std::time::{Duration, Instant};

use enum_map::{Enum, EnumMap, enum_map};

use crate::contract::ErrorClass;
use crate::types::{AttemptId, Deadline, ModelId, PerStage, Stage};

mod estimates;
#[cfg(test)]
mod tests;

pub(crate) use estimates::{Costs, Estimates, Learned};

/// What one model (or, for `Package`, the node itself) does for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enum)]
pub(crate) enum Task {
    /// Kokoro speaks the script.
    Speak,
    /// Flux paints the actor.
    Paint,
    /// LivePortrait animates the picture.
    Animate,
    /// CLIP B/32 scores the keyframes.
    ScoreB,
    /// CLIP L/14 scores them too.
    ScoreL,
    /// The node closes and hands over the artifacts.
    Package,
}

impl Task {
    /// Every one, in the order of the walk.
    pub(crate) const ALL: [Self; 6] =
        [Self::Speak, Self::Paint, Self::Animate, Self::ScoreB, Self::ScoreL, Self::Package];

    /// The stage it belongs to.
    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::Speak => Stage::Audio,
            Self::Paint => Stage::Image,
            Self::Animate => Stage::Video,
            Self::ScoreB | Self::ScoreL => Stage::Verify,
            Self::Package => Stage::Package,
        }
    }

    /// The model that does it; `None` where the node does.
    pub(crate) const fn model(self) -> Option<ModelId> {
        match self {
            Self::Speak => Some(ModelId::Kokoro),
            Self::Paint => Some(ModelId::Flux),
            Self::Animate => Some(ModelId::LivePortrait),
            Self::ScoreB => Some(ModelId::ClipB),
            Self::ScoreL => Some(ModelId::ClipL),
            Self::Package => None,
        }
    }

    /// The stages whose outputs it needs.
    const fn needs(self) -> &'static [Stage] {
        match self {
            Self::Speak | Self::Paint => &[],
            Self::Animate => &[Stage::Audio, Stage::Image],
            Self::ScoreB | Self::ScoreL => &[Stage::Video],
            Self::Package => &[Stage::Verify],
        }
    }
}

/// How long a stage may run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StageTimeout {
    /// This long, whatever is learned.
    Fixed(Duration),
    /// This many times its estimate, but at least so long: the `cpu` profile's rule.
    TimesEstimate(f64, Duration),
}

/// One stage's row of the profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StagePolicy {
    /// After this a run counts as failed.
    pub timeout: StageTimeout,
    /// Further tries after a model's own error or a timeout.
    pub retries: u32,
    /// What it takes before anything is learned.
    pub estimate: Duration,
}

/// What the profile says about a slot's walk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanPolicy {
    /// One row per stage.
    pub stages: PerStage<StagePolicy>,
    /// Kept free before the deadline when predicting.
    pub buffer: Duration,
}

impl Default for PlanPolicy {
    /// The origin's figures for a card that holds everything: 3 / 15 / 10 / 2 s, one retry for audio, buffer 5 s.
    /// Packaging is the node's own: writing and signing a few megabytes.
    fn default() -> Self {
        let row = |timeout, retries, estimate| StagePolicy {
            timeout: StageTimeout::Fixed(Duration::from_secs(timeout)),
            retries,
            estimate: Duration::from_secs(estimate),
        };
        Self {
            stages: PerStage::from_array([
                row(3, 1, 2),
                row(15, 0, 12),
                row(10, 0, 8),
                row(2, 0, 1),
                row(10, 1, 0),
            ]),
            buffer: Duration::from_secs(5),
        }
    }
}

impl PlanPolicy {
    /// How long `stage` may run, given what was learned about it and its cost in this slot.
    pub fn timeout(&self, stage: Stage, estimates: &Estimates, costs: &Costs) -> Duration {
        match self.stages[stage].timeout {
            StageTimeout::Fixed(limit) => limit,
            StageTimeout::TimesEstimate(times, least) => {
                estimates.of(stage, costs).mul_f64(times.clamp(1.0, 1e6)).max(least)
            }
        }
    }
}

/// Why a run of a task brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// The model said so.
    Error(ErrorClass),
    /// It took longer than its stage may.
    TimedOut,
    /// The model, its actor or the process died under it.
    Lost,
}

/// What follows from a setback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The task is due again; `counted` where this used up a try.
    Again {
        /// Whether a try was used up.
        counted: bool,
    },
    /// No tries are left: the slot fails.
    GiveUp,
}

/// The deadline cannot be met any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{remaining:.1?} of work and {buffer:.1?} of buffer do not fit into the {left:.1?} left")]
pub(crate) struct Late {
    /// Estimated work from here to the end.
    pub remaining: Duration,
    /// The buffer kept free.
    pub buffer: Duration,
    /// What is left until the deadline.
    pub left: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Due,
    Running(Instant),
    Done,
}

/// Where one slot stands.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    tasks: EnumMap<Task, State>,
    attempts: EnumMap<Task, u32>,
    failures: PerStage<u32>,
    rerun: EnumMap<Task, bool>,
    spent: PerStage<Duration>,
}

impl Plan {
    /// A walk on which the stages for which `done` holds need not be gone again.
    pub(crate) fn resume(done: impl Fn(Stage) -> bool) -> Self {
        let mut plan = Self {
            tasks: enum_map! { _ => State::Due },
            attempts: EnumMap::default(),
            failures: PerStage::default(),
            rerun: EnumMap::default(),
            spent: PerStage::default(),
        };
        for task in Task::ALL.into_iter().filter(|task| done(task.stage())) {
            plan.tasks[task] = State::Done;
        }
        plan
    }

    /// Whether a stage's every task is done.
    pub(crate) fn stage_done(&self, stage: Stage) -> bool {
        Task::ALL.into_iter().filter(|task| task.stage() == stage).all(|task| self.tasks[task] == State::Done)
    }

    /// Whether nothing is left to do.
    pub(crate) fn finished(&self) -> bool {
        self.tasks.values().all(|state| *state == State::Done)
    }

    /// The tasks that could begin now, in the order of the walk.
    pub(crate) fn due(&self) -> impl Iterator<Item = Task> + '_ {
        Task::ALL.into_iter().filter(|task| self.is_due(*task))
    }

    /// Whether `task` could begin now.
    pub(crate) fn is_due(&self, task: Task) -> bool {
        self.tasks[task] == State::Due && task.needs().iter().all(|stage| self.stage_done(*stage))
    }

    /// Whether `task` is under way.
    pub(crate) fn is_running(&self, task: Task) -> bool {
        matches!(self.tasks[task], State::Running(_))
    }

    /// `task` begins; says the how-manieth time that is.
    pub(crate) fn begin(&mut self, task: Task, now: Instant) -> AttemptId {
        self.tasks[task] = State::Running(now);
        let attempts = &mut self.attempts[task];
        *attempts = attempts.saturating_add(1);
        self.attempt(task)
    }

    /// The how-manieth time `task` was last begun.
    pub(crate) fn attempt(&self, task: Task) -> AttemptId {
        (1..self.attempts[task]).fold(AttemptId::FIRST, |attempt, _| attempt.next())
    }

    /// `task` has brought its output; says how long this run took.
    pub(crate) fn complete(&mut self, task: Task, now: Instant) -> Duration {
        let took = self.end(task, now);
        self.tasks[task] = State::Done;
        took
    }

    /// `task` has brought nothing; says what follows.
    ///
    /// Own errors and timeouts use up tries. What was no fault of the job (a lost model, memory that ran out, a
    /// transient error, a cancellation that came with a restart) is run again once per task without using one up.
    pub(crate) fn setback(
        &mut self,
        task: Task,
        setback: Setback,
        policy: &PlanPolicy,
        now: Instant,
    ) -> Next {
        self.end(task, now);
        self.tasks[task] = State::Due;
        let stage = task.stage();
        let counted =
            matches!(setback, Setback::TimedOut | Setback::Error(ErrorClass::Own | ErrorClass::Unusable));
        if !counted && !self.rerun[task] {
            self.rerun[task] = true;
            return Next::Again { counted: false };
        }
        if self.failures[stage] < policy.stages[stage].retries {
            self.failures[stage] += 1;
            return Next::Again { counted: true };
        }
        Next::GiveUp
    }

    /// `task` never got to its model: it is due again as if it had not begun.
    pub(crate) fn withdraw(&mut self, task: Task, now: Instant) {
        self.end(task, now);
        self.tasks[task] = State::Due;
        self.attempts[task] = self.attempts[task].saturating_sub(1);
    }

    fn end(&mut self, task: Task, now: Instant) -> Duration {
        let State::Running(since) = self.tasks[task] else { return Duration::ZERO };
        let took = now.saturating_duration_since(since);
        let spent = &mut self.spent[task.stage()];
        // The two scorings run side by side: their stage took as long as the longer.
        *spent = if task.stage() == Stage::Verify { (*spent).max(took) } else { spent.saturating_add(took) };
        took
    }

    /// Time spent per stage so far, all attempts together.
    pub(crate) fn spent(&self) -> PerStage<Duration> {
        self.spent
    }

    /// The running task whose stage's time is up at `now`.
    pub(crate) fn overdue(
        &self,
        policy: &PlanPolicy,
        estimates: &Estimates,
        costs: &Costs,
        now: Instant,
    ) -> Option<Task> {
        self.timeouts(policy, estimates, costs).find(|(_, at)| *at <= now).map(|(task, _)| task)
    }

    /// When the next running task's time is up.
    pub(crate) fn next_timeout(
        &self,
        policy: &PlanPolicy,
        estimates: &Estimates,
        costs: &Costs,
    ) -> Option<Instant> {
        self.timeouts(policy, estimates, costs).map(|(_, at)| at).min()
    }

    fn timeouts(
        &self,
        policy: &PlanPolicy,
        estimates: &Estimates,
        costs: &Costs,
    ) -> impl Iterator<Item = (Task, Instant)> {
        Task::ALL.into_iter().filter_map(move |task| match self.tasks[task] {
            State::Running(since) => {
                since.checked_add(policy.timeout(task.stage(), estimates, costs)).map(|at| (task, at))
            }
            State::Due | State::Done => None,
        })
    }

    /// Estimated work from `now` to the end, along the longer of the parallel ways.
    pub(crate) fn remaining(&self, estimates: &Estimates, costs: &Costs, now: Instant) -> Duration {
        let left = |stage: Stage| {
            let of_task = |task: Task| match self.tasks[task] {
                State::Done => Duration::ZERO,
                State::Due => estimates.of(stage, costs),
                State::Running(since) => {
                    estimates.of(stage, costs).saturating_sub(now.saturating_duration_since(since))
                }
            };
            Task::ALL.into_iter().filter(|task| task.stage() == stage).map(of_task).max().unwrap_or_default()
        };
        left(Stage::Audio)
            .max(left(Stage::Image))
            .saturating_add(left(Stage::Video))
            .saturating_add(left(Stage::Verify))
            .saturating_add(left(Stage::Package))
    }

    /// Fails where `now + remaining + buffer` lies past the deadline: asked before each stage.
    pub(crate) fn check(
        &self,
        deadline: Deadline,
        policy: &PlanPolicy,
        estimates: &Estimates,
        costs: &Costs,
        now: Instant,
    ) -> Result<(), Late> {
        let remaining = self.remaining(estimates, costs, now);
        if deadline.allows(now, remaining, policy.buffer) {
            return Ok(());
        }
        Err(Late { remaining, buffer: policy.buffer, left: deadline.remaining(now) })
    }
}
