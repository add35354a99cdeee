//! What a folder is opened for, and what it holds.

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
pub enum FolderState {
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
