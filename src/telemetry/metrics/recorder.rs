//! Counts what happens: a subscriber of the bus that fills counters and histograms.
//!
//! Samples of memory pass it by untouched: nothing is allocated for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use parking_lot::Mutex;

use super::attributes;
use super::definition::{self as metric, Kind, Metric};
use super::observed::Asked;
use super::values::{ACTORS, CANCELS, FAILURES, FAULTS, NONE};
use crate::events::{Event, EventKind, Fault, Subscriber};
use crate::types::{DeviceId, ModelId, SlotId, Stage};
use crate::vram::policy::Level;

/// A counter with its definition.
struct Counted(Counter<f64>, &'static Metric);

impl Counted {
    fn new(meter: &Meter, metric: &'static Metric) -> Self {
        let builder = meter.f64_counter(metric.name).with_unit(metric.unit);
        Self(builder.with_description(metric.about).build(), metric)
    }

    fn add(&self, value: f64, labels: &[&str]) {
        self.0.add(value, &attributes(self.1, labels));
    }
}

/// A histogram with its definition.
struct Measured(Histogram<f64>, &'static Metric);

impl Measured {
    fn new(meter: &Meter, metric: &'static Metric) -> Self {
        let bounds = match metric.kind {
            Kind::Histogram(bounds) => bounds.to_vec(),
            Kind::Counter | Kind::UpDownCounter | Kind::Gauge => Vec::new(),
        };
        let builder = meter.f64_histogram(metric.name).with_unit(metric.unit).with_boundaries(bounds);
        Self(builder.with_description(metric.about).build(), metric)
    }

    fn record(&self, value: f64, labels: &[&str]) {
        self.0.record(value, &attributes(self.1, labels));
    }
}

/// Every instrument that events fill.
pub(super) struct Recorder {
    asked: Arc<Asked>,
    crashes: Gauge<f64>,
    violations: Counted,
    remedies: Counted,
    leases_refused: Counted,
    leaks: Counted,
    ended: Counted,
    late: Counted,
    restarts: Counted,
    frames: Counted,
    encoding: Counted,
    slot: Measured,
    stage: Measured,
    margin: Measured,
    commit: Measured,
    /// What befell each actor last. As many as there are actors.
    faults: Mutex<HashMap<(Option<DeviceId>, &'static str), Fault>>,
}

impl Recorder {
    /// On `meter`; what is counted for the whole node begins at zero.
    pub(super) fn new(meter: &Meter, asked: Arc<Asked>) -> Self {
        let counted = |metric| Counted::new(meter, metric);
        let measured = |metric| Measured::new(meter, metric);
        let crashes = meter.f64_gauge(metric::NODE_CRASHES.name).with_unit(metric::NODE_CRASHES.unit);
        let it = Self {
            asked,
            crashes: crashes.with_description(metric::NODE_CRASHES.about).build(),
            violations: counted(&metric::MEMORY_VIOLATIONS),
            remedies: counted(&metric::MEMORY_REMEDIES),
            leases_refused: counted(&metric::MEMORY_LEASES_REFUSED),
            leaks: counted(&metric::MEMORY_LEAKS),
            ended: counted(&metric::SLOTS_ENDED),
            late: counted(&metric::SLOTS_LATE),
            restarts: counted(&metric::RESTARTS),
            frames: counted(&metric::ENCODER_FRAMES),
            encoding: counted(&metric::ENCODER_BUSY),
            slot: measured(&metric::SLOT_DURATION),
            stage: measured(&metric::STAGE_DURATION),
            margin: measured(&metric::SLOT_DEADLINE_MARGIN),
            commit: measured(&metric::JOURNAL_COMMIT),
            faults: Mutex::default(),
        };
        it.crashes.record(0.0, &[]);
        ["completed", "superseded"].into_iter().for_each(|outcome| it.ended.add(0.0, &[outcome, NONE]));
        FAILURES.iter().for_each(|cause| it.ended.add(0.0, &["failed", cause]));
        CANCELS.iter().for_each(|cause| it.ended.add(0.0, &["cancelled", cause]));
        [&it.late, &it.frames, &it.encoding].into_iter().for_each(|one| one.add(0.0, &[]));
        it
    }

    /// What is counted for each device begins at zero for this one.
    pub(super) fn begin_device(&self, device: DeviceId) {
        let device = device.to_string();
        let device = device.as_str();
        self.violations.add(0.0, &[device]);
        self.leaks.add(0.0, &[device]);
        self.remedies.add(0.0, &[device, NONE, "give_up_device"]);
        for model in ModelId::ALL {
            self.leases_refused.add(0.0, &[device, model.name()]);
            for remedy in ["plan_restart", "restart"] {
                self.remedies.add(0.0, &[device, model.name(), remedy]);
            }
        }
        for actor in ACTORS {
            FAULTS.iter().for_each(|fault| self.restarts.add(0.0, &[device, actor, fault]));
        }
    }

    /// A group commit of the journal took this long.
    pub(super) fn committed(&self, took: Duration) {
        self.commit.record(took.as_secs_f64(), &[]);
    }

    fn completed(&self, slot: Option<SlotId>, at: Duration, elapsed: Duration, is_in_time: bool) {
        self.ended.add(1.0, &["completed", NONE]);
        self.slot.record(elapsed.as_secs_f64(), &[]);
        if !is_in_time {
            self.late.add(1.0, &[]);
        }
        let source = self.asked.source();
        if let Some(due) = source.zip(slot).and_then(|(source, slot)| source.deadline(slot)) {
            self.margin.record(due.as_secs_f64() - at.as_secs_f64(), &[]);
        }
    }

    fn stage(&self, stage: Stage, took: Duration) {
        self.stage.record(took.as_secs_f64(), &[stage.name()]);
    }
}

impl Subscriber for Recorder {
    fn hear(&self, event: &Event) {
        // Made only where a counter of a device moves.
        let device = || event.device.map(|device| device.to_string()).unwrap_or_default();
        match &event.kind {
            EventKind::AudioComplete { took } => self.stage(Stage::Audio, *took),
            EventKind::ImageComplete { took } => self.stage(Stage::Image, *took),
            EventKind::VideoComplete { took } => self.stage(Stage::Video, *took),
            EventKind::ClipComplete { took, .. } => self.stage(Stage::Verify, *took),
            EventKind::VideoEncoded { frames, encoding, .. } => {
                self.frames.add(f64::from(*frames), &[]);
                self.encoding.add(encoding.as_secs_f64(), &[]);
            }
            EventKind::GenerationComplete { elapsed, breakdown, deadline_met } => {
                // The last stage ends with the slot.
                self.stage(Stage::Package, breakdown.package);
                self.completed(event.slot, event.at, *elapsed, *deadline_met);
            }
            EventKind::SlotFailed { cause, .. } => self.ended.add(1.0, &["failed", cause.name()]),
            EventKind::SlotCancelled { cause } => self.ended.add(1.0, &["cancelled", cause.name()]),
            EventKind::SlotSuperseded { .. } => self.ended.add(1.0, &["superseded", NONE]),
            EventKind::MemoryPressure(crossing) if crossing.is_rise() && crossing.to == Level::Hard => {
                self.violations.add(1.0, &[&device()]);
            }
            EventKind::MemoryRemedy { remedy, .. } => {
                let model = remedy.model().map_or(NONE, ModelId::name);
                self.remedies.add(1.0, &[&device(), model, remedy.name()]);
            }
            EventKind::LeaseRefused(refusal) => {
                self.leases_refused.add(1.0, &[&device(), refusal.model.name()]);
            }
            EventKind::LeakChecked { verdict, .. } if verdict.leaking => self.leaks.add(1.0, &[&device()]),
            EventKind::ActorDown { actor, fault, .. } => {
                self.faults.lock().insert((event.device, actor), *fault);
            }
            EventKind::ActorRestarted { actor } => {
                let fault = self.faults.lock().remove(&(event.device, *actor));
                // A model that goes down with its supervisor has no fault of its own.
                let cause = fault.unwrap_or(Fault::Died).name();
                self.restarts.add(1.0, &[&device(), actor, cause]);
            }
            EventKind::CrashLoop { count, .. } => self.crashes.record(f64::from(*count), &[]),
            _ => {}
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}
