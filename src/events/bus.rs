//! The bus: hands an event to every subscriber, at once and in order.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::{Event, EventKind};
use crate::clock;
use crate::types::{DeviceId, SlotId};

/// Hears every event, in order per slot. Called inside actors and on models' threads: never blocks.
pub trait Subscriber: Send + Sync + 'static {
    /// `event` has happened.
    fn hear(&self, event: &Event);

    /// Whether single steps of runs are wanted too; where nobody wants them, only those of the video are told.
    fn wants_steps(&self) -> bool {
        true
    }
}

/// All subscribers of a node, as one device's part of it tells them. Clones tell the same.
#[derive(Clone)]
pub struct Bus {
    all: Arc<[Arc<dyn Subscriber>]>,
    device: Option<DeviceId>,
}

impl Bus {
    /// To these; of no device yet.
    pub fn new(all: Vec<Arc<dyn Subscriber>>) -> Self {
        Self { all: all.into(), device: None }
    }

    /// The same, of what happens on `device`.
    pub fn on(&self, device: DeviceId) -> Self {
        Self { all: Arc::clone(&self.all), device: Some(device) }
    }

    /// Tells what happened to this part of the node.
    pub fn tell(&self, kind: EventKind) {
        self.send(None, kind);
    }

    /// Tells what happened to `slot`. Told inside the slot's span, log lines carry it.
    pub fn tell_of(&self, slot: SlotId, kind: EventKind) {
        self.send(Some(slot), kind);
    }

    fn send(&self, slot: Option<SlotId>, kind: EventKind) {
        if self.all.is_empty() {
            return;
        }
        let event = Event { at: clock::unix_time(), device: self.device, slot, kind };
        for subscriber in self.all.iter() {
            subscriber.hear(&event);
        }
    }

    /// Whether anybody wants single steps of runs.
    pub fn wants_steps(&self) -> bool {
        self.all.iter().any(|subscriber| subscriber.wants_steps())
    }
}

/// Sends a copy of every event through a channel, for whoever waits for them. Unbounded, as what happens is bounded by the
/// steps of open slots; an event that nobody receives any more is dropped.
pub struct Forward(pub UnboundedSender<Event>);

impl Subscriber for Forward {
    fn hear(&self, event: &Event) {
        let _ = self.0.send(event.clone());
    }
}
