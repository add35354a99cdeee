//! What a model's actor is told, and how long its states may last. Data only.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::host::{HostEvent, RunId};
use crate::actors::job::{Job, Output};
use crate::contract::Observe;
use crate::vram::Lease;

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

/// A job for a model's actor, with all that travels with it.
pub struct Work {
    /// Its number.
    pub run: RunId,
    /// The job.
    pub job: Job,
    /// The memory it may use.
    pub lease: Option<Lease>,
    /// Whether the lease is what runs of this shape have been measured to take.
    pub measured: bool,
    /// Sees its steps.
    pub observer: Option<Arc<dyn Observe>>,
    /// Its span.
    pub span: tracing::Span,
}

/// What a model's actor is told.
pub enum ModelMsg {
    /// Do this job. Sent to a ready model only; one that arrives a moment early waits.
    Run(Box<Work>),
    /// Stop that job at its next step.
    Cancel(RunId),
    /// A new orchestrator has come: stop what the old one wanted, and tell it when ready.
    Report,
    /// Give back memory, when idle.
    Trim,
    /// The host said this.
    Noted(HostEvent<Output>),
    /// A deadline may have passed.
    DeadlineDue,
}
