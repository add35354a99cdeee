//! Which card has which slot: of the slots that are open in the journal a card takes up only its own.
//!
//! Owns the book of assignments behind one short lock. A slot is assigned before its card hears of it and leaves when its end is
//! written, so a card's new orchestrator takes up what was its predecessor's and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::placement::DeviceIndex;
use crate::journal::Opened;
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

/// The slots of one card: what its orchestrator may take up, and lets go of.
#[derive(Clone)]
pub(super) struct CardSlots {
    pub(super) assignments: Assignments,
    pub(super) card: DeviceIndex,
}

impl CardSlots {
    /// Of what is open in the node's journal, what is this card's.
    pub(super) fn own(&self, mut opened: Opened) -> Opened {
        let is_own = |slot: SlotId| self.assignments.of(slot) == Some(self.card);
        opened.slots.retain(|slot| is_own(slot.accepted.slot));
        opened.unread.retain(|(slot, _)| is_own(*slot));
        opened
    }

    /// The end of `slot` is written. What could not be ended stays open, and its card's.
    pub(super) fn ended(&self, slot: SlotId) {
        self.assignments.leave(slot);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::journal::{Accepted, Journal, MemoryJournal};
    use crate::types::Deadline;

    fn slot(number: u128) -> SlotId {
        SlotId::new(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_card_sees_its_own_open_slots_and_an_ended_one_leaves_its_seat() {
        let (journal, assignments) = (MemoryJournal::new(), Assignments::default());
        let cards = [DeviceIndex::new(0), DeviceIndex::new(1)];
        let [first, second] = cards.map(|card| CardSlots { assignments: assignments.clone(), card });
        let at = crate::clock::now();
        for number in 1..=4 {
            assignments.take(slot(number), cards[usize::from(number > 1)]);
            let (recipe, deadline) = (Arc::new([]), Deadline::at(at));
            let accepted = Accepted { slot: slot(number), recipe, deadline, at, traceparent: None };
            journal.accept(&accepted).now_or_never().unwrap().unwrap();
        }
        let open = |of: &CardSlots| {
            let own = of.own(journal.open().now_or_never().unwrap().unwrap());
            own.slots.iter().map(|it| it.accepted.slot).collect::<Vec<_>>()
        };
        assert_eq!((open(&first), open(&second)), (vec![slot(1)], vec![slot(2), slot(3), slot(4)]));
        second.ended(slot(3));
        assert_eq!((assignments.of(slot(3)), assignments.taken(cards[1])), (None, 2));
        assignments.hand_over(cards[1], cards[0]);
        assert_eq!((open(&first).len(), open(&second).len(), assignments.taken(cards[0])), (3, 0, 3));
        assignments.clear(cards[0]);
        assert_eq!(open(&first), vec![]);
    }
}
