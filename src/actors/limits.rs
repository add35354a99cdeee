//! How long a model's states may last, and how many slots may be open. Data only.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How much may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLimits {
    /// Accepted slots that may wait.
    pub queue: NonZeroUsize,
    /// Slots in work at once.
    pub lookahead: NonZeroUsize,
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
