//! Where a meter reads: a card's pool, which keeps a high-water mark of its own, or the host's memory, which is looked
//! at again and again meanwhile.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cuda::Card;
use crate::types::Bytes;
use crate::vram::probe::{HostProbe, HostProbeSetup, Probe};

/// What was held at the beginning, at most, and at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At the beginning.
    pub before: Bytes,
    /// At most.
    pub peak: Bytes,
    /// At the end.
    pub after: Bytes,
}

/// Where a meter reads.
pub trait MeterSource: Send + Sync {
    /// Begins to watch; `None` where the device cannot be asked.
    fn watch(&self) -> Option<Box<dyn Watch>>;

    /// Whether it counts every byte of tensors and nothing else.
    fn is_exact(&self) -> bool;
}

/// A device being watched.
pub trait Watch: Send {
    /// What was seen; `None` where the device could not be asked any more.
    fn end(self: Box<Self>) -> Option<Span>;
}

impl MeterSource for Card {
    fn watch(&self) -> Option<Box<dyn Watch>> {
        self.reset_high_water().ok()?;
        let before = self.pool().ok()??.used;
        Some(Box::new(PoolWatch { card: self.clone(), before }))
    }

    fn is_exact(&self) -> bool {
        true
    }
}

struct PoolWatch {
    card: Card,
    before: Bytes,
}

impl Watch for PoolWatch {
    fn end(self: Box<Self>) -> Option<Span> {
        // What is freed in stream order is counted until the stream has come to it.
        self.card.synchronise().ok()?;
        let pool = self.card.pool().ok()??;
        Some(Span { before: self.before, peak: pool.used_high, after: pool.used })
    }
}

/// Between two looks at the host's memory: a look costs some 30 µs, so this is under 1 % of a core, and what a model
/// holds for less than this is too short to matter for a lease.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// This process's anonymous memory. Allocators keep what was freed, so it is no exact measure of a load.
pub(super) struct HostSource;

impl MeterSource for HostSource {
    fn watch(&self) -> Option<Box<dyn Watch>> {
        // The machine's memory, which would be read anew at each look, is not asked for.
        let mut probe =
            HostProbe::new(HostProbeSetup { total: Some(Bytes::ZERO), ..HostProbeSetup::default() });
        let before = held(&mut probe)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let looking = std::thread::Builder::new().name("meter".to_owned()).spawn(move || {
            let mut peak = before;
            // Ends when it is told to, and when whoever measured is gone.
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
                peak = peak.max(held(&mut probe)?);
            }
            let after = held(&mut probe)?;
            Some(Span { before, peak: peak.max(after), after })
        });
        Some(Box::new(HostWatch { stop, looking: looking.ok()? }))
    }

    fn is_exact(&self) -> bool {
        false
    }
}

fn held(probe: &mut HostProbe) -> Option<Bytes> {
    probe.sample(crate::clock::now()).ok().map(|sample| sample.used)
}

struct HostWatch {
    stop: mpsc::Sender<()>,
    looking: JoinHandle<Option<Span>>,
}

impl Watch for HostWatch {
    fn end(self: Box<Self>) -> Option<Span> {
        drop(self.stop);
        self.looking.join().ok().flatten()
    }
}
