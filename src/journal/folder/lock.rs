//! One process per slot folder: a locked file, with the number of whoever holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// Held until dropped; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "open as long as the lock is held")] File);

/// Why a folder cannot be had.
pub(super) enum NotLocked {
    /// Another holds it; its process, where that can be read.
    Held(Option<u32>),
    /// The file cannot be made or written.
    Failed(io::Error),
}

pub(super) fn lock(path: &Path) -> Result<Lock, NotLocked> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(NotLocked::Failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = (&file).take(16).read_to_string(&mut text);
            return Err(NotLocked::Held(read.ok().and_then(|_| text.trim().parse().ok())));
        }
        // Some network file systems have no locks; rendering there is better than not rendering.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(NotLocked::Failed(error)),
    }
    let mut own = || {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    own().map_err(NotLocked::Failed)?;
    Ok(Lock(file))
}
