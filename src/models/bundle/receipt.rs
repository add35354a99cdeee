//! What an earlier pull or load found whole, so that fourteen gigabytes are not hashed at every call.
//!
//! Owns `.pulled.json` in the bundle's folder. A file is taken for what it was as long as its size, inode, and times of
//! change are: the second of them (`ctime`) no program can set back, so that whoever writes to a file, replaces it or
//! copies the bundle elsewhere has it hashed again. What a file must hash to stays the bundle's to say. Where a system has
//! no such times nothing is remembered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Sha256;
use crate::models::weights::writer::Replacement;

/// Its name in the bundle's folder.
pub(crate) const NAME: &str = ".pulled.json";

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    bytes: u64,
    inode: u64,
    /// Seconds and nanoseconds since the Unix epoch, of the last change of the content.
    modified: (i64, i64),
    /// The same of the last change of content, name or rights.
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file at `path`; none where there is none, or the system says too little.
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            bytes: found.size(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: &Path) -> Option<Self> {
        None
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    sha256: Sha256,
    stamp: Stamp,
}

/// What is remembered of one bundle.
pub(crate) struct Receipt {
    file: PathBuf,
    /// By the path in the bundle.
    entries: RefCell<BTreeMap<String, Entry>>,
}

impl Receipt {
    /// Of the bundle in `folder`. What cannot be read is not remembered.
    pub(crate) fn open(folder: &Path) -> Self {
        let file = folder.join(NAME);
        let entries = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { file, entries: RefCell::new(entries.unwrap_or_default()) }
    }

    /// What the file `name` hashed to in this state.
    pub(crate) fn hash(&self, name: &str, stamp: Option<Stamp>) -> Option<Sha256> {
        let entries = self.entries.borrow();
        let entry = entries.get(name)?;
        (Some(entry.stamp) == stamp).then_some(entry.sha256)
    }

    /// Remembers that the file `name` in this state hashes to `sha256`.
    pub(crate) fn note(&self, name: &str, stamp: Option<Stamp>, sha256: Sha256) -> io::Result<()> {
        let Some(stamp) = stamp else { return Ok(()) };
        self.entries.borrow_mut().insert(name.to_owned(), Entry { sha256, stamp });
        let mut file = Replacement::create(&self.file)?;
        serde_json::to_writer_pretty(&mut file, &*self.entries.borrow())?;
        file.write_all(b"\n")?;
        file.finish().map(drop)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_until_anything_about_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "one").unwrap();
        let hash = Sha256::of(b"one");
        Receipt::open(folder.path()).note("x", Stamp::of(&path), hash).unwrap();
        let known = || Receipt::open(folder.path()).hash("x", Stamp::of(&path));
        assert_eq!(known(), Some(hash));
        assert_eq!(Receipt::open(folder.path()).hash("y", Stamp::of(&path)), None);

        // Another content of the same size, with the old time put back: the inode's own time betrays it.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let before = Stamp::of(&path).unwrap();
        let mut betrayed = false;
        while !betrayed {
            std::fs::write(&path, "two").unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            let now = Stamp::of(&path).unwrap();
            assert_eq!((now.bytes, now.modified), (before.bytes, before.modified));
            // A clock of files moves in steps; within one nothing can be told.
            betrayed = now.changed != before.changed;
        }
        assert_eq!(known(), None);

        // A copy in its place.
        std::fs::write(&path, "one").unwrap();
        Receipt::open(folder.path()).note("x", Stamp::of(&path), hash).unwrap();
        std::fs::write(folder.path().join("copy"), "one").unwrap();
        std::fs::rename(folder.path().join("copy"), &path).unwrap();
        assert_eq!(known(), None);
    }

    #[test]
    fn a_receipt_that_cannot_be_read_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "one").unwrap();
        std::fs::write(folder.path().join(NAME), "{\"x\": 1").unwrap();
        let receipt = Receipt::open(folder.path());
        assert_eq!(receipt.hash("x", Stamp::of(&path)), None);
        receipt.note("x", Stamp::of(&path), Sha256::of(b"one")).unwrap();
        assert!(receipt.hash("x", Stamp::of(&path)).is_some());
    }
}
