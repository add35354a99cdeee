//! What a stage is expected to take: learned from what it took.
//!
//! Exponentially weighted mean per unit of cost, so that slots of different lengths teach each other. Never looks at a
//! clock.

use std::time::Duration;

use super::PlanPolicy;
use crate::types::{PerStage, Stage};

/// How much work each stage of a slot is, relative to the slot the profile's estimates are for; 1 is as much.
pub(crate) type Costs = PerStage<f64>;

/// Weight of a new measurement: 1/8, as TCP smooths its round-trip time (RFC 6298), follows a change in about 8 slots
/// and is not thrown by one outlier.
const WEIGHT: f64 = 0.125;

/// Mean durations per stage.
#[derive(Clone, Debug)]
pub struct Estimates {
    means: PerStage<f64>,
    learned: PerStage<bool>,
}

impl Estimates {
    /// The profile's, until something is learned.
    pub fn new(policy: &PlanPolicy) -> Self {
        Self { means: policy.stages.map(|_, row| row.estimate.as_secs_f64()), learned: PerStage::default() }
    }

    /// A run of `stage` took `took`. The first measurement replaces the profile's guess.
    pub fn learn(&mut self, stage: Stage, costs: &Costs, took: Duration) {
        let cost = costs[stage];
        if !(cost.is_finite() && cost > 0.0) {
            return;
        }
        let (mean, sample) = (&mut self.means[stage], took.as_secs_f64() / cost);
        let weight = if std::mem::replace(&mut self.learned[stage], true) { WEIGHT } else { 1.0 };
        *mean += weight * (sample - *mean);
    }

    /// What `stage` is expected to take in a slot of these costs.
    pub fn of(&self, stage: Stage, costs: &Costs) -> Duration {
        Duration::try_from_secs_f64(self.means[stage] * costs[stage]).unwrap_or_default()
    }

    /// The slowest stage of such a slot: what every slot ahead in the queue costs, as stages of different slots overlap.
    pub fn bottleneck(&self, costs: &Costs) -> Duration {
        Stage::ALL.into_iter().map(|stage| self.of(stage, costs)).max().unwrap_or_default()
    }
}
