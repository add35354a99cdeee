//! A journal that lives as long as whoever holds it: for rehearsals and commands that render once.
//!
//! Outlives the supervision tree, so a rehearsal's "new process" finds what the old one left. Never touches a disk.

use std::collections::{BTreeMap, HashMap};

use parking_lot::{Mutex, MutexGuard};

use super::{
    Accepted, Journal, JournalError, JournalFuture, Misuse, OpenSlot, Opened, Outputs, Recorded, StageOutput,
    Terminal,
};
use crate::types::SlotId;

#[derive(Debug, Default)]
struct Records {
    order: HashMap<SlotId, u64>,
    open: BTreeMap<u64, OpenSlot>,
    ended: Vec<Terminal>,
    accepted: u64,
    exits: u64,
}

/// Everything in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Records>);

impl MemoryJournal {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Slots accepted so far.
    pub fn accepted(&self) -> u64 {
        self.records().accepted
    }

    /// Slots accepted and not ended.
    pub fn unfinished(&self) -> usize {
        self.records().open.len()
    }

    /// Every terminal record so far, in order.
    pub fn ended(&self) -> Vec<Terminal> {
        self.records().ended.clone()
    }

    /// How often a process announced its end.
    pub fn exits(&self) -> u64 {
        self.records().exits
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // Records are only ever replaced whole, so a panic elsewhere leaves them readable.
        self.0.lock()
    }
}

impl Journal for MemoryJournal {
    fn accept(&self, accepted: &Accepted) -> JournalFuture {
        let mut records = self.records();
        if records.order.contains_key(&accepted.slot) {
            return JournalFuture::ready(Err(JournalError::misuse(accepted.slot, Misuse::Open, None)));
        }
        records.accepted += 1;
        let place = records.accepted;
        records.order.insert(accepted.slot, place);
        records.open.insert(place, OpenSlot { accepted: accepted.clone(), outputs: Outputs::default() });
        JournalFuture::ready(Ok(()))
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture {
        let mut records = self.records();
        let place = records.order.get(&slot).copied();
        match place.and_then(|place| records.open.get_mut(&place)) {
            Some(open) => {
                open.outputs.put(output.clone());
                JournalFuture::ready(Ok(()))
            }
            None => JournalFuture::ready(Err(JournalError::misuse(slot, Misuse::NotOpen, None))),
        }
    }

    fn terminal(&self, terminal: &Terminal) -> JournalFuture<Recorded> {
        let mut records = self.records();
        if let Some(place) = records.order.remove(&terminal.slot) {
            records.open.remove(&place);
            records.ended.push(terminal.clone());
        }
        JournalFuture::ready(Ok(Recorded::Ended))
    }

    fn open(&self) -> JournalFuture<Opened> {
        let slots = self.records().open.values().cloned().collect();
        JournalFuture::ready(Ok(Opened { slots, unread: Vec::new() }))
    }

    fn before_exit(&self) -> JournalFuture {
        self.records().exits += 1;
        JournalFuture::ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::super::{CancelCause, Ending, Judgement};
    use super::*;
    use crate::types::Deadline;

    fn slot(number: u128) -> SlotId {
        SlotId::new(uuid::Uuid::from_u128(number))
    }

    fn accepted(number: u128) -> Accepted {
        let now = crate::clock::now();
        Accepted {
            slot: slot(number),
            recipe: Arc::new([]),
            deadline: Deadline::at(now),
            at: now,
            traceparent: None,
        }
    }

    fn end(number: u128) -> Terminal {
        Terminal {
            slot: slot(number),
            ending: Ending::Cancelled { cause: CancelCause::Requested },
            elapsed: Duration::ZERO,
            breakdown: Default::default(),
        }
    }

    fn now<T>(future: JournalFuture<T>) -> Result<T, JournalError> {
        assert!(future.is_ready(), "memory is never later");
        future.now_or_never().unwrap()
    }

    #[test]
    fn open_slots_come_back_in_order_with_their_outputs() {
        let journal = MemoryJournal::new();
        for number in [3, 1, 2] {
            now(journal.accept(&accepted(number))).unwrap();
        }
        let judgement = Judgement { summary: "passed".into(), report: serde_json::Value::Null };
        now(journal.stage_done(slot(1), &StageOutput::Judgement(Arc::new(judgement)))).unwrap();
        now(journal.terminal(&end(3))).unwrap();
        let open = now(journal.open()).unwrap().slots;
        assert_eq!(open.iter().map(|it| it.accepted.slot).collect::<Vec<_>>(), [slot(1), slot(2)]);
        assert!(open[0].outputs.judgement.is_some() && open[1].outputs.judgement.is_none());
    }

    #[test]
    fn a_slot_ends_once() {
        let journal = MemoryJournal::new();
        now(journal.accept(&accepted(1))).unwrap();
        now(journal.terminal(&end(1))).unwrap();
        now(journal.terminal(&end(1))).unwrap();
        assert_eq!((journal.ended().len(), journal.unfinished()), (1, 0));
    }

    #[test]
    fn an_open_slot_is_not_accepted_twice() {
        let journal = MemoryJournal::new();
        now(journal.accept(&accepted(1))).unwrap();
        assert!(now(journal.accept(&accepted(1))).is_err());
        assert_eq!(journal.accepted(), 1);
    }
}
