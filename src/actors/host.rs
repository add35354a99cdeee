//! Where a model lives: the interface of both hosts, and what outlives an actor that dies.
//!
//! A host owns the model and its memory leases on a thread (or task) of its own, takes orders and answers with notes.
//! The actor is only its mailbox: dropping the handle tells the host to end, and [`Life`] tells whoever waits that it
//! has, that is, that the model is dropped and its leases are returned. Never restarts anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::contract::{CancelFlag, ModelError, Observe, Progress};
use crate::types::{Bytes, ModelId};
use crate::vram::{Lease, Refusal};

mod script;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use script::{Act, Beat, Ending, Script, ScriptHost, Scripted};
pub(crate) use thread::{Loader, ThreadHost};

/// The number of a run, unique within a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// A job on its way to its model, with all it needs there.
pub struct Assignment<J> {
    /// Its number.
    pub run: RunId,
    /// The job.
    pub job: J,
    /// The memory it may use beyond the model's own; held on the model's thread until the run has ended.
    pub lease: Option<Lease>,
    /// Tells it to stop at its next step.
    pub cancel: CancelFlag,
    /// Whether the lease is what runs of this shape have been measured to take; else the model's own estimate counts.
    pub measured: bool,
    /// Sees its steps beside the host.
    pub observer: Option<Arc<dyn Observe>>,
    /// The run's span; entered on the model's thread.
    pub span: tracing::Span,
}

/// What a host is told.
pub enum HostCommand<J> {
    /// Do a job.
    Run(Assignment<J>),
    /// Show again that the model works.
    Canary,
    /// Give back what is not needed to stay ready.
    Trim,
}

/// Why a run brought nothing.
#[derive(Debug)]
pub enum RunFailure {
    /// The model said so.
    Model(ModelError),
    /// The job needs more memory than may be promised; nothing was allocated for it.
    Refused(Box<Refusal>),
}

/// What a host answers.
#[derive(Debug)]
pub enum HostEvent<O> {
    /// The model is loaded.
    Loaded {
        /// What it holds, as measured.
        resident: Bytes,
    },
    /// Its canary passed.
    Fit,
    /// It could not be loaded, or its canary failed. The host ends.
    Unfit(ModelError),
    /// A run has ended and its lease is returned.
    Ended {
        /// The run, as its assignment numbered it.
        run: RunId,
        /// What it brought.
        result: Result<O, RunFailure>,
        /// The most device memory it held, where that could be measured.
        peak: Option<Bytes>,
    },
    /// A trim is done.
    Trimmed {
        /// What came free.
        freed: Bytes,
    },
    /// The model panicked and is dropped. The host ends.
    Panicked {
        /// What it said.
        message: String,
    },
}

impl<O> HostEvent<O> {
    /// The same note of a run that brought `change` of what it brought.
    pub(super) fn map<P>(self, change: impl FnOnce(O) -> P) -> HostEvent<P> {
        match self {
            Self::Loaded { resident } => HostEvent::Loaded { resident },
            Self::Fit => HostEvent::Fit,
            Self::Unfit(error) => HostEvent::Unfit(error),
            Self::Ended { run, result, peak } => HostEvent::Ended { run, result: result.map(change), peak },
            Self::Trimmed { freed } => HostEvent::Trimmed { freed },
            Self::Panicked { message } => HostEvent::Panicked { message },
        }
    }
}

/// Takes a host's notes; called on the host's thread.
pub(crate) type NoteSink<O> = Arc<dyn Fn(HostEvent<O>) + Send + Sync>;

/// What a host is started with.
pub struct Setup<O> {
    /// Which model it is to hold.
    pub model: ModelId,
    /// The memory the model may keep; held on its thread until it is dropped.
    pub lease: Option<Lease>,
    /// Tells a load or a canary to stop.
    pub cancel: CancelFlag,
    /// Stamped at every step.
    pub pulse: Arc<Pulse>,
    /// Where its notes go.
    pub notes: NoteSink<O>,
    /// Dropped last of all.
    pub life: LifeGuard,
}

/// The handle to a running host. Dropping it ends the host after its present order.
pub trait Host<J>: Send {
    /// Hands over an order; false where the host has ended, which its notes or its [`Life`] explain.
    fn order(&self, order: HostCommand<J>) -> bool;
}

/// Starts hosts: the factory behind every restart.
pub trait Launch<J, O>: Send + Sync + 'static {
    /// Starts one, or says why the system gave no thread.
    fn launch(&self, setup: Setup<O>) -> Result<Box<dyn Host<J>>, ModelError>;
}

/// When a host last showed progress. Stamped without locks by the model's thread, read by its actor.
#[derive(Debug)]
pub struct Pulse {
    base: Instant,
    last: AtomicU64,
}

impl Pulse {
    /// First stamped at `now`.
    pub fn new(now: Instant) -> Self {
        Self { base: now, last: AtomicU64::new(0) }
    }

    /// Progress was made at `now`.
    pub fn stamp(&self, now: Instant) {
        let since = u64::try_from(now.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Release);
    }

    /// How long ago that was, at `now`.
    pub fn age(&self, now: Instant) -> Duration {
        let last = Duration::from_nanos(self.last.load(Ordering::Acquire));
        now.saturating_duration_since(self.base).saturating_sub(last)
    }
}

/// Stamps the pulse and passes steps on.
pub(super) struct Stamp {
    pub(super) pulse: Arc<Pulse>,
    pub(super) next: Option<Arc<dyn Observe>>,
}

impl Observe for Stamp {
    fn step(&self, progress: Progress) {
        self.pulse.stamp(crate::clock::now());
        if let Some(next) = &self.next {
            next.step(progress);
        }
    }
}

/// Held by a host until its model and leases are gone.
#[derive(Debug)]
pub struct LifeGuard(#[expect(dead_code, reason = "dropping it is the signal")] watch::Sender<()>);

/// Tells whether a host still holds anything; outlives the actor that started it.
#[derive(Clone, Debug)]
pub(crate) struct Life(watch::Receiver<()>);

impl Life {
    /// A guard for a host about to start, and the life that it keeps.
    pub(crate) fn begin() -> (LifeGuard, Self) {
        let (sender, receiver) = watch::channel(());
        (LifeGuard(sender), Self(receiver))
    }

    /// Whether the host has ended and returned everything.
    pub(crate) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// Waits until it has.
    pub(crate) async fn over(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// Makes `lease` cover what the model says the job needs, before anything is allocated.
pub(super) fn cover(lease: Option<&mut Lease>, need: Bytes) -> Result<(), RunFailure> {
    match lease {
        Some(lease) if lease.bytes() < need => {
            lease.resize(need).map_err(|refusal| RunFailure::Refused(Box::new(refusal)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Makes a resident lease stand for what the load measured; fails where that may not be promised.
pub(super) fn settle(lease: Option<&mut Lease>, measured: Bytes) -> Result<(), ModelError> {
    match lease {
        Some(lease) => lease
            .settle(measured)
            .map_err(|refusal| ModelError::out_of_memory("the loaded model may not stay").because(refusal)),
        None => Ok(()),
    }
}

/// What a caught panic said.
pub(super) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
