//! Which card has which slot, and the journal as one card sees it: of the open slots, only its own.
//!
//! Owns the book of assignments behind one short lock. A slot is assigned before its card hears of it and leaves when its end is
//! written, so a card's new orchestrator takes up what was its predecessor's and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::placement::DeviceIndex;
use crate::journal::{Accepted, Journal, JournalFuture, Opened, StageOutput, Terminal};
use crate::types::SlotId;

/// The book; clones are handles to the same one. Cards are named by their place in the node.
#[derive(Clone, Default)]
pub(super) struct Assignments(Arc<Mutex<HashMap<SlotId, DeviceIndex>>>);

impl Assignments {
    fn book(&self) -> MutexGuard<'_, HashMap<SlotId, DeviceIndex>> {
        // Entries are put and taken in one step; a panic elsewhere leaves them whole.
        self.0.lock()
    }

    /// The card of `slot`.
    pub(super) fn of(&self, slot: SlotId) -> Option<DeviceIndex> {
        self.book().get(&slot).copied()
    }

    /// `slot` is `card`'s from now on.
    pub(super) fn take(&self, slot: SlotId, card: DeviceIndex) {
        self.book().insert(slot, card);
    }

    /// `slot` needs no card any more.
    pub(super) fn leave(&self, slot: SlotId) {
        self.book().remove(&slot);
    }

    /// How many slots `card` has.
    pub(super) fn taken(&self, card: DeviceIndex) -> usize {
        self.book().values().filter(|of| **of == card).count()
    }

    /// Everything of `from` is `to`'s from now on.
    pub(super) fn hand_over(&self, from: DeviceIndex, to: DeviceIndex) {
        self.book().values_mut().filter(|of| **of == from).for_each(|of| *of = to);
    }

    /// `card` has no slots any more.
    pub(super) fn clear(&self, card: DeviceIndex) {
        self.book().retain(|_, of| *of != card);
    }
}

/// The node's journal as `card` sees it.
pub(super) struct AssignedJournal {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) assignments: Assignments,
    pub(super) card: DeviceIndex,
}

impl Journal for AssignedJournal {
    fn accept(&self, accepted: &Accepted) -> JournalFuture {
        self.journal.accept(accepted)
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture {
        self.journal.stage_done(slot, output)
    }

    fn terminal(&self, terminal: &Terminal) -> JournalFuture {
        let (assignments, slot) = (self.assignments.clone(), terminal.slot);
        // What could not be ended stays open, and its card's.
        self.journal.terminal(terminal).map_ok(move |()| assignments.leave(slot))
    }

    fn open(&self) -> JournalFuture<Opened> {
        let (assignments, card) = (self.assignments.clone(), self.card);
        let own = move |mut opened: Opened| {
            opened.slots.retain(|slot| assignments.of(slot.accepted.slot) == Some(card));
            opened.unread.retain(|(slot, _)| assignments.of(*slot) == Some(card));
            opened
        };
        self.journal.open().map_ok(own)
    }

    fn before_exit(&self) -> JournalFuture {
        self.journal.before_exit()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::journal::{CancelCause, Ending, MemoryJournal};
    use crate::types::Deadline;

    fn slot(number: u128) -> SlotId {
        SlotId::new(uuid::Uuid::from_u128(number))
    }

    fn now<T>(future: JournalFuture<T>) -> T {
        future.now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_card_sees_its_own_open_slots_and_an_ended_one_leaves_its_seat() {
        let (journal, assignments) = (Arc::new(MemoryJournal::new()), Assignments::default());
        let view =
            |card| AssignedJournal { journal: journal.clone(), assignments: assignments.clone(), card };
        let (first, second) = (view(DeviceIndex::new(0)), view(DeviceIndex::new(1)));
        let at = crate::clock::now();
        for number in 1..=4 {
            assignments.take(slot(number), DeviceIndex::new(usize::from(number > 1)));
            let accepted = Accepted {
                slot: slot(number),
                recipe: Arc::new([]),
                deadline: Deadline::at(at),
                at,
                traceparent: None,
            };
            now(first.accept(&accepted));
        }
        let open =
            |of: &AssignedJournal| now(of.open()).slots.iter().map(|it| it.accepted.slot).collect::<Vec<_>>();
        assert_eq!((open(&first), open(&second)), (vec![slot(1)], vec![slot(2), slot(3), slot(4)]));
        let ending = Ending::Cancelled { cause: CancelCause::Requested };
        let breakdown = Default::default();
        now(second.terminal(&Terminal { slot: slot(3), ending, elapsed: Duration::ZERO, breakdown }));
        assert_eq!((assignments.of(slot(3)), assignments.taken(DeviceIndex::new(1))), (None, 2));
        assignments.hand_over(DeviceIndex::new(1), DeviceIndex::new(0));
        assert_eq!(
            (open(&first).len(), open(&second).len(), assignments.taken(DeviceIndex::new(0))),
            (3, 0, 3)
        );
        assignments.clear(DeviceIndex::new(0));
        assert_eq!(open(&first), vec![]);
    }
}
