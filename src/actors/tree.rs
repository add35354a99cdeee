//! A running tree from outside: what it is made of, and the handle that submits, cancels, drains and waits for its end.
//!
//! Everything the tree does not decide itself comes in here: models, studio, journal, looks at memory, subscribers.

use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio::sync::watch;

use super::admission::Refusal;
use super::events::Subscribers;
use super::memory::{MemoryView, PerModel};
use super::node::{NodeArgs, NodeMsg, NodeSupervisor, OpenSlots, close};
use super::orchestrator::{Answer, OrchestratorMsg, Request, SlotLimits};
use super::plan::PlanPolicy;
use super::registry::Registry;
use super::restart::{LadderPolicy, RestartPolicy};
use super::spec::ModelSpec;
use super::studio::Studio;
use super::watchdog::{Looker, WatchSettings, WatchdogMsg};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::types::{Bytes, SlotId};
use crate::vram::{Ledger, PressureGauge, Snapshot};

/// For the journal to write an acceptance down; longer, and whoever asked should ask elsewhere.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// For an actor to answer from memory.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How a tree behaves.
#[derive(Clone, Copy, Debug)]
pub struct TreeSettings {
    /// Slots' walk.
    pub plan: PlanPolicy,
    /// Slots at once.
    pub slots: SlotLimits,
    /// Looks at memory.
    pub watch: WatchSettings,
    /// Restarts of models.
    pub ladder: LadderPolicy,
    /// Restarts of the tree's other actors.
    pub actors: RestartPolicy,
    /// How far above its floor memory counts as back.
    pub floor_tolerance: Bytes,
    /// For slots in work when a model is given up.
    pub drain: Duration,
    /// What becomes of open slots when the process ends.
    pub open_slots: OpenSlots,
    /// Of the backoffs' jitter.
    pub seed: u64,
}

impl TreeSettings {
    /// The oldest a look may be.
    pub(super) fn max_age(&self) -> Duration {
        self.watch.monitor.thresholds.max_age()
    }
}

/// Everything a tree is made of. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Tree {
    /// How it behaves.
    pub settings: TreeSettings,
    /// The models, each at most once.
    pub models: Arc<[ModelSpec]>,
    /// What recipes mean.
    pub studio: Arc<dyn Studio>,
    /// What is kept.
    pub journal: Arc<dyn Journal>,
    /// How memory is looked at.
    pub looker: Arc<dyn Looker>,
    /// The device's account.
    pub ledger: Ledger,
    /// The device's pressure.
    pub gauge: PressureGauge,
    /// Who hears what happens.
    pub subscribers: Subscribers,
    /// Who is who.
    pub(super) registry: Registry,
    pub(super) memory: Arc<watch::Sender<Option<MemoryView>>>,
}

/// What a tree needs from outside.
pub struct TreeParts {
    /// How it behaves.
    pub settings: TreeSettings,
    /// The models, each at most once.
    pub models: Vec<ModelSpec>,
    /// What recipes mean.
    pub studio: Arc<dyn Studio>,
    /// What is kept.
    pub journal: Arc<dyn Journal>,
    /// How memory is looked at.
    pub looker: Arc<dyn Looker>,
    /// The device's account.
    pub ledger: Ledger,
    /// Who hears what happens.
    pub subscribers: Subscribers,
}

impl Tree {
    /// A tree ready to start; its own registry, gauge and memory view are new.
    pub fn new(parts: TreeParts) -> Self {
        let TreeParts { settings, models, studio, journal, looker, ledger, subscribers } = parts;
        Self {
            settings,
            models: models.into(),
            studio,
            journal,
            looker,
            ledger,
            gauge: PressureGauge::new(crate::clock::now()),
            subscribers,
            registry: Registry::default(),
            memory: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Starts it.
    pub async fn start(self) -> Result<Node, SpawnErr> {
        let (exit, told) = watch::channel(None);
        let tree = self.clone();
        let (root, join) = Actor::spawn(None, NodeSupervisor, NodeArgs { tree: self, exit }).await?;
        Ok(Node { tree, root, join, exit: told })
    }

    pub(super) fn budgets(&self) -> PerModel<Bytes> {
        self.per_model(|spec| spec.budget)
    }

    pub(super) fn workspaces(&self) -> PerModel<Bytes> {
        self.per_model(|spec| spec.workspace)
    }

    fn per_model(&self, of: impl Fn(&ModelSpec) -> Bytes) -> PerModel<Bytes> {
        let mut all = PerModel::default();
        self.models.iter().for_each(|spec| all[spec.model.index()] = of(spec));
        all
    }
}

/// An actor of a tree, by its place in it: for faults that are brought about on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorName {
    /// The root.
    Node,
    /// The watchdog.
    Watchdog,
    /// The models' supervisor.
    Models,
    /// The orchestrator.
    Orchestrator,
    /// One model's actor.
    Model(crate::types::ModelId),
}

/// The handle to a running tree.
pub struct Node {
    tree: Tree,
    root: ActorRef<NodeMsg>,
    join: JoinHandle<()>,
    exit: watch::Receiver<Option<Exit>>,
}

/// What may be asked of a tree while something else waits for its end.
#[derive(Clone)]
pub struct NodeHandle {
    tree: Tree,
    root: ActorRef<NodeMsg>,
}

impl Node {
    /// For asking.
    pub fn handle(&self) -> NodeHandle {
        NodeHandle { tree: self.tree.clone(), root: self.root.clone() }
    }

    /// Waits for the tree's end; says with what code the process is to end. A root that died without a word leaves
    /// nothing to rely on in this process.
    pub async fn ended(self) -> Exit {
        // An error would be a panic of the join itself: the same as no word.
        let _ = self.join.await;
        let told = *self.exit.borrow();
        match told {
            Some(exit) => exit,
            None => {
                close(&self.tree).await;
                Exit::DeviceLost
            }
        }
    }
}

impl NodeHandle {
    /// Asks for a slot; answered once the journal has it.
    pub async fn submit(&self, request: Request) -> Answer {
        let gone = Err(Refusal::NotReady { retry_after: self.tree.settings.actors.first_delay });
        let Some(orchestrator) = self.tree.registry.orchestrator() else { return gone };
        let request = Box::new(request);
        let asked =
            orchestrator.call(|reply| OrchestratorMsg::Submit(request, reply), Some(SUBMIT_TIMEOUT)).await;
        match asked {
            Ok(CallResult::Success(answer)) => answer,
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => gone,
        }
    }

    /// Stops a slot; whether it was open.
    pub async fn cancel(&self, slot: SlotId) -> bool {
        let Some(orchestrator) = self.tree.registry.orchestrator() else { return false };
        let asked = orchestrator.call(|reply| OrchestratorMsg::Cancel(slot, reply), Some(ASK_TIMEOUT)).await;
        matches!(asked, Ok(CallResult::Success(true)))
    }

    /// Ends the tree in order: slots in work have `within` to end.
    pub fn shut_down(&self, exit: Exit, within: Duration) {
        // A root that is gone has ended the tree already.
        let _ = self.root.cast(NodeMsg::Shutdown { exit, within });
    }

    /// The snapshots kept, oldest first.
    pub async fn snapshots(&self) -> Vec<Snapshot> {
        let Some(watchdog) = self.tree.registry.watchdog() else { return Vec::new() };
        match watchdog.call(WatchdogMsg::Snapshots, Some(ASK_TIMEOUT)).await {
            Ok(CallResult::Success(snapshots)) => snapshots,
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Vec::new(),
        }
    }

    /// Who is who, and how the models stand.
    pub fn registry(&self) -> &Registry {
        &self.tree.registry
    }

    /// The device's account.
    pub fn ledger(&self) -> &Ledger {
        &self.tree.ledger
    }

    /// The device's pressure.
    pub fn gauge(&self) -> &PressureGauge {
        &self.tree.gauge
    }

    /// Kills an actor where it stands, as a bug would; false where it is down already.
    pub fn kill(&self, actor: ActorName) -> bool {
        let registry = &self.tree.registry;
        let cell: Option<ActorCell> = match actor {
            ActorName::Node => Some(self.root.get_cell()),
            ActorName::Watchdog => registry.watchdog().map(|actor| actor.get_cell()),
            ActorName::Models => registry.supervisor().map(|actor| actor.get_cell()),
            ActorName::Orchestrator => registry.orchestrator().map(|actor| actor.get_cell()),
            ActorName::Model(model) => registry.model(model).map(|actor| actor.get_cell()),
        };
        let alive = cell.filter(|cell| cell.get_status() < ractor::ActorStatus::Stopping);
        alive.is_some_and(|cell| {
            cell.kill();
            true
        })
    }
}
