//! A device whose memory a scenario plays: a handle that models' scripted allocations and tests move, and the probe
//! that looks at it. Owns the played state; knows no clock, the timeline runs on the instants it is sampled at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::sample::{Pool, Sample, Standing};

use super::{Probe, ProbeError, ProbeErrorKind};

/// How a scripted probe misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptedFault {
    /// The library is gone.
    Missing,
    /// Every look fails.
    Failing,
    /// It says that more is used than there is.
    UsedAboveTotal,
    /// It says that there is no memory at all.
    NoTotal,
    /// It says that the device has half its size.
    HalfTotal,
    /// It returns its last sample again and again, with its old time.
    Frozen,
}

/// One change to a scripted device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptedChange {
    /// Other processes use this much from now on.
    Others(Bytes),
    /// This process uses this much beyond its models: context, libraries.
    Overhead(Bytes),
    /// The pool holds this much without using it.
    PoolSlack(Bytes),
    /// A model uses this much more, held by nobody: a leak.
    Leak(ModelId, Bytes),
    /// The probe misbehaves from now on, or behaves again.
    Fault(Option<ScriptedFault>),
}

/// A scripted device at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptedFigures {
    /// Its size.
    pub total: Bytes,
    /// Used by this process.
    pub own: Bytes,
    /// Used by others.
    pub others: Bytes,
    /// How looks misbehave.
    pub fault: Option<ScriptedFault>,
}

/// The scripted device is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{model} asked the scripted device for {wanted}, and {free} of {total} are free")]
pub struct ScriptedOutOfMemory {
    /// Who asked.
    pub model: ModelId,
    /// For how much.
    pub wanted: Bytes,
    /// What was free.
    pub free: Bytes,
    /// The device's size.
    pub total: Bytes,
}

struct State {
    total: Bytes,
    others: Bytes,
    overhead: Bytes,
    slack: Bytes,
    has_pool: bool,
    models: PerModel<Bytes>,
    fault: Option<ScriptedFault>,
    last: Option<Sample>,
}

impl State {
    fn models(&self) -> Bytes {
        self.models.values().copied().sum()
    }

    /// What this process uses.
    fn own(&self) -> Bytes {
        self.models().saturating_add(self.overhead).saturating_add(self.slack)
    }

    fn free(&self) -> Bytes {
        self.total.saturating_sub(self.own()).saturating_sub(self.others)
    }
}

/// A steerable device; clones are handles to the same one.
#[derive(Clone)]
pub struct ScriptedDevice(Arc<Mutex<State>>);

impl ScriptedDevice {
    /// An empty device of this size, without a pool.
    pub fn new(total: Bytes) -> Self {
        Self(Arc::new(Mutex::new(State {
            total,
            others: Bytes::ZERO,
            overhead: Bytes::ZERO,
            slack: Bytes::ZERO,
            has_pool: false,
            models: PerModel::default(),
            fault: None,
            last: None,
        })))
    }

    /// Applies a change at once.
    pub fn apply(&self, change: ScriptedChange) {
        let mut state = self.state();
        match change {
            ScriptedChange::Others(bytes) => state.others = bytes,
            ScriptedChange::Overhead(bytes) => state.overhead = bytes,
            ScriptedChange::PoolSlack(bytes) => (state.slack, state.has_pool) = (bytes, true),
            ScriptedChange::Leak(model, bytes) => {
                let held = &mut state.models[model];
                *held = held.saturating_add(bytes);
            }
            ScriptedChange::Fault(fault) => state.fault = fault,
        }
    }

    /// Takes memory for `model` until the returned allocation is dropped; slack of the pool is used up first.
    pub fn allocate(&self, model: ModelId, bytes: Bytes) -> Result<ScriptedAllocation, ScriptedOutOfMemory> {
        let mut state = self.state();
        let free = state.free().saturating_add(state.slack);
        if bytes > free {
            return Err(ScriptedOutOfMemory { model, wanted: bytes, free, total: state.total });
        }
        state.slack = state.slack.saturating_sub(bytes);
        let held = &mut state.models[model];
        *held = held.saturating_add(bytes);
        Ok(ScriptedAllocation { device: self.clone(), model, bytes })
    }

    /// Forgets what `model` has leaked, as the end of its thread does; returns how much that was.
    /// `held` is what its living allocations add up to.
    pub fn forget_leaks(&self, model: ModelId, held: Bytes) -> Bytes {
        let used = &mut self.state().models[model];
        let leaked = used.saturating_sub(held);
        *used = used.saturating_sub(leaked);
        leaked
    }

    /// What is in use, by anyone.
    pub fn used(&self) -> Bytes {
        let state = self.state();
        state.own().saturating_add(state.others)
    }

    /// What an honest look would see, and whether looks are honest: for a library that serves the same memory through
    /// a real driver's interface.
    pub fn figures(&self) -> ScriptedFigures {
        let state = self.state();
        ScriptedFigures { total: state.total, own: state.own(), others: state.others, fault: state.fault }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// Memory of a scripted device, given back on drop.
#[must_use = "dropping it frees the memory"]
pub struct ScriptedAllocation {
    device: ScriptedDevice,
    model: ModelId,
    bytes: Bytes,
}

impl ScriptedAllocation {
    /// How much it is.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }
}

impl Drop for ScriptedAllocation {
    fn drop(&mut self) {
        let mut state = self.device.state();
        let held = &mut state.models[self.model];
        *held = held.saturating_sub(self.bytes);
    }
}

/// Looks at a [`ScriptedDevice`], playing a timeline of changes as its samples pass their times.
pub struct ScriptedProbe {
    name: &'static str,
    device: ScriptedDevice,
    timeline: Vec<(Duration, ScriptedChange)>,
    played: usize,
    start: Option<Instant>,
}

impl ScriptedProbe {
    /// A probe named `name`, without a timeline.
    pub fn new(name: &'static str, device: ScriptedDevice) -> Self {
        Self::replay(name, device, Vec::new())
    }

    /// A probe that applies each change once `offset` has passed since the first sample; changes of one offset in
    /// the order given.
    pub fn replay(
        name: &'static str,
        device: ScriptedDevice,
        mut timeline: Vec<(Duration, ScriptedChange)>,
    ) -> Self {
        timeline.sort_by_key(|(offset, _)| *offset);
        Self { name, device, timeline, played: 0, start: None }
    }
}

impl Probe for ScriptedProbe {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError> {
        let elapsed = now.saturating_duration_since(*self.start.get_or_insert(now));
        while let Some((_, change)) = self.timeline.get(self.played).filter(|(offset, _)| *offset <= elapsed)
        {
            self.device.apply(*change);
            self.played += 1;
        }

        let mut state = self.device.state();
        let own = state.own();
        let used = own.saturating_add(state.others);
        let honest = Sample {
            source: self.name,
            standing: Standing::Unchecked,
            taken_at: now,
            total: state.total,
            used,
            free: state.total.saturating_sub(used),
            own: Some(own),
            others: Some(state.others),
            pool: state
                .has_pool
                .then(|| Pool { used: state.models(), reserved: state.models().saturating_add(state.slack) }),
        };
        let error = |kind, message| Err(ProbeError::new(self.name, kind, message));
        let sample = match state.fault {
            None => honest,
            Some(ScriptedFault::Missing) => {
                return error(ProbeErrorKind::Missing, "the scenario took the library away");
            }
            Some(ScriptedFault::Failing) => {
                return error(ProbeErrorKind::Failed, "the scenario makes every look fail");
            }
            Some(ScriptedFault::UsedAboveTotal) => {
                Sample { used: honest.total.saturating_add(Bytes::mb(1)), ..honest }
            }
            Some(ScriptedFault::NoTotal) => Sample { total: Bytes::ZERO, ..honest },
            Some(ScriptedFault::HalfTotal) => Sample {
                total: Bytes::new(honest.total.get() / 2),
                used: Bytes::ZERO,
                free: Bytes::ZERO,
                own: None,
                others: None,
                ..honest
            },
            Some(ScriptedFault::Frozen) => return Ok(*state.last.get_or_insert(honest)),
        };
        state.last = Some(sample);
        Ok(sample)
    }
}

#[cfg(test)]
mod tests;
