//! When a failed model is tried again, how long that waits, and when it is given up for a larger remedy.
//!
//! Pure: a history, a fault and an instant in, a remedy out. Owns the sliding-window budgets, the jittered backoff and
//! the ladder model → device → process. Never restarts anything itself.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use enum_map::Enum;

use crate::events::Fault;
use crate::exit::Exit;
use crate::types::{ModelId, PerModel};

#[cfg(test)]
mod tests;

/// How often a child may be restarted and how the wait before it grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Restarts allowed within `window`; the next one is refused.
    pub budget: NonZeroU32,
    /// How long a restart counts against the budget.
    pub window: Duration,
    /// Wait before the first restart of a window.
    pub first_delay: Duration,
    /// The wait doubles with every restart in the window, up to this.
    pub longest_delay: Duration,
    /// Share of the wait that is random, 0 … 1: children that died together do not come back together.
    pub jitter: f64,
}

impl Default for RestartPolicy {
    /// Five in ten minutes, OTP's order of magnitude for slow-starting children: a load takes seconds to a minute.
    fn default() -> Self {
        Self {
            budget: NonZeroU32::MIN.saturating_add(4),
            window: Duration::from_secs(600),
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
            jitter: 0.2,
        }
    }
}

/// Uniform numbers for jitter: SplitMix64 (Steele, Lea and Flood 2014), so that a rehearsal repeats exactly.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// The sequence that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The restarts of one child that still count.
#[derive(Clone, Debug)]
pub(crate) struct History {
    restarts: VecDeque<Instant>,
    jitter: Jitter,
}

impl History {
    /// Nothing has happened yet; waits are drawn from `jitter`.
    pub(crate) fn new(jitter: Jitter) -> Self {
        Self { restarts: VecDeque::new(), jitter }
    }

    /// The wait before a restart at `now`, which is entered into the history; `None` where the budget is spent.
    pub(crate) fn admit(&mut self, policy: &RestartPolicy, now: Instant) -> Option<Duration> {
        while self.restarts.front().is_some_and(|at| now.saturating_duration_since(*at) >= policy.window) {
            self.restarts.pop_front();
        }
        let earlier = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        if earlier >= policy.budget.get() {
            return None;
        }
        self.restarts.push_back(now);
        let doubled = policy.first_delay.saturating_mul(1u32.checked_shl(earlier).unwrap_or(u32::MAX));
        let full = doubled.min(policy.longest_delay);
        let share = 1.0 - policy.jitter.clamp(0.0, 1.0) * self.jitter.uniform();
        Some(full.mul_f64(share))
    }
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Restart the model after this long.
    Restart(Duration),
    /// Its budget is spent: the node is not ready, the model rests for this long and then gets a last chance.
    Cordon(Duration),
    /// Nothing in this process helps.
    Exit(Exit),
}

/// The settings of all three rungs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LadderPolicy {
    /// Per model.
    pub model: RestartPolicy,
    /// Cordons per device; a cordon's length is the device's backoff.
    pub device: RestartPolicy,
}

impl Default for LadderPolicy {
    /// One cordon of half a minute per hour: a fault that outlives it is not one that waiting mends.
    fn default() -> Self {
        Self {
            model: RestartPolicy::default(),
            device: RestartPolicy {
                budget: NonZeroU32::MIN,
                window: Duration::from_secs(3600),
                first_delay: Duration::from_secs(30),
                longest_delay: Duration::from_secs(30),
                jitter: 0.0,
            },
        }
    }
}

/// One device's ladder: a history per model, and one of its cordons.
#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    policy: LadderPolicy,
    models: PerModel<History>,
    device: History,
}

impl Ladder {
    /// A ladder on which nothing has happened; the same `seed` draws the same waits.
    pub(crate) fn new(policy: LadderPolicy, seed: u64) -> Self {
        let history = |stream: usize| History::new(Jitter::new(seed ^ (stream as u64).rotate_left(32)));
        Self {
            policy,
            models: PerModel::from_fn(|model: ModelId| history(model.into_usize() + 1)),
            device: history(0),
        }
    }

    /// What to do about `fault` of `model` at `now`. Enters what it decides into the histories.
    pub(crate) fn remedy(&mut self, model: ModelId, fault: Fault, now: Instant) -> Remedy {
        match fault {
            // The process's own memory and context are beyond repair from inside it.
            Fault::Hung | Fault::Poisoned | Fault::MemoryKept => Remedy::Exit(Exit::DeviceLost),
            // Neither a new try nor a new process changes what lies on the disk.
            Fault::Unusable => Remedy::Exit(Exit::BadInput),
            // Planned, at a boundary, and at most once in a hundred slots: neither counted nor delayed.
            Fault::Leak => Remedy::Restart(Duration::ZERO),
            Fault::Died | Fault::NotReady | Fault::Victim => {
                if let Some(wait) = self.models[model].admit(&self.policy.model, now) {
                    return Remedy::Restart(wait);
                }
                match self.device.admit(&self.policy.device, now) {
                    Some(rest) => Remedy::Cordon(rest),
                    None => Remedy::Exit(Exit::ModelGivenUp),
                }
            }
        }
    }
}
