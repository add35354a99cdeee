//! What becomes of work that went out: outputs, errors, losses, timeouts.

use std::sync::Arc;
use std::time::Instant;

use ractor::ActorRef;

use super::{Current, Hand, OrchestratorState};
use crate::actors::host::{RunFailure, RunId};
use crate::actors::job::Output;
use crate::actors::messages::{ModelMsg, OrchestratorMsg};
use crate::actors::pipeline::PipelineError;
use crate::actors::plan::{Next, Setback, StageTimeout, Task};
use crate::actors::slot::guarded;
use crate::clock;
use crate::contract::ErrorClass;
use crate::events::EventKind;
use crate::journal::{Ending, Failure, JournalError, Parcel, StageOutput};
use crate::types::{AttemptId, Bytes, ModelId, SlotId, Stage};
use crate::vram::Pressure;
use crate::vram::policy::{Level, PressureCause};

impl OrchestratorState {
    pub(super) fn place(&self, slot: SlotId) -> Option<usize> {
        self.active.iter().position(|active| active.id() == slot)
    }

    /// What a run took, or that what it was given was too little, decides what the next of its shape is leased.
    pub(super) fn learn(
        &mut self,
        model: ModelId,
        run: RunId,
        result: &Result<Output, RunFailure>,
        peak: Option<Bytes>,
    ) {
        let Hand::Working(Current { run: current, shape, leased, .. }) = self.hands[model] else {
            return;
        };
        match result {
            _ if current != run => {}
            Ok(_) => self.peaks.learn(model, shape, peak.unwrap_or_default()),
            Err(RunFailure::Model(error)) if error.class() == ErrorClass::OutOfMemory && self.is_seen() => {
                // A tenth is left for what may be unaccounted then.
                self.peaks.exceeded(model, shape, leased, self.args.ledger.room().share(0.9));
            }
            Err(_) => {}
        }
    }

    /// Whoever follows the slot hears how its run went, whether or not anybody still waits for what it brings.
    pub(super) fn tell_run_ended(
        &self,
        model: ModelId,
        run: RunId,
        result: &Result<Output, RunFailure>,
        peak: Option<Bytes>,
    ) {
        let Hand::Working(Current { run: current, slot, task, before, .. }) = self.hands[model] else {
            return;
        };
        let Some(place) = self.place(slot).filter(|_| current == run) else { return };
        let error = match result {
            Ok(_) => None,
            Err(RunFailure::Refused(refusal)) => Some(refusal.to_string()),
            Err(RunFailure::Model(error)) => Some(error.chain()),
        };
        let (stage, after) = (task.stage(), self.args.ledger.usage().actual);
        let kind = EventKind::RunEnded { stage, model, before, after, peak, error };
        self.active[place].span.in_scope(|| self.args.bus.tell_of(slot, kind));
    }

    /// Whether a run that runs out of memory needs more than was leased for it: not where nobody can see how full the device
    /// is, nor where others have taken what was promised.
    fn is_seen(&self) -> bool {
        let by_others = self.args.registry.pressing().is_some_and(|it| it.cause == PressureCause::Others);
        !self.pressure.blind && !by_others
    }

    pub(super) fn run_ended(
        &mut self,
        myself: &ActorRef<OrchestratorMsg>,
        model: ModelId,
        run: RunId,
        result: Result<Output, RunFailure>,
    ) {
        let hand = std::mem::replace(&mut self.hands[model], Hand::Idle);
        self.met[model] = true;
        let Hand::Working(current) = hand else { return };
        if current.run != run {
            // A predecessor's; the model is free all the same, unless it is at ours already.
            self.hands[model] = hand;
            return;
        }
        let Some(place) = self.place(current.slot).filter(|_| !current.dropped) else { return };
        match result {
            Ok(output) => self.brought(myself, place, current.task, output),
            Err(RunFailure::Refused(refusal)) => {
                let ending = self.refused(current.task, &refusal);
                self.end(current.slot, ending);
            }
            Err(RunFailure::Model(error)) => {
                let cause = match error.class() {
                    ErrorClass::OutOfMemory => Failure::OutOfMemory,
                    ErrorClass::Own
                    | ErrorClass::Transient
                    | ErrorClass::Poisoned
                    | ErrorClass::Cancelled
                    | ErrorClass::Unusable => Failure::ModelError,
                };
                self.set_back(place, current.task, Setback::Error(error.class()), cause, error.chain());
            }
        }
    }

    fn brought(&mut self, myself: &ActorRef<OrchestratorMsg>, place: usize, task: Task, output: Output) {
        let output = match (task, output) {
            (Task::Speak, Output::Speech(it)) => StageOutput::Speech(Arc::new(it)),
            (Task::Paint, Output::Painting(it)) => StageOutput::Painting(Arc::new(it)),
            (Task::Animate, Output::Animation(it)) => StageOutput::Animation(Arc::new(it)),
            (Task::ScoreB | Task::ScoreL, Output::Scores(scores)) => {
                let slot = &mut self.active[place];
                slot.scores[usize::from(task == Task::ScoreL)] = Some(scores);
                let [Some(b32), Some(l14)] = &slot.scores else {
                    self.completed(place, task);
                    return;
                };
                match guarded(Failure::Rejected, || slot.work.judge(b32, l14)) {
                    Ok(judgement) => StageOutput::Judgement(Arc::new(judgement)),
                    Err(error) => return self.give_up(place, Stage::Verify, error),
                }
            }
            (task, _) => {
                let message = format!("the {} stage brought another stage's output", task.stage());
                return self.give_up(place, task.stage(), PipelineError::new(Failure::ModelError, message));
            }
        };
        self.completed(place, task);
        self.announce(place, &output);
        self.keep(myself, place, &output);
    }

    /// A task is done: the plan moves on, and the estimate learns.
    fn completed(&mut self, place: usize, task: Task) {
        let slot = &mut self.active[place];
        let took = slot.plan.complete(task, clock::now());
        let stage = task.stage();
        if stage != Stage::Verify {
            self.estimates.learn(stage, &slot.costs, took);
        } else if slot.plan.stage_done(stage) {
            self.estimates.learn(stage, &slot.costs, slot.plan.spent()[stage]);
        }
    }

    fn announce(&self, place: usize, output: &StageOutput) {
        let slot = &self.active[place];
        let took = slot.plan.spent()[output.stage()];
        let kind = match output {
            StageOutput::Speech(_) => EventKind::AudioComplete { took },
            StageOutput::Painting(_) => EventKind::ImageComplete { took },
            StageOutput::Animation(_) => EventKind::VideoComplete { took },
            StageOutput::Judgement(judgement) => {
                EventKind::ClipComplete { took, summary: judgement.summary.clone() }
            }
            // Told with the slot's end.
            StageOutput::Parcel(_) => return,
        };
        slot.span.in_scope(|| self.args.bus.tell_of(slot.id(), kind));
    }

    pub(super) fn packaged(
        &mut self,
        myself: &ActorRef<OrchestratorMsg>,
        slot: SlotId,
        attempt: AttemptId,
        result: Result<Parcel, PipelineError>,
    ) {
        // A timed-out attempt's task is aborted; its message may have been on the way.
        let Some(place) = self.place(slot) else { return };
        if !self.active[place].plan.is_running(Task::Package)
            || self.active[place].plan.attempt(Task::Package) != attempt
        {
            return;
        }
        self.active[place].packaging = None;
        match result {
            Ok(parcel) => {
                self.completed(place, Task::Package);
                self.keep(myself, place, &StageOutput::Parcel(Arc::new(parcel)));
                self.finish_if_done(slot);
            }
            Err(error) => {
                let setback = Setback::Error(error.class());
                self.set_back(place, Task::Package, setback, error.cause, error.message);
            }
        }
    }

    pub(super) fn stage_written(&mut self, slot: SlotId, result: Result<(), JournalError>) {
        let Some(place) = self.place(slot) else { return };
        self.active[place].unwritten = self.active[place].unwritten.saturating_sub(1);
        match result {
            Ok(()) => self.finish_if_done(slot),
            Err(error) => {
                let message = error.to_string();
                let what = "output not kept";
                self.args.bus.tell_of(slot, EventKind::JournalFailed { what, message: message.clone() });
                self.end(slot, Ending::Failed { cause: Failure::Journal, stage: None, message });
            }
        }
    }

    fn finish_if_done(&mut self, slot: SlotId) {
        let Some(place) = self.place(slot) else { return };
        let done = self.active[place].plan.finished() && self.active[place].unwritten == 0;
        if done {
            let deadline_met = clock::now() <= self.active[place].accepted.deadline.instant();
            self.end(slot, Ending::Completed { deadline_met });
        }
    }

    fn set_back(&mut self, place: usize, task: Task, setback: Setback, cause: Failure, message: String) {
        let slot = &mut self.active[place];
        match slot.plan.setback(task, setback, &self.args.policy, clock::now()) {
            Next::Again { counted } => {
                let (id, stage) = (slot.id(), task.stage());
                let again = EventKind::StageAgain { stage, counted, message };
                slot.span.in_scope(|| self.args.bus.tell_of(id, again));
            }
            Next::GiveUp => {
                let id = slot.id();
                // A stage that was lost runs once more.
                let message = if setback == Setback::Lost {
                    format!("{message}, for the second time")
                } else {
                    message
                };
                self.end(id, Ending::Failed { cause, stage: Some(task.stage()), message });
            }
        }
    }

    fn give_up(&mut self, place: usize, stage: Stage, error: PipelineError) {
        let id = self.active[place].id();
        self.end(id, Ending::Failed { cause: error.cause, stage: Some(stage), message: error.message });
    }

    pub(super) fn model_down(&mut self, model: ModelId) {
        let hand = std::mem::replace(&mut self.hands[model], Hand::Away);
        if let Hand::Working(Current { slot, task, dropped: false, .. }) = hand
            && let Some(place) = self.place(slot)
        {
            let message = format!("{model} went down under it");
            self.set_back(place, task, Setback::Lost, Failure::Lost, message);
        }
    }

    pub(super) fn pressure_changed(&mut self, pressure: Pressure) {
        if self.pressure.level == Level::Hard && pressure.level != Level::Hard {
            self.charged = None;
        }
        self.pressure = pressure;
    }

    pub(super) fn leases_changed(&mut self) {
        self.watching_leases = false;
    }

    pub(super) fn deadline_due(&mut self, myself: &ActorRef<OrchestratorMsg>) {
        let now = clock::now();
        if self.timer.rang(myself, now) {
            self.time_out(now);
            self.drop_hopeless(now);
        }
    }

    fn time_out(&mut self, now: Instant) {
        let (policy, ids): (_, Vec<SlotId>) =
            (self.args.policy, self.active.iter().map(|slot| slot.id()).collect());
        for id in ids {
            while let Some(place) = self.place(id) {
                let slot = &mut self.active[place];
                let Some(task) = slot.plan.overdue(&policy, &self.estimates, &slot.costs, now) else { break };
                let stage = task.stage();
                let limit = policy.timeout(stage, &self.estimates, &slot.costs);
                if matches!(policy.stages[stage].timeout, StageTimeout::TimesEstimate(..)) {
                    self.estimates.exceeded(stage, &slot.costs, limit);
                }
                if let Some(packaging) = slot.packaging.take_if(|_| task == Task::Package) {
                    packaging.abort();
                }
                self.drop_run(id, Some(task));
                let message = format!("the {} stage took longer than {limit:.1?}", task.stage());
                self.set_back(place, task, Setback::TimedOut, Failure::Timeout, message);
            }
        }
    }

    /// Ends every waiting slot that can no longer be in time.
    fn drop_hopeless(&mut self, now: Instant) {
        let (policy, estimates) = (self.args.policy, self.estimates.clone());
        let waiting = self
            .active
            .iter()
            .filter(|slot| slot.plan.due().next().is_some())
            .chain(self.queue.iter().map(|slot| &**slot));
        let late: Vec<(SlotId, String)> = waiting
            .filter_map(|slot| {
                let check = slot.plan.check(slot.accepted.deadline, &policy, &estimates, &slot.costs, now);
                check.err().map(|late| (slot.id(), late.to_string()))
            })
            .collect();
        for (id, message) in late {
            self.end(id, Ending::Failed { cause: Failure::Deadline, stage: None, message });
        }
    }

    /// Nobody waits any more for what the models do for `slot` (for one task of it): they are told to stop.
    pub(super) fn drop_run(&mut self, slot: SlotId, only: Option<Task>) {
        for model in ModelId::ALL {
            let Hand::Working(current) = &mut self.hands[model] else { continue };
            if current.slot != slot || only.is_some_and(|task| task != current.task) {
                continue;
            }
            current.dropped = true;
            let run = current.run;
            self.args.registry.tell_model(model, ModelMsg::Cancel(run));
        }
    }
}
