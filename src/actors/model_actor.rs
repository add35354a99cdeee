//! The mailbox of one model: hands jobs to the host, its notes to the orchestrator, and keeps every state's deadline.
//!
//! Generic over the model and the same for all five, in both hosts. Owns the host's handle, never the model, its
//! tensors or its leases: those live and drop on the host's thread, so killing this actor frees nothing still in use.
//! Ends with `Broken` where the model has to be restarted; its supervisor decides what follows.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::deadline_timer::DeadlineTimer;
use super::host::{Assignment, Host, HostCommand, HostEvent, Launch, Life, Pulse, RunFailure, RunId, Setup};
use super::job::{Job, Output, WrongJob};
use super::limits::ModelLimits;
use super::messages::{ModelMsg, OrchestratorMsg, SupervisorMsg, WatchdogMsg, Work};
use super::registry::{ModelState, Registry};
use crate::clock;
use crate::contract::{CancelFlag, ErrorClass, Model, ModelError};
use crate::events::{Bus, EventKind, Fault};
use crate::types::{Bytes, ModelId};
use crate::vram::{Lease, Occasion};

/// Why an actor ended: what befell its model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Broken {
    pub(super) fault: Fault,
    pub(super) message: String,
}

fn broken(fault: Fault, message: impl Into<String>) -> ActorProcessingErr {
    Box::new(Broken { fault, message: message.into() })
}

/// What an actor is started with.
pub(super) struct ModelArgs<M: Model> {
    pub(super) model: ModelId,
    pub(super) launch: Arc<dyn Launch<M::Job, M::Output>>,
    pub(super) limits: ModelLimits,
    pub(super) lease: Option<Lease>,
    pub(super) registry: Registry,
    pub(super) bus: Bus,
}

/// Sets its flag when dropped: an actor that dies leaves no job running for nobody.
struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

enum Phase {
    Loading,
    Warming,
    Ready,
    /// At work. Leaving this sets the run's flag, which a run that has ended no longer heeds.
    Busy {
        run: RunId,
        _cancel: CancelOnDrop,
    },
    Trimming,
    /// Told to stop; what it was at decides nothing any more.
    Stopping {
        run: Option<RunId>,
    },
}

/// The actor's state.
pub(super) struct ModelActorState<J> {
    model: ModelId,
    limits: ModelLimits,
    registry: Registry,
    bus: Bus,
    host: Box<dyn Host<J>>,
    cancel: CancelFlag,
    pulse: Arc<Pulse>,
    phase: Phase,
    timer: DeadlineTimer<ModelMsg>,
    early: Option<Box<Work>>,
    trim_wanted: bool,
}

/// One model's actor.
pub(super) struct ModelActor<M>(PhantomData<fn() -> M>);

impl<M> ModelActor<M> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M> Actor for ModelActor<M>
where
    M: Model,
    M::Job: TryFrom<Job, Error = WrongJob>,
    M::Output: Into<Output>,
{
    type Msg = ModelMsg;
    type State = ModelActorState<M::Job>;
    type Arguments = ModelArgs<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<ModelMsg>,
        args: ModelArgs<M>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ModelArgs { model, launch, limits, lease, registry, bus } = args;
        let (cancel, pulse) = (CancelFlag::new(), Arc::new(Pulse::new(clock::now())));
        let (guard, life) = Life::begin();
        registry.set_life(model, life);
        registry.set_state(model, ModelState::Loading);
        let mailbox = myself.clone();
        let setup = Setup {
            model,
            lease,
            cancel: cancel.clone(),
            pulse: Arc::clone(&pulse),
            notes: Arc::new(move |note: HostEvent<M::Output>| {
                // Where the actor has died, its supervisor has told of it, and nobody waits for this any more.
                let _ = mailbox.cast(ModelMsg::Noted(note.map(Into::into)));
            }),
            life: guard,
        };
        let host = launch.launch(setup).map_err(|error| broken(Fault::NotReady, error.chain()))?;
        let mut timer = DeadlineTimer::new(|| ModelMsg::DeadlineDue);
        timer.set(&myself, clock::now().checked_add(limits.load));
        Ok(ModelActorState {
            model,
            limits,
            registry,
            bus,
            host,
            cancel,
            pulse,
            phase: Phase::Loading,
            timer,
            early: None,
            trim_wanted: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ModelMsg>,
        message: ModelMsg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ModelMsg::Run(work) => state.run(&myself, work),
            ModelMsg::Cancel(run) => state.cancel_run(&myself, run),
            ModelMsg::Report => state.report(&myself),
            ModelMsg::Trim => state.trim(&myself),
            ModelMsg::Noted(note) => state.noted(&myself, note),
            ModelMsg::DeadlineDue => state.deadline_due(&myself),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ModelMsg>,
        event: SupervisionEvent,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // It has no children: a host is no actor.
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorFailed(..)
            | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }
}

impl<J> ModelActorState<J>
where
    J: TryFrom<Job, Error = WrongJob>,
{
    fn enter(&mut self, myself: &ActorRef<ModelMsg>, phase: Phase) {
        let (state, limit) = match &phase {
            Phase::Loading => (Some(ModelState::Loading), self.limits.load),
            Phase::Warming => (Some(ModelState::Warming), self.limits.warm),
            Phase::Ready => (Some(ModelState::Ready), self.limits.idle),
            Phase::Busy { .. } => (Some(ModelState::Busy), self.limits.stall),
            Phase::Trimming => (Some(ModelState::Trimming), self.limits.trim),
            // Outside it is still what it was at.
            Phase::Stopping { .. } => (None, self.limits.grace),
        };
        self.phase = phase;
        if let Some(state) = state {
            self.registry.set_state(self.model, state);
        }
        self.timer.set(myself, clock::now().checked_add(limit));
    }

    fn run(&mut self, myself: &ActorRef<ModelMsg>, work: Box<Work>) -> Result<(), ActorProcessingErr> {
        if !matches!(self.phase, Phase::Ready) {
            self.early = Some(work);
            return Ok(());
        }
        let Work { run, job, lease, measured, observer, span } = *work;
        let job = match J::try_from(job) {
            Ok(job) => job,
            Err(wrong) => {
                drop(lease);
                self.tell_ended(run, Err(RunFailure::Model(ModelError::own(wrong.to_string()))), None);
                return Ok(());
            }
        };
        let cancel = CancelFlag::new();
        self.pulse.stamp(clock::now());
        let assignment = Assignment { run, job, lease, cancel: cancel.clone(), measured, observer, span };
        self.order(HostCommand::Run(assignment))?;
        self.enter(myself, Phase::Busy { run, _cancel: CancelOnDrop(cancel) });
        Ok(())
    }

    fn order(&self, order: HostCommand<J>) -> Result<(), ActorProcessingErr> {
        if self.host.order(order) { Ok(()) } else { Err(broken(Fault::Died, "the host has ended")) }
    }

    fn cancel_run(&mut self, myself: &ActorRef<ModelMsg>, unwanted: RunId) -> Result<(), ActorProcessingErr> {
        if self.early.as_ref().is_some_and(|work| work.run == unwanted) {
            self.early = None;
            self.tell_ended(unwanted, Err(RunFailure::Model(crate::contract::Cancelled.into())), None);
        } else if matches!(self.phase, Phase::Busy { run, .. } if run == unwanted) {
            // Leaving the phase drops its flag's guard, which sets it.
            self.enter(myself, Phase::Stopping { run: Some(unwanted) });
        }
        Ok(())
    }

    fn report(&mut self, myself: &ActorRef<ModelMsg>) -> Result<(), ActorProcessingErr> {
        self.early = None;
        match self.phase {
            Phase::Ready => self.tell_ready(),
            Phase::Busy { run, .. } => return self.cancel_run(myself, run),
            Phase::Loading | Phase::Warming | Phase::Trimming | Phase::Stopping { .. } => {}
        }
        Ok(())
    }

    fn trim(&mut self, myself: &ActorRef<ModelMsg>) -> Result<(), ActorProcessingErr> {
        if !matches!(self.phase, Phase::Ready) {
            self.trim_wanted = matches!(self.phase, Phase::Busy { .. } | Phase::Stopping { run: Some(_) });
            return Ok(());
        }
        self.order(HostCommand::Trim)?;
        self.enter(myself, Phase::Trimming);
        Ok(())
    }

    fn noted(
        &mut self,
        myself: &ActorRef<ModelMsg>,
        note: HostEvent<Output>,
    ) -> Result<(), ActorProcessingErr> {
        match note {
            HostEvent::Loaded { resident } => self.loaded(myself, resident),
            HostEvent::Fit => self.fit(myself),
            HostEvent::Unfit(error) => Err(match error.class() {
                ErrorClass::Poisoned => broken(Fault::Poisoned, error.chain()),
                ErrorClass::Unusable => broken(Fault::Unusable, error.chain()),
                ErrorClass::Own | ErrorClass::OutOfMemory | ErrorClass::Transient | ErrorClass::Cancelled => {
                    broken(Fault::NotReady, error.chain())
                }
            }),
            HostEvent::Ended { run, result, peak } => self.ended(myself, run, result, peak),
            HostEvent::Trimmed { freed } => self.trimmed(myself, freed),
            HostEvent::Panicked { message } => Err(broken(Fault::Died, format!("it panicked: {message}"))),
        }
    }

    fn loaded(&mut self, myself: &ActorRef<ModelMsg>, resident: Bytes) -> Result<(), ActorProcessingErr> {
        self.bus.tell(EventKind::ModelLoaded { model: self.model, resident });
        self.registry.tell_watchdog(WatchdogMsg::Snapshot(Occasion::Loaded(self.model)));
        // A load told to stop that finishes all the same may go on: its deadline was what it was about.
        self.enter(myself, Phase::Warming);
        Ok(())
    }

    fn fit(&mut self, myself: &ActorRef<ModelMsg>) -> Result<(), ActorProcessingErr> {
        self.registry.tell_supervisor(SupervisorMsg::Up(self.model));
        self.idle(myself)?;
        self.tell_ready();
        Ok(())
    }

    /// Nothing is under way: what waited for that comes first.
    fn idle(&mut self, myself: &ActorRef<ModelMsg>) -> Result<(), ActorProcessingErr> {
        self.enter(myself, Phase::Ready);
        if std::mem::take(&mut self.trim_wanted) {
            return self.trim(myself);
        }
        match self.early.take() {
            Some(work) => self.run(myself, work),
            None => Ok(()),
        }
    }

    fn ended(
        &mut self,
        myself: &ActorRef<ModelMsg>,
        run: RunId,
        result: Result<Output, RunFailure>,
        peak: Option<Bytes>,
    ) -> Result<(), ActorProcessingErr> {
        if let Err(RunFailure::Model(error)) = &result {
            if error.class() == ErrorClass::Poisoned {
                // Not the run's end but the process's: the journal keeps the slot for the next one.
                return Err(broken(Fault::Poisoned, error.chain()));
            }
            // What ran out of memory gives back what it can before it is tried again.
            self.trim_wanted |= error.class() == ErrorClass::OutOfMemory;
        }
        // To the orchestrator, the end of any run says that the model is free.
        self.tell_ended(run, result, peak);
        self.idle(myself)
    }

    fn trimmed(&mut self, myself: &ActorRef<ModelMsg>, freed: Bytes) -> Result<(), ActorProcessingErr> {
        self.bus.tell(EventKind::ModelTrimmed { model: self.model, freed });
        self.idle(myself)?;
        self.tell_ready();
        Ok(())
    }

    fn deadline_due(&mut self, myself: &ActorRef<ModelMsg>) -> Result<(), ActorProcessingErr> {
        let now = clock::now();
        if !self.timer.rang(myself, now) {
            return Ok(());
        }
        let hung =
            |what: &str, limit: Duration| broken(Fault::Hung, format!("{what} for more than {limit:.1?}"));
        match &self.phase {
            Phase::Loading if self.pulse.age(now) < self.limits.load => {
                let left = self.limits.load.saturating_sub(self.pulse.age(now));
                self.timer.set(myself, now.checked_add(left));
                Ok(())
            }
            Phase::Loading | Phase::Warming => {
                self.cancel.cancel();
                self.enter(myself, Phase::Stopping { run: None });
                Ok(())
            }
            Phase::Ready => {
                self.order(HostCommand::Canary)?;
                self.enter(myself, Phase::Warming);
                Ok(())
            }
            Phase::Busy { run, .. } => {
                let (run, age) = (*run, self.pulse.age(now));
                if age < self.limits.stall {
                    self.timer.set(myself, now.checked_add(self.limits.stall.saturating_sub(age)));
                    return Ok(());
                }
                self.bus.tell(EventKind::ModelStalled { model: self.model, age });
                self.enter(myself, Phase::Stopping { run: Some(run) });
                Ok(())
            }
            Phase::Trimming => Err(hung("giving back memory went on", self.limits.trim)),
            Phase::Stopping { .. } => Err(hung("its thread ignored cancellation", self.limits.grace)),
        }
    }

    fn tell_ready(&self) {
        self.tell(OrchestratorMsg::ModelReady(self.model));
    }

    fn tell_ended(&self, run: RunId, result: Result<Output, RunFailure>, peak: Option<Bytes>) {
        self.tell(OrchestratorMsg::RunEnded { model: self.model, run, result, peak });
    }

    fn tell(&self, message: OrchestratorMsg) {
        // A dead orchestrator's successor asks for a report.
        self.registry.tell_orchestrator(message);
    }
}
