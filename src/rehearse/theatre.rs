//! What all played models of one process on one device share: the device, what goes wrong there, what has been played.
//!
//! Owns the counters that make a misfortune happen as often as the scenario says, over all processes. Plays nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::scenario::{Fault, RunFault};
use crate::contract::{ErrorClass, ModelError};
use crate::types::{Bytes, DeviceId, ModelId, Stage};
use crate::vram::{ScriptedChange, ScriptedDevice};

#[derive(Default)]
struct Played {
    loads: HashMap<(DeviceId, ModelId), u64>,
    attempts: HashMap<(Stage, ModelId, u64), u64>,
    /// Whose last load was made to fail.
    failing: HashSet<(DeviceId, ModelId)>,
    /// Who hangs for good in the present process.
    hung: HashSet<(DeviceId, ModelId)>,
}

/// What has been played so far, on every device and by every process: misfortunes do not happen twice.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Played>>);

impl Memory {
    /// A new process begins: the threads of the one before have ended with it, those that hung as well.
    pub(super) fn new_process(&self) {
        self.0.lock().hung.clear();
    }

    /// Whether a run of `model` on `device` was made to hang in the present process.
    pub(super) fn hangs(&self, device: DeviceId, model: ModelId) -> bool {
        self.0.lock().hung.contains(&(device, model))
    }

    /// Whether the last load of any model on `device` was made to fail.
    pub(super) fn load_fails_on(&self, device: DeviceId) -> bool {
        self.0.lock().failing.iter().any(|(on, _)| *on == device)
    }
}

/// `model` takes this much more on `device`, held by nobody: as much as there is room for, as on a real device.
pub(super) fn leak(device: &ScriptedDevice, model: ModelId, bytes: Bytes) {
    device.apply(ScriptedChange::Leak(model, bytes.min(free(device))));
}

/// What nobody uses of `device`.
pub(super) fn free(device: &ScriptedDevice) -> Bytes {
    let figures = device.figures();
    figures.total.saturating_sub(figures.own).saturating_sub(figures.others)
}

/// What all players of one process on one device share: the device, what goes wrong there, what has been played.
pub(crate) struct Theatre {
    id: DeviceId,
    pub(super) device: ScriptedDevice,
    faults: Vec<Fault>,
    played: Memory,
}

impl Theatre {
    /// On `device`, with what of these misfortunes befalls it.
    pub(crate) fn new(id: DeviceId, device: ScriptedDevice, faults: &[Fault], played: Memory) -> Self {
        let faults = faults.iter().filter_map(|fault| fault.on(id)).cloned().collect();
        Self { id, device, faults, played }
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        // Counters are changed in one step; a panic elsewhere leaves them true.
        self.played.0.lock()
    }

    /// Why this load of `model` fails, where it does.
    pub(super) fn load_fails(&self, model: ModelId) -> Option<ModelError> {
        if self.faults.is_empty() {
            return None;
        }
        let mut played = self.played();
        let loads = played.loads.entry((self.id, model)).or_default();
        *loads += 1;
        let loads = *loads;
        let failure = self.faults.iter().find_map(|fault| match fault {
            Fault::Load { model: whose, after, times, unusable }
                if *whose == model && loads > *after && loads <= after.saturating_add(*times) =>
            {
                let class = if *unusable { ErrorClass::Unusable } else { ErrorClass::Own };
                Some(ModelError::new(class, format!("{model}: the scenario makes this load fail")))
            }
            _ => None,
        });
        if failure.is_some() {
            played.failing.insert((self.id, model));
        } else {
            played.failing.remove(&(self.id, model));
        }
        failure
    }

    /// How this run goes wrong, if it does.
    pub(super) fn run_fault(&self, stage: Stage, model: ModelId, number: u64) -> Option<RunFault> {
        let concerns = |fault: &&Fault| match fault {
            Fault::Run { stage: which, slot, slots, .. } => {
                *which == stage && (*slot..slot.saturating_add(*slots)).contains(&number)
            }
            _ => false,
        };
        let fault = self.faults.iter().find(concerns)?;
        let Fault::Run { attempts, how, .. } = fault else { return None };
        let mut played = self.played();
        let tried = played.attempts.entry((stage, model, number)).or_default();
        *tried += 1;
        let how = (*tried <= *attempts).then_some(*how);
        if how == Some(RunFault::Hang) {
            played.hung.insert((self.id, model));
        }
        how
    }

    /// What `model` keeps of every job.
    pub(super) fn leak_per_slot(&self, model: ModelId) -> Bytes {
        let leak = |fault: &Fault| match fault {
            Fault::Leak { model: whose, per_slot } if *whose == model => Some(*per_slot),
            _ => None,
        };
        self.faults.iter().filter_map(leak).sum()
    }

    /// Whether `model`'s memory does not come back.
    pub(super) fn keeps(&self, model: ModelId) -> bool {
        self.faults.iter().any(|fault| matches!(fault, Fault::Keep { model: whose } if *whose == model))
    }
}
