//! A card's memory through CUDA's own driver: free and total of the whole card, used and reserved of this process's
//! pool. Second to NVML, which also tells this process from others; and the pool's figures beside NVML's sample.

use std::borrow::Cow;
use std::time::Instant;

use crate::cuda::{Card, CardMemory, Fault, PoolUse};
use crate::vram::sample::{Pool, Sample, Standing};

use super::{Occupant, Probe, ProbeError, ProbeErrorKind};

const NAME: &str = "cuda";

/// What a probe asks of a card; the real one, or a test's.
pub trait CardFigures: Send {
    /// What is free and what there is.
    fn memory(&self) -> Result<CardMemory, Fault>;
    /// The pool's figures, where there is a pool.
    fn pool(&self) -> Result<Option<PoolUse>, Fault>;
}

impl CardFigures for Card {
    fn memory(&self) -> Result<CardMemory, Fault> {
        Self::memory(self)
    }

    fn pool(&self) -> Result<Option<PoolUse>, Fault> {
        Self::pool(self)
    }
}

fn pool_of(figures: PoolUse) -> Pool {
    Pool { used: figures.used, reserved: figures.reserved }
}

fn trouble(fault: &Fault) -> ProbeError {
    let kind = match fault {
        Fault::Driver { .. } | Fault::Panicked { .. } | Fault::Busy { .. } | Fault::Full { .. } => {
            ProbeErrorKind::Failed
        }
        Fault::NotBuilt
        | Fault::NoDriver
        | Fault::NoLibrary { .. }
        | Fault::DriverTooOld { .. }
        | Fault::NoSuchCard { .. }
        | Fault::TooOld { .. } => ProbeErrorKind::Missing,
    };
    ProbeError::new(NAME, kind, Cow::Owned(fault.to_string()))
}

/// Looks at one card.
pub struct CudaProbe<C = Card>(C);

impl<C: CardFigures> CudaProbe<C> {
    /// At `card`.
    pub fn new(card: C) -> Self {
        Self(card)
    }
}

impl<C: CardFigures> Probe for CudaProbe<C> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError> {
        let memory = self.0.memory().map_err(|fault| trouble(&fault))?;
        let pool = self.0.pool().map_err(|fault| trouble(&fault))?.map(pool_of);
        Ok(Sample {
            source: NAME,
            standing: Standing::Unchecked,
            taken_at: now,
            total: memory.total,
            used: memory.total.saturating_sub(memory.free),
            free: memory.free,
            // The driver counts the card: whose the rest of `used` is, it does not say.
            own: None,
            others: None,
            pool,
        })
    }
}

/// Another probe's samples with the pool's figures of the same card.
pub struct WithPool<P, C = Card> {
    probe: P,
    card: C,
}

impl<P: Probe, C: CardFigures> WithPool<P, C> {
    /// `probe` looks at the board that `card` is.
    pub fn new(probe: P, card: C) -> Self {
        Self { probe, card }
    }
}

impl<P: Probe, C: CardFigures> Probe for WithPool<P, C> {
    fn name(&self) -> &'static str {
        self.probe.name()
    }

    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError> {
        let sample = self.probe.sample(now)?;
        // A pool that cannot be asked takes nothing away from the board's figures.
        Ok(Sample { pool: self.card.pool().ok().flatten().map(pool_of), ..sample })
    }

    fn occupants(&mut self) -> Vec<Occupant> {
        self.probe.occupants()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Bytes;
    use crate::vram::{ScriptedDevice, ScriptedProbe};

    struct Played(Result<Option<PoolUse>, Fault>);

    impl CardFigures for Played {
        fn memory(&self) -> Result<CardMemory, Fault> {
            self.0.clone().map(|_| CardMemory { free: Bytes::gb(5), total: Bytes::gb(12) })
        }

        fn pool(&self) -> Result<Option<PoolUse>, Fault> {
            self.0.clone()
        }
    }

    const POOL: PoolUse = PoolUse { used: Bytes::gb(3), reserved: Bytes::gb(4), used_high: Bytes::mb(3500) };

    #[test]
    fn the_driver_counts_the_card_and_the_pool() {
        let now = crate::clock::now();
        let sample = CudaProbe::new(Played(Ok(Some(POOL)))).sample(now).unwrap();
        assert_eq!((sample.source, sample.total, sample.used), ("cuda", Bytes::gb(12), Bytes::gb(7)));
        assert_eq!(sample.fragmentation(), Some(0.25));
        assert_eq!((sample.own, sample.flaw(now, std::time::Duration::from_secs(1))), (None, None));
        assert_eq!(CudaProbe::new(Played(Ok(None))).sample(now).unwrap().pool, None);
    }

    #[test]
    fn a_card_that_is_not_there_is_missing_and_one_that_fails_has_failed() {
        let kind = |fault: Fault| {
            let error = CudaProbe::new(Played(Err(fault))).sample(crate::clock::now()).unwrap_err();
            error.kind
        };
        assert_eq!(kind(Fault::NoDriver), ProbeErrorKind::Missing);
        let lost = Fault::Driver { doing: "asking".to_owned(), code: "CUDA_ERROR_UNKNOWN".to_owned() };
        assert_eq!(kind(lost), ProbeErrorKind::Failed);
    }

    #[test]
    fn pool_figures_stand_beside_the_boards_and_their_loss_costs_nothing_else() {
        let board = || ScriptedProbe::new("board", ScriptedDevice::new(Bytes::gb(12)));
        let now = crate::clock::now();
        let sample = WithPool::new(board(), Played(Ok(Some(POOL)))).sample(now).unwrap();
        assert_eq!((sample.source, sample.pool.unwrap().slack()), ("board", Bytes::gb(1)));
        let sample = WithPool::new(board(), Played(Err(Fault::NoDriver))).sample(now).unwrap();
        assert_eq!((sample.source, sample.pool), ("board", None));
    }
}
