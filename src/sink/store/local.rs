//! A finished file on this disk, read in pieces and checked against what was recorded of it. Blocks: for threads that may.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::Digest;

use super::PutError;
use super::uploads::ParcelFile;
use crate::types::Sha256;

/// A file that is being read.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    hash: sha2::Sha256,
    expected: (Sha256, u64),
    read: u64,
}

impl Reader {
    /// Opens a file below `folder`. Its size is compared at once: most damage shows there.
    pub(super) fn open(folder: &Path, of: &ParcelFile) -> Result<Self, PutError> {
        let path = folder.join(&of.name);
        let damaged = |found: String| PutError::Damaged { path: path.clone(), found };
        let leads_out =
            |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0']);
        if of.name.split('/').any(leads_out) {
            return Err(damaged("its name leads out of the slot's folder".to_owned()));
        }
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged("it is missing".to_owned()),
            _ => PutError::local(&path, error),
        })?;
        let about = file.metadata().map_err(|error| PutError::local(&path, error))?;
        if !about.is_file() || about.len() != of.bytes {
            return Err(damaged(format!("it has {} bytes, not the {} recorded", about.len(), of.bytes)));
        }
        Ok(Self { path, file, hash: sha2::Sha256::new(), expected: (of.sha256, of.bytes), read: 0 })
    }

    /// The next piece: `most` bytes, or what is left. Empty at the end.
    pub(super) fn piece(&mut self, most: usize) -> Result<Vec<u8>, PutError> {
        let mut piece = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        (&mut self.file)
            .take(limit)
            .read_to_end(&mut piece)
            .map_err(|error| PutError::local(&self.path, error))?;
        self.hash.update(&piece);
        self.read += piece.len() as u64;
        Ok(piece)
    }

    /// Whether all that was read is the file that was recorded.
    pub(super) fn check(self) -> Result<(), PutError> {
        let (expected, bytes) = self.expected;
        let found = Sha256::from_digest(self.hash.finalize().into());
        if (found, self.read) == (expected, bytes) {
            return Ok(());
        }
        let found = format!("its {} bytes have the SHA-256 {found}, not the {expected} recorded", self.read);
        Err(PutError::Damaged { path: self.path, found })
    }
}
