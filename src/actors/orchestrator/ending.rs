//! How slots end: one record in the journal, one event, and room for the next.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::OrchestratorState;
use crate::actors::assignments::CardSlots;
use crate::actors::messages::WatchdogMsg;
use crate::actors::pipeline::{Delivering, PipelineError, SlotPipeline};
use crate::actors::slot::{Slot, guarded};
use crate::clock;
use crate::events::{Bus, EventKind};
use crate::journal::{Accepted, Ending, Failure, Journal, JournalError, Outputs, Recorded, Terminal};
use crate::types::{PerStage, SlotId};
use crate::vram::Occasion;

/// An end that cannot be kept is tried again at the latest after this: room that was made is used soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

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
        let Ended { accepted, ending, breakdown, span, work } = ended;
        let elapsed = clock::now().saturating_duration_since(accepted.at);
        let terminal = Terminal { slot: accepted.slot, ending, elapsed, breakdown };
        // A completed slot has handed its result over in its package stage.
        let work = work.filter(|_| !matches!(terminal.ending, Ending::Completed { .. }));
        let end = Arc::new(End {
            bus: self.args.bus.clone(),
            journal: Arc::clone(&self.args.journal),
            slots: self.args.slots.clone(),
            span,
            terminal,
            work,
        });
        let mut delivering = match end.deliver() {
            Ok(delivering) => delivering,
            Err(error) => return end.not_delivered(error),
        };
        // What is at hand at once is recorded at once, in order with everything else that this actor does.
        match delivering.as_mut().map(FutureExt::now_or_never) {
            None | Some(Some(Ok(_))) => end.record(),
            Some(Some(Err(error))) => end.not_delivered(error),
            Some(None) => {
                tokio::spawn(async move {
                    match delivered(delivering).await {
                        // The record of the end comes last: where it stands, the result stands too.
                        Ok(()) => end.record(),
                        Err(error) => end.not_delivered(error),
                    }
                });
            }
        }
    }
}

/// The end of a slot until it is recorded.
struct End {
    bus: Bus,
    journal: Arc<dyn Journal>,
    slots: CardSlots,
    span: tracing::Span,
    terminal: Terminal,
    /// Whose result is to be handed over first.
    work: Option<(Arc<dyn SlotPipeline>, Outputs)>,
}

/// Waits for a result to be handed over: on a task of its own, so that a panic in it is told and not lost.
async fn delivered(delivering: Option<Delivering>) -> Result<(), PipelineError> {
    let Some(delivering) = delivering else { return Ok(()) };
    match tokio::spawn(delivering).await {
        Ok(delivered) => delivered.map(drop),
        Err(error) => {
            let message = format!("writing the result panicked: {error}");
            Err(PipelineError::new(Failure::Package, message))
        }
    }
}

impl End {
    fn deliver(&self) -> Result<Option<Delivering>, PipelineError> {
        let delivering = self.work.as_ref().map(|(work, outputs)| {
            guarded(Failure::Package, || Ok(work.deliver(&self.terminal.ending, outputs)))
        });
        delivering.transpose()
    }

    /// Told when it is written: whoever hears of an end may count on its record.
    fn record(self: Arc<Self>) {
        let written = self.journal.terminal(&self.terminal);
        written.then(move |result| match result {
            Ok(recorded) => self.recorded(recorded),
            Err(error) => self.not_kept(&error),
        });
    }

    /// Whatever was recorded, the slot needs its card no more: one that is left is asked for anew.
    fn recorded(&self, recorded: Recorded) {
        self.slots.ended(self.terminal.slot);
        self.tell(EventKind::of_end(&self.terminal, recorded));
    }

    /// Without its result the end is not recorded.
    fn not_delivered(self: Arc<Self>, error: PipelineError) {
        self.not_kept(&JournalError::Result { source: error.into() });
    }

    /// The slot stays open in the journal. Where the journal says so, the end is tried again; else the next start takes the
    /// slot up and ends it again.
    fn not_kept(self: Arc<Self>, error: &JournalError) {
        self.tell(EventKind::EndNotKept {
            message: match &self.terminal.ending {
                Ending::Failed { message, .. } => format!("{error}; it had failed: {message}"),
                Ending::Completed { .. } | Ending::Cancelled { .. } => error.to_string(),
            },
        });
        if let Some(pause) = self.journal.tries_ends_again() {
            tokio::spawn(self.again(pause));
        }
    }

    /// Until it is recorded: twice as long after each attempt that comes to nothing, and told no more.
    async fn again(self: Arc<Self>, first: Duration) {
        let mut pause = first;
        loop {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            let kept = match self.deliver() {
                Ok(delivering) => delivered(delivering).await,
                Err(error) => Err(error),
            };
            let kept = match kept {
                Ok(()) => self.journal.terminal(&self.terminal).await,
                Err(error) => Err(JournalError::Result { source: error.into() }),
            };
            match kept {
                Ok(recorded) => return self.recorded(recorded),
                Err(error) => tracing::debug!(slot = %self.terminal.slot, %error, "end not kept again"),
            }
        }
    }

    fn tell(&self, kind: EventKind) {
        self.span.in_scope(|| self.bus.tell_of(self.terminal.slot, kind));
    }
}
