//! What is kept of the past: snapshots of fixed size in a ring that never grows. Logging and serving them is others'.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::{Bytes, ModelId, SlotId};

use super::gauge::Pressure;
use super::ledger::Usage;
use super::sample::{Pool, Standing};

/// Why a snapshot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The node starts.
    Startup,
    /// A model was loaded.
    Loaded(ModelId),
    /// A slot begins.
    BeforeSlot(SlotId),
    /// A slot has ended.
    AfterSlot(SlotId),
    /// It was time.
    Periodic,
}

/// A device's memory at one moment, from both sides: what a probe saw and what the ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Counted from 1 over the life of the ring.
    pub number: u64,
    /// Why it was made.
    pub occasion: Occasion,
    /// On the wall clock, since the Unix epoch.
    pub unix_time: Duration,
    /// What the last usable sample said; `None` where there is none or it is stale. In JSON `probe`: an event that carries
    /// a snapshot names the device it is of.
    #[serde(rename = "probe")]
    pub device: Option<DeviceMemory>,
    /// The ledger's side.
    pub ledger: Usage,
    /// As assessed last.
    pub pressure: Pressure,
}

/// The probe's side of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DeviceMemory {
    /// Name of the probe.
    pub source: &'static str,
    /// Whether a better probe should have answered.
    pub standing: Standing,
    /// All memory of the device.
    pub total: Bytes,
    /// In use, by anyone.
    pub used: Bytes,
    /// Free.
    pub free: Bytes,
    /// Used by this process.
    pub own: Option<Bytes>,
    /// Used by others.
    pub others: Option<Bytes>,
    /// The allocation pool.
    pub pool: Option<Pool>,
    /// 1 − used/reserved of the pool.
    pub fragmentation: Option<f64>,
}

/// The last so many snapshots. Takes its memory when made; recording allocates nothing.
#[derive(Clone, Debug)]
pub struct SnapshotRing {
    kept: Vec<Snapshot>,
    capacity: usize,
    recorded: u64,
}

impl SnapshotRing {
    /// Empty, for `capacity` snapshots.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { kept: Vec::with_capacity(capacity.get()), capacity: capacity.get(), recorded: 0 }
    }

    /// Keeps a snapshot in place of the oldest, and numbers it.
    pub fn record(&mut self, snapshot: Snapshot) -> Snapshot {
        let place = (self.recorded % self.capacity as u64) as usize;
        self.recorded += 1;
        let numbered = Snapshot { number: self.recorded, ..snapshot };
        match self.kept.get_mut(place) {
            Some(oldest) => *oldest = numbered,
            None => self.kept.push(numbered),
        }
        numbered
    }

    /// From the oldest kept to the newest.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Snapshot> {
        let oldest = if self.kept.len() < self.capacity { 0 } else { self.recorded as usize % self.capacity };
        let (newer, older) = self.kept.split_at(oldest);
        older.iter().chain(newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DeviceId;
    use crate::vram::ledger::Ledger;

    #[test]
    fn the_ring_keeps_the_newest_in_order() {
        let ledger = Ledger::new(DeviceId::Scripted(0), Bytes::gb(11), Bytes::ZERO);
        let snapshot = Snapshot {
            number: 0,
            occasion: Occasion::Periodic,
            unix_time: Duration::ZERO,
            device: None,
            ledger: ledger.usage(),
            pressure: Pressure::UNKNOWN,
        };
        let mut ring = SnapshotRing::new(NonZeroUsize::new(3).unwrap());
        assert!(ring.iter().next_back().is_none());
        for recorded in 1..=8u64 {
            assert_eq!(ring.record(snapshot).number, recorded);
            let kept: Vec<u64> = ring.iter().map(|snapshot| snapshot.number).collect();
            let expected: Vec<u64> = (recorded.saturating_sub(2).max(1)..=recorded).collect();
            assert_eq!(kept, expected);
            assert_eq!(ring.iter().next_back().map(|snapshot| snapshot.number), Some(recorded));
        }
    }
}
