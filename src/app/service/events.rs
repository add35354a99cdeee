//! What the service does with every event: shows it in the views, counts it, keeps it in the journal, tells it to listeners.
//!
//! Called inside actors and on models' threads: takes short locks and hands over, and never waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::table::SlotTable;
use super::tree::TreeLog;
use super::views::wants;
use crate::events::{Event, EventKind, Subscriber};
use crate::journal::index::{Index, NewEvent};
use crate::types::DeviceId;

/// Samples of memory come four times a second, snapshots around every slot; listeners draw a line of them.
const MEMORY_EVERY: Duration = Duration::from_secs(1);

/// The service's ear.
pub(super) struct ServiceEvents {
    pub(super) table: Arc<SlotTable>,
    pub(super) tree: Arc<TreeLog>,
    pub(super) index: Index,
    /// When memory was told last, by device, and whether it was a snapshot.
    pub(super) memory_told: Mutex<HashMap<(DeviceId, bool), Duration>>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It gets a number, is kept and told.
    Kept,
    /// It is told and forgotten.
    Told,
    /// The journal tells it itself, with what it means for the slot.
    Elsewhere,
    /// It is of traces alone: a slot has five of them.
    Passed,
}

fn course(kind: &EventKind) -> Course {
    match kind {
        EventKind::GenerationComplete { .. }
        | EventKind::SlotFailed { .. }
        | EventKind::SlotCancelled { .. }
        | EventKind::SlotSuperseded { .. } => Course::Elsewhere,
        EventKind::RunEnded { .. } => Course::Passed,
        EventKind::StageProgress { .. }
        | EventKind::VideoProgress { .. }
        | EventKind::Memory { .. }
        | EventKind::MemorySnapshot(_) => Course::Told,
        _ => Course::Kept,
    }
}

impl Subscriber for ServiceEvents {
    fn hear(&self, event: &Event) {
        let has_begun = self.table.hear(event);
        self.tree.hear(event);
        if has_begun && let Some(slot) = event.slot {
            let device = event.device.map(|device| device.to_string()).unwrap_or_default();
            self.index.begun(slot, event.at, &device);
        }
        match course(&event.kind) {
            Course::Elsewhere | Course::Passed => {}
            Course::Told if self.is_thinned(event) => {}
            course => {
                let Some(mut row) = row(event) else { return };
                match course {
                    Course::Kept => {
                        let webhook = event.slot.and_then(|slot| self.table.webhook(slot));
                        row.deliver_to = webhook.filter(|it| wants(it, &row.kind, false)).map(|it| it.url);
                        self.index.event(row);
                    }
                    Course::Told | Course::Elsewhere | Course::Passed => self.index.transient(row),
                }
            }
        }
    }
}

impl ServiceEvents {
    fn is_thinned(&self, event: &Event) -> bool {
        let is_snapshot = match &event.kind {
            EventKind::Memory { .. } => false,
            EventKind::MemorySnapshot(_) => true,
            _ => return false,
        };
        let Some(device) = event.device else { return false };
        let mut told = self.memory_told.lock();
        let last = told.entry((device, is_snapshot)).or_default();
        // A clock that was set back tells again at once.
        if event.at < *last || event.at.saturating_sub(*last) >= MEMORY_EVERY {
            *last = event.at;
            return false;
        }
        true
    }
}

/// `event` as it is kept and told; none where it cannot be written as JSON, which no event is.
pub(super) fn row(event: &Event) -> Option<NewEvent> {
    let value = serde_json::to_value(event).ok()?;
    let kind = value.get("event")?.as_str()?.into();
    Some(NewEvent { at: event.at, slot: event.slot, kind, json: value.to_string().into(), deliver_to: None })
}
