//! A job's progress through its parts, and how its cancellation gets out of the networks.

use std::cell::Cell;

use crate::contract::{ErrorClass, ModelError, Progress, Run, Unit};
use crate::models::error::Context;

/// Counts parts and notices cancellation. Networks speak candle's errors, which have no class for it, so it is kept
/// aside here.
pub(super) struct Steps<'a> {
    run: &'a Run,
    done: Cell<usize>,
    total: usize,
    cancelled: Cell<bool>,
}

impl<'a> Steps<'a> {
    /// Of `total` parts.
    pub(super) fn new(run: &'a Run, total: usize) -> Self {
        Self { run, done: Cell::new(0), total, cancelled: Cell::new(false) }
    }

    /// One more part is done; fails where the job is to stop.
    pub(super) fn part(&self) -> candle_core::Result<()> {
        self.skip(1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let progress = Progress::new(Unit::Parts, count(self.done.get()), count(self.total));
        self.run.step(progress).map_err(|cancelled| {
            self.cancelled.set(true);
            candle_core::Error::wrap(cancelled)
        })
    }

    /// Parts that need not be done.
    pub(super) fn skip(&self, parts: usize) {
        self.done.set((self.done.get() + parts).min(self.total));
    }

    /// What came of some work, with cancellation told apart from failure.
    pub(super) fn done<T>(
        &self,
        result: candle_core::Result<T>,
        doing: impl FnOnce() -> String,
    ) -> Result<T, ModelError> {
        match result {
            Err(_) if self.cancelled.get() => Err(ModelError::new(ErrorClass::Cancelled, "cancelled")),
            other => other.context(doing),
        }
    }
}
