//! What could not be written down or read back: where, why, and what helps.
//!
//! Owns the errors of every journal. An error of the system is told apart once, here, where the file system can still be
//! asked: a disk without room for bytes and one without room for files both say `ENOSPC`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;

use super::folder::VERSION;
use super::index::IndexError;
use crate::types::{Bytes, SlotId};

/// Any error, kept as the source of another.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// Why a journal has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system has no room for bytes.
    #[error("{} cannot be {doing}: {source}; make room on its file system, or give a folder on another", path.display())]
    DiskFull {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The file system has room for bytes and for no more files.
    #[error("{} cannot be {doing}: {source}: its file system is out of inodes (none of {inodes} is free, though {free} are); remove files that nobody needs from it, or give a folder on another", path.display())]
    OutOfInodes {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// How many files the file system can hold.
        inodes: u64,
        /// Its room for bytes.
        free: Bytes,
        /// The system's error.
        source: io::Error,
    },
    /// The share of the file system that this user, group or project may fill is full.
    #[error("{} cannot be {doing}: {source}; a disk quota is used up: remove files, have the quota raised, or give a folder on another file system", path.display())]
    QuotaUsedUp {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The file system gives no locks (`ENOLCK`), so nothing would keep two processes out of one folder.
    #[error("{} cannot be {doing}: {source}: its file system gives no locks, as network file systems do whose lock service is not running; start that service (for NFS, statd on both sides), mount it with local locks (nolock), or give a folder on a local disk", path.display())]
    NoLocks {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The index of slots could not do it.
    #[error(transparent)]
    Index(IndexError),
    /// Any other file operation that failed.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A record without which the slot cannot be told is damaged or missing.
    #[error("{}: {what}", path.display())]
    Corrupt {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A record of a newer node.
    #[error("{} is of format version {version}, this node knows {VERSION}; render with the newer node, or into another folder", file.display())]
    Newer {
        /// The record.
        file: PathBuf,
        /// Of its format.
        version: u64,
    },
    /// A part of the folder lies on another file system: nothing can be moved into place in one step.
    #[error("{} lies on another file system than {}: finished files are moved from one into the other, which works only within one; take the link or mount away, or give another folder", part.display(), dir.display())]
    OtherFileSystem {
        /// The folder.
        dir: PathBuf,
        /// The part of it.
        part: PathBuf,
    },
    /// Something else stands in the folder's place.
    #[error("{} is not a folder; a slot's folder, an empty one, or a path where there is nothing yet is accepted", .0.display())]
    NotAFolder(PathBuf),
    /// The folder holds somebody else's files.
    #[error("{} holds {found:?} and is no slot's folder; a slot's folder, an empty one, or a path where there is nothing yet is accepted", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// One of them.
        found: String,
    },
    /// Another process, or another slot of this one, works in the folder.
    #[error("{} renders into {}; wait for it, or give another folder", holder(*pid), dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
        /// Of the process, where known.
        pid: Option<u32>,
    },
    /// The slot is done with: trying again would change nothing.
    #[error("the slot in {} has ended for good ({ending}); only failed and cancelled slots are tried again", dir.display())]
    Final {
        /// The folder.
        dir: PathBuf,
        /// How it ended.
        ending: &'static str,
    },
    /// The journal was asked for what it cannot do as the slot stands. A defect of whoever asked.
    #[error("slot {slot} {what}{}", within(dir.as_deref()))]
    Misuse {
        /// The slot.
        slot: SlotId,
        /// What is wrong.
        what: Misuse,
        /// Its folder, where it has one.
        dir: Option<PathBuf>,
    },
    /// A recipe is kept as text.
    #[error("the recipe of slot {slot} is not text in UTF-8: {source}")]
    NotText {
        /// The slot.
        slot: SlotId,
        /// Where it is not.
        source: Utf8Error,
    },
    /// The encoder brought no file for the video that was to be kept.
    #[error("the video for {} was not encoded: {source}", dir.display())]
    Video {
        /// The slot's folder.
        dir: PathBuf,
        /// What went wrong, in its own words.
        source: AnyError,
    },
    /// The signed result that goes before the record of an end could not be written.
    #[error("the result was not written: {source}")]
    Result {
        /// What went wrong, in its own words.
        source: AnyError,
    },
    /// Whoever wrote or read has panicked, or was stopped with the runtime.
    #[error("writing the slot folder {}: {source}", dir.display())]
    Stopped {
        /// The slot's folder.
        dir: PathBuf,
        /// How the task ended.
        source: tokio::task::JoinError,
    },
}

/// What was asked for in the wrong order, or of the wrong slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// Nobody has said where its folder is to be.
    NoPlace,
    /// Its folder has not been prepared.
    NotPrepared,
    /// Its folder is being prepared by somebody else at this moment.
    Preparing,
    /// Its folder is prepared for another recipe or bundle.
    OtherRendering,
    /// The folder is another slot's.
    OtherSlot,
    /// It was accepted already.
    Open,
    /// It has ended already.
    Ended,
    /// It was never accepted, or has ended.
    NotOpen,
    /// A video is to be kept, and nobody was said to be encoding one.
    NoVideo,
    /// A folder is written by tasks of a tokio runtime, and there is none.
    NoRuntime,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPlace => "has no folder: none was named, and the store has no root",
            Self::NotPrepared => "has no folder that was prepared",
            Self::Preparing => "is being prepared already",
            Self::OtherRendering => "is prepared for another recipe or bundle already",
            Self::OtherSlot => "is not the one whose folder this is",
            Self::Open => "is open already",
            Self::Ended => "has ended already",
            Self::NotOpen => "is not open",
            Self::NoVideo => "has nobody encoding a video",
            Self::NoRuntime => "cannot be kept outside of a tokio runtime",
        })
    }
}

impl JournalError {
    /// A file operation on `path` that failed; `doing` as a participle.
    pub(crate) fn io(path: PathBuf, doing: &'static str, source: io::Error) -> Self {
        if source.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error()) {
            return Self::NoLocks { path, doing, source };
        }
        match source.kind() {
            io::ErrorKind::StorageFull => match out_of_inodes(&path) {
                Some((inodes, free)) => Self::OutOfInodes { path, doing, inodes, free, source },
                None => Self::DiskFull { path, doing, source },
            },
            io::ErrorKind::QuotaExceeded => Self::QuotaUsedUp { path, doing, source },
            _ => Self::Io { path, doing, source },
        }
    }

    pub(crate) fn misuse(slot: SlotId, what: Misuse, dir: Option<&Path>) -> Self {
        Self::Misuse { slot, what, dir: dir.map(Path::to_owned) }
    }
}

/// File systems that make inodes of free blocks (XFS) count none free when few blocks are: that disk is full.
const ROOM_FOR_INODES: u64 = 16;

/// How many inodes the file system around `path` has, and its room for bytes, if bytes it has room for and inodes not.
fn out_of_inodes(path: &Path) -> Option<(u64, Bytes)> {
    // What could not be made is not there to be asked; what was written of it has been removed again.
    let there = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        rustix::fs::statvfs(path).ok()
    };
    let system = path.ancestors().find_map(there)?;
    // Btrfs and others count no inodes at all.
    let used_up = system.f_files > 0 && system.f_favail == 0 && system.f_bavail >= ROOM_FOR_INODES;
    used_up.then(|| (system.f_files, Bytes::new(system.f_bavail.saturating_mul(system.f_frsize))))
}

fn within(dir: Option<&Path>) -> String {
    dir.map(|dir| format!(", in {}", dir.display())).unwrap_or_default()
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => format!("another slot of this process ({pid})"),
        Some(pid) => format!("another process ({pid})"),
        None => "another process".to_owned(),
    }
}
