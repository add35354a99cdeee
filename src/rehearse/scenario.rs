//! What a scenario says: the device, the models, what arrives, what goes wrong, and what is expected.
//!
//! Owns the validated form and its parsing from TOML; every problem is reported at once. Plays nothing.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::actors::handle::ActorName;
use crate::actors::plan::StagePolicy;
use crate::actors::restart::RestartPolicy;
use crate::journal::Failure;
use crate::types::{Bytes, DeviceId, ModelId, PerModel, PerStage, Stage, UnknownName};
use crate::vram::ScriptedFault;

mod check;
mod expectations;
mod faults;
mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use super::reader::Problem;
pub use faults::FAULTS;

/// Everything that is wrong with a scenario; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scenario makes no sense, nothing was started:{}", .0.iter().map(|it| format!("\n  {it}")).collect::<String>())]
pub struct ScenarioError(pub Vec<Problem>);

/// A played model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// How long a load takes.
    pub load: Duration,
    /// How long a canary takes.
    pub canary: Duration,
    /// How long a job takes.
    pub run: Duration,
    /// Steps per job.
    pub steps: NonZeroU32,
    /// What it may hold.
    pub budget: Bytes,
    /// What it does hold.
    pub resident: Bytes,
    /// What a job takes beyond that.
    pub workspace: Bytes,
    /// What a trim gives back.
    pub slack: Bytes,
}

/// The played device, of which there may be several alike, and how each is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// How many there are: `scripted:0`, `scripted:1`, …
    pub count: NonZeroU32,
    /// Whether only the first serves and the others stand by, as `render` has them.
    pub standby: bool,
    /// Its size.
    pub total: Bytes,
    /// What the process takes beside its models.
    pub overhead: Bytes,
    /// Above it: backpressure.
    pub soft_limit: Bytes,
    /// Above it: restarts.
    pub hard_limit: Bytes,
    /// Pressure clears this far below.
    pub hysteresis: Bytes,
    /// And after so long.
    pub dwell: Duration,
    /// Between two looks.
    pub sample_every: Duration,
    /// Older looks decide nothing.
    pub stale_after: Duration,
}

/// Slots that arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    /// The first.
    pub at: Duration,
    /// The number of slots.
    pub count: u64,
    /// Between two; zero is a burst.
    pub every: Duration,
    /// Each one's time to its deadline.
    pub deadline: Duration,
    /// Whether what is refused for now asks again.
    pub patient: bool,
    /// Whether whoever wanted it takes it back after this long.
    pub cancel_after: Option<Duration>,
}

/// How a run goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFault {
    /// The device has no memory for it.
    OutOfMemory,
    /// It panics.
    Panic,
    /// It returns an error.
    Error,
    /// It makes no further step and heeds no cancellation.
    Hang,
    /// It leaves the device's context unusable.
    Poison,
    /// It goes on this much longer, with steps.
    Slow(Duration),
}

/// A misfortune.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// On this device only; any other kind befalls every device.
    On(DeviceId, Box<Fault>),
    /// In a stage of certain slots, at its first so many attempts.
    Run {
        /// The stage.
        stage: Stage,
        /// From which slot on, counted from 1 in the order of the tables of arrivals.
        slot: u64,
        /// How many slots in a row.
        slots: u64,
        /// Attempts of each that go wrong.
        attempts: u64,
        /// How it goes wrong.
        how: RunFault,
    },
    /// The first so many loads of a model (after `after` good ones) fail.
    Load {
        /// The model.
        model: ModelId,
        /// Good loads before.
        after: u64,
        /// Bad ones then.
        times: u64,
        /// Whether they fail because its files cannot be used.
        unusable: bool,
    },
    /// A model's use creeps up by this much a minute of work, until it is dropped.
    Drift {
        /// The model.
        model: ModelId,
        /// Bytes a minute of work.
        per_minute: Bytes,
        /// Begins at this time from the start.
        at: Duration,
        /// Ends at this time from the start.
        until: Duration,
    },
    /// A model keeps this much of every job, until it is dropped.
    Leak {
        /// The model.
        model: ModelId,
        /// Bytes of every job.
        per_slot: Bytes,
    },
    /// A model's memory does not come back when it is dropped.
    Keep {
        /// The model.
        model: ModelId,
    },
    /// Another process takes this much for a while.
    Others {
        /// Begins at this time from the start.
        at: Duration,
        /// Its length.
        lasts: Duration,
        /// The amount.
        bytes: Bytes,
    },
    /// The probe fails for a while.
    Probe {
        /// Begins at this time from the start.
        at: Duration,
        /// Its length.
        lasts: Duration,
        /// What the probe does meanwhile.
        how: ScriptedFault,
    },
    /// An actor of a device's tree is killed where it stands.
    Kill {
        /// The actor, by its place in the tree.
        actor: ActorName,
        /// Time from the beginning of the rehearsal.
        at: Duration,
    },
    /// The node is told to shut down.
    Shutdown {
        /// Time from the beginning of the rehearsal.
        at: Duration,
    },
}

impl Fault {
    /// What of it befalls `device`.
    pub fn on(&self, device: DeviceId) -> Option<&Self> {
        match self {
            Self::On(where_to, fault) => fault.on(device).filter(|_| *where_to == device),
            fault => Some(fault),
        }
    }

    /// When it is over, for those that have a time.
    pub fn over_at(&self) -> Duration {
        match self {
            Self::On(_, fault) => fault.over_at(),
            Self::Run { .. } | Self::Load { .. } | Self::Leak { .. } | Self::Keep { .. } => Duration::ZERO,
            Self::Drift { until, .. } => *until,
            Self::Others { at, lasts, .. } | Self::Probe { at, lasts, .. } => at.saturating_add(*lasts),
            Self::Kill { at, .. } | Self::Shutdown { at } => *at,
        }
    }
}

/// What is expected; what is not named is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectations {
    /// Slots accepted.
    pub accepted: Option<u64>,
    /// Slots completed.
    pub completed: Option<u64>,
    /// Slots completed in time.
    pub in_time: Option<u64>,
    /// Slots refused, by reason; others none.
    pub refused: Option<BTreeMap<String, u64>>,
    /// At least so many refusals, by reason.
    pub refused_at_least: BTreeMap<String, u64>,
    /// Slots failed, by cause; others none.
    pub failed: Option<BTreeMap<Failure, u64>>,
    /// Slots cancelled.
    pub cancelled: Option<u64>,
    /// Slots left open in the journal for the next start.
    pub kept: Option<u64>,
    /// Slots taken up again.
    pub resumed: Option<u64>,
    /// Slots that each device took in, also from another; others none.
    pub placed: Option<BTreeMap<String, u64>>,
    /// Exit code of each device that was lost; others none.
    pub cards_lost: Option<BTreeMap<String, u64>>,
    /// Restarts per actor, where there are several devices with the device in front (`scripted:1/flux`); others none.
    pub restarts: Option<BTreeMap<String, u64>>,
    /// Longest time from a model's fault to its being ready again.
    pub ready_within: Option<Duration>,
    /// Highest use.
    pub highest_use: Option<Bytes>,
    /// Looks at which this process used more than the hard limit.
    pub limit_violations: Option<u64>,
    /// Longest time from this process's own use reaching the hard limit to the first remedy.
    pub until_remedy: Option<Duration>,
    /// Longest time that this process's own use stood at the hard limit.
    pub until_relief: Option<Duration>,
    /// Longest time that a device took nothing in though nothing was open there, for reasons of the node's own.
    pub not_accepting: Option<Duration>,
    /// Longest time that nothing was done for open slots, for reasons of the node's own.
    pub not_working: Option<Duration>,
    /// Leases refused.
    pub leases_refused: Option<u64>,
    /// Exit code of each process, in order.
    pub exits: Option<Vec<u8>>,
    /// Mean time between two completions in the steady middle, with the tolerance as a share.
    pub period: Option<(Duration, f64)>,
}

/// A whole scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it shows, in a line.
    pub about: String,
    /// Simulated time after which it is broken off.
    pub limit: Duration,
    /// Simulated time left running after the last slot has ended.
    pub settle: Duration,
    /// Of the backoffs' jitter.
    pub seed: u64,
    /// Processes after the first that a service manager would start.
    pub processes: u64,
    /// The device.
    pub device: Device,
    /// The models.
    pub parts: PerModel<Part>,
    /// How long packaging takes.
    pub package: Duration,
    /// The plan's rows.
    pub stages: PerStage<StagePolicy>,
    /// Kept free before deadlines.
    pub buffer: Duration,
    /// Slots that may wait.
    pub queue: NonZeroUsize,
    /// Slots in work at once.
    pub lookahead: NonZeroUsize,
    /// Restarts of models.
    pub restart: RestartPolicy,
    /// A cordon's length.
    pub cordon: Duration,
    /// From cancellation to hung.
    pub grace: Duration,
    /// At work without a step.
    pub stall: Duration,
    /// For memory to come back.
    pub memory_back: Duration,
    /// For slots in work at a shutdown.
    pub drain: Duration,
    /// Leak verdicts, every so many slots.
    pub leak_every: NonZeroU32,
    /// What arrives.
    pub arrivals: Vec<Arrivals>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What is expected.
    pub expect: Expectations,
}

impl Device {
    /// Every one.
    pub fn ids(&self) -> impl Iterator<Item = DeviceId> + use<> {
        (0..self.count.get()).map(DeviceId::Scripted)
    }
}

/// Actors that are not a model's, by name.
const ACTORS: [(&str, ActorName); 5] = [
    ("root", ActorName::Root),
    ("node", ActorName::Node),
    ("watchdog", ActorName::Watchdog),
    ("models", ActorName::Models),
    ("orchestrator", ActorName::Orchestrator),
];

/// Reads an actor's name.
fn actor_name(text: &str) -> Result<ActorName, UnknownName> {
    if let Some((_, actor)) = ACTORS.iter().find(|(name, _)| *name == text) {
        return Ok(*actor);
    }
    text.parse().map(ActorName::Model).map_err(|_| {
        let names: Vec<&str> = ACTORS.iter().map(|(name, _)| *name).chain(ModelId::NAMES).collect();
        UnknownName::new("an actor", text, &names)
    })
}

/// An actor's name, as it is read.
fn actor_text(actor: ActorName) -> &'static str {
    match actor {
        ActorName::Model(model) => model.name(),
        other => ACTORS.iter().find(|(_, it)| *it == other).map_or("root", |(name, _)| name),
    }
}
