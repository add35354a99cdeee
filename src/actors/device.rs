//! DeviceSupervisor: the root of one card's tree. Starts the watchdog, the models' supervisor and the orchestrator,
//! restarts them, and turns an escalation or a shutdown into the exit code that the card's loss stands for.
//!
//! Owns what outlives its children: registry, ledger, gauge. Ends in one way only: drain, stop the orchestrator, tell
//! the code. What that means for the card's slots and for the process is the [node](super::node)'s to say.

use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::watch;

use super::deadline_timer::DeadlineTimer;
use super::liveness::{Liveness, View};
use super::messages::{DeviceMsg, OrchestratorMsg, Part};
use super::orchestrator::{Orchestrator, OrchestratorArgs};
use super::restart::{History, Jitter};
use super::supervisor::{ModelSupervisor, SupervisorArgs};
use super::tree::DeviceTree;
use super::watchdog::{Watchdog, WatchdogArgs};
use crate::clock;
use crate::events::{EventKind, Fault};
use crate::exit::Exit;
use crate::types::ModelId;

/// What a card's root is started with.
pub(super) struct DeviceArgs {
    pub(super) tree: DeviceTree,
    pub(super) exit: watch::Sender<Option<Exit>>,
}

/// The actor's state.
pub(super) struct DeviceState {
    tree: DeviceTree,
    exit: watch::Sender<Option<Exit>>,
    children: [Option<ActorCell>; 3],
    histories: [History; 3],
    models_started: bool,
    ending: Option<Exit>,
    liveness: Liveness,
    liveness_timer: DeadlineTimer<DeviceMsg>,
    timer: DeadlineTimer<DeviceMsg>,
}

/// The actor.
pub(super) struct DeviceSupervisor;

impl Actor for DeviceSupervisor {
    type Msg = DeviceMsg;
    type State = DeviceState;
    type Arguments = DeviceArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<DeviceMsg>,
        args: DeviceArgs,
    ) -> Result<DeviceState, ActorProcessingErr> {
        let DeviceArgs { tree, exit } = args;
        let (seed, stuck_after) = (tree.settings.seed, tree.settings.stuck_after);
        let history = |part: Part| History::new(Jitter::new(seed ^ (part as u64 + 1).rotate_left(48)));
        let mut state = DeviceState {
            tree,
            exit,
            children: [None, None, None],
            histories: Part::ALL.map(history),
            models_started: false,
            ending: None,
            liveness: Liveness::new(stuck_after),
            liveness_timer: DeadlineTimer::new(|| DeviceMsg::LivenessDue),
            timer: DeadlineTimer::new(|| DeviceMsg::DeadlineDue),
        };
        // Consumers before producers: what the models tell, the orchestrator hears.
        for part in [Part::Orchestrator, Part::Watchdog, Part::Models] {
            state.spawn(&myself, part).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<DeviceMsg>,
        message: DeviceMsg,
        state: &mut DeviceState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DeviceMsg::Escalate { exit, cause } => state.escalate(&myself, exit, cause),
            DeviceMsg::Shutdown { exit, within } => state.drain(&myself, exit, within),
            DeviceMsg::Drained => state.finish(&myself).await,
            DeviceMsg::AdmissionChanged { closed, activity } => {
                let downs = state.tree.registry.downs();
                state.liveness.observe(closed, activity, downs, clock::now());
                state.liveness_timer.set(&myself, state.liveness.deadline());
            }
            DeviceMsg::LivenessDue => state.liveness_due(&myself),
            DeviceMsg::Respawn(part) => state.respawn(&myself, part).await,
            DeviceMsg::DeadlineDue => {
                if state.timer.rang(&myself, clock::now()) {
                    state.finish(&myself).await;
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<DeviceMsg>,
        event: SupervisionEvent,
        state: &mut DeviceState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => state.went_down(&myself, &who, &error.to_string()),
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                state.went_down(&myself, &who, reason.as_deref().unwrap_or("it was stopped"));
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl DeviceState {
    async fn spawn(&mut self, myself: &ActorRef<DeviceMsg>, part: Part) -> Result<(), SpawnErr> {
        let (tree, root) = (&self.tree, myself.get_cell());
        let cell = match part {
            Part::Watchdog => {
                let args = WatchdogArgs {
                    settings: tree.settings.watch,
                    models: tree.budgets(),
                    sampler: tree.sampler.clone(),
                    ledger: tree.ledger.clone(),
                    gauge: tree.gauge.clone(),
                    memory: tree.memory.clone(),
                    limits: tree.limits.clone(),
                    record: tree.record.clone(),
                    tolerance: tree.settings.floor_tolerance,
                    registry: tree.registry.clone(),
                    bus: tree.bus.clone(),
                };
                let (actor, _) = Actor::spawn_linked(None, Watchdog, args, root).await?;
                tree.registry.set_watchdog(actor.clone());
                actor.get_cell()
            }
            Part::Models => {
                let first = !std::mem::replace(&mut self.models_started, true);
                let args = SupervisorArgs {
                    models: tree.models.clone(),
                    policy: tree.settings.ladder,
                    seed: tree.settings.seed,
                    tolerance: tree.settings.floor_tolerance,
                    max_age: tree.settings.max_age(),
                    ledger: tree.ledger.clone(),
                    memory: tree.memory.subscribe(),
                    registry: tree.registry.clone(),
                    node: myself.clone(),
                    bus: tree.bus.clone(),
                    first,
                    hold: if first { tree.settings.hold } else { Duration::ZERO },
                };
                let (actor, _) = Actor::spawn_linked(None, ModelSupervisor, args, root).await?;
                tree.registry.set_supervisor(actor.clone());
                actor.get_cell()
            }
            Part::Orchestrator => {
                let args = OrchestratorArgs {
                    policy: tree.settings.plan,
                    learned: tree.learned.clone(),
                    limits: tree.limits.clone(),
                    workspaces: tree.workspaces(),
                    max_age: tree.settings.max_age(),
                    registry: tree.registry.clone(),
                    ledger: tree.ledger.clone(),
                    gauge: tree.gauge.clone(),
                    journal: tree.journal.clone(),
                    slots: tree.slots.clone(),
                    pipeline: tree.pipeline.clone(),
                    bus: tree.bus.clone(),
                    node: myself.clone(),
                };
                let (actor, _) = Actor::spawn_linked(None, Orchestrator, args, root).await?;
                actor.get_cell()
            }
        };
        self.children[part as usize] = Some(cell);
        Ok(())
    }

    async fn respawn(&mut self, myself: &ActorRef<DeviceMsg>, part: Part) {
        if self.ending.is_some() {
            return;
        }
        self.tree.bus.tell(EventKind::ActorRestarted { actor: part.name() });
        if let Err(error) = self.spawn(myself, part).await {
            self.restart(myself, part, &error.to_string());
        }
    }

    fn went_down(&mut self, myself: &ActorRef<DeviceMsg>, who: &ActorCell, message: &str) {
        let is_it = |part: &Part| {
            self.children[*part as usize].as_ref().is_some_and(|cell| cell.get_id() == who.get_id())
        };
        let Some(part) = Part::ALL.into_iter().find(is_it) else { return };
        self.children[part as usize] = None;
        if self.ending.is_some() {
            return;
        }
        self.restart(myself, part, message);
    }

    fn restart(&mut self, myself: &ActorRef<DeviceMsg>, part: Part, message: &str) {
        let (actor, fault, message_of) = (part.name(), Fault::Died, message.to_owned());
        self.tree.bus.tell(EventKind::ActorDown { actor, fault, message: message_of });
        if part == Part::Models {
            // Ractor takes the children along: every model's actor is dead, and its run with it.
            for model in ModelId::ALL {
                self.tree.registry.set_model(model, None);
                self.tree.registry.tell_orchestrator(OrchestratorMsg::ModelDown(model));
            }
        }
        let policy = self.tree.settings.actors;
        match self.histories[part as usize].admit(&policy, clock::now()) {
            Some(wait) => drop(myself.send_after(wait, move || DeviceMsg::Respawn(part))),
            None => {
                let cause = format!("{}: restart budget spent: {message}", part.name());
                self.escalate(myself, Exit::ModelGivenUp, cause);
            }
        }
    }

    /// Gives the device up where it is alive and of no use.
    fn liveness_due(&mut self, myself: &ActorRef<DeviceMsg>) {
        let now = clock::now();
        if !self.liveness_timer.rang(myself, now) || self.ending.is_some() {
            return;
        }
        let registry = &self.tree.registry;
        let view = View {
            states: registry.states(),
            cause: registry.pressing().map(|it| it.cause),
            downs: registry.downs(),
        };
        if let Some(cause) = self.liveness.fault(&view, now) {
            return self.escalate(myself, Exit::DeviceLost, cause);
        }
        self.liveness_timer.set(myself, self.liveness.deadline());
    }

    fn escalate(&mut self, myself: &ActorRef<DeviceMsg>, exit: Exit, cause: String) {
        self.tree.bus.tell(EventKind::Escalated { exit, cause });
        // A lost device finishes nothing; what a given-up model does not touch may be finished. Where files have to be
        // changed, whoever is to change them learns of it at once; the journal keeps the slots.
        let within = match exit {
            Exit::DeviceLost | Exit::BadInput => Duration::ZERO,
            _ => self.tree.settings.drain,
        };
        self.drain(myself, exit, within);
    }

    fn drain(&mut self, myself: &ActorRef<DeviceMsg>, exit: Exit, within: Duration) {
        let now = clock::now();
        // What cannot wait overrules what can; otherwise the first word counts.
        if self.ending.is_none() || exit == Exit::DeviceLost {
            self.ending = Some(exit);
            self.timer.set(myself, Some(now.checked_add(within).unwrap_or(now)));
        }
        match self.tree.registry.orchestrator() {
            Some(orchestrator) if within > Duration::ZERO => {
                let _ = orchestrator.cast(OrchestratorMsg::Drain);
            }
            Some(_) | None => {}
        }
    }

    /// The end of the card's part, once: nobody begins or ends a slot here any more, then the code is told.
    async fn finish(&mut self, myself: &ActorRef<DeviceMsg>) {
        let Some(exit) = self.ending else { return };
        if self.exit.borrow().is_some() {
            return;
        }
        if let Some(orchestrator) = &self.children[Part::Orchestrator as usize] {
            // Before the code is told: whoever hears it reads the journal for what is left.
            orchestrator.kill();
            let _ = orchestrator.wait(None).await;
        }
        self.exit.send_replace(Some(exit));
        myself.stop(None);
    }
}
