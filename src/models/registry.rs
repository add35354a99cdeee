//! What each model's networks ask of its files: one line per model, and nothing else that must be kept in step.
//!
//! Each model tells which tensors its networks ask for by building them on nothing (see
//! [`spec::record`](super::weights::spec::record)), with the sizes in its own configuration files.

use super::bundle::Bundle;
use super::weights::spec::TensorSpec;
use crate::contract::ModelError;
use crate::types::ModelId;

/// One network of a model, as it would be built from a bundle.
#[derive(Clone, Debug)]
pub struct Network {
    /// The role that its weights have in the bundle.
    pub role: &'static str,
    /// What training code may have put before its names, to be dropped; the first that matches.
    pub prefixes: &'static [&'static str],
    /// Every tensor it asks for.
    pub specs: Vec<TensorSpec>,
}

/// The networks of `model` with the sizes that the bundle's configuration files give.
pub fn networks(bundle: &Bundle, model: ModelId) -> Result<Vec<Network>, ModelError> {
    bundle.model(model)?;
    match model {
        ModelId::Flux | ModelId::LivePortrait | ModelId::Kokoro | ModelId::ClipB | ModelId::ClipL => {
            Ok(Vec::new())
        }
    }
}
