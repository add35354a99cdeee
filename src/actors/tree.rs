//! What one card's tree is made of. Everything the tree does not decide itself comes in here: models, pipeline, journal,
//! samples of memory, the bus. [`handle`](super::handle) starts it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::rpc::CallResult;
use tokio::sync::watch;

use super::assignments::{Assignments, CardSlots};
use super::limits::{Limits, LiveLimits, SlotLimits};
use super::memory::{MemoryRecord, MemoryView};
use super::messages::{OrchestratorMsg, WatchdogMsg};
use super::pipeline::Pipeline;
use super::placement::DeviceIndex;
use super::plan::{Learned, PlanPolicy};
use super::registry::Registry;
use super::restart::{LadderPolicy, RestartPolicy};
use super::sampler::Sampler;
use super::spec::ModelSpec;
use super::watchdog::WatchSettings;
use crate::events::Bus;
use crate::journal::Journal;
use crate::types::{Bytes, DeviceId, PerModel, PerStage};
use crate::vram::{Ledger, PressureGauge, Snapshot};

/// For an actor to answer from memory.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of slots still open when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenSlots {
    /// They stay open; the next process takes them up.
    Resume,
    /// They are cancelled: there is no next process.
    Close,
}

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
    /// For slots in work when a model is given up and no other card could go on with them.
    pub drain: Duration,
    /// What becomes of open slots when the process ends.
    pub open_slots: OpenSlots,
    /// The longest that nothing may come in although nothing is open, where nothing explains it.
    pub stuck_after: Duration,
    /// Before the first load of a model in this process: zero, unless earlier processes ended badly.
    pub hold: Duration,
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
pub struct DeviceTree {
    /// How it behaves.
    pub settings: TreeSettings,
    /// The models, each at most once.
    pub models: Arc<[ModelSpec]>,
    /// What recipes mean.
    pub pipeline: Arc<dyn Pipeline>,
    /// What is kept.
    pub journal: Arc<dyn Journal>,
    /// How memory is looked at.
    pub sampler: Arc<dyn Sampler>,
    /// The device's account.
    pub ledger: Ledger,
    /// The device's pressure.
    pub gauge: PressureGauge,
    /// Who hears what happens.
    pub bus: Bus,
    /// Which of the slots that are open in the journal are its own.
    pub(super) slots: CardSlots,
    /// Limits that may change while it runs; at first those of the settings.
    pub(super) limits: LiveLimits,
    /// What its stages were measured to take.
    pub(super) learned: Learned,
    /// Who is who.
    pub(super) registry: Registry,
    pub(super) memory: Arc<watch::Sender<Option<MemoryView>>>,
    /// What the tree's watchdogs know, one after the other.
    pub(super) record: Arc<Mutex<MemoryRecord>>,
}

/// What a tree needs from outside.
pub struct TreeParts {
    /// How it behaves.
    pub settings: TreeSettings,
    /// The models, each at most once.
    pub models: Vec<ModelSpec>,
    /// What recipes mean.
    pub pipeline: Arc<dyn Pipeline>,
    /// What is kept.
    pub journal: Arc<dyn Journal>,
    /// How memory is looked at.
    pub sampler: Arc<dyn Sampler>,
    /// The device's account.
    pub ledger: Ledger,
    /// Who hears what happens.
    pub bus: Bus,
}

impl DeviceTree {
    /// A tree ready to start; its own registry, gauge and memory view are new.
    pub fn new(parts: TreeParts) -> Self {
        let TreeParts { settings, models, pipeline, journal, sampler, ledger, bus } = parts;
        let device = ledger.device();
        let record = MemoryRecord::new(settings.watch.overhead, settings.watch.remedies);
        let limits = Limits { slots: settings.slots, thresholds: settings.watch.monitor.thresholds };
        Self {
            settings,
            models: models.into(),
            pipeline,
            journal,
            sampler,
            ledger,
            gauge: PressureGauge::new(crate::clock::now()),
            bus: bus.on(device),
            limits: LiveLimits::new(limits),
            slots: CardSlots { assignments: Assignments::default(), card: DeviceIndex::new(0) },
            learned: Learned::default(),
            registry: Registry::new(device),
            memory: Arc::new(watch::Sender::new(None)),
            record: Arc::new(Mutex::new(record)),
        }
    }

    /// Whose tree it is.
    pub fn device(&self) -> DeviceId {
        self.ledger.device()
    }

    /// Who is who, and how the models stand.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What its stages were measured to take, in this process and before.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// What each stage is expected to take in the slot that the profile's estimates are for.
    pub fn expected(&self) -> PerStage<Duration> {
        let learned = self.learned.get();
        self.settings.plan.stages.map(|stage, row| learned[stage].unwrap_or(row.estimate))
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Puts other limits in force: the ledger heeds them at once, the orchestrator at its next step, the watchdog at its
    /// next look. What is open or leased already stays, whatever they say.
    pub fn change_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.ledger.change_limit(limits.thresholds.hard());
        self.registry.tell_orchestrator(OrchestratorMsg::LimitsChanged);
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.registry.device_supervisor().is_some()
    }

    /// What each model has grown by beyond its leases, as the watchdog puts it down.
    pub(crate) fn grown(&self) -> PerModel<Bytes> {
        self.memory.borrow().map(|view| view.growth).unwrap_or_default()
    }

    /// The snapshots kept, oldest first.
    pub async fn snapshots(&self) -> Vec<Snapshot> {
        let Some(watchdog) = self.registry.watchdog() else { return Vec::new() };
        match watchdog.call(WatchdogMsg::Snapshots, Some(ASK_TIMEOUT)).await {
            Ok(CallResult::Success(snapshots)) => snapshots,
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Vec::new(),
        }
    }

    pub(super) fn budgets(&self) -> PerModel<Bytes> {
        self.per_model(|spec| spec.budget)
    }

    pub(super) fn workspaces(&self) -> PerModel<Bytes> {
        self.per_model(|spec| spec.workspace)
    }

    fn per_model(&self, of: impl Fn(&ModelSpec) -> Bytes) -> PerModel<Bytes> {
        let mut all = PerModel::default();
        self.models.iter().for_each(|spec| all[spec.model] = of(spec));
        all
    }
}
