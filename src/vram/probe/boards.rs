//! Which NVIDIA boards there are and which driver they have: for people who set a node up, asked once.
//!
//! Each board is asked by itself, and each query of a board: one that is lost, or tells less than others, hides no other
//! board, and a figure that it does not tell is replaced by the next best, by name.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::ProbeError;
use super::nvml::{LIBRARY, NAME, Refused, asked, kind_of, queries};
use crate::types::Bytes;

/// A driver and its boards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boards {
    /// The driver's version; in words where it does not tell.
    pub driver: String,
    /// Those that can be used and tell their memory, in the order of their bus. A board that is split into instances
    /// (MIG) stands here once for each.
    pub boards: Vec<Board>,
    /// The others, in the same order.
    pub troubled: Vec<TroubledBoard>,
}

/// One board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its place on the bus, from 0.
    pub index: u32,
    /// What its maker calls it.
    pub name: String,
    /// All its memory.
    pub total: Bytes,
    /// What nobody uses now.
    pub free: Bytes,
    /// What it does not tell, and what stands in for it.
    pub fallbacks: Vec<Fallback>,
}

/// A query that a board did not answer, and what is used in place of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// NVML's name of the query.
    pub query: &'static str,
    /// What NVML said.
    pub cause: String,
    /// What is used instead.
    pub instead: &'static str,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), {} instead", self.query, self.cause, self.instead)
    }
}

/// A board that does not tell its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TroubledBoard {
    /// Its place on the bus, from 0.
    pub index: u32,
    /// What its maker calls it, where it still says so.
    pub name: Option<String>,
    /// What is the matter.
    pub trouble: BoardTrouble,
    /// NVML's name of the query that failed.
    pub query: &'static str,
    /// What NVML said.
    pub cause: String,
}

/// What is the matter with a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardTrouble {
    /// It fell off the bus or cannot be reached any more.
    Lost,
    /// It must be reset before it can be used.
    NeedsReset,
    /// Its power cables are not attached.
    NoPower,
    /// This user, or this container, may not talk to it.
    NoPermission,
    /// It works, but NVML does not tell its memory (a vGPU, or memory shared with the processor): CUDA does.
    NotSupported,
    /// It is split into instances (MIG), and there is none.
    NoInstance,
    /// Anything else.
    Unknown,
}

impl BoardTrouble {
    fn of(error: &NvmlError) -> Self {
        match error {
            NvmlError::GpuLost => Self::Lost,
            NvmlError::ResetRequired => Self::NeedsReset,
            NvmlError::InsufficientPower => Self::NoPower,
            NvmlError::NoPermission | NvmlError::OperatingSystem => Self::NoPermission,
            NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
                Self::NotSupported
            }
            _ => Self::Unknown,
        }
    }

    /// Whether models can be loaded onto the board all the same.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::NotSupported)
    }
}

impl fmt::Display for TroubledBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("board");
        let trouble = match self.trouble {
            BoardTrouble::Lost => "is lost",
            BoardTrouble::NeedsReset => "needs a reset",
            BoardTrouble::NoPower => "has too little power",
            BoardTrouble::NoPermission => "may not be used by this user",
            BoardTrouble::NotSupported => "does not tell its memory through NVML, CUDA's figures stand in",
            BoardTrouble::NoInstance => "is split into MIG instances and has none",
            BoardTrouble::Unknown => "does not answer",
        };
        write!(f, "{}: {name} {trouble} ({}: {})", self.index, self.query, self.cause)
    }
}

impl Boards {
    /// Looks through the library at `library` or the loader's own. That it is missing is a normal answer.
    ///
    /// An error means that there is no driver, or that it says nothing about any board.
    pub fn look(library: Option<&Path>) -> Result<Self, ProbeError> {
        let library = library.unwrap_or(Path::new(LIBRARY));
        look(library.as_os_str()).map_err(|Refused { query, error }| {
            let message = format!("{query} through {}: {error}", library.display());
            ProbeError::new(NAME, kind_of(&error), message)
        })
    }

    /// How many boards models can be loaded onto.
    pub fn usable(&self) -> usize {
        self.boards.len() + self.troubled.iter().filter(|board| board.trouble.is_usable()).count()
    }
}

fn look(library: &OsStr) -> Result<Boards, Refused> {
    let nvml = asked(queries::INIT, Nvml::builder().lib_path(library).init())?;
    let driver = match nvml.sys_driver_version() {
        Ok(version) => version,
        Err(error) => format!("of unknown version ({}: {error})", queries::DRIVER),
    };
    let mut found = Boards { driver, boards: Vec::new(), troubled: Vec::new() };
    for index in 0..asked(queries::COUNT, nvml.device_count())? {
        let mut name = None;
        match look_at(&nvml, index, &mut name) {
            Ok(boards) => found.boards.extend(boards),
            Err(Refused { query, error }) => {
                let trouble = match (query, &error) {
                    (queries::INSTANCE, NvmlError::NotFound) => BoardTrouble::NoInstance,
                    _ => BoardTrouble::of(&error),
                };
                let cause = error.to_string();
                found.troubled.push(TroubledBoard { index, name, trouble, query, cause });
            }
        }
    }
    Ok(found)
}

/// A board, or each of its instances; `known_as` is its name as soon as that is known.
fn look_at(nvml: &Nvml, index: u32, known_as: &mut Option<String>) -> Result<Vec<Board>, Refused> {
    let device = asked(queries::BY_INDEX, nvml.device_by_index(index))?;
    *known_as = device.name().ok();
    if !device.mig_mode().is_ok_and(|mode| mode.current != 0) {
        return Ok(vec![tell(index, &device)?]);
    }
    // The whole board's figures are for administrators then, and models only get an instance.
    let count = asked(queries::INSTANCE, device.mig_device_count())?;
    let instances = (0..count).filter_map(|place| device.mig_device_by_index(place).ok());
    let told: Vec<Board> = instances.map(|instance| tell(index, &instance)).collect::<Result<_, _>>()?;
    if told.is_empty() {
        return Err(Refused { query: queries::INSTANCE, error: NvmlError::NotFound });
    }
    Ok(told)
}

fn tell(index: u32, device: &Device<'_>) -> Result<Board, Refused> {
    let memory = asked(queries::MEMORY, device.memory_info())?;
    let mut fallbacks = Vec::new();
    let name = device.name().unwrap_or_else(|error| {
        let (query, cause) = (queries::NAME, error.to_string());
        fallbacks.push(Fallback { query, cause, instead: "its number" });
        format!("board {index}")
    });
    if let Err(error @ (NvmlError::NotSupported | NvmlError::NoPermission)) =
        device.running_compute_processes_count()
    {
        let (query, cause) = (queries::PROCESSES, error.to_string());
        fallbacks.push(Fallback { query, cause, instead: "the node's own ledger of what it uses" });
    }
    let (total, free) = (Bytes::new(memory.total), Bytes::new(memory.free));
    Ok(Board { index, name, total, free, fallbacks })
}
