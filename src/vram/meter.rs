//! What one load or one run took of a device: the difference it made, and the most it held meanwhile.
//!
//! Devices count per process, not per model, so only what is alone at work is measured; what overlaps with another is
//! not, and nothing is guessed. Owns who is at work; allocates nothing on the device.

mod source;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::types::{Bytes, DeviceId};

pub use source::{MeterSource, Span, Watch};

/// How often one that waits for its turn looks up, so that it can say that it is still alive.
const LOOK_UP: Duration = Duration::from_millis(100);
/// How often at most for runs, which on a busy node follow each other without a gap: rather unmeasured than not at all.
const PATIENCE: u32 = 100;

#[derive(Default)]
struct AtWork {
    now: u32,
    /// Of these, loads.
    loads: u32,
    begun: u64,
}

struct Shared {
    source: Box<dyn MeterSource>,
    at_work: Mutex<AtWork>,
    ended: Condvar,
}

impl Shared {
    fn at_work(&self) -> MutexGuard<'_, AtWork> {
        // Two counters, changed in one step each: never half done.
        self.at_work.lock()
    }
}

/// Measures loads and runs on one device; clones share who is at work.
#[derive(Clone)]
pub struct Meter(Arc<Shared>);

/// What something took that was alone at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Held at the end beyond what was held at the beginning.
    pub kept: Bytes,
    /// The most held meanwhile beyond what was held at the beginning.
    pub peak: Bytes,
    /// Whether the source counts every byte of tensors, and nothing else: then `kept` is what a load really holds.
    pub exact: bool,
}

impl Meter {
    /// Through `source`.
    pub fn new(source: impl MeterSource + 'static) -> Self {
        let (at_work, ended) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { source: Box::new(source), at_work, ended }))
    }

    /// The meter of `device`: a card's pool, or the host's anonymous memory. `None` where there is nothing to ask.
    pub fn of_device(device: DeviceId) -> Option<Self> {
        match device {
            DeviceId::Cuda(ordinal) => crate::cuda::Card::open(ordinal).ok().map(Self::new),
            DeviceId::Cpu => Some(Self::new(source::HostSource)),
            DeviceId::Scripted(_) => None,
        }
    }

    /// Something begins to work.
    pub fn begin(&self) -> Metering {
        self.begun(self.0.at_work(), false)
    }

    /// The same for a load, where tensors are counted exactly: once no other is under way, since several at a time could
    /// not be told apart and share one disk anyway, and in a gap between runs where there is one soon. Calls `waiting`
    /// now and then meanwhile, and begins at once where that says to stop.
    pub fn begin_load(&self, mut waiting: impl FnMut() -> bool) -> Metering {
        let mut waited = 0;
        loop {
            let mut at_work = self.0.at_work();
            let taken = at_work.loads > 0 || (at_work.now > 0 && waited < PATIENCE);
            if !(taken && self.0.source.is_exact()) {
                return self.begun(at_work, true);
            }
            // Given up before `waiting` is called: what it does is no business of the lock's.
            self.0.ended.wait_for(&mut at_work, LOOK_UP);
            drop(at_work);
            waited += 1;
            if !waiting() {
                return self.begun(self.0.at_work(), true);
            }
        }
    }

    fn begun(&self, mut at_work: MutexGuard<'_, AtWork>, is_load: bool) -> Metering {
        at_work.now += 1;
        at_work.loads += u32::from(is_load);
        at_work.begun += 1;
        let watch = if at_work.now == 1 { self.0.source.watch() } else { None };
        Metering { number: at_work.begun, is_load, meter: self.clone(), watch }
    }
}

/// Something at work; over when dropped.
pub struct Metering {
    meter: Meter,
    number: u64,
    is_load: bool,
    watch: Option<Box<dyn Watch>>,
}

impl Metering {
    /// What it took; `None` where something else was at work meanwhile, or the device could not be asked.
    pub fn end(mut self) -> Option<Taken> {
        let span = self.watch.take()?.end();
        let alone = self.meter.0.at_work().begun == self.number;
        let Span { before, peak, after } = span.filter(|_| alone)?;
        Some(Taken {
            kept: after.saturating_sub(before),
            peak: peak.max(after).saturating_sub(before),
            exact: self.meter.0.source.is_exact(),
        })
    }
}

impl Drop for Metering {
    fn drop(&mut self) {
        let mut at_work = self.meter.0.at_work();
        at_work.now = at_work.now.saturating_sub(1);
        at_work.loads = at_work.loads.saturating_sub(u32::from(self.is_load));
        drop(at_work);
        self.meter.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
