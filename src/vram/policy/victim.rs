//! What a model was given and what it takes.

use serde::Serialize;

use crate::types::{Bytes, ModelId};

/// What a model was given and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ModelUse {
    /// The model.
    pub model: ModelId,
    /// Resident budget from configuration.
    pub budget: Bytes,
    /// Resident use as attributed to it now.
    pub used: Bytes,
}
