//! ModelSupervisor: starts every model's actor and restarts what dies, once its memory is really back.
//!
//! Owns the children and the restart ladder of one device. What to do is decided by [`super::restart`]; the waiting
//! (for the old thread's end, for the backoff, for the memory floor) happens in a task per model, never in a handler.
//! Other models never stop for one that died.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::host::Life;
use super::memory::MemoryView;
use super::messages::{DeviceMsg, OrchestratorMsg, SupervisorMsg, WatchdogMsg};
use super::model_actor::Broken;
use super::registry::{ModelState, Registry};
use super::restart::{Ladder, LadderPolicy, Remedy};
use super::spec::ModelSpec;
use crate::clock;
use crate::events::{Bus, EventKind, Fault};
use crate::types::{Bytes, ModelId};
use crate::vram::{Claim, Lease, Ledger};

/// What it is started with.
pub(super) struct SupervisorArgs {
    pub(super) models: Arc<[ModelSpec]>,
    pub(super) policy: LadderPolicy,
    pub(super) seed: u64,
    pub(super) tolerance: Bytes,
    pub(super) max_age: Duration,
    pub(super) ledger: Ledger,
    pub(super) memory: watch::Receiver<Option<MemoryView>>,
    pub(super) registry: Registry,
    pub(super) node: ActorRef<DeviceMsg>,
    pub(super) bus: Bus,
    /// Whether memory may be taken for free without a look: at the process's start only.
    pub(super) first: bool,
    /// How long the first loads wait.
    pub(super) hold: Duration,
}

struct Child {
    cell: Option<ActorCell>,
    wait: Option<JoinHandle<()>>,
    generation: u64,
    wanted: Option<Fault>,
    down_since: Option<Instant>,
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait.abort();
        }
    }
}

/// The actor's state.
pub(super) struct SupervisorState {
    args: SupervisorArgs,
    ladder: Ladder,
    children: Vec<Child>,
}

/// The actor.
pub(super) struct ModelSupervisor;

impl Actor for ModelSupervisor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let child =
            |_: &ModelSpec| Child { cell: None, wait: None, generation: 0, wanted: None, down_since: None };
        let children = args.models.iter().map(child).collect();
        let ladder = Ladder::new(args.policy, args.seed);
        let mut state = SupervisorState { args, ladder, children };
        for place in 0..state.children.len() {
            if !state.args.first {
                state.children[place].down_since = Some(clock::now());
            }
            state.await_return(&myself, place, state.args.hold);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Restart(model, fault) => state.restart(model, fault),
            SupervisorMsg::Up(model) => state.up(model),
            SupervisorMsg::Waited(model, generation, result) => {
                state.waited(&myself, model, generation, result).await;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => {
                let fault = error.downcast_ref::<Broken>().map_or(Fault::Died, |broken| broken.fault);
                state.went_down(&myself, &who, fault, &error.to_string());
            }
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                state.went_down(&myself, &who, Fault::Died, reason.as_deref().unwrap_or("it was stopped"));
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl SupervisorState {
    fn place(&self, model: ModelId) -> Option<usize> {
        self.args.models.iter().position(|spec| spec.model == model)
    }

    fn restart(&mut self, model: ModelId, fault: Fault) {
        let Some(child) = self.place(model).map(|place| &mut self.children[place]) else { return };
        // A model that is down already is being restarted.
        if let Some(cell) = &child.cell {
            child.wanted = Some(fault);
            cell.stop(Some(fault.name().to_owned()));
        }
    }

    fn up(&mut self, model: ModelId) {
        let Some(place) = self.place(model) else { return };
        let after = self.children[place].down_since.take().map(|since| clock::now() - since);
        self.args.bus.tell(EventKind::ModelReady { model, after });
    }

    fn went_down(&mut self, myself: &ActorRef<SupervisorMsg>, who: &ActorCell, fault: Fault, message: &str) {
        let found = self
            .children
            .iter()
            .position(|child| child.cell.as_ref().is_some_and(|cell| cell.get_id() == who.get_id()));
        let Some(place) = found else { return };
        let child = &mut self.children[place];
        child.cell = None;
        let fault = child.wanted.take().unwrap_or(fault);
        self.down(myself, place, fault, fault.why_ended().unwrap_or(message));
    }

    /// A model is down for `fault`: tells everybody, and does what the ladder says.
    fn down(&mut self, myself: &ActorRef<SupervisorMsg>, place: usize, fault: Fault, message: &str) {
        let (model, now) = (self.args.models[place].model, clock::now());
        self.children[place].down_since.get_or_insert(now);
        self.args.registry.set_model(model, None);
        self.args.registry.set_state(model, ModelState::Restarting);
        let message = message.to_owned();
        self.args.bus.tell(EventKind::ActorDown { actor: model.name(), fault, message: message.clone() });
        self.args.registry.tell_orchestrator(OrchestratorMsg::ModelDown(model));
        self.args.registry.tell_watchdog(WatchdogMsg::ModelDropped(model));
        match self.ladder.remedy(model, fault, now) {
            Remedy::Restart(wait) => self.await_return(myself, place, wait),
            Remedy::Cordon(rest) => {
                self.args.registry.set_state(model, ModelState::Cordoned);
                self.args.bus.tell(EventKind::ModelCordoned { model, rest });
                self.await_return(myself, place, rest);
            }
            Remedy::Exit(exit) => {
                self.args.registry.set_state(model, ModelState::Cordoned);
                let cause = format!("{model}: {}: {message}", fault.name());
                let _ = self.args.node.cast(DeviceMsg::Escalate { exit, cause });
            }
        }
    }

    /// Waits elsewhere until the model may be started again.
    fn await_return(&mut self, myself: &ActorRef<SupervisorMsg>, place: usize, backoff: Duration) {
        let (spec, args) = (&self.args.models[place], &self.args);
        let wait = Wait {
            life: args.registry.life(spec.model),
            backoff,
            grace: spec.limits.grace,
            limit: spec.limits.memory,
            look: !args.first || args.registry.life(spec.model).is_some(),
            claim: Claim::resident(spec.model, spec.budget),
            tolerance: args.tolerance,
            max_age: args.max_age,
            ledger: args.ledger.clone(),
            memory: args.memory.clone(),
        };
        let child = &mut self.children[place];
        child.generation += 1;
        let (model, generation, myself) = (spec.model, child.generation, myself.clone());
        let task = tokio::spawn(async move {
            let result = wait.go().await;
            // A supervisor that is gone took its children with it; the lease drops with the message.
            let _ = myself.cast(SupervisorMsg::Waited(model, generation, result));
        });
        if let Some(old) = child.wait.replace(task) {
            old.abort();
        }
    }

    async fn waited(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        model: ModelId,
        generation: u64,
        result: Result<Lease, Fault>,
    ) {
        let Some(place) = self.place(model).filter(|place| self.children[*place].generation == generation)
        else {
            return;
        };
        self.children[place].wait = None;
        let lease = match result {
            Ok(lease) => lease,
            Err(fault) => {
                let message = match fault {
                    Fault::Hung => "its old thread has not ended",
                    _ => "its memory has not come back",
                };
                return self.down(myself, place, fault, message);
            }
        };
        let again = generation > 1 || !self.args.first;
        let args = &self.args;
        match args.models[place].spawn(Some(lease), &args.registry, &args.bus, myself).await {
            Ok(actor) => {
                self.children[place].cell = Some(actor.get_cell());
                self.args.registry.set_model(model, Some(actor));
                if again {
                    self.args.bus.tell(EventKind::ActorRestarted { actor: model.name() });
                }
            }
            Err(error) => self.down(myself, place, Fault::NotReady, &error.to_string()),
        }
    }
}

/// What has to have come true before a model is started again.
struct Wait {
    life: Option<Life>,
    backoff: Duration,
    grace: Duration,
    limit: Duration,
    look: bool,
    claim: Claim,
    tolerance: Bytes,
    max_age: Duration,
    ledger: Ledger,
    memory: watch::Receiver<Option<MemoryView>>,
}

impl Wait {
    async fn go(mut self) -> Result<Lease, Fault> {
        if let Some(life) = self.life.take() {
            tokio::time::timeout(self.grace, life.over()).await.map_err(|_| Fault::Hung)?;
        }
        let dropped_at = clock::now();
        tokio::time::sleep(self.backoff).await;
        let limit = self.limit;
        tokio::time::timeout(limit, self.room(dropped_at)).await.map_err(|_| Fault::MemoryKept)
    }

    /// Waits until a look made after `since` finds the old memory gone and the ledger promises it anew.
    async fn room(&mut self, since: Instant) -> Lease {
        let mut changes = self.ledger.changes();
        loop {
            changes.borrow_and_update();
            let view = *self.memory.borrow_and_update();
            let usage = self.ledger.usage();
            let back = !self.look
                || view
                    .and_then(|view| {
                        view.missing(
                            self.claim.model,
                            &usage,
                            self.tolerance,
                            since,
                            clock::now(),
                            self.max_age,
                        )
                    })
                    .is_some_and(|missing| missing == Bytes::ZERO);
            if back && let Ok(lease) = self.ledger.reserve(self.claim) {
                return lease;
            }
            tokio::select! {
                seen = self.memory.changed() => if seen.is_err() {
                    // No watchdog will ever look again: the limit around this ends the wait.
                    std::future::pending::<()>().await;
                },
                _ = changes.changed() => {}
            }
        }
    }
}
