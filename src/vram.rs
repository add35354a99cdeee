//! Device memory: what is used, what is promised, and what follows from both.
//!
//! Owns the probes and their fallback chain, one ledger of leases per device, the pure policies (pressure, victim,
//! leak, preflight, unaccounted use), learned workspace peaks, and snapshots. Carries nothing out: whoever watches
//! the device feeds samples and the time in, and acts on the assessments that come back.
//!
//! One check, as its caller makes it: [`Ledger::mark`], [`ProbeChain::sample`], [`Monitor::assess`]. No decision rests
//! on a sample that the chain has not examined, or that is older than the settings allow.
//!
//! [benches]: crate::benchmarks#memory
//!
#![doc = include_str!("vram/README.md")]

mod chain;
mod gauge;
mod ledger;
mod meter;
mod monitor;
mod peaks;
pub mod policy;
mod probe;
mod sample;
mod snapshot;

pub use chain::{ChainSettings, ProbeChain, Reading, Switch};
pub use gauge::{Pressure, PressureGauge};
pub use ledger::{Claim, Holding, Lease, Ledger, Mark, Purpose, Refusal, Usage};
pub use meter::{Meter, MeterSource, Metering, Span, Taken, Watch};
pub use monitor::{Monitor, MonitorSettings};
pub use peaks::{LearnedPeaks, PeakSettings, Shape};
pub use probe::{
    Board, BoardTrouble, Boards, CardFigures, CudaProbe, Fallback, HostMemory, HostProbe, HostProbeSetup,
    NvmlProbe, NvmlSelector, Occupant, Probe, ProbeError, ProbeErrorKind, ScriptedAllocation, ScriptedChange,
    ScriptedDevice, ScriptedFault, ScriptedFigures, ScriptedOutOfMemory, ScriptedProbe, TroubledBoard,
    WithPool, probes_of,
};
pub use sample::{Flaw, Pool, Sample, Standing};
pub use snapshot::{DeviceMemory, Occasion, Snapshot, SnapshotRing};
