//! Tests.
use std::io;

/// Ends the process, or fills the disk, at the n-th file operation.
#[derive(Debug, Default)]
pub(in crate::journal::folder) struct Fuse;

impl Fuse {
    pub(in crate::journal::folder) fn from_environment() -> Self {
        Self
    }

    pub(in crate::journal::folder) fn step(&self) -> io::Result<()> {
        Ok(())
    }
}
