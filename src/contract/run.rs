//! Progress, health and cancellation of a running job, in one call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

/// What a job counts its progress in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Layers or weight files while loading or encoding a prompt.
    Parts,
    /// Sentences spoken.
    Sentences,
    /// Denoising steps.
    Steps,
    /// Video frames.
    Frames,
    /// Pictures scored.
    Images,
}

/// How far a job is: `done` of `total` units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is counted.
    pub unit: Unit,
    /// Units finished.
    pub done: u32,
    /// Units in all, as far as known.
    pub total: u32,
}

impl Progress {
    /// `done` of `total` of `unit`.
    pub fn new(unit: Unit, done: u32, total: u32) -> Self {
        Self { unit, done, total }
    }
}

/// The job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Tells a running job to stop at its next step. Clones share one flag; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the job to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Sees every step of a job, on the job's own thread: stamps it for health, forwards it for display. Never blocks.
pub trait Observe: Send + Sync {
    /// A step was made.
    fn step(&self, progress: Progress);
}

/// The running job's side: it steps, and learns whether to go on.
#[derive(Clone)]
pub struct Run {
    cancel: CancelFlag,
    observer: Option<Arc<dyn Observe>>,
}

impl Run {
    /// Cancelled by `cancel`, seen by `observer`.
    pub fn new(cancel: CancelFlag, observer: Arc<dyn Observe>) -> Self {
        Self { cancel, observer: Some(observer) }
    }

    /// Seen by nobody and cancelled by nobody: for canaries of a single inference, commands and benchmarks.
    pub fn unobserved() -> Self {
        Self { cancel: CancelFlag::new(), observer: None }
    }

    /// Reports progress and health; fails where the job is to stop.
    pub fn step(&self, progress: Progress) -> Result<(), Cancelled> {
        if let Some(observer) = &self.observer {
            observer.step(progress);
        }
        if self.cancel.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<Progress>>);

    impl Observe for Seen {
        fn step(&self, progress: Progress) {
            self.0.lock().unwrap().push(progress);
        }
    }

    #[test]
    fn a_step_is_seen_even_when_it_is_the_last() {
        let (cancel, seen) = (CancelFlag::new(), Arc::new(Seen::default()));
        let run = Run::new(cancel.clone(), seen.clone());
        assert_eq!(run.step(Progress::new(Unit::Steps, 1, 4)), Ok(()));
        cancel.cancel();
        assert_eq!(run.step(Progress::new(Unit::Steps, 2, 4)), Err(Cancelled));
        assert_eq!(seen.0.lock().unwrap().len(), 2);
    }
}
