//! What the index of slots could not do: where, why, and what helps.
//!
//! Owns the one error type of the index. It can be cloned, since one failed commit answers everybody who was in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::State;
use crate::types::SlotId;

/// Why the index has not done what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// The file system is full, or a quota is used up. Nothing of the group was kept; try again once there is room.
    #[error("{} cannot be {doing}: {source}; make room on its file system, or move the data folder to another", path.display())]
    NoRoom {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What the system or SQLite said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The folder or the file system may not be written.
    #[error("{} cannot be {doing}: {source}; the data folder has to be writable by this user, on a file system that is not mounted read-only", path.display())]
    ReadOnly {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What the system or SQLite said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Any other file operation that failed.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// SQLite failed.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// A row or record cannot be what was written. The next start repairs it from backup and log.
    #[error("{} is damaged: {what}; restart the node, which rebuilds it from its backup and log", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The index was written by a newer node.
    #[error("{} is of format version {version}, this node knows up to {known}; start the newer node again, or give another data folder", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Of its format.
        version: i64,
        /// The newest that this node reads.
        known: i64,
    },
    /// No such slot was accepted.
    #[error("slot {slot} was never accepted here")]
    NotAccepted {
        /// The slot.
        slot: SlotId,
    },
    /// The slot has expired.
    #[error("slot {slot} has expired")]
    Expired {
        /// The slot.
        slot: SlotId,
    },
    /// The slot is open, and what was asked for needs one that has ended.
    #[error("slot {slot} is open; only a slot that has ended expires")]
    Open {
        /// The slot.
        slot: SlotId,
    },
    /// Something of the slot is still to be delivered.
    #[error("slot {slot} has deliveries or uploads that are still to be made; it expires after them")]
    Undelivered {
        /// The slot.
        slot: SlotId,
    },
    /// A slot cannot end in a state that something comes after.
    #[error("slot {slot} cannot end as {state}; accepted: completed, failed, cancelled, superseded")]
    NotAnEnd {
        /// The slot.
        slot: SlotId,
        /// What was given.
        state: State,
    },
    /// No such delivery.
    #[error("there is no delivery {id}; it has expired with its slot")]
    NoDelivery {
        /// Its number.
        id: u64,
    },
    /// A single change is larger than a commit may be.
    #[error("{what} has {bytes} bytes; at most {most} are accepted")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The index was closed, or its thread has ended.
    #[error("the index of slots is closed")]
    Closed,
}

impl IndexError {
    /// Whether the same call may succeed later without a change to it: no room, not writable, an error of the disk.
    pub fn is_storage(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Self::NoRoom { .. } | Self::ReadOnly { .. } | Self::Io { .. } => true,
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    ErrorCode::SystemIoFailure
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::OutOfMemory
                        | ErrorCode::FileLockingProtocolFailed
                )
            ),
            _ => false,
        }
    }

    /// A file operation on `path` that failed; `doing` as a participle.
    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoRoom { path, doing, source: Arc::new(source) }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, doing, source: Arc::new(source) }
            }
            _ => Self::Io { path, doing, source: Arc::new(source) },
        }
    }

    /// Something that SQLite did not do with the database at `path`; `doing` as a participle.
    pub(super) fn sqlite(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoRoom { path, doing, source: Arc::new(source) },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path, doing, source: Arc::new(source) }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, what: source.to_string() }
            }
            _ => Self::Sqlite { path, doing, source: Arc::new(source) },
        }
    }
}
