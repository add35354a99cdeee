//! The mark: which group was answered last.
//!
//! A few bytes, written in place before anybody is answered and never synced: they outlive the process, if not the power.
//! Where index and log both end before the mark, answered slots are gone for certain; where neither does, nothing is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::IndexError;
use super::generation::Generation;

/// The number of the last group that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub generation: Generation,
    pub group: u64,
}

const LENGTH: usize = 20;

impl Mark {
    fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&self.generation.bits().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.group.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let word = |at: usize| bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk));
        let crc = bytes.last_chunk().map(|chunk| u32::from_le_bytes(*chunk))?;
        (crc == crc32fast::hash(&bytes[..16])).then_some(())?;
        Some(Self { generation: Generation::from_bits(word(0)?), group: word(8)? })
    }

    /// What is there; none where it is missing or damaged.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, IndexError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IndexError::io(path, "read", error)),
        }
    }
}

/// The mark as it is written.
#[derive(Debug)]
pub(super) struct MarkFile(File);

impl MarkFile {
    pub(super) fn open(path: &Path, mark: Mark) -> Result<Self, IndexError> {
        let open = || {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
            file.write_all_at(&mark.encode(), 0)?;
            file.set_len(LENGTH as u64)?;
            file.sync_all()?;
            Ok(file)
        };
        open().map(Self).map_err(|error| IndexError::io(path, "written", error))
    }

    /// A mark that could not be written is behind, which only takes evidence away.
    pub(super) fn set(&self, mark: Mark) {
        let _ = self.0.write_all_at(&mark.encode(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_unless_a_bit_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        assert_eq!(Mark::read(&path).unwrap(), None);
        let mark = Mark { generation: Generation::from_bits(7), group: 3 };
        let file = MarkFile::open(&path, mark).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Some(mark));
        file.set(Mark { group: 4, ..mark });
        assert_eq!(Mark::read(&path).unwrap(), Some(Mark { group: 4, ..mark }));
        for bit in 0..LENGTH * 8 {
            let mut bytes = mark.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&bytes), None, "bit {bit}");
        }
    }
}
