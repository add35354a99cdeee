//! What the watchdog last saw, for whoever has to know whether memory is really back, and whose growth it was.
//!
//! Pure: the growth tracker takes samples and who was at work; the floor is arithmetic. Samples nothing itself.

use std::time::{Duration, Instant};

use crate::types::{Bytes, ModelId};
use crate::vram::policy::memory_missing;
use crate::vram::{Sample, Usage};

/// One flag or amount per model, by [`ModelId::index`].
pub type PerModel<T> = [T; ModelId::ALL.len()];

/// How far each model's use has drifted from what its leases stand for.
///
/// Devices count memory per process, not per model. What changes between two looks, beyond what leases explain, is
/// put down to the models at work between them; what changes while none works is nobody's.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    drift: PerModel<f64>,
    last: Option<i64>,
}

impl Growth {
    /// Own use at a look, the leases then, and who has been at work since the last.
    pub fn observe(&mut self, own: Bytes, reserved: Bytes, at_work: &PerModel<bool>) {
        let now = own.signed_sub(reserved);
        let change = self.last.map_or(0, |last| now.saturating_sub(last));
        self.last = Some(now);
        let workers = at_work.iter().filter(|working| **working).count();
        if workers > 0 {
            let share = change as f64 / workers as f64;
            for (drift, _) in self.drift.iter_mut().zip(at_work).filter(|(_, working)| **working) {
                *drift += share;
            }
        }
    }

    /// A model was dropped: its growth went with it. The next look compares with nothing.
    pub fn forget(&mut self, model: ModelId) {
        self.drift[model.index()] = 0.0;
        self.last = None;
    }

    /// What each model has grown by; zero where it shrank.
    pub fn of_models(&self) -> PerModel<Bytes> {
        self.drift.map(|drift| Bytes::new(drift.max(0.0) as u64))
    }
}

/// The last look, for restarts.
#[derive(Clone, Copy, Debug)]
pub struct MemoryView {
    /// Used by this process, where the probe can tell, else by all.
    pub own: Bytes,
    /// When that was.
    pub taken_at: Instant,
    /// Own use before any model was loaded.
    pub base: Bytes,
    /// What each model has grown by.
    pub growth: PerModel<Bytes>,
}

impl MemoryView {
    /// Own use of a sample.
    pub fn own_use(sample: &Sample) -> Bytes {
        sample.own.unwrap_or_else(|| sample.used.saturating_sub(sample.used_by_others().unwrap_or_default()))
    }

    /// How much of a dropped model's memory has not come back, by a look made after its end: zero where it may be
    /// loaded again, `None` where the look is of before or too old.
    ///
    /// The floor is absolute: what the process took before any model, what the leases out now stand for, and what the
    /// *other* models have grown by.
    pub fn missing(
        &self,
        model: ModelId,
        usage: &Usage,
        tolerance: Bytes,
        since: Instant,
        now: Instant,
        max_age: Duration,
    ) -> Option<Bytes> {
        if self.taken_at < since || now.saturating_duration_since(self.taken_at) > max_age {
            return None;
        }
        let others = ModelId::ALL.into_iter().filter(|other| *other != model);
        let grown: Bytes = others.map(|other| self.growth[other.index()]).sum();
        let floor = self.base.saturating_add(usage.reserved).saturating_add(grown);
        Some(memory_missing(self.own, floor, tolerance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DeviceId;
    use crate::vram::{Claim, Ledger};

    #[test]
    fn growth_is_put_down_to_who_was_at_work() {
        let mut growth = Growth::default();
        let (mut flux, idle) = ([false; 5], [false; 5]);
        flux[ModelId::Flux.index()] = true;
        growth.observe(Bytes::mb(1000), Bytes::mb(900), &idle);
        growth.observe(Bytes::mb(1300), Bytes::mb(900), &idle);
        assert_eq!(growth.of_models(), [Bytes::ZERO; 5], "another process, or nobody");
        growth.observe(Bytes::mb(1400), Bytes::mb(900), &flux);
        growth.observe(Bytes::mb(1950), Bytes::mb(1400), &flux);
        assert_eq!(growth.of_models()[ModelId::Flux.index()], Bytes::mb(150), "a new lease explains its part");
        growth.forget(ModelId::Flux);
        growth.observe(Bytes::mb(5000), Bytes::ZERO, &flux);
        assert_eq!(growth.of_models(), [Bytes::ZERO; 5], "nothing to compare with yet");
    }

    #[test]
    fn memory_is_back_at_the_absolute_floor_and_not_before_a_fresh_look() {
        let start = crate::clock::now();
        let ledger = Ledger::new(DeviceId::Scripted, Bytes::gb(11), Bytes::ZERO);
        let _lease = ledger.reserve(Claim::resident(ModelId::Kokoro, Bytes::mb(400))).unwrap();
        let mut growth = [Bytes::ZERO; 5];
        growth[ModelId::Kokoro.index()] = Bytes::mb(50);
        growth[ModelId::Flux.index()] = Bytes::mb(7000);
        let after = |seconds| start + Duration::from_secs(seconds);
        let missing = |own, at: Instant| {
            let view = MemoryView { own: Bytes::mb(own), taken_at: at, base: Bytes::mb(100), growth };
            let (tolerance, age) = (Bytes::mb(10), Duration::from_secs(3));
            view.missing(ModelId::Flux, &ledger.usage(), tolerance, after(1), after(5), age)
        };
        assert_eq!(missing(560, after(4)), Some(Bytes::ZERO));
        assert_eq!(missing(600, after(4)), Some(Bytes::mb(40)), "a growth of its own does not count");
        assert_eq!(missing(560, after(0)), None, "taken before it was dropped");
        assert_eq!(missing(560, after(1)), None, "too old");
    }
}
