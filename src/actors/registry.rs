//! Who is who in one tree, and how its models stand: what actors look each other up in instead of process-wide names.
//!
//! One per tree, so that trees in parallel tests never meet. Owns references and states; decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use ractor::ActorRef;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::admission::Pressing;
use super::host::Life;
use super::messages::{DeviceMsg, ModelMsg, OrchestratorMsg, SupervisorMsg, WatchdogMsg};
use crate::types::{Bytes, DeviceId, ModelId, PerModel};

/// What a model's actor is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// Reading weights.
    #[default]
    Loading,
    /// Passing its canary.
    Warming,
    /// Waiting for work.
    Ready,
    /// At work.
    Busy,
    /// Giving back memory.
    Trimming,
    /// Down; waiting for its thread's end, its memory and its backoff.
    Restarting,
    /// Given up for now; the node is not ready.
    Cordoned,
}

impl ModelState {
    /// Whether it is on its way to being ready.
    pub(super) const fn is_coming(self) -> bool {
        match self {
            Self::Loading | Self::Warming | Self::Restarting | Self::Cordoned => true,
            Self::Ready | Self::Busy | Self::Trimming => false,
        }
    }

    /// As written in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Trimming => "trimming",
            Self::Restarting => "restarting",
            Self::Cordoned => "cordoned",
        }
    }
}

/// The states of all models.
pub(crate) type ModelStates = PerModel<ModelState>;

#[derive(Default)]
struct Entries {
    models: PerModel<Option<ActorRef<ModelMsg>>>,
    lives: PerModel<Option<Life>>,
    orchestrator: Option<ActorRef<OrchestratorMsg>>,
    watchdog: Option<ActorRef<WatchdogMsg>>,
    supervisor: Option<ActorRef<SupervisorMsg>>,
    node: Option<ActorRef<DeviceMsg>>,
}

/// A cast that may be lost with the actor it is for.
fn tell<M: ractor::Message>(actor: Option<ActorRef<M>>, message: M) {
    if let Some(actor) = actor {
        let _ = actor.cast(message); // whoever has died says nothing; its supervisor does
    }
}

/// The registry of one tree; clones are handles to the same one. An entry may be of an actor that has just died: a
/// cast to it is lost like any other, and its supervisor tells whoever has to know.
#[derive(Clone)]
pub struct Registry {
    device: DeviceId,
    entries: Arc<Mutex<Entries>>,
    /// Whether something is done for a slot, as the orchestrator sees it.
    at_work: Arc<AtomicBool>,
    /// The lease that each model's run was refused last, even with every other run over; zero since it was granted one.
    wanted: Arc<Mutex<PerModel<Bytes>>>,
    /// Runs that are due and wait for memory, as the orchestrator saw it last.
    leases_waiting: Arc<AtomicU32>,
    /// How often a model went down.
    downs: Arc<AtomicU64>,
    /// Whose memory keeps use above a limit, as the watchdog sees it.
    pressing: Arc<Mutex<Option<Pressing>>>,
    states: Arc<watch::Sender<ModelStates>>,
}

impl Registry {
    /// Of the tree on `device`; nobody is there yet.
    pub(super) fn new(device: DeviceId) -> Self {
        Self {
            device,
            entries: Arc::default(),
            at_work: Arc::default(),
            wanted: Arc::default(),
            leases_waiting: Arc::default(),
            downs: Arc::default(),
            pressing: Arc::default(),
            states: Arc::new(watch::Sender::new(ModelStates::default())),
        }
    }

    /// Whose tree it is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Entries are replaced whole; a panic elsewhere leaves them true.
        self.entries.lock()
    }

    /// The actor of `model`.
    pub fn model(&self, model: ModelId) -> Option<ActorRef<ModelMsg>> {
        self.entries().models[model].clone()
    }

    /// `actor` is `model`'s from now on; `None` where it is down.
    pub(super) fn set_model(&self, model: ModelId, actor: Option<ActorRef<ModelMsg>>) {
        self.entries().models[model] = actor;
    }

    /// Tells `model`'s actor; false where it is down. One that has just died hears nothing, and its supervisor tells.
    pub(super) fn tell_model(&self, model: ModelId, message: ModelMsg) -> bool {
        self.model(model).is_some_and(|actor| actor.cast(message).is_ok())
    }

    /// Tells the actors of all models that are up.
    pub(super) fn tell_models(&self, message: impl Fn() -> ModelMsg) {
        for model in ModelId::ALL {
            self.tell_model(model, message());
        }
    }

    /// The life of `model`'s latest host, whoever started it.
    pub(super) fn life(&self, model: ModelId) -> Option<Life> {
        self.entries().lives[model].clone()
    }

    pub(super) fn set_life(&self, model: ModelId, life: Life) {
        self.entries().lives[model] = Some(life);
    }

    /// The orchestrator.
    pub fn orchestrator(&self) -> Option<ActorRef<OrchestratorMsg>> {
        self.entries().orchestrator.clone()
    }

    /// Tells the orchestrator, if it is up; its successor reads from the journal what it has to know.
    pub(super) fn tell_orchestrator(&self, message: OrchestratorMsg) {
        tell(self.orchestrator(), message);
    }

    pub(super) fn set_orchestrator(&self, actor: ActorRef<OrchestratorMsg>) {
        self.entries().orchestrator = Some(actor);
    }

    /// The watchdog.
    pub fn watchdog(&self) -> Option<ActorRef<WatchdogMsg>> {
        self.entries().watchdog.clone()
    }

    /// Tells the watchdog, if it is up; its successor looks for itself.
    pub(super) fn tell_watchdog(&self, message: WatchdogMsg) {
        tell(self.watchdog(), message);
    }

    pub(super) fn set_watchdog(&self, actor: ActorRef<WatchdogMsg>) {
        self.entries().watchdog = Some(actor);
    }

    /// The models' supervisor.
    pub fn supervisor(&self) -> Option<ActorRef<SupervisorMsg>> {
        self.entries().supervisor.clone()
    }

    /// Tells the models' supervisor, if it is up; its successor starts every model anew.
    pub(super) fn tell_supervisor(&self, message: SupervisorMsg) {
        tell(self.supervisor(), message);
    }

    pub(super) fn set_supervisor(&self, actor: ActorRef<SupervisorMsg>) {
        self.entries().supervisor = Some(actor);
    }

    /// The tree's own root; none where it does not run (yet, or any more).
    pub fn device_supervisor(&self) -> Option<ActorRef<DeviceMsg>> {
        self.entries().node.clone()
    }

    /// Tells the tree's root, if it runs.
    pub(super) fn tell_device_supervisor(&self, message: DeviceMsg) {
        tell(self.device_supervisor(), message);
    }

    pub(super) fn set_device_supervisor(&self, actor: Option<ActorRef<DeviceMsg>>) {
        self.entries().node = actor;
    }

    /// Whether a run, a hand-over or a write of the journal is under way.
    pub(super) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Acquire)
    }

    pub(super) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Release);
    }

    /// The largest lease that a run was refused, even with every other run over, and that none of its model was granted
    /// since.
    pub(super) fn wanted(&self) -> Bytes {
        self.wanted.lock().values().copied().max().unwrap_or_default()
    }

    /// A run of `model` was refused a lease of this much; zero where it was granted one.
    pub(super) fn set_wanted(&self, model: ModelId, lease: Bytes) {
        self.wanted.lock()[model] = lease;
    }

    /// Runs that are due and wait for memory.
    pub(crate) fn leases_waiting(&self) -> u32 {
        self.leases_waiting.load(Ordering::Acquire)
    }

    pub(super) fn set_leases_waiting(&self, runs: u32) {
        self.leases_waiting.store(runs, Ordering::Release);
    }

    /// Whose memory keeps use above a limit; none where it is below.
    pub(super) fn pressing(&self) -> Option<Pressing> {
        *self.pressing.lock()
    }

    pub(super) fn set_pressing(&self, pressing: Option<Pressing>) {
        *self.pressing.lock() = pressing;
    }

    /// How often a model of this tree went down.
    pub(super) fn downs(&self) -> u64 {
        self.downs.load(Ordering::Acquire)
    }

    /// `model` is doing this now.
    pub(super) fn set_state(&self, model: ModelId, state: ModelState) {
        let is_new =
            self.states.send_if_modified(|states| std::mem::replace(&mut states[model], state) != state);
        if is_new && state == ModelState::Restarting {
            self.downs.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// What all models are doing.
    pub fn states(&self) -> ModelStates {
        *self.states.borrow()
    }
}
