//! Every metric of a node, in one table: name, kind, unit, labels with their values, what it says and where it comes from.
//!
//! Instruments, the scrape and the documentation are made from it. Names follow OpenTelemetry's conventions; a scrape has
//! them as Prometheus writes them.

use super::values::{
    ACTORS, CAUSES, FAULTS, LIMITS, MODELS, OUTCOMES, REASONS, REMEDIES, SIGNALS, STAGES, STATES, Values,
};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// A sum that grows and shrinks; a scrape shows a gauge.
    UpDownCounter,
    /// A value at the moment.
    Gauge,
    /// How values are distributed, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As a scrape calls it.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter | Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Where the values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Events, as they happen.
    Told,
    /// The running node, when somebody wants to know.
    Asked,
}

/// One label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    /// As OpenTelemetry calls it.
    pub(crate) key: &'static str,
    /// What it may say.
    pub(crate) values: Values,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// As OpenTelemetry calls it.
    pub(crate) name: &'static str,
    /// How it behaves.
    pub(crate) kind: Kind,
    /// In UCUM, as OpenTelemetry writes units.
    pub(crate) unit: &'static str,
    /// In the order in which values are given.
    pub(crate) labels: &'static [Label],
    /// In one sentence.
    pub(crate) about: &'static str,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

impl Metric {
    /// As a scrape has it.
    #[cfg(test)]
    pub(crate) fn scraped(&self) -> String {
        let suffix = match self.unit {
            "By" => "_bytes",
            "By/h" => "_bytes_per_hour",
            "s" => "_seconds",
            "1" => "_ratio",
            // Units in braces are for people.
            _ => "",
        };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{suffix}{total}", self.name.replace('.', "_"))
    }
}

const fn label(key: &'static str, values: Values) -> Label {
    Label { key, values }
}

const DEVICE: Label = label("device", Values::Devices);
const MODEL: Label = label("model", Values::Names(&MODELS));
const STAGE: Label = label("stage", Values::Names(&STAGES));

const ONE: &[Label] = &[];
const OF_DEVICE: &[Label] = &[DEVICE];
const OF_MODEL: &[Label] = &[DEVICE, MODEL];
const OF_GPU: &[Label] = &[label("hw.id", Values::Boards), DEVICE];

/// Slots take seconds on a large card and minutes on a processor.
const SLOT_SECONDS: &[f64] =
    &[0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0];
const STAGE_SECONDS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Below zero a slot was late.
const MARGIN_SECONDS: &[f64] = &[
    -60.0, -30.0, -10.0, -5.0, -1.0, 0.0, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0,
];
/// A sync takes less than a millisecond on a good disk and seconds on a failing one.
const COMMIT_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Why slots are not taken.
pub(crate) const fn reasons() -> &'static [&'static str] {
    &REASONS
}

/// What models may be doing.
pub(crate) const fn model_states() -> &'static [&'static str] {
    &STATES
}

macro_rules! metrics {
    ($($id:ident: $name:literal, $kind:expr, $unit:literal, $labels:expr, $origin:ident, $about:literal;)+) => {
        $(
            #[doc = $about]
            pub(crate) const $id: Metric = Metric {
                name: $name, kind: $kind, unit: $unit, labels: $labels, about: $about, origin: Origin::$origin,
            };
        )+
        /// Every metric.
        pub(crate) const ALL: &[Metric] = &[$($id),+];
    };
}

metrics! {
    NODE_INFO: "vortex.node.info", Kind::Gauge, "",
        &[label("version", Values::Text), label("profile", Values::Text), label("bundle", Values::Text)], Asked,
        "Always 1; says which version runs, with which profile and weights.";
    NODE_READY: "vortex.node.ready", Kind::Gauge, "", ONE, Asked,
        "1 where slots may be sent, as /readyz says; else 0.";
    NODE_READY_AFTER: "vortex.node.ready_after", Kind::Gauge, "s", ONE, Asked,
        "From the start of the process until slots could be sent; absent before.";
    NODE_CRASHES: "vortex.node.crashes", Kind::Gauge, "{end}", ONE, Told,
        "How many processes before this one ended with exit code 71 within restart.process.window; 0 where none did.";

    MEMORY_USAGE: "vortex.memory.usage", Kind::UpDownCounter, "By", OF_DEVICE, Asked,
        "Memory in use on the device, by anyone, where it is no GPU.";
    MEMORY_SIZE: "vortex.memory.size", Kind::UpDownCounter, "By", OF_DEVICE, Asked,
        "All memory of the device, or the share given to this process, where it is no GPU.";
    GPU_MEMORY_USAGE: "hw.gpu.memory.usage", Kind::UpDownCounter, "By", OF_GPU, Asked,
        "Memory in use on the GPU, by anyone.";
    GPU_MEMORY_LIMIT: "hw.gpu.memory.limit", Kind::UpDownCounter, "By", OF_GPU, Asked,
        "All memory of the GPU.";
    GPU_MEMORY_UTILIZATION: "hw.gpu.memory.utilization", Kind::Gauge, "1", OF_GPU, Asked,
        "Share of the GPU's memory that is in use, by anyone.";
    MEMORY_LIMIT: "vortex.memory.limit", Kind::UpDownCounter, "By",
        &[DEVICE, label("limit", Values::Names(&LIMITS))], Asked,
        "The limits of the settings, of a GPU and of a host alike.";
    MEMORY_USED: "vortex.memory.used", Kind::UpDownCounter, "By", OF_MODEL, Asked,
        "What is put down to the model: its weights (their budget until they are measured) and what it has grown by since.";
    MEMORY_RESERVED: "vortex.memory.reserved", Kind::UpDownCounter, "By", OF_MODEL, Asked,
        "What the model's leases stand for: its weights and the runs under way.";
    MEMORY_UNACCOUNTED: "vortex.memory.unaccounted", Kind::UpDownCounter, "By", OF_DEVICE, Asked,
        "In use on the device beyond what leases stand for, at the last usable sample.";
    MEMORY_PRESSURE: "vortex.memory.pressure", Kind::Gauge, "", OF_DEVICE, Asked,
        "0 normal, 1 at or above the soft limit, 2 at or above the hard limit.";
    MEMORY_BLIND: "vortex.memory.blind", Kind::Gauge, "", OF_DEVICE, Asked,
        "1 where no usable sample of memory has come for too long; else 0.";
    MEMORY_VIOLATIONS: "vortex.memory.violations", Kind::Counter, "{violation}", OF_DEVICE, Told,
        "How often use reached the hard limit.";
    MEMORY_REMEDIES: "vortex.memory.remedies", Kind::Counter, "{remedy}",
        &[DEVICE, MODEL, label("remedy", Values::Names(&REMEDIES))], Told,
        "What was done about memory of our own, and which model was restarted for it.";
    MEMORY_LEASES_WAITING: "vortex.memory.leases.waiting", Kind::UpDownCounter, "{run}", OF_DEVICE, Asked,
        "Runs that are due and wait for memory.";
    MEMORY_LEASES_REFUSED: "vortex.memory.leases.refused", Kind::Counter, "{lease}", OF_MODEL, Told,
        "Leases refused before anything was allocated; each failed a slot.";
    MEMORY_FRAGMENTATION: "vortex.memory.fragmentation", Kind::Gauge, "1", OF_DEVICE, Asked,
        "Share of the allocation pool that is held without use; absent where there is no pool.";
    MEMORY_LEAK_SLOPE: "vortex.memory.leak.slope", Kind::Gauge, "By/h", OF_DEVICE, Asked,
        "How fast what no lease stands for grows, over the last hour; absent in the first minutes.";
    MEMORY_LEAKS: "vortex.memory.leaks", Kind::Counter, "{verdict}", OF_DEVICE, Told,
        "How often the leak fit found that memory leaks.";

    SLOTS_ENDED: "vortex.slots.ended", Kind::Counter, "{slot}",
        &[label("outcome", Values::Names(&OUTCOMES)), label("cause", Values::Names(&CAUSES))], Told,
        "Slots that have ended, by how and why; completed and superseded ones have no cause.";
    SLOTS_LATE: "vortex.slots.late", Kind::Counter, "{slot}", ONE, Told,
        "Slots that were completed after their deadline.";
    SLOTS_WAITING: "vortex.slots.waiting", Kind::UpDownCounter, "{slot}", ONE, Asked,
        "Accepted slots that have not begun.";
    SLOTS_RUNNING: "vortex.slots.running", Kind::UpDownCounter, "{slot}", ONE, Asked,
        "Slots that have begun and not ended.";
    SLOTS_CAPACITY: "vortex.slots.capacity", Kind::UpDownCounter, "{slot}", ONE, Asked,
        "Accepted slots that may wait, on all devices.";
    SLOTS_REFUSED: "vortex.slots.refused", Kind::Counter, "{slot}",
        &[label("reason", Values::Names(&REASONS))], Asked,
        "Slots that were handed in and not taken, by the kind of problem that was answered.";
    SLOT_DURATION: "vortex.slot.duration", Kind::Histogram(SLOT_SECONDS), "s", ONE, Told,
        "From a slot's acceptance to its completion.";
    STAGE_DURATION: "vortex.stage.duration", Kind::Histogram(STAGE_SECONDS), "s", &[STAGE], Told,
        "Time of a stage that was completed, all its attempts together.";
    SLOT_DEADLINE_MARGIN: "vortex.slot.deadline_margin", Kind::Histogram(MARGIN_SECONDS), "s", ONE, Told,
        "What was left until the deadline when a slot was completed; below zero where it was late.";

    RESTARTS: "vortex.restarts", Kind::Counter, "{restart}",
        &[DEVICE, label("actor", Values::Names(&ACTORS)), label("cause", Values::Names(&FAULTS))], Told,
        "Actors that were started again, by what had befallen them.";
    MODEL_STATE: "vortex.model.state", Kind::Gauge, "",
        &[DEVICE, MODEL, label("state", Values::Names(&STATES))], Asked,
        "1 for the state that the model is in, 0 for the others.";
    ENCODER_FRAMES: "vortex.encoder.frames", Kind::Counter, "{frame}", ONE, Told,
        "Frames of finished videos.";
    ENCODER_BUSY: "vortex.encoder.busy", Kind::Counter, "s", ONE, Told,
        "How long encoders were busy with them.";

    JOURNAL_COMMIT: "vortex.journal.commit", Kind::Histogram(COMMIT_SECONDS), "s", ONE, Told,
        "How long group commits of the journal took, to both of its files.";
    JOURNAL_DROPPED: "vortex.journal.dropped", Kind::Counter, "{change}", ONE, Asked,
        "Events and other changes nobody waits for that were given up while the journal could not be written.";
    JOURNAL_FAILING: "vortex.journal.failing", Kind::Gauge, "", ONE, Asked,
        "1 where the last commit of the journal failed; else 0.";
    OUTBOX_WAITING: "vortex.outbox.waiting", Kind::UpDownCounter, "{message}", ONE, Asked,
        "Webhook messages still to be delivered.";
    OUTBOX_GIVEN_UP: "vortex.outbox.given_up", Kind::Counter, "{message}", ONE, Asked,
        "Webhook messages that were given up.";
    TELEMETRY_DROPPED: "vortex.telemetry.dropped", Kind::Counter, "{item}",
        &[label("signal", Values::Names(&SIGNALS))], Asked,
        "Spans and records of logs that were never exported: their queue was full, or the receiver took none for too long.";
    TELEMETRY_EXPORT_FAILURES: "vortex.telemetry.export.failures", Kind::Counter, "{export}",
        &[label("signal", Values::Names(&SIGNALS))], Asked,
        "Exports that the receiver did not take.";
    DISK_FREE: "vortex.disk.free", Kind::UpDownCounter, "By", ONE, Asked,
        "What the data folder's disk has left for this user.";
    DISK_SIZE: "vortex.disk.size", Kind::UpDownCounter, "By", ONE, Asked,
        "The size of the data folder's disk.";

    NETWORK_CONNECTED: "vortex.network.connected", Kind::Gauge, "", ONE, Asked,
        "1 where the connection to the network stands, else 0; absent where the node is in none, like all that follow.";
    NETWORK_CLAIMS: "vortex.network.claims", Kind::UpDownCounter, "{claim}", ONE, Asked,
        "Claims on work of the network that hold.";
    NETWORK_CLAIMS_LOST: "vortex.network.claims.lost", Kind::Counter, "{claim}", ONE, Asked,
        "Claims that were lost before the work had its end: confirmations did not come in time.";
    NETWORK_LETTERS: "vortex.network.letters", Kind::Counter, "{letter}", ONE, Asked,
        "Dead letters that this node has written, of work that nobody is to try again.";
    NETWORK_CLOCK_OFFSET: "vortex.network.clock.offset", Kind::Gauge, "s", ONE, Asked,
        "How far this machine's clock is ahead of the network's, as last compared; below zero it is behind. Absent before.";
}
