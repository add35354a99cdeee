//! Who is measured, and what of a played device.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A device whose use the test sets; its peak is the most that was ever set while watched.
#[derive(Clone, Default)]
struct Played {
    used: Arc<AtomicU64>,
    high: Arc<AtomicU64>,
}

impl Played {
    fn uses(&self, mb: u64) {
        self.used.store(mb, Ordering::SeqCst);
        self.high.fetch_max(mb, Ordering::SeqCst);
    }
}

struct PlayedWatch(Played, u64);

impl MeterSource for Played {
    fn watch(&self) -> Option<Box<dyn Watch>> {
        let before = self.used.load(Ordering::SeqCst);
        self.high.store(before, Ordering::SeqCst);
        Some(Box::new(PlayedWatch(self.clone(), before)))
    }

    fn is_exact(&self) -> bool {
        true
    }
}

impl Watch for PlayedWatch {
    fn end(self: Box<Self>) -> Option<Span> {
        let read = |value: &AtomicU64| Bytes::mb(value.load(Ordering::SeqCst));
        Some(Span { before: Bytes::mb(self.1), peak: read(&self.0.high), after: read(&self.0.used) })
    }
}

#[test]
fn what_is_alone_at_work_is_measured_beyond_what_was_held_before() {
    let (device, taken) = (Played::default(), |kept, peak| Taken { kept, peak, exact: true });
    let meter = Meter::new(device.clone());
    device.uses(900);
    device.uses(100);
    let metering = meter.begin();
    device.uses(750);
    device.uses(300);
    assert_eq!(metering.end(), Some(taken(Bytes::mb(200), Bytes::mb(650))));
    let metering = meter.begin();
    device.uses(400);
    device.uses(250);
    assert_eq!(metering.end(), Some(taken(Bytes::ZERO, Bytes::mb(100))), "less than before is nothing kept");
}

#[test]
fn what_overlaps_is_not_measured_on_either_side() {
    let meter = Meter::new(Played::default());
    let first = meter.begin();
    let second = meter.begin();
    assert_eq!((first.end(), second.end()), (None, None));
    let first = meter.begin();
    drop(meter.begin());
    assert_eq!(first.end(), None, "something came and went meanwhile");
    assert!(meter.begin().end().is_some());
}

#[test]
fn a_load_waits_for_its_turn_and_says_that_it_lives() {
    let meter = Meter::new(Played::default());
    let running = meter.begin();
    let mut running = Some(running);
    let mut waited = 0;
    let metering = meter.begin_load(|| {
        waited += 1;
        running = None;
        true
    });
    assert!(waited == 1 && metering.end().is_some());
    let running = meter.begin();
    let metering = meter.begin_load(|| false);
    assert_eq!(metering.end(), None, "one told to stop waits no longer");
    drop(running);
}

#[cfg(target_os = "linux")]
#[test]
fn the_hosts_meter_sees_what_was_held_meanwhile() {
    let meter = Meter::of_device(DeviceId::Cpu).unwrap();
    // Other tests of the binary take and give back memory meanwhile; not every time in our way.
    let seen = (0..50).any(|_| {
        let metering = meter.begin();
        let taken = vec![1u8; 64 << 20];
        assert!(taken.iter().all(|byte| *byte == 1));
        let (span, _) = (metering.end(), taken);
        span.is_some_and(|taken| taken.peak >= Bytes::mib(56) && taken.peak < Bytes::mib(96) && !taken.exact)
    });
    assert!(seen, "64 MiB were held, and the meter saw nothing of it");
}
