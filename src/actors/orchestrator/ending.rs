//! How slots end: one record in the journal, one event, and room for the next.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::OrchestratorState;
use crate::actors::assignments::CardSlots;
use crate::actors::messages::WatchdogMsg;
use crate::actors::pipeline::{PipelineError, SlotPipeline};
use crate::actors::slot::{Slot, guarded};
use crate::clock;
use crate::events::{Bus, EventKind};
use crate::journal::{Accepted, Ending, Failure, Journal, JournalError, Outputs, Terminal};
use crate::types::{PerStage, SlotId};
use crate::vram::Occasion;

/// A slot that has come to its end.
pub(super) struct Ended {
    /// As it came in.
    pub(super) accepted: Accepted,
    /// How it ended.
    pub(super) ending: Ending,
    /// Time spent in each stage, all attempts together.
    pub(super) breakdown: PerStage<Duration>,
    /// Its trace.
    pub(super) span: tracing::Span,
    /// Who hands its result over, and what it has; none where its recipe could not be read.
    pub(super) work: Option<(Arc<dyn SlotPipeline>, Outputs)>,
}

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
        self.write_end(Ended {
            accepted: slot.accepted.clone(),
            ending,
            breakdown: slot.plan.spent(),
            span: slot.span.clone(),
            work: Some((Arc::clone(&slot.work), slot.outputs.clone())),
        });
        self.snapshot(Occasion::AfterSlot(id));
        if self.active.is_empty() && self.queue.is_empty() {
            self.charged = None;
            self.args.registry.tell_watchdog(WatchdogMsg::SlotSettled);
        }
        true
    }

    /// Hands over the result of a slot that did not complete, records the end, and tells it.
    pub(super) fn write_end(&self, ended: Ended) {
        let (bus, journal) = (self.args.bus.clone(), Arc::clone(&self.args.journal));
        let slots = self.args.slots.clone();
        let Ended { accepted, ending, breakdown, span, work } = ended;
        let elapsed = clock::now().saturating_duration_since(accepted.at);
        let terminal = Terminal { slot: accepted.slot, ending, elapsed, breakdown };
        // A completed slot has handed its result over in its package stage.
        let delivering =
            work.filter(|_| !matches!(terminal.ending, Ending::Completed { .. })).map(|(work, outputs)| {
                guarded(Failure::Package, || Ok(work.deliver(&terminal.ending, &outputs)))
            });
        let mut delivering = match delivering.transpose() {
            Ok(delivering) => delivering,
            Err(error) => return not_delivered(&bus, &span, &terminal, error),
        };
        // What is at hand at once is recorded at once, in order with everything else that this actor does.
        match delivering.as_mut().map(FutureExt::now_or_never) {
            None | Some(Some(Ok(_))) => record(&bus, &*journal, &slots, &span, terminal),
            Some(Some(Err(error))) => not_delivered(&bus, &span, &terminal, error),
            Some(None) => {
                tokio::spawn(async move {
                    let delivered = match delivering {
                        // On a task of its own, so that a panic in it is told and not lost.
                        Some(delivering) => tokio::spawn(delivering).await,
                        None => return,
                    };
                    match delivered {
                        // The record of the end comes last: where it stands, the result stands too.
                        Ok(Ok(_)) => record(&bus, &*journal, &slots, &span, terminal),
                        Ok(Err(error)) => not_delivered(&bus, &span, &terminal, error),
                        Err(error) => {
                            let message = format!("writing the result panicked: {error}");
                            let error = PipelineError::new(Failure::Package, message);
                            not_delivered(&bus, &span, &terminal, error);
                        }
                    }
                });
            }
        }
    }
}

/// Told when it is written: whoever hears of an end may count on its record.
fn record(bus: &Bus, journal: &dyn Journal, slots: &CardSlots, span: &tracing::Span, terminal: Terminal) {
    let (bus, slots, span) = (bus.clone(), slots.clone(), span.clone());
    journal.terminal(&terminal).then(move |result| {
        if result.is_ok() {
            slots.ended(terminal.slot);
        }
        ended(&bus, &span, &terminal, result);
    });
}

/// Without its result the end is not recorded: the next start takes the slot up and ends it again.
fn not_delivered(bus: &Bus, span: &tracing::Span, terminal: &Terminal, error: PipelineError) {
    ended(bus, span, terminal, Err(JournalError::Result { source: error.into() }));
}

fn ended(bus: &Bus, span: &tracing::Span, terminal: &Terminal, result: Result<(), JournalError>) {
    let kind = match result {
        Ok(()) => EventKind::from(terminal),
        // The slot stays open in the journal; the next start takes it up and ends it again.
        Err(error) => EventKind::EndNotKept {
            message: match &terminal.ending {
                Ending::Failed { message, .. } => format!("{error}; it had failed: {message}"),
                Ending::Completed { .. } | Ending::Cancelled { .. } => error.to_string(),
            },
        },
    };
    span.in_scope(|| bus.tell_of(terminal.slot, kind));
}
