//! What the sender needs of the journal: rows to send, and a place to write down what became of them.

use std::collections::HashSet;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::origin_of;
use crate::types::{SlotId, TraceParent};

/// An answer that may take a moment.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whatever went wrong in the journal.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// A message that is still to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number in the outbox; greater is later.
    pub id: u64,
    /// Whose event it is.
    pub slot: SlotId,
    /// The event's id, `GENERATION-SEQUENCE`: the message's id too, the same in every try.
    pub event: String,
    /// Where it goes.
    pub url: String,
    /// Where its receiver's spans belong, where the slot has a trace.
    pub traceparent: Option<TraceParent>,
    /// What [`body`](super::body) made.
    pub body: Arc<str>,
    /// How often it was tried before.
    pub attempts: u32,
    /// Since when it is to be sent, since the Unix epoch. An operator's wish to send it again sets this anew, and
    /// `attempts` to 0.
    pub since: Duration,
}

/// Rows that the sender does not want now, since it has enough of their kind in work.
#[derive(Clone, Copy, Debug)]
pub struct Skip<'a> {
    pub(super) slots: &'a HashSet<SlotId>,
    pub(super) origins: &'a HashSet<String>,
}

impl<'a> Skip<'a> {
    /// These slots, and rows to these origins.
    pub fn of(slots: &'a HashSet<SlotId>, origins: &'a HashSet<String>) -> Self {
        Self { slots, origins }
    }
    /// Whether a row of this slot to this address is not wanted.
    pub fn skips(&self, slot: SlotId, url: &str) -> bool {
        self.slots.contains(&slot) || (!self.origins.is_empty() && self.origins.contains(&origin_of(url)))
    }

    /// Whether nothing is skipped.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.origins.is_empty()
    }
}

/// What became of a try. Times are since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was received.
    Delivered {
        /// When.
        at: Duration,
    },
    /// It was not, and is tried again.
    Retry {
        /// Not before; within [`LONGEST_WAIT`](super::LONGEST_WAIT).
        next_at: Duration,
        /// Why not.
        error: String,
    },
    /// It is given up.
    Undelivered {
        /// When.
        at: Duration,
        /// Why.
        error: String,
    },
}

/// The outbox, as the sender sees it. No call blocks; times are since the Unix epoch.
pub trait Outbox: Send + Sync + 'static {
    /// At most `limit` rows that are due at `now` and not skipped, at most one of each slot: its oldest pending one. Where
    /// that one waits for its next try, the slot's later ones wait behind it. Rows that have been due for longest come
    /// first. A row whose time lies further ahead than [`LONGEST_WAIT`](super::LONGEST_WAIT) is due as well: the clock was
    /// set back after it was written.
    fn due<'a>(
        &'a self,
        now: Duration,
        limit: usize,
        skip: Skip<'a>,
    ) -> Reply<'a, Result<Vec<Row>, AnyError>>;

    /// When rows that wait for their next try come due, at most `limit` of them, the soonest first: what an earlier process
    /// knew.
    fn later(&self, now: Duration, limit: usize) -> Reply<'_, Result<Vec<Duration>, AnyError>>;

    /// What became of a row's next try, which counts; answered once it is durable.
    fn mark(&self, id: u64, mark: Mark) -> Reply<'_, Result<(), AnyError>>;
}
