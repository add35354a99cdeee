//! Which NVIDIA boards there are and which driver they have: for people who set a node up, asked once.

use std::ffi::OsStr;
use std::path::Path;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::ProbeError;
use super::nvml::{LIBRARY, NAME, kind_of};
use crate::types::Bytes;

/// A driver and its boards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boards {
    /// The driver's version.
    pub driver: String,
    /// In the order of their bus.
    pub boards: Vec<Board>,
}

/// One board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// What its maker calls it.
    pub name: String,
    /// All its memory.
    pub total: Bytes,
    /// What nobody uses now.
    pub free: Bytes,
}

impl Boards {
    /// Looks through the library at `library` or the loader's own. That it is missing is a normal answer.
    pub fn look(library: Option<&Path>) -> Result<Self, ProbeError> {
        let library = library.unwrap_or(Path::new(LIBRARY));
        look(library.as_os_str()).map_err(|error| {
            ProbeError::new(NAME, kind_of(&error), format!("through {}: {error}", library.display()))
        })
    }
}

fn look(library: &OsStr) -> Result<Boards, NvmlError> {
    let nvml = Nvml::builder().lib_path(library).init()?;
    let board = |index| {
        let board = nvml.device_by_index(index)?;
        let memory = board.memory_info()?;
        let (total, free) = (Bytes::new(memory.total), Bytes::new(memory.free));
        Ok(Board { name: board.name()?, total, free })
    };
    let boards: Result<Vec<Board>, NvmlError> = (0..nvml.device_count()?).map(board).collect();
    Ok(Boards { driver: nvml.sys_driver_version()?, boards: boards? })
}
