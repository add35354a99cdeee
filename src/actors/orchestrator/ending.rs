//! How slots end: one record in the journal, one event, and room for the next.

use std::time::Duration;

use super::OrchestratorState;
use super::slot::Slot;
use crate::actors::events::{Subscribers, tell_end};
use crate::actors::watchdog::WatchdogMsg;
use crate::clock;
use crate::journal::{Accepted, Ending, JournalError, Terminal};
use crate::telemetry::names::event;
use crate::types::{SlotId, Stage};
use crate::vram::Occasion;

impl OrchestratorState {
    /// Ends an open slot, wherever it stands; false where there is none of this id.
    pub(super) fn end(&mut self, id: SlotId, ending: Ending) -> bool {
        let is_it = |slot: &Slot| slot.id() == id;
        let slot = if let Some(place) = self.active.iter().position(is_it) {
            self.drop_run(id, None);
            self.active.remove(place)
        } else if let Some(slot) =
            self.queue.iter().position(|slot| is_it(slot)).and_then(|place| self.queue.remove(place))
        {
            *slot
        } else {
            return false;
        };
        self.open.remove(&id);
        self.write_end(&slot.accepted, ending, slot.plan.spent(), &slot.span);
        self.snapshot(Occasion::AfterSlot(id));
        if self.active.is_empty()
            && self.queue.is_empty()
            && let Some(watchdog) = self.args.registry.watchdog()
        {
            let _ = watchdog.cast(WatchdogMsg::SlotSettled);
        }
        true
    }

    pub(super) fn write_end(
        &self,
        accepted: &Accepted,
        ending: Ending,
        breakdown: [Duration; Stage::ALL.len()],
        span: &tracing::Span,
    ) {
        let elapsed = clock::now().saturating_duration_since(accepted.at);
        let terminal = Terminal { slot: accepted.slot, ending, elapsed, breakdown };
        let subscribers = self.args.subscribers.clone();
        // Told when it is written: whoever hears of an end may count on its record.
        let (span, writing) = (span.clone(), self.args.journal.terminal(&terminal));
        writing.then(move |result| ended(&subscribers, &span, &terminal, result));
    }
}

fn ended(
    subscribers: &Subscribers,
    span: &tracing::Span,
    terminal: &Terminal,
    result: Result<(), JournalError>,
) {
    if let Err(error) = result {
        // The slot stays open in the journal; the next start takes it up and ends it again.
        tracing::error!(parent: span, event = event::JOURNAL_FAILED, slot = %terminal.slot, %error, "end not kept");
    }
    tell_end(subscribers, span, terminal);
}
