//! What a stage is expected to take: learned from what it took.
//!
//! Exponentially weighted mean per unit of cost, so that slots of different lengths teach each other. What was learned
//! outlives the orchestrator in [`Learned`]. Never looks at a clock.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::PlanPolicy;
use crate::types::{PerStage, Stage};

/// How much work each stage of a slot is, relative to the slot the profile's estimates are for; 1 is as much.
pub(crate) type Costs = PerStage<f64>;

/// Weight of a new measurement: 1/8, as TCP smooths its round-trip time (RFC 6298), follows a change in about 8 slots
/// and is not thrown by one outlier.
const WEIGHT: f64 = 0.125;

/// What the stages of one device are known to take in a slot of unit costs, for whoever comes after an orchestrator: its
/// successor, the next process, and who asks meanwhile. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Learned(Arc<Mutex<PerStage<Option<Duration>>>>);

impl Learned {
    /// As it stands; nothing of a stage that has not run.
    pub fn get(&self) -> PerStage<Option<Duration>> {
        *self.0.lock()
    }

    /// What an earlier process learned.
    pub fn set(&self, known: PerStage<Option<Duration>>) {
        *self.0.lock() = known;
    }
}

/// Mean durations per stage.
#[derive(Clone, Debug)]
pub struct Estimates {
    means: PerStage<f64>,
    /// Whether a run was measured since a mean was guessed.
    measured: PerStage<bool>,
    shared: Learned,
}

impl Estimates {
    /// The profile's, until something is learned.
    pub fn new(policy: &PlanPolicy) -> Self {
        Self::going_on(policy, &Learned::default())
    }

    /// What was learned before, and the profile's of what was not; what is learned from now on is told there.
    pub fn going_on(policy: &PlanPolicy, learned: &Learned) -> Self {
        let known = learned.get();
        Self {
            means: policy.stages.map(|stage, row| known[stage].unwrap_or(row.estimate).as_secs_f64()),
            measured: known.map(|_, known| known.is_some()),
            shared: learned.clone(),
        }
    }

    /// A run of `stage` took `took`. The first measurement replaces the guess.
    pub fn learn(&mut self, stage: Stage, costs: &Costs, took: Duration) {
        let cost = costs[stage];
        if !(cost.is_finite() && cost > 0.0) {
            return;
        }
        let (mean, sample) = (&mut self.means[stage], took.as_secs_f64() / cost);
        let weight = if std::mem::replace(&mut self.measured[stage], true) { WEIGHT } else { 1.0 };
        *mean += weight * (sample - *mean);
        self.tell(stage);
    }

    /// A run of `stage` was given up after `took`: it takes longer than that, nobody knows how much. The next run that
    /// ends says it.
    pub fn exceeded(&mut self, stage: Stage, costs: &Costs, took: Duration) {
        let (cost, least) = (costs[stage], took.as_secs_f64() / costs[stage]);
        if cost > 0.0 && least.is_finite() && least > self.means[stage] {
            self.means[stage] = least;
            self.measured[stage] = false;
            self.tell(stage);
        }
    }

    fn tell(&self, stage: Stage) {
        if let Ok(mean) = Duration::try_from_secs_f64(self.means[stage]) {
            self.shared.0.lock()[stage] = Some(mean);
        }
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
