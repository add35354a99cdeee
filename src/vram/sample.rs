//! One look at a device's memory, and what makes it unfit to decide by. Owns no state and asks nobody.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::types::Bytes;

/// A stream-ordered allocation pool: what it holds of the device, and how much of that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Bytes handed out to tensors.
    pub used: Bytes,
    /// Bytes held from the device.
    pub reserved: Bytes,
}

impl Pool {
    /// What the pool holds without using it: taken from the device, and free for the next allocation of ours.
    pub fn slack(self) -> Bytes {
        self.reserved.saturating_sub(self.used)
    }
}

/// Whether a sample may be decided by, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As a probe returned it; nobody has examined it.
    Unchecked,
    /// Examined; from the first probe of the chain.
    Primary,
    /// Examined; from a probe that stands in for a better one.
    Fallback,
}

/// Why a sample is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The device is said to have no memory at all.
    NoTotal,
    /// More is said to be used than there is.
    UsedAboveTotal {
        /// Said to be used.
        used: Bytes,
        /// Said to be there.
        total: Bytes,
    },
    /// More is said to be free, or used by one side, than there is.
    PartAboveTotal {
        /// The part.
        part: Bytes,
        /// Said to be there.
        total: Bytes,
    },
    /// The pool is said to use more than it holds.
    PoolAboveReserved,
    /// The device's size is not what it was.
    TotalChanged {
        /// What it was.
        was: Bytes,
        /// What it is said to be.
        is: Bytes,
    },
    /// Taken too long ago.
    Stale {
        /// How long ago.
        age: Duration,
        /// The oldest that would do.
        max_age: Duration,
    },
    /// Said to be taken after now.
    FromTheFuture,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTotal => f.write_str("it reports a total of zero"),
            Self::UsedAboveTotal { used, total } => write!(f, "it reports {used} used of {total}"),
            Self::PartAboveTotal { part, total } => write!(f, "it reports a part of {part} of {total}"),
            Self::PoolAboveReserved => f.write_str("it reports a pool that uses more than it holds"),
            Self::TotalChanged { was, is } => write!(f, "its total went from {was} to {is}"),
            Self::Stale { age, max_age } => {
                write!(f, "its sample is {age:?} old, at most {max_age:?} will do")
            }
            Self::FromTheFuture => f.write_str("its sample is stamped later than now"),
        }
    }
}

/// Memory of one device at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Name of the probe that took it.
    pub source: &'static str,
    /// Whether it may be decided by.
    pub standing: Standing,
    /// When it was taken.
    pub taken_at: Instant,
    /// All memory of the device, or the share given to this process.
    pub total: Bytes,
    /// Of it in use, by anyone.
    pub used: Bytes,
    /// Of it free; less than `total − used` where the driver keeps some back.
    pub free: Bytes,
    /// Used by this process, where the probe can tell.
    pub own: Option<Bytes>,
    /// Used by anyone else, where the probe can tell.
    pub others: Option<Bytes>,
    /// The allocation pool, where there is one.
    pub pool: Option<Pool>,
}

impl Sample {
    /// What of it cannot be true, or is too old, at `now`; `None` where nothing speaks against it.
    pub fn flaw(&self, now: Instant, max_age: Duration) -> Option<Flaw> {
        let part = [Some(self.free), self.own, self.others].into_iter().flatten().max().unwrap_or_default();
        if self.total == Bytes::ZERO {
            Some(Flaw::NoTotal)
        } else if self.used > self.total {
            Some(Flaw::UsedAboveTotal { used: self.used, total: self.total })
        } else if part > self.total {
            Some(Flaw::PartAboveTotal { part, total: self.total })
        } else if self.pool.is_some_and(|pool| pool.used > pool.reserved) {
            Some(Flaw::PoolAboveReserved)
        } else if self.taken_at > now {
            Some(Flaw::FromTheFuture)
        } else {
            let age = now.saturating_duration_since(self.taken_at);
            (age > max_age).then_some(Flaw::Stale { age, max_age })
        }
    }

    /// Whether a decision at `now` may rest on it: examined, possible and fresh.
    pub fn is_usable(&self, now: Instant, max_age: Duration) -> bool {
        self.standing != Standing::Unchecked && self.flaw(now, max_age).is_none()
    }

    /// What others use, told by the probe or as the rest beyond this process.
    pub fn used_by_others(&self) -> Option<Bytes> {
        self.others.or_else(|| self.own.map(|own| self.used.saturating_sub(own)))
    }

    /// The share of the pool that is held without use: 1 − used/reserved; `None` without a pool that holds anything.
    pub fn fragmentation(&self) -> Option<f64> {
        self.pool.and_then(super::policy::fragmentation)
    }
}

#[cfg(test)]
mod tests;
