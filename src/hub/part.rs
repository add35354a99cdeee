//! A file at whose end is written, with the hash of all that is in it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::Digest;

use crate::types::Sha256;

/// An unfinished file. Every method blocks on the disk.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    hash: sha2::Sha256,
    length: u64,
}

/// Large enough that the hash, not the calls, is what takes time.
const PIECE: usize = 1 << 18;

impl Part {
    /// What is there at `path`, read whole for its hash; an empty file where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let (mut hash, mut length, mut piece) = (sha2::Sha256::new(), 0, vec![0; PIECE]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Self { path: path.to_owned(), file, hash, length }),
                Ok(count) => {
                    hash.update(&piece[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many bytes are there.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    pub(super) fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.hash, self.length) = (sha2::Sha256::new(), 0);
        Ok(())
    }

    pub(super) fn hash(&self) -> Sha256 {
        Sha256::from_digest(self.hash.clone().finalize().into())
    }

    /// On disk whole, and then under its final name.
    pub(super) fn finish(self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, to)?;
        crate::files::sync_folder(to.parent().unwrap_or(Path::new(".")));
        Ok(())
    }

    pub(super) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_in_the_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = (folder.path().join("deep/x.part"), folder.path().join("deep/x"));
        Part::open(&path).unwrap().append(b"one ").unwrap();
        let mut part = Part::open(&path).unwrap();
        assert_eq!(part.length(), 4);
        part.append(b"two").unwrap();
        assert_eq!(part.hash(), Sha256::of(b"one two"));
        part.finish(&to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"one two");
        assert!(!path.exists());
    }

    #[test]
    fn an_emptied_part_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.part");
        let mut part = Part::open(&path).unwrap();
        part.append(b"wrong").unwrap();
        part.empty().unwrap();
        part.append(b"right").unwrap();
        assert_eq!((part.length(), part.hash()), (5, Sha256::of(b"right")));
        assert_eq!(std::fs::read(&path).unwrap(), b"right");
        part.remove().unwrap();
        assert!(!path.exists());
    }
}
