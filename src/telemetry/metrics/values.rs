//! What labels may say. All of it is bounded: kinds, states and causes out of the code's own lists, devices of the machine.

use crate::events::Fault;
use crate::journal::{CancelCause, Failure};
use crate::telemetry::export::Signal;
use crate::types::{ModelId, Stage};

/// The values of one label.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// One of these; what is none of them counts as [`OTHER`].
    Names(&'static [&'static str]),
    /// A device of this node, or empty for the node as a whole.
    Devices,
    /// The identifier of a GPU of this node, as its driver has it.
    Boards,
    /// One text for the life of the process.
    Text,
}

impl Values {
    /// `value`, where it is one that the label may have.
    pub(crate) fn bounded<'a>(&self, value: &'a str) -> &'a str {
        match self {
            Self::Names(names) if !names.contains(&value) => OTHER,
            Self::Names(_) | Self::Devices | Self::Boards | Self::Text => value,
        }
    }
}

/// Stands for a value that a label does not know.
pub(crate) const OTHER: &str = "other";

/// Where no value belongs.
pub(crate) const NONE: &str = "";

/// `count` names, each made by the expression at its place.
macro_rules! listed {
    ($all:expr) => {{
        const ALL: &[&str] = &[""; $all.len()];
        let mut names = [""; ALL.len()];
        let mut place = 0;
        while place < names.len() {
            names[place] = $all[place].name();
            place += 1;
        }
        names
    }};
}

/// The models; empty where none is meant.
pub(crate) const MODELS: [&str; ModelId::ALL.len() + 1] = with_none(listed!(ModelId::ALL));
/// The stages.
pub(crate) const STAGES: [&str; Stage::ALL.len()] = listed!(Stage::ALL);
/// Which limit of memory.
pub(crate) const LIMITS: [&str; 2] = ["soft", "hard"];
/// What is done about memory.
pub(crate) const REMEDIES: [&str; 3] = ["plan_restart", "restart", "give_up_device"];
/// What is exported.
pub(crate) const SIGNALS: [&str; Signal::ALL.len()] = listed!(Signal::ALL);
/// How a slot ends.
pub(crate) const OUTCOMES: [&str; 4] = ["completed", "failed", "cancelled", "superseded"];
/// Why slots fail.
pub(crate) const FAILURES: [&str; Failure::ALL.len()] = listed!(Failure::ALL);
/// Why slots are cancelled.
pub(crate) const CANCELS: [&str; CancelCause::ALL.len()] = listed!(CancelCause::ALL);
/// Both; empty for a slot that was completed or superseded.
pub(crate) const CAUSES: [&str; FAILURES.len() + CANCELS.len() + 1] = causes();
/// What befalls actors.
pub(crate) const FAULTS: [&str; Fault::ALL.len()] = listed!(Fault::ALL);
/// Who may be started again: models, and the other actors of a device's tree.
pub(crate) const ACTORS: [&str; 8] =
    ["flux", "liveportrait", "kokoro", "clip_b", "clip_l", "watchdog", "models", "orchestrator"];
/// What a model may be doing; `down` where its device's tree does not run.
pub(crate) const STATES: [&str; 8] =
    ["loading", "warming", "ready", "busy", "trimming", "restarting", "cordoned", "down"];
/// Why a slot is not taken, by the problem's kind as the API names it.
pub(crate) const REASONS: [&str; 14] = [
    "invalid-recipe",
    "signer",
    "late",
    "conflict",
    "pressure",
    "queue-full",
    "not-ready",
    "draining",
    "storage",
    "not-found",
    "gone",
    "webhook",
    "state",
    "internal",
];

const fn with_none<const N: usize, const M: usize>(names: [&'static str; N]) -> [&'static str; M] {
    let mut all = [NONE; M];
    let mut place = 0;
    while place < N {
        all[place] = names[place];
        place += 1;
    }
    all
}

const fn causes() -> [&'static str; FAILURES.len() + CANCELS.len() + 1] {
    let mut all = [NONE; FAILURES.len() + CANCELS.len() + 1];
    let mut place = 0;
    while place < FAILURES.len() {
        all[place] = FAILURES[place];
        place += 1;
    }
    while place < FAILURES.len() + CANCELS.len() {
        all[place] = CANCELS[place - FAILURES.len()];
        place += 1;
    }
    all
}
