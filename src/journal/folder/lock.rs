//! One process per slot folder: a locked file, with the number of whoever holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::journal::JournalError;

/// Held until dropped; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(File);

/// Locks the file at `path`, which is made where there is none, for the folder `dir`.
pub(super) fn lock(path: &Path, dir: &Path) -> Result<Lock, JournalError> {
    let failed = |doing| move |error| JournalError::io(path.to_owned(), doing, error);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("written"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = (&file).take(16).read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(JournalError::Busy { dir: dir.to_owned(), pid });
        }
        // Some network file systems have no locks; rendering there is better than not rendering.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(failed("locked")(error)),
    }
    let mut own = || {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    own().map_err(failed("written"))?;
    Ok(Lock(file))
}

impl Lock {
    /// Whether the file at `path` is still the locked one: a process that gives an unused folder up takes its file away,
    /// and another may have opened it just before.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let number = |found: io::Result<std::fs::Metadata>| found.ok().map(|it| (it.dev(), it.ino()));
        number(self.0.metadata()) == number(path.metadata())
    }
}
