//! A board's memory through NVIDIA's management library: all of it, this process's part, the others' part.
//!
//! The library is opened at run time. Where it is missing that is a normal answer; after an error it is closed and
//! opened anew at the next look, since a driver that was reloaded or a card that fell off the bus needs that.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Instant;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use crate::types::Bytes;
use crate::vram::sample::{Sample, Standing};

use super::occupants::{Occupant, largest};
use super::{Probe, ProbeError, ProbeErrorKind};

pub(super) const NAME: &str = "nvml";

/// What is asked, by NVML's names: whoever reads of a failure can look it up.
pub(super) mod queries {
    pub(crate) const INIT: &str = "nvmlInit_v2";
    pub(crate) const DRIVER: &str = "nvmlSystemGetDriverVersion";
    pub(crate) const COUNT: &str = "nvmlDeviceGetCount_v2";
    pub(crate) const BY_INDEX: &str = "nvmlDeviceGetHandleByIndex_v2";
    pub(crate) const BY_UUID: &str = "nvmlDeviceGetHandleByUUID";
    pub(crate) const INSTANCE: &str = "nvmlDeviceGetMigDeviceHandleByIndex";
    pub(crate) const NAME: &str = "nvmlDeviceGetName";
    pub(crate) const MEMORY: &str = "nvmlDeviceGetMemoryInfo_v2";
    pub(crate) const PROCESSES: &str = "nvmlDeviceGetComputeRunningProcesses_v3";
}

/// A query that NVML refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// NVML's name of it.
    pub query: &'static str,
    /// What it said.
    pub error: NvmlError,
}

/// What `query` answered.
pub(super) fn asked<T>(query: &'static str, answer: Result<T, NvmlError>) -> Result<T, Refused> {
    answer.map_err(|error| Refused { query, error })
}

/// The loader's name for the library where nothing else is configured; the versioned one, since the other comes only
/// with development packages.
pub(super) const LIBRARY: &str = "libnvidia-ml.so.1";

/// Which board. NVML counts all boards in the order of their bus; CUDA counts the visible ones, fastest first, so an
/// index is only right where all are visible and alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NvmlSelector {
    /// The n-th board on the bus.
    Index(u32),
    /// By its identifier, `GPU-…`.
    Uuid(String),
}

/// Looks at one board.
pub struct NvmlProbe {
    library: PathBuf,
    selector: NvmlSelector,
    pid: u32,
    open: Option<Nvml>,
}

impl NvmlProbe {
    /// For one board, through the library at `library` or the loader's own. Nothing is opened before the first sample.
    pub fn new(selector: NvmlSelector, library: Option<PathBuf>) -> Self {
        let library = library.unwrap_or_else(|| LIBRARY.into());
        Self { library, selector, pid: std::process::id(), open: None }
    }

    /// Asks the board; a library through which that failed is opened anew at the next question.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&Device<'_>, u32) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let nvml = match self.open.take() {
            Some(nvml) => nvml,
            None => {
                asked(queries::INIT, Nvml::builder().lib_path(self.library.as_os_str() as &OsStr).init())?
            }
        };
        let answer = {
            let board = match &self.selector {
                NvmlSelector::Index(index) => asked(queries::BY_INDEX, nvml.device_by_index(*index))?,
                NvmlSelector::Uuid(uuid) => by_uuid(&nvml, uuid)?,
            };
            question(&board, self.pid)?
        };
        self.open = Some(nvml);
        Ok(answer)
    }

    fn look(&mut self, now: Instant) -> Result<Sample, Refused> {
        self.ask(|board, pid| {
            // Version 2 of the structure: what the driver keeps back is neither used nor free.
            let memory = asked(queries::MEMORY, board.memory_info())?;
            let used = Bytes::new(memory.used);
            let own = asked(queries::PROCESSES, own_use(board, pid))?;
            Ok(Sample {
                source: NAME,
                standing: Standing::Unchecked,
                taken_at: now,
                total: Bytes::new(memory.total),
                used,
                free: Bytes::new(memory.free),
                own,
                others: own.map(|own| used.saturating_sub(own)),
                pool: None,
            })
        })
    }
}

/// The board, or the part of a board, with this identifier.
///
/// NVML refuses to look one up as soon as any board is lost, so the others are then asked one by one. And CUDA gives an
/// instance (MIG) its own identifier without the word in front of it by which NVML knows it.
fn by_uuid<'a>(nvml: &'a Nvml, uuid: &str) -> Result<Device<'a>, Refused> {
    let instance = uuid.strip_prefix("GPU-").map(|rest| format!("MIG-{rest}"));
    let names = || std::iter::once(uuid).chain(instance.as_deref());
    let mut refused = None;
    for name in names() {
        match nvml.device_by_uuid(name) {
            Ok(device) => return Ok(device),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let is_it = |device: &Device<'_>| device.uuid().is_ok_and(|own| names().any(|name| name == own));
    for board in (0..nvml.device_count().unwrap_or(0)).filter_map(|index| nvml.device_by_index(index).ok()) {
        if is_it(&board) {
            return Ok(board);
        }
        let instances = 0..board.mig_device_count().unwrap_or(0);
        let mut instances = instances.filter_map(|place| board.mig_device_by_index(place).ok());
        if let Some(instance) = instances.find(is_it) {
            return Ok(instance);
        }
    }
    Err(Refused { query: queries::BY_UUID, error: refused.unwrap_or(NvmlError::NotFound) })
}

/// What the driver attributes to `pid`. `None` where it does not say, or does not list it: inside a container it lists
/// the host's numbers, and then this process cannot be told from others.
fn own_use(board: &Device<'_>, pid: u32) -> Result<Option<Bytes>, NvmlError> {
    // A process with both kinds of context is in both lists, with the same figure.
    Ok(processes(board)?.filter(|(process, _)| *process == pid).map(|(_, bytes)| bytes).max())
}

/// Every process that the driver attributes memory to; one with both kinds of context twice.
fn processes(board: &Device<'_>) -> Result<impl Iterator<Item = (u32, Bytes)> + use<>, NvmlError> {
    let compute = listed(board.running_compute_processes())?;
    let graphics = listed(board.running_graphics_processes())?;
    Ok(compute.into_iter().chain(graphics).filter_map(|process| match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some((process.pid, Bytes::new(bytes))),
        UsedGpuMemory::Unavailable => None,
    }))
}

/// An empty list where this driver, board or account has none to give; other errors stay errors.
fn listed(answer: Result<Vec<ProcessInfo>, NvmlError>) -> Result<Vec<ProcessInfo>, NvmlError> {
    match answer {
        Err(
            NvmlError::NotSupported
            | NvmlError::NoPermission
            | NvmlError::FunctionNotFound
            | NvmlError::FailedToLoadSymbol(_),
        ) => Ok(Vec::new()),
        // More processes started between the two calls than there was room for: look again next time.
        Err(NvmlError::InsufficientSize(_)) => Ok(Vec::new()),
        answer => answer,
    }
}

/// Whether what is looked through is missing altogether: a board that never tells its memory (a vGPU, one that shares the
/// processor's) is like one that is not there.
pub(super) fn kind_of(error: &NvmlError) -> ProbeErrorKind {
    match error {
        NvmlError::LibloadingError(_)
        | NvmlError::LibraryNotFound
        | NvmlError::DriverNotLoaded
        | NvmlError::NotFound
        | NvmlError::NotSupported
        | NvmlError::InvalidArg => ProbeErrorKind::Missing,
        _ => ProbeErrorKind::Failed,
    }
}

impl Probe for NvmlProbe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError> {
        self.look(now).map_err(|Refused { query, error }| {
            let board = match &self.selector {
                NvmlSelector::Index(index) => format!("board {index}"),
                NvmlSelector::Uuid(uuid) => format!("board {uuid:?}"),
            };
            let message = format!("{board} through {}: {query}: {error}", self.library.display());
            ProbeError::new(NAME, kind_of(&error), message)
        })
    }

    fn occupants(&mut self) -> Vec<Occupant> {
        let asked = self.ask(|board, pid| Ok(largest(asked(queries::PROCESSES, processes(board))?, pid)));
        // Whose memory it is is good to know; a driver that does not say is told of by the next look.
        asked.unwrap_or_default()
    }
}
