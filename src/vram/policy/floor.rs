//! The least that is in use between slots, and whether memory has come back after a model's end. Pure.

use crate::types::Bytes;
use crate::vram::sample::{Pool, Sample};

/// The smallest use seen since a slot ended: a single sample may catch buffers on their way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotFloor(Option<Bytes>);

impl SlotFloor {
    /// Takes in a usable sample made between slots.
    pub fn observe(&mut self, sample: &Sample) {
        let own = sample.used.saturating_sub(sample.used_by_others().unwrap_or_default());
        let used = own.saturating_sub(sample.pool.map(Pool::slack).unwrap_or_default());
        self.0 = Some(self.0.map_or(used, |least| least.min(used)));
    }

    /// The floor, beginning anew; `None` where nothing was seen since the last.
    pub fn take(&mut self) -> Option<Bytes> {
        self.0.take()
    }
}

/// How much of `used` lies above the absolute `floor`, beyond what the allocator may keep (`tolerance`). Zero means
/// that the memory is back and a model may be loaded again.
pub fn memory_missing(used: Bytes, floor: Bytes, tolerance: Bytes) -> Bytes {
    used.saturating_sub(floor.saturating_add(tolerance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vram::sample::Standing;

    fn sample(used: u64, own: Option<u64>, slack: u64) -> Sample {
        Sample {
            source: "test",
            standing: Standing::Primary,
            taken_at: crate::clock::now(),
            total: Bytes::gb(12),
            used: Bytes::mb(used),
            free: Bytes::ZERO,
            own: own.map(Bytes::mb),
            others: None,
            pool: Some(Pool { used: Bytes::mb(100), reserved: Bytes::mb(100 + slack) }),
        }
    }

    #[test]
    fn the_floor_is_the_least_of_our_own_use() {
        let mut floor = SlotFloor::default();
        assert_eq!(floor.take(), None);
        floor.observe(&sample(900, Some(700), 50));
        floor.observe(&sample(2000, Some(600), 0));
        floor.observe(&sample(800, None, 0));
        assert_eq!(floor.take(), Some(Bytes::mb(600)));
        assert_eq!(floor.take(), None);
    }

    #[test]
    fn memory_is_back_at_the_floor_and_its_tolerance() {
        let missing = |used| memory_missing(Bytes::mb(used), Bytes::mb(500), Bytes::mb(50));
        assert_eq!(missing(400), Bytes::ZERO);
        assert_eq!(missing(550), Bytes::ZERO);
        assert_eq!(missing(551), Bytes::mb(1));
    }
}
