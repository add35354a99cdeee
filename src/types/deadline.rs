//! The moment by which a slot must be handed over.

use std::time::{Duration, Instant};

/// A point on the monotonic clock; the wall clock plays no part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// At this instant.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// `budget` after `now`; `None` where the clock cannot express it.
    pub fn after(now: Instant, budget: Duration) -> Option<Self> {
        now.checked_add(budget).map(Self)
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left at `now`; zero once it has passed.
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether work of length `needed` plus `buffer`, begun at `now`, ends in time.
    pub fn allows(self, now: Instant, needed: Duration, buffer: Duration) -> bool {
        needed.saturating_add(buffer) <= self.remaining(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn work_is_allowed_exactly_up_to_what_remains(budget in 0u64..1 << 40, needed in 0u64..1 << 40, buffer in 0u64..1 << 20) {
            let now = crate::clock::now();
            let deadline = Deadline::after(now, Duration::from_nanos(budget)).unwrap();
            let fits = needed + buffer <= budget;
            prop_assert_eq!(deadline.allows(now, Duration::from_nanos(needed), Duration::from_nanos(buffer)), fits);
        }
    }

    #[test]
    fn a_passed_deadline_has_nothing_left() {
        let now = crate::clock::now();
        let deadline = Deadline::at(now);
        assert_eq!(deadline.remaining(now + Duration::from_secs(1)), Duration::ZERO);
        assert!(!deadline.allows(now + Duration::from_secs(1), Duration::from_nanos(1), Duration::ZERO));
    }
}
