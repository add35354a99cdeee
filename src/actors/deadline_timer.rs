//! One actor's next deadline, as a message to itself.
//!
//! Lazy: moving the deadline later starts no new timer, the old one finds out when it rings. An actor that moves its
//! deadline with every job so pays for a timer once per deadline, not once per job. Aborts its timer on drop.

use std::time::Instant;

use ractor::{ActorRef, Message};
use tokio::task::JoinHandle;

/// The deadline of an actor with messages `M`.
pub(super) struct DeadlineTimer<M> {
    deadline: Option<Instant>,
    armed: Option<(Instant, JoinHandle<()>)>,
    ring: fn() -> M,
}

impl<M: Message> DeadlineTimer<M> {
    /// Not set; rings by sending `ring()`.
    pub(super) fn new(ring: fn() -> M) -> Self {
        Self { deadline: None, armed: None, ring }
    }

    /// Rings at `at`, and at no other deadline set before; `None` not at all.
    pub(super) fn set(&mut self, myself: &ActorRef<M>, at: Option<Instant>) {
        self.deadline = at;
        let Some(at) = at else { return };
        if self.armed.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return;
        }
        self.disarm();
        let (myself, ring) = (myself.clone(), self.ring);
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            // An actor that is gone has no deadlines.
            let _ = myself.cast(ring());
        });
        self.armed = Some((at, timer));
    }

    /// To be asked when the message has come: whether the deadline has passed (and is now unset). Where it has moved,
    /// the timer is set again.
    pub(super) fn rang(&mut self, myself: &ActorRef<M>, now: Instant) -> bool {
        self.armed = None;
        match self.deadline {
            Some(at) if at <= now => {
                self.deadline = None;
                true
            }
            later => {
                self.set(myself, later);
                false
            }
        }
    }

    fn disarm(&mut self) {
        if let Some((_, timer)) = self.armed.take() {
            timer.abort();
        }
    }
}

impl<M> Drop for DeadlineTimer<M> {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.armed.take() {
            timer.abort();
        }
    }
}
