//! Whether the floor between slots grows. Running sums of fixed size; pure; no allocation.
//!
//! The floor after each slot is fitted by least squares over the slot number since the baseline. Growth is slope × slots,
//! its standard error that of the slope × slots.

use serde::{Deserialize, Serialize};

use super::fit::Fit;
use crate::types::Bytes;

/// When growth is a leak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakSettings {
    /// Slots whose floors are ignored after a start: caches fill, kernels load.
    pub warm_up: u32,
    /// Slots between verdicts; at least 1.
    pub every: u32,
    /// Fitted growth since the baseline that is still taken for none.
    pub growth: Bytes,
    /// Standard errors that growth must exceed as well.
    pub standard_errors: f64,
    /// Added to `growth` where the floor itself is vague: what a host allocator keeps of freed memory.
    pub tolerance: Bytes,
}

impl Default for LeakSettings {
    /// The design's: more than 100 MB and more than 5 standard errors, checked every 100 slots, after 10 of warm-up.
    fn default() -> Self {
        Self { warm_up: 10, every: 100, growth: Bytes::mb(100), standard_errors: 5.0, tolerance: Bytes::ZERO }
    }
}

/// What the fit says at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakVerdict {
    /// Slots since the baseline.
    pub slots: u64,
    /// The floor that growth is counted from.
    pub baseline: Bytes,
    /// Bytes per slot.
    pub slope: f64,
    /// Fitted growth since the baseline, in bytes; negative where the floor fell.
    pub growth: f64,
    /// Standard error of `growth`, in bytes.
    pub standard_error: f64,
    /// Whether it is a leak: time for a planned restart at a slot boundary.
    pub leaking: bool,
}

/// Sums over the floors since the baseline.
#[derive(Clone, Copy, Debug)]
pub struct LeakWatch {
    settings: LeakSettings,
    seen: u64,
    baseline: Bytes,
    fit: Fit,
}

impl LeakWatch {
    /// Nothing seen yet.
    pub fn new(settings: LeakSettings) -> Self {
        Self { settings, seen: 0, baseline: Bytes::ZERO, fit: Fit::default() }
    }

    /// Takes in the floor after a slot. The first after the warm-up is the baseline; every so many slots after it, a
    /// verdict comes back.
    pub fn record(&mut self, floor: Bytes) -> Option<LeakVerdict> {
        self.seen += 1;
        let slots = self.seen.checked_sub(u64::from(self.settings.warm_up) + 1)?;
        if slots == 0 {
            self.baseline = floor;
        }
        self.fit.add(slots as f64, floor.signed_sub(self.baseline) as f64);
        let due = slots > 0 && slots.is_multiple_of(u64::from(self.settings.every.max(1)));
        due.then(|| self.verdict(slots))
    }

    /// Forgets everything: after a restart the next floors are a warm-up again.
    pub fn restart(&mut self) {
        *self = Self::new(self.settings);
    }

    fn verdict(&self, slots: u64) -> LeakVerdict {
        let (slope, slope_error) = self.fit.slope();
        let (growth, standard_error) = (slope * slots as f64, slope_error * slots as f64);
        let bound = self.settings.growth.saturating_add(self.settings.tolerance).as_f64();
        LeakVerdict {
            slots,
            baseline: self.baseline,
            slope,
            growth,
            standard_error,
            leaking: growth > bound && growth > self.settings.standard_errors * standard_error,
        }
    }
}

#[cfg(test)]
mod tests;
