//! What the watchdog last saw, for whoever has to know whether memory is really back, and whose growth it was.
//!
//! Pure: the growth tracker takes samples and who was at work; the floor is arithmetic. Samples nothing itself.

use std::time::{Duration, Instant};

use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::policy::{RemedyPolicy, RemedySettings, memory_missing};
use crate::vram::{Pool, Sample, Usage};

mod growth;

pub(crate) use growth::Growth;

/// What outlives a watchdog that dies: whose growth was seen, which remedies were tried, what the process took before
/// any model. One per device's tree, behind a lock that its watchdog takes once a look.
#[derive(Debug)]
pub(crate) struct MemoryRecord {
    /// How far each model's use has drifted from its leases.
    pub(crate) growth: Growth,
    /// What was tried against pressure of our own making.
    pub(crate) remedies: RemedyPolicy,
    /// Own use before any model was loaded.
    pub(crate) base: Bytes,
    /// Own use beyond what is expected: at the last look at which each model still had its lease, and of these looks the
    /// one before the last drop.
    unexplained_with: PerModel<Bytes>,
    unexplained_before: Bytes,
}

impl MemoryRecord {
    /// Nothing was seen yet; the process takes `overhead` by itself.
    pub(crate) fn new(overhead: Bytes, remedies: RemedySettings) -> Self {
        Self {
            growth: Growth::default(),
            remedies: RemedyPolicy::new(remedies),
            base: overhead,
            unexplained_with: PerModel::default(),
            unexplained_before: Bytes::ZERO,
        }
    }

    /// Takes in a look: own use, the leases then, who is at work.
    pub(crate) fn observe(&mut self, own: Bytes, usage: &Usage, at_work: &PerModel<bool>) {
        self.growth.observe(own, usage, at_work);
        let unexplained = own.saturating_sub(self.base.saturating_add(usage.reserved));
        for (model, seen) in &mut self.unexplained_with {
            if usage.resident[model] > Bytes::ZERO {
                *seen = unexplained;
            }
        }
    }

    /// `model` was dropped at `now`.
    pub(crate) fn dropped(&mut self, model: ModelId, now: Instant) {
        self.growth.forget(model);
        self.unexplained_before = self.unexplained_with[model];
        self.remedies.dropped(model, now);
    }

    /// The look at `taken_at`, at which this process used `own`, for restarts.
    pub(crate) fn view(&self, own: Bytes, taken_at: Instant) -> MemoryView {
        let (growth, unexplained) = (self.growth.of_models(), self.unexplained_before);
        MemoryView { own, taken_at, base: self.base, growth, unexplained }
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
    /// Own use beyond what it was before any model and what the leases out stood for, when a model was dropped last:
    /// whatever of it was not that model's stays.
    pub unexplained: Bytes,
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
    /// The floor is absolute: what the process took before any model, what the leases out now stand for, and what was
    /// unexplained before, by whomever: growth is put down to models by inference, and a model dropped for another's growth
    /// has nothing more to return.
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
        let floor = self.base.saturating_add(usage.reserved).saturating_add(grown.max(self.unexplained));
        Some(memory_missing(self.own, floor, tolerance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DeviceId;
    use crate::vram::{Claim, Ledger};

    #[test]
    fn memory_is_back_at_the_absolute_floor_and_not_before_a_fresh_look() {
        let start = crate::clock::now();
        let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::gb(11), Bytes::ZERO);
        let _lease = ledger.reserve(Claim::resident(ModelId::Kokoro, Bytes::mb(400))).unwrap();
        let mut growth = PerModel::default();
        growth[ModelId::Kokoro] = Bytes::mb(50);
        growth[ModelId::Flux] = Bytes::mb(7000);
        let after = |seconds| start + Duration::from_secs(seconds);
        let missing_of = |own, at: Instant, unexplained| {
            let view = MemoryView {
                own: Bytes::mb(own),
                taken_at: at,
                base: Bytes::mb(100),
                growth,
                unexplained: Bytes::mb(unexplained),
            };
            let (tolerance, age) = (Bytes::mb(10), Duration::from_secs(3));
            view.missing(ModelId::Flux, &ledger.usage(), tolerance, after(1), after(5), age)
        };
        let missing = |own, at| missing_of(own, at, 0);
        assert_eq!(missing_of(600, after(4), 90), Some(Bytes::ZERO), "what was unexplained before may stay");
        assert_eq!(missing_of(601, after(4), 90), Some(Bytes::mb(1)));
        assert_eq!(missing(560, after(4)), Some(Bytes::ZERO));
        assert_eq!(missing(600, after(4)), Some(Bytes::mb(40)), "a growth of its own does not count");
        assert_eq!(missing(560, after(0)), None, "taken before it was dropped");
        assert_eq!(missing(560, after(1)), None, "too old");
    }
}
