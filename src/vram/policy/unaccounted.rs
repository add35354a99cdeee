//! How much of the limit is taken by what no lease stands for: other processes, the device context, leaks. Pure.
//!
//! Hard because two things look alike in `used − leases`: memory that a lease promises and nobody has allocated yet
//! hides unaccounted use, and memory that an allocator keeps after its lease ended imitates it. So the rest beyond
//! other processes is believed only while every lease is settled (no workspace out, every load measured), a pool's
//! slack is not counted (our next allocation takes it), and without a pool to ask, the smallest rest ever seen counts.

use crate::types::Bytes;
use crate::vram::sample::{Pool, Sample};

/// The part of the limit that leases cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// At least this is taken by context and libraries, whatever the samples say.
    overhead: Bytes,
    /// What others use, where the last sample told.
    others: Option<Bytes>,
    /// This process's rest, from samples that told others apart.
    own_rest: Option<Bytes>,
    /// The rest of everyone, from samples that did not.
    whole_rest: Option<Bytes>,
}

impl Unaccounted {
    /// Only the configured `overhead` (context, libraries) until a sample says more.
    pub fn new(overhead: Bytes) -> Self {
        Self { overhead, others: None, own_rest: None, whole_rest: None }
    }

    /// What is taken by context and libraries, whatever the samples say.
    pub fn overhead(&self) -> Bytes {
        self.overhead
    }

    /// What leases cannot have.
    pub fn floor(&self) -> Bytes {
        match self.others {
            Some(others) => others.saturating_add(self.overhead.max(self.own_rest.unwrap_or_default())),
            None => self.overhead.max(self.whole_rest.unwrap_or_default()),
        }
    }

    /// Takes in a usable sample. `reserved` is what all leases stand for, or `None` where leases came or went while
    /// the sample was taken: then only others are believed. `settled` says whether all of it is allocated. Answers what this
    /// sample shows beyond the leases, without others where they are told apart; none where only others are believed.
    pub fn observe(&mut self, sample: &Sample, reserved: Option<Bytes>, settled: bool) -> Option<Bytes> {
        let before = self.floor();
        let others = sample.used_by_others();
        if others.is_none() && self.others.is_some() {
            // Others are in the rest from here on, unseen: what is known of them stands until it can be measured.
            self.whole_rest = Some(before);
        }
        self.others = others;
        let reserved = reserved?;

        let slack = sample.pool.map(Pool::slack).unwrap_or_default();
        let held = sample.used.saturating_sub(others.unwrap_or_default()).saturating_sub(slack);
        let seen = held.saturating_sub(reserved);
        let rest = if others.is_some() { &mut self.own_rest } else { &mut self.whole_rest };
        // What an allocator that cannot be asked holds beyond the leases may be its own to reuse; the least ever seen
        // is what cannot be. Where it may be somebody else's it counts in full.
        let may_be_reused = others.is_some() && sample.pool.is_none();
        *rest = match (*rest, settled) {
            (Some(least), true) if may_be_reused => Some(least.min(seen)),
            (_, true) => Some(seen),
            (known, false) if may_be_reused => known,
            // Leases promise more than is allocated, so the truth is at least what is seen.
            (known, false) => Some(known.unwrap_or_default().max(seen)),
        };
        Some(seen)
    }
}

#[cfg(test)]
mod tests;
