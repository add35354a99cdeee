//! NVIDIA cards through the driver's own library, which is opened at run time: nothing in here panics where it is
//! missing, too old or broken, it says so.
//!
//! Owns the way to a [`Card`], its memory figures and its allocation pool; no tensors. Both builds have the same
//! interface: without the feature `cuda` no card can be opened, and [`Fault::NotBuilt`] says what would help.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod driver;
mod fault;
#[cfg(feature = "cuda")]
mod pinned;

#[cfg(not(feature = "cuda"))]
pub(crate) use absent::{Card, cards};
#[cfg(feature = "cuda")]
pub(crate) use driver::{Card, cards};
pub(crate) use fault::Fault;
#[cfg(feature = "cuda")]
pub(crate) use pinned::Pinned;

use crate::types::Bytes;

/// The oldest driver that runs this build, as the driver counts: CUDA 13.0 (branch 580). Kernels that travel as PTX
/// come from the 13.0 toolkit.
pub(crate) const NEEDED_DRIVER: i32 = 13_000;
/// The least compute capability: 8.0 (Ampere) is the first that computes in bf16.
#[cfg(any(test, feature = "cuda"))]
pub(crate) const NEEDED_CAPABILITY: (i32, i32) = (8, 0);

/// A card's memory as its driver counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardMemory {
    /// What anybody may still take.
    pub free: Bytes,
    /// All of it.
    pub total: Bytes,
}

/// The card's stream-ordered pool, from which all tensors of this process come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Handed out to tensors.
    pub used: Bytes,
    /// Held from the card.
    pub reserved: Bytes,
    /// The most that was handed out since the last [`Card::reset_high_water`].
    pub used_high: Bytes,
}
