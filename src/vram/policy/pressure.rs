//! Normal → Soft → Hard, with hysteresis and dwell. Pure, of fixed size; no allocation.
//!
//! A limit is crossed at the first usable sample at or above it: a crossing noticed late is an out-of-memory. It clears
//! only once use has stayed below the limit less the hysteresis for the dwell, on usable samples without a gap. One
//! notice per crossing. Without usable samples the level stands as it was; after `max_age` of that the policy is
//! blind, which closes admission, and trims and restarts nothing.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::types::Bytes;
use crate::vram::sample::Sample;

/// How scarce memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Below the soft limit.
    #[default]
    Normal,
    /// At or above the soft limit: no new work, trim; running slots go on.
    Soft,
    /// At or above the hard limit: the next stage of the offending slot is refused; what else follows, its cause says.
    Hard,
}

impl Level {
    /// As written in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// Where the levels begin and how they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    soft: Bytes,
    hard: Bytes,
    hysteresis: Bytes,
    dwell: Duration,
    max_age: Duration,
    repeat: Duration,
}

/// Why limits contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdsError {
    /// Soft would never come before hard.
    #[error("the soft limit, {soft}, must be below the hard limit, {hard}")]
    SoftNotBelowHard {
        /// The soft limit.
        soft: Bytes,
        /// The hard limit.
        hard: Bytes,
    },
    /// Soft would never clear.
    #[error("the hysteresis, {hysteresis}, must be below the soft limit, {soft}")]
    HysteresisTooLarge {
        /// The hysteresis.
        hysteresis: Bytes,
        /// The soft limit.
        soft: Bytes,
    },
    /// Every sample would be too old.
    #[error("the age at which a sample is stale must be above zero")]
    NothingIsFresh,
}

impl Thresholds {
    /// Limits on the memory used on the device. A level clears below its limit less `hysteresis`, kept for `dwell`;
    /// samples older than `max_age` are not decided by.
    pub fn new(
        soft: Bytes,
        hard: Bytes,
        hysteresis: Bytes,
        dwell: Duration,
        max_age: Duration,
    ) -> Result<Self, ThresholdsError> {
        if soft >= hard {
            return Err(ThresholdsError::SoftNotBelowHard { soft, hard });
        }
        if hysteresis >= soft {
            return Err(ThresholdsError::HysteresisTooLarge { hysteresis, soft });
        }
        if max_age.is_zero() {
            return Err(ThresholdsError::NothingIsFresh);
        }
        // Long enough for a trim or a restart to show in the samples, short enough to matter to a slot.
        const REPEAT: Duration = Duration::from_secs(10);
        Ok(Self { soft, hard, hysteresis, dwell, max_age, repeat: REPEAT })
    }

    /// The same, with trims due again after `repeat` where the level still stands.
    #[must_use]
    pub fn repeating_after(self, repeat: Duration) -> Self {
        Self { repeat, ..self }
    }

    /// Other limits, with the rest as it is.
    pub fn with_limits(
        &self,
        soft: Bytes,
        hard: Bytes,
        hysteresis: Bytes,
        dwell: Duration,
    ) -> Result<Self, ThresholdsError> {
        let new = Self::new(soft, hard, hysteresis, dwell, self.max_age)?;
        Ok(new.repeating_after(self.repeat))
    }

    /// Where Soft begins.
    pub fn soft(&self) -> Bytes {
        self.soft
    }

    /// Where Hard begins; what the ledger never promises beyond.
    pub fn hard(&self) -> Bytes {
        self.hard
    }

    /// Below it `level` clears; zero where there is nothing to clear.
    pub fn floor_of(&self, level: Level) -> Bytes {
        let limit = match level {
            Level::Normal => return Bytes::ZERO,
            Level::Soft => self.soft,
            Level::Hard => self.hard,
        };
        limit.saturating_sub(self.hysteresis)
    }

    /// How long use has to stay below a floor.
    pub fn dwell(&self) -> Duration {
        self.dwell
    }

    /// The oldest a sample may be.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }
}

/// The level changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// What it was.
    pub from: Level,
    /// What it is.
    #[serde(rename = "level")]
    pub to: Level,
    /// Memory used at the sample that decided it.
    pub used: Bytes,
    /// The limit crossed, or the floor it cleared below.
    pub limit: Bytes,
}

impl Crossing {
    /// Whether it is a warning rather than the end of one.
    pub fn is_rise(&self) -> bool {
        self.to > self.from
    }
}

/// What is due now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Take on no new work.
    pub backpressure: bool,
    /// Ask models and pools to give back what they keep.
    pub trim: bool,
}

/// What follows from one sample, or from its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// How scarce memory is.
    pub level: Level,
    /// For how long now there was nothing to decide by; `None` while there is.
    pub blind: Option<Duration>,
    /// The level changed with this sample.
    pub crossing: Option<Crossing>,
    /// What is due.
    pub actions: Actions,
}

/// One limit: raised or not, and since when use has been below its floor.
#[derive(Clone, Copy, Debug, Default)]
struct Latch {
    raised: bool,
    below_since: Option<Instant>,
}

impl Latch {
    fn step(&mut self, used: Bytes, limit: Bytes, floor: Bytes, dwell: Duration, now: Instant) {
        if used >= limit {
            *self = Self { raised: true, below_since: None };
        } else if used >= floor {
            self.below_since = None;
        } else {
            let since = *self.below_since.get_or_insert(now);
            self.raised &= now.saturating_duration_since(since) < dwell;
        }
    }
}

/// The state between samples.
#[derive(Clone, Copy, Debug)]
pub struct PressurePolicy {
    thresholds: Thresholds,
    soft: Latch,
    hard: Latch,
    seen_at: Option<Instant>,
    waiting_since: Option<Instant>,
    trimmed_at: Option<Instant>,
}

impl PressurePolicy {
    /// Normal, nothing seen.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            soft: Latch::default(),
            hard: Latch::default(),
            seen_at: None,
            waiting_since: None,
            trimmed_at: None,
        }
    }

    /// What it decides by.
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Decides by `thresholds` from now on. A level that stands clears by them, too.
    pub fn change_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// The level as of the last assessment.
    pub fn level(&self) -> Level {
        match (self.hard.raised, self.soft.raised) {
            (true, _) => Level::Hard,
            (false, true) => Level::Soft,
            (false, false) => Level::Normal,
        }
    }

    /// Takes in a sample, or that there is none.
    pub fn assess(&mut self, sample: Option<&Sample>, now: Instant) -> Assessment {
        match sample.filter(|sample| sample.is_usable(now, self.thresholds.max_age)) {
            Some(sample) => self.seen(sample, now),
            None => self.unseen(now),
        }
    }

    fn seen(&mut self, sample: &Sample, now: Instant) -> Assessment {
        let limits = self.thresholds;
        let gap = self.seen_at.is_some_and(|at| now.saturating_duration_since(at) > limits.max_age);
        if gap {
            self.forget_calm();
        }
        (self.seen_at, self.waiting_since) = (Some(now), None);

        let from = self.level();
        let floor_of = |limit: Bytes| limit.saturating_sub(limits.hysteresis);
        self.soft.step(sample.used, limits.soft, floor_of(limits.soft), limits.dwell, now);
        self.hard.step(sample.used, limits.hard, floor_of(limits.hard), limits.dwell, now);
        let to = self.level();
        let crossing = (from != to).then(|| Crossing {
            from,
            to,
            used: sample.used,
            limit: match (from, to) {
                (_, Level::Hard) => limits.hard,
                (Level::Normal, _) => limits.soft,
                (_, Level::Soft) => floor_of(limits.hard),
                (_, Level::Normal) => floor_of(limits.soft),
            },
        });

        let risen = crossing.is_some_and(|crossing| crossing.is_rise());
        let due = self.trimmed_at.is_none_or(|at| now.saturating_duration_since(at) >= limits.repeat);
        let trim = to >= Level::Soft && (risen || due);
        if trim {
            self.trimmed_at = Some(now);
        }
        let actions = Actions { backpressure: to >= Level::Soft, trim };
        Assessment { level: to, blind: None, crossing, actions }
    }

    fn unseen(&mut self, now: Instant) -> Assessment {
        // A gap is no evidence of calm.
        self.forget_calm();
        let since = *self.waiting_since.get_or_insert(self.seen_at.unwrap_or(now));
        let waited = now.saturating_duration_since(since);
        let never_seen = self.seen_at.is_none();
        let blind = (never_seen || waited > self.thresholds.max_age).then_some(waited);
        let level = self.level();
        let backpressure = level >= Level::Soft || blind.is_some();
        Assessment { level, blind, crossing: None, actions: Actions { backpressure, ..Actions::default() } }
    }

    fn forget_calm(&mut self) {
        (self.soft.below_since, self.hard.below_since) = (None, None);
    }
}

#[cfg(test)]
mod tests;
