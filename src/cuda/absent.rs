//! The build without a GPU path: the same interface, and no card to be had.

use super::{CardMemory, Fault, PoolUse};
use crate::types::Bytes;

/// What cannot be.
#[derive(Clone, Debug)]
enum Never {}

/// A card; this build has none.
#[derive(Clone, Debug)]
pub struct Card(Never);

/// How many cards there are.
pub(crate) fn cards() -> Result<u32, Fault> {
    Err(Fault::NotBuilt)
}

impl Card {
    /// Opens card `ordinal`.
    pub fn open(_: u32) -> Result<Self, Fault> {
        Err(Fault::NotBuilt)
    }

    /// What it is called.
    pub fn name(&self) -> Result<String, Fault> {
        match self.0 {}
    }

    /// Its identifier as NVML writes it, `GPU-…`.
    pub fn uuid(&self) -> Result<String, Fault> {
        match self.0 {}
    }

    /// Its compute capability.
    pub fn capability(&self) -> Result<(i32, i32), Fault> {
        match self.0 {}
    }

    /// The CUDA version that its driver supports, as the driver counts.
    pub fn driver(&self) -> Result<i32, Fault> {
        match self.0 {}
    }

    /// What is free and what there is.
    pub fn memory(&self) -> Result<CardMemory, Fault> {
        match self.0 {}
    }

    /// The pool's figures; `None` where the card has no pools.
    pub fn pool(&self) -> Result<Option<PoolUse>, Fault> {
        match self.0 {}
    }

    /// Lets [`PoolUse::used_high`] begin anew.
    pub fn reset_high_water(&self) -> Result<(), Fault> {
        match self.0 {}
    }

    /// What the pool may hold without using it when the card is synchronised.
    pub fn keep_in_pool(&self, _: Bytes) -> Result<(), Fault> {
        match self.0 {}
    }

    /// Waits for everything, then gives back what the pool holds without using it; returns how much that was.
    pub fn trim(&self) -> Result<Bytes, Fault> {
        match self.0 {}
    }

    /// Waits until everything that was asked of the card is done.
    pub fn synchronise(&self) -> Result<(), Fault> {
        match self.0 {}
    }
}
