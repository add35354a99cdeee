//! How work goes out: which task may begin, with which memory, on which model.

use std::sync::Arc;
use std::time::Instant;

use ractor::ActorRef;

use super::{Current, Hand, OrchestratorState};
use crate::actors::host::RunId;
use crate::actors::job::Job;
use crate::actors::messages::{
    Activity, DeviceMsg, ModelMsg, OrchestratorMsg, SupervisorMsg, WatchdogMsg, Work,
};
use crate::actors::pipeline::PipelineError;
use crate::actors::plan::Task;
use crate::actors::slot::{Slot, guarded};
use crate::clock;
use crate::contract::{Observe, Progress};
use crate::events::{Bus, EventKind, Fault};
use crate::journal::{Ending, Failure, StageOutput};
use crate::telemetry::names::span;
use crate::types::{AttemptId, Bytes, ModelId, SlotId};
use crate::vram::policy::Level;
use crate::vram::{Claim, Lease, Purpose, Refusal, Shape};

/// Whether a task began.
enum Began {
    Yes,
    /// Not now: its model is taken.
    Wait,
    /// Not now: its memory is taken.
    WaitForMemory,
    /// Never: its slot has to end.
    No(Ending),
}

/// Tells a run's steps.
struct StepObserver {
    slot: SlotId,
    task: Task,
    model: ModelId,
    bus: Bus,
}

impl Observe for StepObserver {
    fn step(&self, progress: Progress) {
        let (stage, model) = (self.task.stage(), self.model);
        let kind = match self.task {
            Task::Animate => EventKind::VideoProgress { progress },
            _ => EventKind::StageProgress { stage, model, progress },
        };
        self.bus.tell_of(self.slot, kind);
    }
}

impl OrchestratorState {
    /// Begins whatever can begin now. Called after every message; cheap where nothing can.
    pub(super) fn pump(&mut self, myself: &ActorRef<OrchestratorMsg>) {
        let now = clock::now();
        self.restart_planned(self.active.is_empty());
        loop {
            self.fill(now);
            let ended = self.begin_all(myself, now);
            if !ended {
                break;
            }
        }
        // Slots that all wait may wait for the very memory that the restart is to bring back.
        self.restart_planned(self.activity() != Activity::AtWork);
        if self.draining && self.active.is_empty() {
            let _ = self.args.node.cast(DeviceMsg::Drained);
        }
        self.set_timer(myself, now);
    }

    fn restart_planned(&mut self, is_boundary: bool) {
        if is_boundary && let Some(model) = self.restart_due.take() {
            // Away at once: nothing is to be given to a model about to go.
            self.hands[model] = Hand::Away;
            self.args.registry.tell_supervisor(SupervisorMsg::Restart(model, Fault::Leak));
        }
    }

    /// What is done for the open slots. Where none of them has anything under way, whatever is restarted cuts nothing off.
    pub(super) fn activity(&self) -> Activity {
        let is_working = |hand: &Hand| matches!(hand, Hand::Working(_));
        let is_under_way = |slot: &Slot| slot.unwritten > 0 || slot.plan.is_running(Task::Package);
        if self.hands.values().any(is_working) || self.active.iter().any(is_under_way) {
            Activity::AtWork
        } else if self.open.is_empty() {
            Activity::Idle
        } else {
            Activity::Waiting
        }
    }

    /// Moves waiting slots into work, as far as the lookahead goes.
    fn fill(&mut self, now: Instant) {
        // Under hard pressure, while draining, and before a planned restart nothing new begins.
        let held = self.draining || self.restart_due.is_some() || self.pressure.level == Level::Hard;
        let lookahead = self.args.limits.get().slots.lookahead.get();
        while !held && self.active.len() < lookahead {
            let Some(slot) = self.queue.pop_front() else { return };
            let (policy, estimates) = (&self.args.policy, &self.estimates);
            let check = slot.plan.check(slot.accepted.deadline, policy, estimates, &slot.costs, now);
            if self.active.is_empty() {
                self.args.registry.tell_watchdog(WatchdogMsg::WorkBegan);
            }
            self.snapshot(crate::vram::Occasion::BeforeSlot(slot.id()));
            let id = slot.id();
            self.active.push(*slot);
            if let Err(late) = check {
                let message = late.to_string();
                self.end(id, Ending::Failed { cause: Failure::Deadline, stage: None, message });
            }
        }
    }

    /// Whether a slot ended on the way, so that there is room for another.
    fn begin_all(&mut self, myself: &ActorRef<OrchestratorMsg>, now: Instant) -> bool {
        let mut waiting_for_memory = 0;
        // Oldest first: what has come furthest gets the models and the memory.
        for place in 0..self.active.len() {
            for task in Task::ALL {
                if !self.active[place].plan.is_due(task) {
                    continue;
                }
                match self.begin(myself, place, task, now) {
                    Began::Yes | Began::Wait => {}
                    Began::WaitForMemory => waiting_for_memory += 1,
                    Began::No(ending) => {
                        let id = self.active[place].id();
                        self.end(id, ending);
                        return true;
                    }
                }
            }
        }
        self.args.registry.set_leases_waiting(waiting_for_memory);
        false
    }

    fn begin(&mut self, myself: &ActorRef<OrchestratorMsg>, place: usize, task: Task, now: Instant) -> Began {
        if let Some(model) = task.model()
            && !matches!(self.hands[model], Hand::Idle)
        {
            return Began::Wait;
        }
        if task == Task::Package && self.active[place].unwritten > 0 {
            return Began::Wait;
        }
        let slot = &self.active[place];
        let (policy, estimates) = (&self.args.policy, &self.estimates);
        if let Err(late) = slot.plan.check(slot.accepted.deadline, policy, estimates, &slot.costs, now) {
            let (stage, message) = (Some(task.stage()), late.to_string());
            return Began::No(Ending::Failed { cause: Failure::Deadline, stage, message });
        }
        match task.model() {
            Some(model) => self.begin_run(myself, place, task, model, now),
            None => self.begin_packaging(myself, place, now),
        }
    }

    fn begin_run(
        &mut self,
        myself: &ActorRef<OrchestratorMsg>,
        place: usize,
        task: Task,
        model: ModelId,
        now: Instant,
    ) -> Began {
        let Some(actor) = self.args.registry.model(model) else { return Began::Wait };
        let id = self.active[place].id();
        let shape = self.active[place].work.shape(task.stage());
        let lease = match self.lease(myself, id, model, shape) {
            Ok(lease) => lease,
            Err(None) => {
                self.tell_memory_awaited(place, task, model, shape);
                return Began::WaitForMemory;
            }
            Err(Some(refusal)) => return Began::No(self.refused(task, &refusal)),
        };
        let slot = &mut self.active[place];
        let attempt = slot.plan.begin(task, now);
        let job = match guarded(Failure::ModelError, || job(slot, task, attempt)) {
            Ok(job) => job,
            Err(error) => {
                let stage = Some(task.stage());
                return Began::No(Ending::Failed { cause: error.cause, stage, message: error.message });
            }
        };
        let run = RunId(self.next_run);
        self.next_run += 1;
        let stage_span = tracing::info_span!(
            parent: &slot.span,
            span::STAGE,
            stage = task.stage().name(),
            attempt = attempt.get()
        );
        let run_span = tracing::info_span!(parent: &stage_span, span::RUN, model = model.name(), run = run.0);
        let bus = &self.args.bus;
        let watched = task == Task::Animate || bus.wants_steps();
        let observer: Option<Arc<dyn Observe>> = watched
            .then(|| Arc::new(StepObserver { slot: id, task, model, bus: bus.clone() }) as Arc<dyn Observe>);
        let measured = self.peaks.knows(model, shape);
        let leased = lease.as_ref().map(Lease::bytes).unwrap_or_default();
        let work = Box::new(Work { run, job, lease, measured, observer, span: run_span });
        // Before the model hears of it: its first step must not be told before its beginning.
        tell_began(&self.args.bus, id, task, attempt);
        if actor.cast(ModelMsg::Run(work)).is_err() {
            // Died this moment; its supervisor will say so.
            slot.plan.withdraw(task, now);
            self.hands[model] = Hand::Away;
            return Began::Wait;
        }
        slot.awaits[model] = false;
        let before = self.args.ledger.usage().actual;
        let current = Current { run, slot: id, task, shape, leased, before, dropped: false };
        self.hands[model] = Hand::Working(current);
        Began::Yes
    }

    fn tell_memory_awaited(&mut self, place: usize, task: Task, model: ModelId, shape: Shape) {
        let needed = self.peaks.estimate(model, shape, self.args.workspaces[model]);
        let slot = &mut self.active[place];
        if !std::mem::replace(&mut slot.awaits[model], true) {
            let (id, stage) = (slot.id(), task.stage());
            slot.span.in_scope(|| {
                self.args.bus.tell_of(id, EventKind::MemoryAwaited { stage, model, needed });
            });
        }
    }

    /// The memory for a run: there, to be waited for (`Err(None)`), or refused with numbers.
    fn lease(
        &mut self,
        myself: &ActorRef<OrchestratorMsg>,
        slot: SlotId,
        model: ModelId,
        shape: Shape,
    ) -> Result<Option<Lease>, Option<Box<Refusal>>> {
        let needed = self.peaks.estimate(model, shape, self.args.workspaces[model]);
        if needed == Bytes::ZERO {
            return Ok(None);
        }
        let claim = Claim::workspace(model, Some(slot), needed);
        if self.pressure.level == Level::Hard {
            // The ledger may still have room while the device has none: what is measured counts. A change of
            // pressure, not of leases, is what ends this wait.
            return Err(self.charge(model, |state| state.measured_refusal(&claim)));
        }
        // Taken before the claim, so that a change between the two is seen.
        let changes = (!self.watching_leases).then(|| self.args.ledger.changes());
        let refusal = match self.args.ledger.reserve(claim) {
            Ok(lease) => {
                // Memory for another model's run says nothing: that of this one was short.
                self.charged = self.charged.filter(|charged| *charged != model);
                self.args.registry.set_wanted(model, Bytes::ZERO);
                return Ok(Some(lease));
            }
            Err(refusal) => refusal,
        };
        if let Some(mut changes) = changes {
            let mailbox = myself.clone();
            self.watching_leases = true;
            tokio::spawn(async move {
                if changes.changed().await.is_ok() {
                    let _ = mailbox.cast(OrchestratorMsg::LeasesChanged);
                }
            });
        }
        if refusal.fits_later {
            return Err(None);
        }
        self.args.registry.set_wanted(model, needed);
        Err(self.charge(model, |_| refusal))
    }

    /// One slot pays for a shortage with `refusal`; failing all that come after it would free nothing more.
    fn charge(&mut self, model: ModelId, refusal: impl FnOnce(&Self) -> Refusal) -> Option<Box<Refusal>> {
        if self.charged.is_some() {
            return None;
        }
        self.charged = Some(model);
        Some(Box::new(refusal(self)))
    }

    fn measured_refusal(&self, claim: &Claim) -> Refusal {
        let usage = self.args.ledger.usage();
        Refusal {
            device: self.args.ledger.device(),
            model: claim.model,
            purpose: Purpose::Workspace,
            used: usage.actual.unwrap_or(usage.reserved),
            unaccounted: usage.unaccounted.unwrap_or_default(),
            needed: claim.bytes,
            limit: usage.limit,
            fits_later: false,
            holders: self.args.ledger.holdings(),
        }
    }

    pub(super) fn refused(&self, task: Task, refusal: &Refusal) -> Ending {
        self.args.bus.tell(EventKind::LeaseRefused(Box::new(refusal.clone())));
        Ending::Failed {
            cause: Failure::MemoryRefused,
            stage: Some(task.stage()),
            message: refusal.to_string(),
        }
    }

    fn begin_packaging(&mut self, myself: &ActorRef<OrchestratorMsg>, place: usize, now: Instant) -> Began {
        let slot = &mut self.active[place];
        let attempt = slot.plan.begin(Task::Package, now);
        let ending = Ending::Completed { deadline_met: now <= slot.accepted.deadline.instant() };
        let packaging = match guarded(Failure::Package, || Ok(slot.work.deliver(&ending, &slot.outputs))) {
            Ok(packaging) => packaging,
            Err(error) => {
                let stage = Some(Task::Package.stage());
                return Began::No(Ending::Failed { cause: error.cause, stage, message: error.message });
            }
        };
        let (id, mailbox) = (slot.id(), myself.clone());
        let stage = Task::Package.stage().name();
        let stage_span = tracing::info_span!(parent: &slot.span, span::STAGE, stage, attempt = attempt.get());
        let handing_over = async move {
            // On a task of its own, so that a panic in it is told and not lost.
            let result = match tokio::spawn(packaging).await {
                Ok(result) => result,
                Err(error) => {
                    Err(PipelineError::new(Failure::Package, format!("packaging panicked: {error}")))
                }
            };
            let _ = mailbox.cast(OrchestratorMsg::Packaged(id, attempt, result));
        };
        slot.packaging = Some(tokio::spawn(tracing::Instrument::instrument(handing_over, stage_span)));
        tell_began(&self.args.bus, id, Task::Package, attempt);
        Began::Yes
    }

    fn set_timer(&mut self, myself: &ActorRef<OrchestratorMsg>, now: Instant) {
        let (policy, estimates) = (&self.args.policy, &self.estimates);
        // When a slot that waits (in work or before it) can no longer be in time.
        let hopeless = |slot: &Slot| {
            let needed = slot.plan.remaining(estimates, &slot.costs, now).saturating_add(policy.buffer);
            let left = slot.accepted.deadline.remaining(now);
            // A millisecond beyond: at the very moment it could still begin.
            now.checked_add(left.saturating_sub(needed) + std::time::Duration::from_millis(1))
        };
        let of_active = self.active.iter().flat_map(|slot| {
            let waits = slot.plan.due().next().is_some();
            [slot.plan.next_timeout(policy, estimates, &slot.costs), waits.then(|| hopeless(slot)).flatten()]
        });
        let next = of_active.flatten().chain(self.queue.front().and_then(|slot| hopeless(slot))).min();
        self.timer.set(myself, next);
    }

    pub(super) fn snapshot(&self, occasion: crate::vram::Occasion) {
        self.args.registry.tell_watchdog(WatchdogMsg::Snapshot(occasion));
    }
}

fn tell_began(bus: &Bus, slot: SlotId, task: Task, attempt: AttemptId) {
    let (stage, model) = (task.stage(), task.model());
    bus.tell_of(slot, EventKind::StageBegan { stage, model, attempt });
}

/// The job of a task whose needs are met.
fn job(slot: &Slot, task: Task, attempt: AttemptId) -> Result<Job, PipelineError> {
    let missing = |what: &str| PipelineError::new(Failure::Journal, format!("the {what} was not kept"));
    match task {
        Task::Speak => slot.work.speak().map(Job::Speak),
        Task::Paint => slot.work.paint().map(Job::Paint),
        Task::Animate => {
            let speech = slot.outputs.speech.as_ref().ok_or_else(|| missing("speech"))?;
            let painting = slot.outputs.painting.as_ref().ok_or_else(|| missing("picture"))?;
            slot.work.animate(attempt, speech, painting).map(Job::Animate)
        }
        Task::ScoreB | Task::ScoreL => {
            let animation = slot.outputs.animation.as_ref().ok_or_else(|| missing("video"))?;
            slot.work.score(animation).map(Job::Score)
        }
        Task::Package => Err(missing("package's model")),
    }
}

impl OrchestratorState {
    /// Keeps a stage's output, in the journal too.
    pub(super) fn keep(&mut self, myself: &ActorRef<OrchestratorMsg>, place: usize, output: &StageOutput) {
        let slot = &mut self.active[place];
        let id = slot.id();
        slot.outputs.put(output.clone());
        slot.unwritten += 1;
        let mailbox = myself.clone();
        self.args.journal.stage_done(id, output).then(move |result| {
            let _ = mailbox.cast(OrchestratorMsg::StageWritten(id, result));
        });
    }
}
