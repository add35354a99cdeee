//! The current pressure, for whoever has to know it at once: an atomic for admission, a channel for those who wait.
//!
//! Owns the last published pressure and its time. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::policy::Level;

/// How scarce memory is, as last assessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// The level of the last usable sample.
    pub level: Level,
    /// No usable sample for too long: the level is what it was, not what it is.
    pub blind: bool,
}

impl Pressure {
    /// Before the first sample.
    pub const UNKNOWN: Self = Self { level: Level::Normal, blind: true };

    /// Whether new work may be taken on.
    pub fn admits(self) -> bool {
        self.level == Level::Normal && !self.blind
    }
}

struct Shared {
    /// Bits 0–1 level, bit 2 blind, the rest microseconds since `epoch` (73,000 years): one load reads all of it.
    word: AtomicU64,
    epoch: Instant,
    told: watch::Sender<Pressure>,
}

/// The published pressure of one device; clones are handles to the same one.
#[derive(Clone)]
pub struct PressureGauge(Arc<Shared>);

const BLIND: u64 = 0b100;
const TIME_SHIFT: u32 = 3;

fn encode(pressure: Pressure) -> u64 {
    let level = match pressure.level {
        Level::Normal => 0,
        Level::Soft => 1,
        Level::Hard => 2,
    };
    level | if pressure.blind { BLIND } else { 0 }
}

fn decode(word: u64) -> Pressure {
    let level = match word & 0b11 {
        0 => Level::Normal,
        1 => Level::Soft,
        _ => Level::Hard,
    };
    Pressure { level, blind: word & BLIND != 0 }
}

impl PressureGauge {
    /// Unknown until the first [`publish`](Self::publish); ages count from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        let word = AtomicU64::new(encode(Pressure::UNKNOWN));
        Self(Arc::new(Shared { word, epoch, told: watch::Sender::new(Pressure::UNKNOWN) }))
    }

    /// The pressure as last published, however long ago that was. Lock-free.
    pub fn last(&self) -> Pressure {
        decode(self.0.word.load(Ordering::Acquire))
    }

    /// The pressure at `now`: blind where the last publication is older than `max_age`, so that a watchdog that has
    /// stopped does not keep admission open. Lock-free.
    pub fn read(&self, now: Instant, max_age: Duration) -> Pressure {
        let word = self.0.word.load(Ordering::Acquire);
        let published = Duration::from_micros(word >> TIME_SHIFT);
        let age = now.saturating_duration_since(self.0.epoch).saturating_sub(published);
        let pressure = decode(word);
        Pressure { blind: pressure.blind || age > max_age, ..pressure }
    }

    /// Makes `pressure`, assessed at `now`, the current one; tells subscribers where it differs. Allocates nothing.
    pub fn publish(&self, pressure: Pressure, now: Instant) {
        let micros = now.saturating_duration_since(self.0.epoch).as_micros() as u64;
        self.0.word.store(micros << TIME_SHIFT | encode(pressure), Ordering::Release);
        self.0.told.send_if_modified(|told| std::mem::replace(told, pressure) != pressure);
    }

    /// Follows changes; each receiver sees the newest.
    pub fn subscribe(&self) -> watch::Receiver<Pressure> {
        self.0.told.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_and_told_once() {
        let epoch = crate::clock::now();
        let gauge = PressureGauge::new(epoch);
        let mut told = gauge.subscribe();
        assert_eq!(gauge.last(), Pressure::UNKNOWN);
        for level in [Level::Soft, Level::Hard, Level::Normal] {
            for blind in [true, false] {
                let pressure = Pressure { level, blind };
                gauge.publish(pressure, epoch);
                assert_eq!((gauge.last(), *told.borrow_and_update()), (pressure, pressure));
                assert_eq!(pressure.admits(), level == Level::Normal && !blind);
                gauge.publish(pressure, epoch);
                assert!(!told.has_changed().unwrap(), "told once");
            }
        }
    }

    #[test]
    fn what_nobody_renews_goes_blind() {
        let (epoch, age) = (crate::clock::now(), Duration::from_secs(2));
        let gauge = PressureGauge::new(epoch);
        let calm = Pressure { level: Level::Normal, blind: false };
        let published = epoch + Duration::from_secs(100);
        gauge.publish(calm, published);
        assert_eq!(gauge.read(published + age, age), calm);
        let late = gauge.read(published + age + Duration::from_micros(1), age);
        assert_eq!(late, Pressure { blind: true, ..calm });
        assert!(!late.admits());
    }
}
