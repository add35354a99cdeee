//! What a folder is opened for, what it holds, and why it cannot be used.

use std::path::PathBuf;

use super::{DiskError, record};
use crate::journal::Terminal;
use crate::types::{Sha256, Stage};

/// What a rendering is made from: the same key, the same artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Of the recipe's canonical document (RFC 8785).
    pub recipe: Sha256,
    /// Of the bundle's description.
    pub bundle: Sha256,
}

/// What a folder held when it was opened.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// No slot yet.
    New,
    /// Another rendering, which goes when this one is accepted.
    Replaced {
        /// What makes it another.
        why: String,
    },
    /// This one, unfinished: [`Journal::open`](crate::journal::Journal::open) offers it.
    Resumable {
        /// Stages that need not be done again.
        done: Vec<Stage>,
        /// What was damaged and is undone, with the stages that came of it.
        damaged: Vec<(Stage, String)>,
    },
    /// This one, ended.
    Ended(Terminal),
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something else stands in its place.
    #[error("{} is not a folder; a slot's folder, an empty one, or a path where there is nothing yet is accepted", .0.display())]
    NotAFolder(PathBuf),
    /// It holds somebody else's files.
    #[error("{} holds {found:?} and is no slot's folder; a slot's folder, an empty one, or a path where there is nothing yet is accepted", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// One of them.
        found: String,
    },
    /// Another process works in it.
    #[error("another process{} renders into {}; wait for it, or give another folder", .pid.map(|pid| format!(" ({pid})")).unwrap_or_default(), dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
        /// Its number, where known.
        pid: Option<u32>,
    },
    /// A newer node's.
    #[error("{} is of format version {version}, this node knows {}; render with the newer node, or into another folder", file.display(), record::VERSION)]
    Newer {
        /// The record.
        file: PathBuf,
        /// Of its format.
        version: u64,
    },
    /// The slot is done with: trying again would change nothing.
    #[error("the slot in {} has ended for good ({ending}); only failed and cancelled slots are tried again", dir.display())]
    Final {
        /// The folder.
        dir: PathBuf,
        /// How it ended.
        ending: &'static str,
    },
    /// A file operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
