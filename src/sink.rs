//! What a slot hands over: `result.json`, its signature, and the check of everything that it says.
//!
//! Owns the manifest and the node's signing key; the artifacts themselves are the journal's folder. Decides nothing about
//! a slot.
//!
//! [bundle]: crate::models::bundle
//! [journal]: crate::journal
//!
#![doc = include_str!("sink/README.md")]

mod manifest;
mod node_key;
mod signature;
mod signed;
mod verification;

#[cfg(test)]
mod tests;

pub mod store;

pub use manifest::{
    BundleRef, Frames, Manifest, Memory, ModelReport, NodeReport, Outcome, PublicKey, RecipeRef, StageReport,
    VERSION,
};
pub use node_key::node_key;
pub use signature::{SignatureError, WriteError, write};
#[cfg(test)]
pub(crate) use signature::{sign, text};
pub use signed::{Unsigned, signed};
pub use verification::{NoResult, Problem, Verification, contradictions, read, verify};

/// The manifest's name in a slot's folder.
pub const FILE_NAME: &str = "result.json";
