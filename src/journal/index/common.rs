//! What all handles and threads of one index share: the listeners, what was told last, and how it is doing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::ages::Clocks;
use super::change::Numbered;
use super::generation::Generation;
use super::records::{KeptEvent, Loss, NewEvent};
use super::rows::StateRow;
use super::{IndexError, IndexHealth};

#[derive(Debug)]
pub(super) struct Common {
    pub generation: Generation,
    listeners: broadcast::Sender<Arc<KeptEvent>>,
    told: Mutex<Told>,
    pub health: Mutex<IndexHealth>,
    pub clocks: Mutex<Clocks>,
    closed: AtomicBool,
    on_commit: OnceLock<OnCommit>,
}

/// Hears how long each group commit took.
struct OnCommit(Box<dyn Fn(Duration) + Send + Sync>);

impl fmt::Debug for OnCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCommit")
    }
}

#[derive(Debug)]
struct Told {
    sequence: u64,
    loss: Option<Loss>,
}

impl Common {
    pub(super) fn new(state: &StateRow, backlog: usize, clocks: Clocks) -> Self {
        // The channel rounds up to a power of two and takes no more than half of the address space.
        let (listeners, _) = broadcast::channel(backlog.clamp(1, 1 << 20));
        Self {
            generation: state.generation,
            listeners,
            told: Mutex::new(Told { sequence: state.sequence, loss: state.loss }),
            health: Mutex::new(IndexHealth { group: state.group, ..IndexHealth::default() }),
            clocks: Mutex::new(clocks),
            closed: AtomicBool::new(false),
            on_commit: OnceLock::new(),
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<KeptEvent>> {
        self.listeners.subscribe()
    }

    /// Whoever asks first hears how long commits take.
    pub(super) fn on_commit(&self, hear: Box<dyn Fn(Duration) + Send + Sync>) {
        let _ = self.on_commit.set(OnCommit(hear));
    }

    /// A group is durable after this long.
    pub(super) fn committed(&self, took: Duration) {
        if let Some(OnCommit(hear)) = self.on_commit.get() {
            hear(took);
        }
    }

    /// Tells events that are durable.
    pub(super) fn tell(&self, events: &[Numbered]) {
        for Numbered { sequence, event } in events {
            self.told.lock().sequence = *sequence;
            self.send(Some(*sequence), event.clone());
        }
    }

    /// Tells an event without a number.
    pub(super) fn tell_only(&self, event: NewEvent) {
        self.send(None, event);
    }

    fn send(&self, sequence: Option<u64>, event: NewEvent) {
        let NewEvent { at, slot, kind, json, deliver_to: _ } = event;
        // Nobody may be listening.
        let _ = self.listeners.send(Arc::new(KeptEvent { sequence, at, slot, kind, json }));
    }

    /// After a group.
    pub(super) fn publish(&self, state: &StateRow) {
        self.told.lock().loss = state.loss;
        self.health.lock().group = state.group;
    }

    pub(super) fn sequence(&self) -> u64 {
        self.told.lock().sequence
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        self.told.lock().loss
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn check_open(&self) -> Result<(), IndexError> {
        if self.closed.load(Ordering::Acquire) { Err(IndexError::Closed) } else { Ok(()) }
    }
}
