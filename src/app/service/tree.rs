//! The supervision tree as the API shows it: states and restarts of its actors, memory, what keeps a device closed.
//!
//! Owns what has to be counted from events; what can be asked of the running trees is asked when somebody wants to know.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::actors::handle::NodeHandle;
use crate::actors::registry::ModelState;
use crate::actors::tree::DeviceTree;
use crate::api::views::{ActorView, DeviceView, MemoryView, ModelMemory};
use crate::events::{Closed, Event, EventKind};
use crate::types::{DeviceId, ModelId};
use crate::vram::Sample;

/// The name of a device's root in the tree.
const DEVICE: &str = "device";

/// What was heard of the tree.
#[derive(Debug, Default)]
pub(super) struct TreeLog(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    actors: HashMap<(Option<DeviceId>, &'static str), Downs>,
    closed: HashMap<DeviceId, Option<Closed>>,
    memory: HashMap<DeviceId, (f64, Sample)>,
    lost: Vec<DeviceId>,
    /// Slots by how they ended, in this process.
    ended: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
struct Downs {
    restarts: u32,
    fault: Option<String>,
}

impl TreeLog {
    /// Takes in what concerns the tree.
    pub(super) fn hear(&self, event: &Event) {
        let mut heard = self.0.lock();
        match &event.kind {
            EventKind::ActorDown { actor, fault, message } => {
                let downs = heard.actors.entry((event.device, actor)).or_default();
                downs.fault =
                    Some(if message.is_empty() { fault.name().to_owned() } else { message.clone() });
            }
            EventKind::ActorRestarted { actor } => {
                heard.actors.entry((event.device, actor)).or_default().restarts += 1;
            }
            EventKind::AdmissionChanged { closed } => {
                if let Some(device) = event.device {
                    heard.closed.insert(device, *closed);
                }
            }
            EventKind::Memory { sample } => {
                if let Some(device) = event.device {
                    heard.memory.insert(device, (event.at.as_secs_f64(), *sample));
                }
            }
            EventKind::CardLost { .. } => heard.lost.extend(event.device),
            EventKind::GenerationComplete { .. } => heard.end("completed"),
            EventKind::SlotFailed { .. } => heard.end("failed"),
            EventKind::SlotCancelled { .. } => heard.end("cancelled"),
            EventKind::SlotSuperseded { .. } => heard.end("superseded"),
            _ => {}
        }
    }

    /// Slots by how they ended, in this process.
    pub(super) fn ended(&self) -> BTreeMap<String, u64> {
        self.0.lock().ended.clone()
    }

    /// The last usable sample of `device`.
    pub(super) fn sample(&self, device: DeviceId) -> Option<Sample> {
        self.0.lock().memory.get(&device).map(|(_, sample)| *sample)
    }

    /// The root of all.
    pub(super) fn root(&self) -> ActorView {
        self.0.lock().actor(None, "node", "up".to_owned())
    }

    /// Every device of the node.
    pub(super) fn devices(&self, node: &NodeHandle) -> Vec<DeviceView> {
        let heard = self.0.lock();
        node.cards().iter().map(|tree| heard.device(tree)).collect()
    }

    /// Why no device takes slots in; empty where one does.
    pub(super) fn not_ready(&self, node: &NodeHandle) -> Vec<String> {
        let heard = self.0.lock();
        let mut reasons = Vec::new();
        for tree in node.cards() {
            match heard.why_closed(tree) {
                Some(reason) => reasons.push(reason),
                None => return Vec::new(),
            }
        }
        reasons
    }
}

impl Heard {
    fn end(&mut self, how: &str) {
        *self.ended.entry(how.to_owned()).or_default() += 1;
    }

    fn actor(&self, device: Option<DeviceId>, name: &'static str, state: String) -> ActorView {
        let downs = self.actors.get(&(device, name)).cloned().unwrap_or_default();
        ActorView { name: name.to_owned(), state, restarts: downs.restarts, fault: downs.fault }
    }

    /// Why `tree`'s device takes nothing in; none where it does.
    fn why_closed(&self, tree: &DeviceTree) -> Option<String> {
        let device = tree.device();
        if !tree.is_up() {
            let is_lost = self.lost.contains(&device);
            return Some(format!("{device} {}", if is_lost { "is lost" } else { "stands by" }));
        }
        match self.closed.get(&device) {
            None => Some(format!("{device}: its orchestrator has not begun")),
            Some(None) => None,
            Some(Some(Closed::Draining)) => Some(format!("{device} takes nothing in any more")),
            Some(Some(Closed::Pressure)) => {
                let pressure = tree.gauge.last();
                let level = if pressure.blind { "unknown" } else { pressure.level.name() };
                Some(format!("{device}: memory pressure is {level}"))
            }
            Some(Some(Closed::NotReady)) => {
                let states = tree.registry().states();
                let is_down = |model: &ModelId| {
                    !matches!(states[*model], ModelState::Ready | ModelState::Busy | ModelState::Trimming)
                };
                let down: Vec<String> = ModelId::ALL
                    .into_iter()
                    .filter(is_down)
                    .map(|model| format!("{model} is {}", states[model].name()))
                    .collect();
                let models = if down.is_empty() { "models report".to_owned() } else { down.join(", ") };
                Some(format!("{device}: {models}"))
            }
        }
    }

    fn device(&self, tree: &DeviceTree) -> DeviceView {
        let device = tree.device();
        let (registry, states, usage) = (tree.registry(), tree.registry().states(), tree.ledger.usage());
        let pressure = tree.gauge.last();
        let thresholds = tree.limits().thresholds;
        let is_up = |up: bool| (if up { "up" } else { "down" }).to_owned();
        let of = |name, up| self.actor(Some(device), name, is_up(up));
        let mut actors = vec![
            of(DEVICE, tree.is_up()),
            of("watchdog", registry.watchdog().is_some()),
            of("models", registry.supervisor().is_some()),
        ];
        let state = |model: ModelId| if tree.is_up() { states[model].name() } else { "down" };
        actors.extend(
            ModelId::ALL.map(|model| self.actor(Some(device), model.name(), state(model).to_owned())),
        );
        actors.push(of("orchestrator", registry.orchestrator().is_some()));
        let memory = self.memory.get(&device).map(|(at, sample)| MemoryView {
            at: *at,
            used: sample.used.get(),
            total: sample.total.get(),
            unaccounted: sample.used.signed_sub(usage.reserved),
            models: ModelId::ALL
                .map(|model| ModelMemory {
                    model: model.name().to_owned(),
                    resident: usage.resident[model].get(),
                    workspace: usage.workspace[model].get(),
                })
                .to_vec(),
        });
        let closed = self.closed.get(&device).copied().flatten();
        DeviceView {
            device: device.to_string(),
            pressure: if pressure.blind { "unknown" } else { pressure.level.name() }.to_owned(),
            closed: closed.map(|closed| closed.name().to_owned()),
            soft_limit: thresholds.soft().get(),
            hard_limit: thresholds.hard().get(),
            memory,
            actors,
        }
    }
}
