//! Orchestrator: takes slots in, walks them through their stages, and gives each its end.
//!
//! Owns the queue, the slots in work and which model works for whom. What comes next is the [plan](super::plan)'s to
//! say and who may come in [admission](super::admission)'s; this carries it out. Never awaits a render: completions
//! come back as messages. Dies without loss: its successor reads the open slots from the journal.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use enum_map::enum_map;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::assignments::CardSlots;
use super::deadline_timer::DeadlineTimer;
use super::host::RunId;
use super::limits::LiveLimits;
use super::messages::{Activity, DeviceMsg, ModelMsg, OrchestratorMsg};
use super::pipeline::Pipeline;
use super::plan::{Estimates, Learned, PlanPolicy, Task};
use super::registry::Registry;
use super::slot::Slot;
use crate::clock;
use crate::events::{Bus, Closed};
use crate::journal::Journal;
use crate::types::{Bytes, ModelId, PerModel, SlotId};
use crate::vram::{LearnedPeaks, Ledger, PeakSettings, Pressure, PressureGauge, Shape};

mod dispatch;
mod ending;
mod intake;
mod outcome;

#[cfg(test)]
mod tests;

/// What it is started with.
#[derive(Clone)]
pub(super) struct OrchestratorArgs {
    pub(super) policy: PlanPolicy,
    pub(super) learned: Learned,
    pub(super) limits: LiveLimits,
    pub(super) workspaces: PerModel<Bytes>,
    pub(super) max_age: Duration,
    pub(super) registry: Registry,
    pub(super) ledger: Ledger,
    pub(super) gauge: PressureGauge,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) slots: CardSlots,
    pub(super) pipeline: Arc<dyn Pipeline>,
    pub(super) bus: Bus,
    pub(super) node: ActorRef<DeviceMsg>,
}

/// What a model is at.
#[derive(Clone, Copy, Debug)]
struct Current {
    run: RunId,
    slot: SlotId,
    task: Task,
    /// What decides its workspace, and what was leased for it.
    shape: Shape,
    leased: Bytes,
    /// In use on the device when it began.
    before: Option<Bytes>,
    /// Its slot waits for it no more (timed out, cancelled, ended): what it brings is dropped.
    dropped: bool,
}

/// How a model stands to this orchestrator.
#[derive(Clone, Copy, Debug)]
enum Hand {
    /// Never heard of, or down.
    Away,
    /// Free.
    Idle,
    /// At work for us.
    Working(Current),
}

/// The actor's state.
pub(super) struct OrchestratorState {
    args: OrchestratorArgs,
    estimates: Estimates,
    peaks: LearnedPeaks,
    opened: bool,
    draining: bool,
    queue: VecDeque<Box<Slot>>,
    active: Vec<Slot>,
    open: HashSet<SlotId>,
    hands: PerModel<Hand>,
    met: PerModel<bool>,
    next_run: u64,
    /// What was told last of admission and of what is done.
    admission: Option<(Option<Closed>, Activity)>,
    pressure: Pressure,
    /// For whose run a slot was failed for memory that none of that model was granted since: the others wait.
    charged: Option<ModelId>,
    watching_leases: bool,
    restart_due: Option<ModelId>,
    timer: DeadlineTimer<OrchestratorMsg>,
}

/// The actor.
pub(super) struct Orchestrator;

impl Actor for Orchestrator {
    type Msg = OrchestratorMsg;
    type State = OrchestratorState;
    type Arguments = OrchestratorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<OrchestratorMsg>,
        args: OrchestratorArgs,
    ) -> Result<OrchestratorState, ActorProcessingErr> {
        // Before the open slots are read: what is handed over from now on comes as a message, what was handed over before
        // is among them.
        args.registry.set_orchestrator(myself.clone());
        let slots = args.slots.clone();
        args.journal.open().then(move |result| {
            let _ = myself.cast(OrchestratorMsg::Opened(result.map(|opened| slots.own(opened))));
        });
        let state = OrchestratorState {
            estimates: Estimates::going_on(&args.policy, &args.learned),
            peaks: LearnedPeaks::new(PeakSettings::default()),
            opened: false,
            draining: false,
            queue: VecDeque::new(),
            active: Vec::new(),
            open: HashSet::new(),
            hands: enum_map! { _ => Hand::Away },
            met: PerModel::default(),
            next_run: 0,
            admission: None,
            pressure: args.gauge.read(clock::now(), args.max_age),
            charged: None,
            watching_leases: false,
            restart_due: None,
            timer: DeadlineTimer::new(|| OrchestratorMsg::DeadlineDue),
            args,
        };
        Ok(state)
    }

    async fn post_start(
        &self,
        _: ActorRef<OrchestratorMsg>,
        state: &mut OrchestratorState,
    ) -> Result<(), ActorProcessingErr> {
        // Whatever the models were at, they were at it for a predecessor.
        state.args.registry.tell_models(|| ModelMsg::Report);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<OrchestratorMsg>,
        message: OrchestratorMsg,
        state: &mut OrchestratorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OrchestratorMsg::Submit(request, reply) => state.submit(&myself, *request, reply),
            OrchestratorMsg::Consider(request, reply) => state.offer(*request, reply),
            OrchestratorMsg::TakeOver(slots) => state.take_over(slots),
            OrchestratorMsg::Cancel(slot, reply) => state.cancel(slot, reply),
            OrchestratorMsg::AcceptanceWritten(slot, eta, reply, result) => {
                state.acceptance_written(slot, eta, reply, result);
            }
            OrchestratorMsg::Opened(result) => state.take_up(result),
            OrchestratorMsg::StageWritten(slot, result) => state.stage_written(slot, result),
            OrchestratorMsg::RunEnded { model, run, result, peak } => {
                state.learn(model, run, &result, peak);
                state.tell_run_ended(model, run, &result, peak);
                state.run_ended(&myself, model, run, result);
            }
            OrchestratorMsg::Packaged(slot, attempt, result) => {
                state.packaged(&myself, slot, attempt, result)
            }
            OrchestratorMsg::ModelReady(model) => state.model_ready(model),
            OrchestratorMsg::ModelDown(model) => state.model_down(model),
            OrchestratorMsg::PressureChanged(pressure) => state.pressure_changed(pressure),
            OrchestratorMsg::LeasesChanged => state.leases_changed(),
            // What follows is done after every message.
            OrchestratorMsg::LimitsChanged => {}
            OrchestratorMsg::PlanRestart(model) => state.restart_due = Some(model),
            OrchestratorMsg::Drain => state.draining = true,
            OrchestratorMsg::DeadlineDue => state.deadline_due(&myself),
        }
        state.pump(&myself);
        state.tell_admission();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<OrchestratorMsg>,
        event: SupervisionEvent,
        _: &mut OrchestratorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // It has no children: runs and packaging are no actors.
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorFailed(..)
            | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }
}
