//! One device's watch between samples: feeds the ledger, the pressure policy, the gauge and the ring, and says what
//! is due. Owns their states; has no clock, samples nothing, carries nothing out. Allocates nothing after its making.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::gauge::{Pressure, PressureGauge};
use super::ledger::{Ledger, Mark};
use super::policy::{
    Assessment, LeakSettings, LeakVerdict, LeakWatch, PressurePolicy, SlotFloor, Thresholds,
};
use super::sample::Sample;
use super::snapshot::{DeviceMemory, Occasion, Snapshot, SnapshotRing};

/// How a device is watched.
#[derive(Clone, Copy, Debug)]
pub struct MonitorSettings {
    /// Where pressure begins and ends.
    pub thresholds: Thresholds,
    /// When growth is a leak.
    pub leak: LeakSettings,
    /// Snapshots kept.
    pub snapshots: NonZeroUsize,
}

/// The watch over one device.
pub struct Monitor {
    ledger: Ledger,
    gauge: PressureGauge,
    pressure: PressurePolicy,
    leak: LeakWatch,
    floor: SlotFloor,
    snapshots: SnapshotRing,
    last: Option<Sample>,
}

impl Monitor {
    /// Nothing seen yet. `gauge` is what admission reads.
    pub fn new(settings: &MonitorSettings, ledger: Ledger, gauge: PressureGauge) -> Self {
        Self {
            ledger,
            gauge,
            pressure: PressurePolicy::new(settings.thresholds),
            leak: LeakWatch::new(settings.leak),
            floor: SlotFloor::default(),
            snapshots: SnapshotRing::new(settings.snapshots),
            last: None,
        }
    }

    /// Where pressure begins and ends.
    pub fn thresholds(&self) -> &Thresholds {
        self.pressure.thresholds()
    }

    /// Decides by `thresholds` from now on.
    pub fn change_thresholds(&mut self, thresholds: Thresholds) {
        self.pressure.change_thresholds(thresholds);
    }

    /// Takes in what a check brought: a sample, begun at `mark`, or none. What is not usable at `now` counts as none.
    pub fn assess(&mut self, sample: Option<&Sample>, mark: Mark, now: Instant) -> Assessment {
        let max_age = self.pressure.thresholds().max_age();
        let usable = sample.filter(|sample| sample.is_usable(now, max_age));
        if let Some(sample) = usable {
            self.ledger.observe(sample, mark);
            self.floor.observe(sample);
            self.last = Some(*sample);
        }
        let assessment = self.pressure.assess(usable, now);
        let pressure = Pressure { level: assessment.level, blind: assessment.blind.is_some() };
        self.gauge.publish(pressure, now);
        assessment
    }

    /// A slot begins: what is sampled from here on is no floor.
    pub fn slot_began(&mut self) {
        self.floor.take();
    }

    /// The device has been idle since a slot ended, and sampled at least once: takes the least use seen meanwhile
    /// for that slot's floor. A verdict every so many slots; `None` in between, and where nothing was sampled.
    pub fn slot_settled(&mut self) -> Option<LeakVerdict> {
        let floor = self.floor.take()?;
        self.leak.record(floor)
    }

    /// A slot ended: the floor begins here.
    pub fn slot_ended(&mut self) {
        self.floor.take();
    }

    /// A model was restarted: the next floors are a warm-up again.
    pub fn restarted(&mut self) {
        self.leak.restart();
        self.floor.take();
    }

    /// Makes and keeps a snapshot of the last usable sample and the ledger. `unix_time` is the wall clock's.
    pub fn snapshot(&mut self, occasion: Occasion, now: Instant, unix_time: Duration) -> Snapshot {
        let max_age = self.pressure.thresholds().max_age();
        let device = self.last.filter(|sample| sample.is_usable(now, max_age)).map(|sample| DeviceMemory {
            source: sample.source,
            standing: sample.standing,
            total: sample.total,
            used: sample.used,
            free: sample.free,
            own: sample.own,
            others: sample.others,
            pool: sample.pool,
            fragmentation: sample.fragmentation(),
        });
        let pressure = self.gauge.read(now, max_age);
        let ledger = self.ledger.usage();
        self.snapshots.record(Snapshot { number: 0, occasion, unix_time, device, ledger, pressure })
    }

    /// The snapshots kept.
    pub fn snapshots(&self) -> &SnapshotRing {
        &self.snapshots
    }

    /// The last usable sample, where it is still fresh at `now`.
    pub fn fresh(&self, now: Instant) -> Option<&Sample> {
        let max_age = self.pressure.thresholds().max_age();
        self.last.as_ref().filter(|sample| sample.is_usable(now, max_age))
    }
}

#[cfg(test)]
mod tests;
