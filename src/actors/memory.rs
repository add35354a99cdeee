//! What the watchdog last saw, for whoever has to know whether memory is really back, and whose growth it was.
//!
//! Pure: the growth tracker takes samples and who was at work; the floor is arithmetic. Samples nothing itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::policy::memory_missing;
use crate::vram::{Pool, Sample, Usage};

/// How far each model's use has drifted from what its leases stand for.
///
/// Devices count memory per process, not per model. Use is compared at the ends of stretches during which no lease came
/// or went: what changes between two beyond what leases explain is put down to the models at work in between. Leases are
/// estimates, so this alone would blame a model for a generous one; therefore all growth together is held to the drift
/// between stretches with the *same* leases, which no estimate touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    of_model: PerModel<f64>,
    drift: f64,
    baselines: HashMap<Leases, f64>,
    last: Option<Leases>,
    steady: Option<f64>,
    before: Option<f64>,
    worked: PerModel<bool>,
}

/// Which memory is promised to whom: residents, workspaces.
type Leases = (PerModel<Bytes>, PerModel<Bytes>);

/// Combinations of leases remembered: 32 of who is at work, twice over for what they take; forgetting them costs only
/// the growth until each is seen again.
const REMEMBERED: usize = 64;

impl Growth {
    /// Own use at a look, the leases then, and who is at work.
    pub(crate) fn observe(&mut self, own: Bytes, usage: &Usage, at_work: &PerModel<bool>) {
        let leases = (usage.resident, usage.workspace);
        if self.last == Some(leases) {
            self.steady = Some(own.as_f64() - usage.reserved.as_f64());
        } else {
            self.stretch_ended();
            self.last = Some(leases);
        }
        self.worked.values_mut().zip(at_work.values()).for_each(|(worked, now)| *worked |= *now);
    }

    /// Takes the present stretch into account before it has ended: for whoever has to choose now.
    pub(crate) fn settle(&mut self) {
        let beyond = self.steady;
        self.stretch_ended();
        self.steady = beyond;
    }

    fn stretch_ended(&mut self) {
        let (Some(leases), Some(beyond)) = (self.last, self.steady.take()) else { return };
        let worked = std::mem::take(&mut self.worked);
        if let Some(before) = self.before.replace(beyond) {
            let workers = worked.values().filter(|worked| **worked).count().max(1);
            let share = (beyond - before) / workers as f64;
            let models = self.of_model.values_mut().zip(worked.into_values()).filter(|(_, worked)| *worked);
            models.for_each(|(growth, _)| *growth = (*growth + share).max(0.0));
        }
        if self.baselines.len() >= REMEMBERED && !self.baselines.contains_key(&leases) {
            self.baselines.clear();
        }
        let baseline = *self.baselines.entry(leases).or_insert(beyond - self.drift);
        self.drift = beyond - baseline;
        let sum: f64 = self.of_model.values().sum();
        if sum > self.drift.max(0.0) {
            let scale = self.drift.max(0.0) / sum;
            self.of_model.values_mut().for_each(|growth| *growth *= scale);
        }
    }

    /// A model was dropped: its growth went with it, and nothing seen before says anything about the new one.
    pub(crate) fn forget(&mut self, model: ModelId) {
        self.of_model[model] = 0.0;
        self.drift = self.of_model.values().sum();
        self.baselines.clear();
        (self.last, self.steady, self.before) = (None, None, None);
    }

    /// What each model has grown by.
    pub(crate) fn of_models(&self) -> PerModel<Bytes> {
        self.of_model.map(|_, growth| Bytes::new(growth as u64))
    }
}

/// The last look, for restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryView {
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
    /// Own use of a sample, without what the pool holds for the next allocation of ours: a model's memory is back once
    /// the pool has it.
    pub(crate) fn own_use(sample: &Sample) -> Bytes {
        let own = sample
            .own
            .unwrap_or_else(|| sample.used.saturating_sub(sample.used_by_others().unwrap_or_default()));
        own.saturating_sub(sample.pool.map(Pool::slack).unwrap_or_default())
    }

    /// How much of a dropped model's memory has not come back, by a look made after its end: zero where it may be
    /// loaded again, `None` where the look is of before or too old.
    ///
    /// The floor is absolute: what the process took before any model, what the leases out now stand for, and what the
    /// *other* models have grown by.
    pub(crate) fn missing(
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
        let grown: Bytes = others.map(|other| self.growth[other]).sum();
        let floor = self.base.saturating_add(usage.reserved).saturating_add(grown);
        Some(memory_missing(self.own, floor, tolerance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DeviceId;
    use crate::vram::{Claim, Ledger};

    /// Looks at a ledger on which flux holds a workspace where it is at work: two looks, so that it is a stretch.
    fn stretch(growth: &mut Growth, own: u64, flux: bool, kokoro: bool) {
        let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::gb(20), Bytes::ZERO);
        let claim = |model| Claim::workspace(model, None, Bytes::mb(100));
        let _flux = flux.then(|| ledger.reserve(claim(ModelId::Flux)).unwrap());
        let _kokoro = kokoro.then(|| ledger.reserve(claim(ModelId::Kokoro)).unwrap());
        let mut at_work = PerModel::default();
        (at_work[ModelId::Flux], at_work[ModelId::Kokoro]) = (flux, kokoro);
        // The first look may catch a run before it has taken its memory.
        growth.observe(Bytes::mb(7), &ledger.usage(), &at_work);
        growth.observe(Bytes::mb(own), &ledger.usage(), &at_work);
    }

    fn grown(growth: &Growth) -> (u64, u64) {
        let of_models = growth.of_models().map(|_, bytes| bytes.get() / 1_000_000);
        (of_models[ModelId::Flux], of_models[ModelId::Kokoro])
    }

    #[test]
    fn runs_that_take_what_they_always_take_are_no_growth() {
        let mut growth = Growth::default();
        for _ in 0..50 {
            stretch(&mut growth, 1000, false, false);
            stretch(&mut growth, 1730, true, false);
            stretch(&mut growth, 1790, true, true);
            stretch(&mut growth, 1060, false, true);
        }
        assert_eq!(grown(&growth), (0, 0));
    }

    #[test]
    fn growth_is_put_down_to_who_was_at_work() {
        let mut growth = Growth::default();
        for round in 0..10 {
            // Flux keeps 30 MB of every run, kokoro nothing, and both run alone.
            stretch(&mut growth, 1000 + 30 * round, false, false);
            stretch(&mut growth, 1700 + 30 * round, true, false);
            stretch(&mut growth, 1000 + 30 * (round + 1), false, false);
            stretch(&mut growth, 1060 + 30 * (round + 1), false, true);
        }
        stretch(&mut growth, 1000, false, false);
        let (flux, kokoro) = grown(&growth);
        assert!((230..=300).contains(&flux) && kokoro < 40, "flux {flux}, kokoro {kokoro}");
        growth.forget(ModelId::Flux);
        assert_eq!(grown(&growth).0, 0);
    }

    #[test]
    fn memory_is_back_at_the_absolute_floor_and_not_before_a_fresh_look() {
        let start = crate::clock::now();
        let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::gb(11), Bytes::ZERO);
        let _lease = ledger.reserve(Claim::resident(ModelId::Kokoro, Bytes::mb(400))).unwrap();
        let mut growth = PerModel::default();
        growth[ModelId::Kokoro] = Bytes::mb(50);
        growth[ModelId::Flux] = Bytes::mb(7000);
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
