//! Progress is thinned: a few steps a second are enough for whoever looks on. What is kept is never left out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::api::backend::StoredEvent;
use crate::types::SlotId;

/// Between two events of a slot that are not kept: four a second.
const GAP: Duration = Duration::from_millis(250);
/// Slots remembered before those that have been quiet are forgotten: more than run at a time.
const MANY: usize = 256;

/// What one stream has let through of each slot.
#[derive(Debug, Default)]
pub(super) struct Thinner(HashMap<SlotId, Instant>);

impl Thinner {
    /// Whether `event` goes out.
    pub(super) fn lets_through(&mut self, event: &StoredEvent, now: Instant) -> bool {
        let (None, Some(slot)) = (event.sequence, event.slot) else { return true };
        let is_quiet = |last: &Instant| now.saturating_duration_since(*last) >= GAP;
        let passes = self.0.get(&slot).is_none_or(is_quiet);
        if passes {
            if self.0.len() >= MANY {
                self.0.retain(|_, last| !is_quiet(last));
            }
            self.0.insert(slot, now);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock;

    fn event(sequence: Option<u64>, slot: u128) -> StoredEvent {
        StoredEvent::new(
            sequence,
            Some(SlotId::new(Uuid::from_u128(slot))),
            "video_progress".into(),
            "{}".into(),
        )
    }

    #[test]
    fn a_slot_gets_four_steps_a_second_and_another_its_own() {
        let mut thinner = Thinner::default();
        let begin = clock::now();
        let mut passed = 0;
        for millis in 0..2000 {
            let now = begin + Duration::from_millis(millis);
            passed += usize::from(thinner.lets_through(&event(None, 1), now));
            assert!(thinner.lets_through(&event(Some(millis), 1), now), "what is kept goes out always");
        }
        assert_eq!(passed, 8);
        assert!(thinner.lets_through(&event(None, 2), begin + Duration::from_millis(1999)));
    }

    #[test]
    fn slots_that_are_quiet_are_forgotten() {
        let mut thinner = Thinner::default();
        let begin = clock::now();
        for slot in 0..10_000 {
            let now = begin + Duration::from_millis(300 * u64::try_from(slot).unwrap());
            assert!(thinner.lets_through(&event(None, slot), now));
        }
        assert!(thinner.0.len() <= MANY, "{}", thinner.0.len());
    }
}
