//! What metrics ask of the running service: node, devices, slots, journal, disk, network.
//!
//! Everything is in memory but two looks at the disk, neither of which grows with the slots that have ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::Service;
use super::submit::problem;
use crate::actors::tree::DeviceTree;
use crate::api::backend::{Problem, ProblemKind};
use crate::api::problem::Kind;
use crate::cuda::Card;
use crate::telemetry::export::{Losses, Signal};
use crate::telemetry::metrics::definition as metric;
use crate::telemetry::metrics::observed::{Observations, Source};
use crate::types::{Bytes, DeviceId, ModelId, SlotId};
use crate::vram::Sample;
use crate::vram::policy::Level;

/// Slots that were handed in and not taken, by why.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    pub(super) fn count(&self, kind: ProblemKind) {
        *self.0.lock().entry(Kind::from(kind).name()).or_default() += 1;
    }
}

impl Service {
    /// All metrics as text, asked for where it may block.
    pub(super) async fn metrics_text(&self) -> Result<String, Problem> {
        let metrics = Arc::clone(&self.metrics);
        let failed = |error: &dyn std::fmt::Display| problem(ProblemKind::Internal, error.to_string());
        match tokio::task::spawn_blocking(move || metrics.text()).await {
            Ok(text) => text.map_err(|error| failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }

    fn observe_slots(&self, seen: &mut Observations) {
        let counts = self.table.counts();
        seen.set(&metric::SLOTS_WAITING, &[], counts.waiting as f64);
        seen.set(&metric::SLOTS_RUNNING, &[], counts.running as f64);
        seen.set(&metric::SLOTS_CAPACITY, &[], self.capacity() as f64);
        let refused = self.refusals.0.lock().clone();
        for reason in metric::reasons() {
            let count = refused.get(reason).copied().unwrap_or_default();
            seen.set(&metric::SLOTS_REFUSED, &[reason], count as f64);
        }
    }

    fn observe_journal(&self, seen: &mut Observations) {
        let health = self.index.health();
        seen.set(&metric::JOURNAL_DROPPED, &[], health.dropped as f64);
        seen.set(&metric::JOURNAL_FAILING, &[], truth(health.error.is_some()));
        // What cannot be read now is missing in this scrape; the journal says elsewhere that it fails.
        if let Ok(pending) = self.index.deliveries_pending() {
            seen.set(&metric::OUTBOX_WAITING, &[], pending as f64);
        }
        seen.set(&metric::OUTBOX_GIVEN_UP, &[], self.given_up.load(Ordering::Relaxed) as f64);
        for signal in Signal::ALL {
            let count =
                |of: fn(&Losses, Signal) -> u64| self.tracing.losses().map_or(0, |it| of(it, signal)) as f64;
            seen.set(&metric::TELEMETRY_DROPPED, &[signal.name()], count(Losses::dropped));
            seen.set(&metric::TELEMETRY_EXPORT_FAILURES, &[signal.name()], count(Losses::failures));
        }
        if let Some((free, size)) = disk(&self.data_dir) {
            seen.set(&metric::DISK_FREE, &[], free.as_f64());
            seen.set(&metric::DISK_SIZE, &[], size.as_f64());
        }
    }
}

impl Source for Service {
    fn observe(&self, seen: &mut Observations) {
        let facts = &self.facts;
        let labels = [env!("CARGO_PKG_VERSION"), facts.profile.as_str(), facts.bundle.as_str()];
        seen.set(&metric::NODE_INFO, &labels, 1.0);
        seen.set(&metric::NODE_READY, &[], truth(self.why_not_ready().is_empty()));
        if let Some(after) = self.ready_after.get() {
            seen.set(&metric::NODE_READY_AFTER, &[], after.as_secs_f64());
        }
        for tree in self.node.cards() {
            let (id, sample) = (tree.device(), self.tree.sample(tree.device()));
            observe_device(tree, seen);
            if let Some(sample) = sample {
                observe_sample(id, self.boards.get(&id).map(String::as_str), &sample, seen);
            }
        }
        self.observe_slots(seen);
        self.observe_journal(seen);
        if let Some(network) = self.network.get() {
            network.observe(seen);
        }
    }

    fn deadline(&self, slot: SlotId) -> Option<Duration> {
        self.table.deadline(slot)
    }
}

pub(super) const fn truth(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// The identifiers of those of `devices` that are GPUs, as their driver has them, so that series of other exporters join.
pub(super) fn boards(devices: impl IntoIterator<Item = DeviceId>) -> BTreeMap<DeviceId, String> {
    let identifier = |id| match id {
        DeviceId::Cuda(ordinal) => Card::open(ordinal).and_then(|card| card.uuid()).ok(),
        DeviceId::Cpu | DeviceId::Scripted(_) => None,
    };
    devices.into_iter().filter_map(|id| Some((id, identifier(id)?))).collect()
}

fn observe_device(tree: &DeviceTree, seen: &mut Observations) {
    let name = tree.device().to_string();
    let device = name.as_str();
    let thresholds = tree.limits().thresholds;
    seen.set(&metric::MEMORY_LIMIT, &[device, "soft"], thresholds.soft().as_f64());
    seen.set(&metric::MEMORY_LIMIT, &[device, "hard"], thresholds.hard().as_f64());
    let pressure = tree.gauge.last();
    let level = match pressure.level {
        Level::Normal => 0.0,
        Level::Soft => 1.0,
        Level::Hard => 2.0,
    };
    seen.set(&metric::MEMORY_PRESSURE, &[device], level);
    seen.set(&metric::MEMORY_BLIND, &[device], truth(pressure.blind));
    let (usage, grown, states) = (tree.ledger.usage(), tree.grown(), tree.registry().states());
    seen.set(&metric::MEMORY_LEASES_WAITING, &[device], f64::from(tree.registry().leases_waiting()));
    if let Some(unaccounted) = usage.unaccounted {
        seen.set(&metric::MEMORY_UNACCOUNTED, &[device], unaccounted.as_f64());
    }
    if let Some(slope) = usage.unaccounted_slope {
        seen.set(&metric::MEMORY_LEAK_SLOPE, &[device], slope.per_hour as f64);
    }
    for model in ModelId::ALL {
        let labels = [device, model.name()];
        let (resident, workspace) = (usage.resident[model], usage.workspace[model]);
        seen.set(&metric::MEMORY_USED, &labels, resident.saturating_add(grown[model]).as_f64());
        seen.set(&metric::MEMORY_RESERVED, &labels, resident.saturating_add(workspace).as_f64());
        let is_in = if tree.is_up() { states[model].name() } else { "down" };
        for state in metric::model_states() {
            seen.set(&metric::MODEL_STATE, &[device, model.name(), state], truth(*state == is_in));
        }
    }
}

/// A GPU's memory goes by the names that every GPU's does, and by the identifier of its `board` or, where the driver does not
/// tell it, its name here; a host's by our own.
fn observe_sample(id: DeviceId, board: Option<&str>, sample: &Sample, seen: &mut Observations) {
    let name = id.to_string();
    let device = name.as_str();
    let (used, total) = (sample.used.as_f64(), sample.total.as_f64());
    match id {
        DeviceId::Cuda(_) => {
            let labels = [board.unwrap_or(device), device];
            seen.set(&metric::GPU_MEMORY_USAGE, &labels, used);
            seen.set(&metric::GPU_MEMORY_LIMIT, &labels, total);
            if total > 0.0 {
                seen.set(&metric::GPU_MEMORY_UTILIZATION, &labels, used / total);
            }
        }
        DeviceId::Cpu | DeviceId::Scripted(_) => {
            seen.set(&metric::MEMORY_USAGE, &[device], used);
            seen.set(&metric::MEMORY_SIZE, &[device], total);
        }
    }
    if let Some(share) = sample.fragmentation() {
        seen.set(&metric::MEMORY_FRAGMENTATION, &[device], share);
    }
}

/// What the disk of `folder` has left for this user, and its size, where the system tells.
fn disk(folder: &Path) -> Option<(Bytes, Bytes)> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| Bytes::new(blocks.saturating_mul(stat.f_frsize));
    Some((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::registry::ModelState;
    use crate::clock;
    use crate::vram::{Pool, Standing};

    #[test]
    fn every_kind_of_refusal_and_every_state_of_a_model_has_its_label() {
        use ProblemKind::*;
        let kinds = [
            InvalidRecipe,
            Signer,
            Late,
            Conflict,
            Pressure,
            QueueFull,
            NotReady,
            Draining,
            Storage,
            NotFound,
            Gone,
            Webhook,
            State,
            Internal,
        ];
        let names: Vec<&str> = kinds.into_iter().map(|kind| Kind::from(kind).name()).collect();
        assert_eq!(names, metric::reasons());
        let states = [
            ModelState::Loading,
            ModelState::Warming,
            ModelState::Ready,
            ModelState::Busy,
            ModelState::Trimming,
            ModelState::Restarting,
            ModelState::Cordoned,
        ];
        let mut names: Vec<&str> = states.into_iter().map(ModelState::name).collect();
        names.push("down");
        assert_eq!(names, metric::model_states());
    }

    #[test]
    fn a_gpu_has_the_names_of_every_gpu_and_a_host_its_own() {
        let sample = Sample {
            source: "test",
            standing: Standing::Primary,
            taken_at: clock::now(),
            total: Bytes::gb(12),
            used: Bytes::gb(3),
            free: Bytes::gb(9),
            own: None,
            others: None,
            pool: Some(Pool { used: Bytes::gb(3), reserved: Bytes::gb(4) }),
        };
        let told = |id: DeviceId, board: Option<&str>| {
            let mut seen = Observations::default();
            observe_sample(id, board, &sample, &mut seen);
            let of = |metric: &metric::Metric| -> Vec<(String, f64)> {
                let labels = |attributes: &[opentelemetry::KeyValue]| {
                    let one = |it: &opentelemetry::KeyValue| format!("{}={}", it.key, it.value);
                    attributes.iter().map(one).collect::<Vec<_>>().join(",")
                };
                seen.of(metric).iter().map(|(attributes, value)| (labels(attributes), *value)).collect()
            };
            [
                of(&metric::GPU_MEMORY_USAGE),
                of(&metric::GPU_MEMORY_LIMIT),
                of(&metric::GPU_MEMORY_UTILIZATION),
                of(&metric::MEMORY_USAGE),
                of(&metric::MEMORY_SIZE),
                of(&metric::MEMORY_FRAGMENTATION),
            ]
        };
        let one = |labels: &str, value| vec![(labels.to_owned(), value)];
        let pool = |device: &str| one(device, 0.25);
        for (board, gpu) in
            [(Some("GPU-1"), "hw.id=GPU-1,device=cuda:1"), (None, "hw.id=cuda:1,device=cuda:1")]
        {
            assert_eq!(
                told(DeviceId::Cuda(1), board),
                [one(gpu, 3e9), one(gpu, 12e9), one(gpu, 0.25), vec![], vec![], pool("device=cuda:1")]
            );
        }
        assert_eq!(
            told(DeviceId::Cpu, None),
            [vec![], vec![], vec![], one("device=cpu", 3e9), one("device=cpu", 12e9), pool("device=cpu")]
        );
    }
}
