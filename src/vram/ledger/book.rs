//! The ledger's book: entries and their sum, changed only together. No lock and no signal of its own.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::types::{Bytes, PerModel};
use crate::vram::policy::{Trend, Unaccounted};
use crate::vram::sample::Sample;

use super::{Claim, Holding, Purpose, Usage};

/// Names an entry; never used again after its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

struct Entry {
    claim: Claim,
    /// Whether all of it is allocated on the device.
    settled: bool,
}

pub(super) struct Book {
    limit: Bytes,
    entries: BTreeMap<Key, Entry>,
    next: u64,
    generation: u64,
    /// Sum of all entries; never above `limit`, unless that was lowered since.
    reserved: Bytes,
    peak_reserved: Bytes,
    unaccounted: Unaccounted,
    trend: Trend,
    actual: Option<(Bytes, Bytes)>,
    peak_actual: Option<Bytes>,
}

impl Book {
    pub(super) fn new(limit: Bytes, overhead: Bytes) -> Self {
        Self {
            limit,
            entries: BTreeMap::new(),
            next: 0,
            generation: 0,
            reserved: Bytes::ZERO,
            peak_reserved: Bytes::ZERO,
            unaccounted: Unaccounted::new(overhead),
            trend: Trend::default(),
            actual: None,
            peak_actual: None,
        }
    }

    pub(super) fn change_limit(&mut self, limit: Bytes) -> u64 {
        if limit == self.limit {
            return self.generation;
        }
        self.limit = limit;
        self.changed()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What leases cannot have.
    pub(super) fn floor(&self) -> Bytes {
        self.unaccounted.floor()
    }

    fn available(&self) -> Bytes {
        self.limit.saturating_sub(self.reserved).saturating_sub(self.floor())
    }

    /// By how much `needed` would cross the limit with nothing but residents out.
    pub(super) fn shortfall(&self, needed: Bytes) -> Bytes {
        self.residents().saturating_add(self.floor()).saturating_add(needed).saturating_sub(self.limit)
    }

    fn residents(&self) -> Bytes {
        let residents = self.entries.values().filter(|entry| entry.claim.purpose == Purpose::Resident);
        residents.map(|entry| entry.claim.bytes).sum()
    }

    /// What would be left for one run, with nothing but residents out and nothing unaccounted but the overhead.
    pub(super) fn room(&self) -> Bytes {
        self.limit.saturating_sub(self.residents().saturating_add(self.unaccounted.overhead()))
    }

    fn changed(&mut self) -> u64 {
        self.generation += 1;
        self.peak_reserved = self.peak_reserved.max(self.reserved);
        self.generation
    }

    pub(super) fn grant(&mut self, claim: Claim) -> Option<(Key, u64)> {
        if claim.bytes > self.available() {
            return None;
        }
        let key = Key(self.next);
        self.next += 1;
        self.reserved = self.reserved.saturating_add(claim.bytes);
        self.entries.insert(key, Entry { claim, settled: false });
        Some((key, self.changed()))
    }

    pub(super) fn resize(&mut self, key: Key, bytes: Bytes, settled: bool) -> Option<u64> {
        let available = self.available();
        let entry = self.entries.get_mut(&key)?;
        let held = entry.claim.bytes;
        if bytes > held && bytes.saturating_sub(held) > available {
            return None;
        }
        entry.claim.bytes = bytes;
        entry.settled |= settled;
        self.reserved = self.reserved.saturating_sub(held).saturating_add(bytes);
        Some(self.changed())
    }

    pub(super) fn release(&mut self, key: Key) -> u64 {
        match self.entries.remove(&key) {
            Some(entry) => {
                self.reserved = self.reserved.saturating_sub(entry.claim.bytes);
                self.changed()
            }
            None => self.generation,
        }
    }

    pub(super) fn observe(&mut self, sample: &Sample, mark: u64) -> u64 {
        let before = self.floor();
        let steady = mark == self.generation;
        let settled = self.entries.values().all(|entry| entry.settled);
        if let Some(seen) = self.unaccounted.observe(sample, steady.then_some(self.reserved), settled) {
            self.trend.observe(seen, settled, sample.taken_at);
        }
        self.actual = Some((sample.used, sample.used.saturating_sub(self.reserved)));
        self.peak_actual = self.peak_actual.max(Some(sample.used));
        if self.floor() == before { self.generation } else { self.changed() }
    }

    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage {
            limit: self.limit,
            reserved: self.reserved,
            free: self.limit.saturating_sub(self.reserved),
            available: self.available(),
            actual: self.actual.map(|(used, _)| used),
            unaccounted: self.actual.map(|(_, unaccounted)| unaccounted),
            unaccounted_slope: self.trend.slope(),
            peak_reserved: self.peak_reserved,
            peak_actual: self.peak_actual,
            resident: PerModel::default(),
            workspace: PerModel::default(),
            leases: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
        };
        for Entry { claim, .. } in self.entries.values() {
            let side = match claim.purpose {
                Purpose::Resident => &mut usage.resident,
                Purpose::Workspace => &mut usage.workspace,
            };
            let sum = &mut side[claim.model];
            *sum = sum.saturating_add(claim.bytes);
        }
        usage
    }

    pub(super) fn holdings(&self) -> Vec<Holding> {
        let mut holdings: Vec<Holding> = self
            .entries
            .values()
            .map(|Entry { claim: Claim { model, slot, purpose, bytes }, .. }| Holding {
                model: *model,
                slot: *slot,
                purpose: *purpose,
                bytes: *bytes,
            })
            .collect();
        holdings.sort_by_key(|holding| Reverse(holding.bytes));
        holdings
    }
}
