//! Which slots expire: a pure policy over age, total size and free disk.
//!
//! Open slots are not offered to it; those with something to deliver are never chosen. What a slot's `expires_at` promises
//! is kept whatever the disk says: where that is not enough, the node has to refuse new work instead.

use std::time::Duration;

use super::{Ages, State, UnixTime};
use crate::types::{Bytes, SlotId};

/// How long the files of ended slots are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Every slot is kept so long after its end: its `expires_at`.
    pub at_least: Duration,
    /// No slot is kept longer than this; at least [`at_least`](Self::at_least).
    pub at_most: Option<Duration>,
    /// All slots together are to have at most so many bytes.
    pub total: Option<Bytes>,
    /// So much of the disk is to stay free.
    pub free: Option<Bytes>,
    /// A slot with a delivery or upload that was given up is held so long after its end, that it can be tried again;
    /// none for as long as it stands so.
    pub undelivered_held: Option<Duration>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            at_least: DAY,
            at_most: Some(DAY.saturating_mul(7)),
            total: None,
            // A slot has a few dozen megabytes: room for some hundred while an operator looks at it.
            free: Some(Bytes::gb(5)),
            undelivered_held: None,
        }
    }
}

/// What keeps a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Free,
    /// A delivery or an upload is pending.
    Pending,
    /// A delivery or an upload was given up.
    Undelivered,
}

/// A slot that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSlot {
    /// Its id.
    pub slot: SlotId,
    /// How it ended.
    pub state: State,
    /// When.
    pub ended_at: UnixTime,
    /// Of its artifacts.
    pub bytes: Bytes,
    /// What keeps it.
    pub hold: Hold,
}

/// The slots of `ended` (in the order of acceptance) that expire now, oldest first. `free` is what the disk has left, where
/// it can be told. A clock that jumps makes nothing expire.
pub fn due(
    ages: &Ages,
    ended: &[EndedSlot],
    free: Option<Bytes>,
    settings: &RetentionSettings,
) -> Vec<SlotId> {
    let age = |slot: &EndedSlot| ages.of(slot.ended_at);
    let held = |slot: &EndedSlot| match slot.hold {
        Hold::Free => false,
        Hold::Pending => true,
        Hold::Undelivered => settings.undelivered_held.is_none_or(|held| age(slot) < held),
    };
    let may = |slot: &&EndedSlot| !held(slot) && age(slot) >= settings.at_least;
    let too_old = |slot: &&EndedSlot| settings.at_most.is_some_and(|most| age(slot) >= most);
    let (old, young): (Vec<_>, Vec<_>) = ended.iter().filter(may).partition(too_old);
    // What goes for its age makes room as well.
    let goes = old.iter().map(|slot| slot.bytes).sum();
    let mut total = ended.iter().map(|slot| slot.bytes).sum::<Bytes>().saturating_sub(goes);
    let mut free = free.map(|free| free.saturating_add(goes));
    let mut due: Vec<SlotId> = old.into_iter().map(|slot| slot.slot).collect();
    // A slot without files makes no room.
    for slot in young.into_iter().filter(|slot| slot.bytes > Bytes::ZERO) {
        let too_much = settings.total.is_some_and(|most| total > most);
        let too_little = settings.free.zip(free).is_some_and(|(least, free)| free < least);
        if !too_much && !too_little {
            break;
        }
        due.push(slot.slot);
        total = total.saturating_sub(slot.bytes);
        free = free.map(|free| free.saturating_add(slot.bytes));
    }
    due
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn slot(number: u128, ended_at: Duration, bytes: u64, hold: Hold) -> EndedSlot {
        let slot = SlotId::new(uuid::Uuid::from_u128(number));
        EndedSlot { slot, state: State::Completed, ended_at, bytes: Bytes::new(bytes), hold }
    }

    fn numbers(due: &[SlotId]) -> Vec<u128> {
        due.iter().map(|slot| slot.uuid().as_u128()).collect()
    }

    fn settings() -> RetentionSettings {
        RetentionSettings {
            at_least: HOUR,
            at_most: Some(HOUR * 10),
            total: None,
            free: None,
            undelivered_held: None,
        }
    }

    #[test]
    fn slots_go_when_they_are_too_old() {
        let ended = [slot(1, HOUR, 5, Hold::Free), slot(2, HOUR * 2, 5, Hold::Free)];
        assert_eq!(numbers(&due(&Ages::at(HOUR * 11), &ended, None, &settings())), [1]);
        assert_eq!(numbers(&due(&Ages::at(HOUR * 12), &ended, None, &settings())), [1, 2]);
        // A clock that was set back.
        assert!(due(&Ages::at(Duration::ZERO), &ended, Some(Bytes::ZERO), &settings()).is_empty());
    }

    #[test]
    fn the_oldest_go_until_there_is_room_but_none_before_its_time() {
        let ended = [
            slot(1, HOUR, 5, Hold::Free),
            slot(2, HOUR, 0, Hold::Free),
            slot(3, HOUR, 5, Hold::Free),
            slot(4, HOUR * 4, 5, Hold::Free),
        ];
        let total = RetentionSettings { total: Some(Bytes::new(10)), ..settings() };
        assert_eq!(numbers(&due(&Ages::at(HOUR * 4), &ended, None, &total)), [1]);
        let free = RetentionSettings { free: Some(Bytes::new(100)), ..settings() };
        assert_eq!(numbers(&due(&Ages::at(HOUR * 4), &ended, Some(Bytes::new(92)), &free)), [1, 3]);
        assert_eq!(numbers(&due(&Ages::at(HOUR * 4), &ended, Some(Bytes::new(0)), &free)), [1, 3]);
        assert!(due(&Ages::at(HOUR * 4), &ended, None, &free).is_empty());
    }

    #[test]
    fn what_goes_for_its_age_counts_as_room() {
        // The younger slot was accepted first, as a slot may end after later ones.
        let ended = [slot(1, HOUR * 11, 5, Hold::Free), slot(2, HOUR, 5, Hold::Free)];
        let total = RetentionSettings { total: Some(Bytes::new(5)), ..settings() };
        assert_eq!(numbers(&due(&Ages::at(HOUR * 12), &ended, None, &total)), [2]);
    }

    #[test]
    fn what_is_to_be_delivered_stays() {
        let ended = [slot(1, HOUR, 5, Hold::Pending), slot(2, HOUR, 5, Hold::Undelivered)];
        let greedy = RetentionSettings { total: Some(Bytes::ZERO), ..settings() };
        assert!(due(&Ages::at(HOUR * 1000), &ended, None, &greedy).is_empty());
        let held = RetentionSettings { undelivered_held: Some(HOUR * 20), ..settings() };
        assert!(due(&Ages::at(HOUR * 20), &ended, None, &held).is_empty());
        assert_eq!(numbers(&due(&Ages::at(HOUR * 21), &ended, None, &held)), [2]);
    }

    proptest! {
        #[test]
        fn promises_are_kept_and_room_is_made(
            slots in prop::collection::vec((0u64..20, 0u64..10, 0..3usize), 0..20),
            now in 0u64..40, total in 0u64..60, free in 0u64..60, least in 0u64..60,
        ) {
            let holds = [Hold::Free, Hold::Pending, Hold::Undelivered];
            let ended: Vec<_> = slots.iter().enumerate()
                .map(|(number, (at, bytes, hold))| slot(number as u128, HOUR * *at as u32, *bytes, holds[*hold]))
                .collect();
            let settings = RetentionSettings {
                total: Some(Bytes::new(total)), free: Some(Bytes::new(least)), ..settings()
            };
            let now = HOUR * now as u32;
            let due = due(&Ages::at(now), &ended, Some(Bytes::new(free)), &settings);
            let goes = |slot: &&EndedSlot| due.contains(&slot.slot);
            for slot in ended.iter().filter(goes) {
                prop_assert!(slot.hold == Hold::Free && now.saturating_sub(slot.ended_at) >= HOUR);
            }
            let could = |slot: &&EndedSlot| {
                slot.hold == Hold::Free && now.saturating_sub(slot.ended_at) >= HOUR && slot.bytes > Bytes::ZERO
            };
            let gone: u64 = ended.iter().filter(goes).map(|slot| slot.bytes.get()).sum();
            let kept: u64 = ended.iter().map(|slot| slot.bytes.get()).sum::<u64>() - gone;
            // Either there is room, or nothing more could go.
            prop_assert!((kept <= total && free + gone >= least) || !ended.iter().any(|slot| could(&slot) && !goes(&slot)));
            for slot in ended.iter().filter(|slot| slot.hold == Hold::Free && now.saturating_sub(slot.ended_at) >= HOUR * 10) {
                prop_assert!(due.contains(&slot.slot));
            }
        }
    }
}
