//! The only place that wires parts together: from settings and a bundle to a node that can be started.
//!
//! Knows every part but the command line, which calls it. What cannot be built is a [`BuildError`] with its source.

pub mod bundle;
pub(crate) mod crash_loop;
mod error;
pub(crate) mod estimates;
mod kept;
mod limits;
pub(crate) mod models;
mod node;
pub mod service;
pub(crate) mod settings;
pub mod voice;

pub use crash_loop::{CrashLoop, crash_loop};
pub use error::BuildError;
pub use node::{Limits, Node, NodeParts, Serving, door};
