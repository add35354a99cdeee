//! How long a model's states may last, how many slots may be open, and which limits may change while a tree runs.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::vram::policy::Thresholds;

/// How much may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLimits {
    /// Accepted slots that may wait.
    pub queue: NonZeroUsize,
    /// Slots in work at once.
    pub lookahead: NonZeroUsize,
}

/// Limits of one device that may change while its tree runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots at once.
    pub slots: SlotLimits,
    /// Where memory pressure begins and ends.
    pub thresholds: Thresholds,
}

/// The limits in force; clones share them. Whoever needs one asks each time.
#[derive(Clone, Debug)]
pub(crate) struct LiveLimits(Arc<Mutex<Limits>>);

impl LiveLimits {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(limits)))
    }

    /// Those in force.
    pub(crate) fn get(&self) -> Limits {
        *self.0.lock()
    }

    pub(super) fn set(&self, limits: Limits) {
        *self.0.lock() = limits;
    }
}

/// How long each state of a model may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLimits {
    /// Loading without a step.
    pub load: Duration,
    /// The canary.
    pub warm: Duration,
    /// At work without a step: longer than the longest step takes.
    pub stall: Duration,
    /// Giving back memory.
    pub trim: Duration,
    /// From being told to stop to having stopped; after that the thread counts as hung.
    pub grace: Duration,
    /// Ready without work: after this the canary is run again.
    pub idle: Duration,
    /// From the end of the old thread to its memory being back.
    pub memory: Duration,
}

impl Default for ModelLimits {
    /// A load reads gigabytes from a disk; a step on a slow processor takes half a minute; CUDA frees in milliseconds.
    fn default() -> Self {
        Self {
            load: Duration::from_secs(300),
            warm: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            trim: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            memory: Duration::from_secs(10),
        }
    }
}
