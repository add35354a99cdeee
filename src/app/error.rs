//! Why a node could not be built: typed, each with its source.

use std::path::PathBuf;

use crate::contract::{ErrorClass, ModelError};
use crate::models::bundle::BundleError;
use crate::models::bundle::held::Differences;
use crate::signing::KeyError;
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::ProbeError;
use crate::vram::policy::{Misfit, ThresholdsError};

/// Why a node, or what it is built from, could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The bundle's description cannot be read or makes no sense.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file is not what the bundle's lock says.
    #[error("{0}; `vortex-node weights verify` looks at all of it")]
    Differs(#[from] Differences),
    /// The bundle has not all five models.
    #[error(
        "bundle {bundle:?} ({}) lacks {}; it has {}; a node needs all of {}",
        path.display(), names(missing), names(there), ModelId::NAMES.join(", ")
    )]
    Incomplete {
        /// Its name.
        bundle: String,
        /// Where it lies.
        path: PathBuf,
        /// What it has not.
        missing: Vec<ModelId>,
        /// What it has.
        there: Vec<ModelId>,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Made-up weights cannot be kept in the data folder.
    #[error("made-up weights cannot be kept: {} {what}: {source}; data_dir must be a folder that can be written", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What could not be done with it.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model's files could not be read or planned.
    #[error("{}", .0.chain())]
    Model(#[from] ModelError),
    /// Models are planned beyond their budgets.
    #[error("bundle {bundle:?}: {}", beyond.join("; "))]
    OverBudget {
        /// The bundle's name.
        bundle: String,
        /// Of each such model: what it will hold, its budget, and what would be accepted.
        beyond: Vec<String>,
    },
    /// Budgets, workspaces and overhead do not fit into the device's memory.
    #[error(transparent)]
    DoesNotFit(#[from] Box<Misfit>),
    /// The memory plan could not be judged.
    #[error("the memory plan could not be judged")]
    NoPlan,
    /// The limits contradict each other on this device.
    #[error(
        "memory.soft_limit = {soft}, memory.hard_limit = {hard}, memory.hysteresis = {hysteresis} cannot hold on \
         {device} with {free} free: {source}"
    )]
    Limits {
        /// As configured.
        soft: String,
        /// As configured.
        hard: String,
        /// As configured.
        hysteresis: Bytes,
        /// On which device.
        device: DeviceId,
        /// How much of it was free.
        free: Bytes,
        /// Which limits contradict each other.
        source: ThresholdsError,
    },
    /// A scripted device was asked to hold models.
    #[error(
        "device = \"{0}\" has no memory to load models into; `vortex-node rehearse` plays it; accepted here: \"auto\", \
         \"cpu\", \"cuda:N\", a list of cards"
    )]
    Scripted(DeviceId),
    /// A device cannot be used for models.
    #[error("{}; `vortex-node check` tells more", .0.chain())]
    Device(#[source] ModelError),
    /// A device's memory cannot be looked at.
    #[error("the memory of {device} cannot be read: {source}")]
    Memory {
        /// The device.
        device: DeviceId,
        /// What the probe said.
        source: ProbeError,
    },
    /// No probe of a device's memory answered.
    #[error("the memory of {device} cannot be read: {why}")]
    Blind {
        /// The device.
        device: DeviceId,
        /// What each of them said.
        why: String,
    },
    /// The node's key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The system gives no thread.
    #[error("the system gives no thread for the watchdog of {device}: {source}")]
    Thread {
        /// For which device's watchdog.
        device: DeviceId,
        /// What the system said.
        source: std::io::Error,
    },
    /// Any of these, of one device.
    #[error("{device}: {source}")]
    On {
        /// The device.
        device: DeviceId,
        /// What is wrong with it.
        source: Box<BuildError>,
    },
}

fn names(models: &[ModelId]) -> String {
    models.iter().map(|model| model.name()).collect::<Vec<_>>().join(", ")
}

impl BuildError {
    /// The same, of `device`.
    pub fn on(self, device: DeviceId) -> Self {
        Self::On { device, source: Box::new(self) }
    }

    /// Whether settings or bundle are wrong, so that trying again is no use; else the machine is.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Bundle(_)
            | Self::Differs(_)
            | Self::Incomplete { .. }
            | Self::OverBudget { .. }
            | Self::DoesNotFit(_)
            | Self::Limits { .. }
            | Self::Scripted(_) => true,
            Self::Unreadable { .. }
            | Self::Cache { .. }
            | Self::NoPlan
            | Self::Device(_)
            | Self::Memory { .. }
            | Self::Blind { .. }
            | Self::Key(_)
            | Self::Thread { .. } => false,
            Self::Model(error) => error.class() == ErrorClass::Unusable,
            Self::On { source, .. } => source.is_bad_input(),
        }
    }
}
