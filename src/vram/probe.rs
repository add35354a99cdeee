//! The probe contract, and the probes that keep it. Probes only look: judging and choosing is the chain's.

mod available;
mod boards;
mod cuda;
mod host;
mod nvml;
mod occupants;
mod of_device;
mod scripted;

use std::borrow::Cow;
use std::time::Instant;

pub use available::HostMemory;
pub use boards::{Board, BoardTrouble, Boards, Fallback, TroubledBoard};
pub use cuda::{CardFigures, CudaProbe, WithPool};
pub use host::{HostProbe, HostProbeSetup};
pub use nvml::{NvmlProbe, NvmlSelector};
pub use occupants::Occupant;
pub use of_device::probes_of;
pub use scripted::{
    ScriptedAllocation, ScriptedChange, ScriptedDevice, ScriptedFault, ScriptedFigures, ScriptedOutOfMemory,
    ScriptedProbe,
};

use super::sample::Sample;

/// Looks at one device's memory.
///
/// Called from one thread at a time. An implementation does not cache: it looks, stamps `now` and returns, or says
/// why it cannot. It may block for as long as its driver does, so callers keep it off the threads of the runtime.
pub trait Probe: Send {
    /// Its name in samples, metrics and logs.
    fn name(&self) -> &'static str;

    /// Looks once. The sample is [`Unchecked`](super::Standing::Unchecked).
    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError>;

    /// The other processes that hold most of the device's memory, the largest first; empty where it cannot tell. Slower
    /// than a look, and asked for rarely.
    fn occupants(&mut self) -> Vec<Occupant> {
        Vec::new()
    }
}

/// What kind of trouble a probe has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeErrorKind {
    /// What it looks through is not on this machine (a library, a driver, a card): a normal answer.
    Missing,
    /// It could not look this time.
    Failed,
    /// It answered what cannot be true.
    Lied,
    /// It answered with something old.
    Stale,
}

/// Why a probe has no sample to decide by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("probe {probe}: {message}")]
pub struct ProbeError {
    /// Its name.
    pub probe: &'static str,
    /// What kind of trouble.
    pub kind: ProbeErrorKind,
    /// What happened, with the values.
    pub message: Cow<'static, str>,
}

impl ProbeError {
    /// Trouble of `kind` with `probe`.
    pub fn new(probe: &'static str, kind: ProbeErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { probe, kind, message: message.into() }
    }
}
