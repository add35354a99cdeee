//! CLIP (Radford et al. 2021) in the Hugging Face layout: how well a picture and a text agree.
//!
//! [`ClipModel`] answers `Score` jobs; under it [`network`] is the two towers, [`preprocess`] the published preparation
//! of pictures, [`tokenizer`](super::tokenizer) that of texts. Every size comes from the published `config.json`. What
//! the scores mean is `verify`'s; this part never judges.
//!
//! [verify]: crate::verify
//! [models]: crate::models
//! [vectors]: crate::models::kernels#tests
//! [benches]: crate::benchmarks#clip
//!
#![doc = include_str!("clip/README.md")]

mod cache;
mod canary;
pub mod config;
mod encoder;
pub(crate) mod layers;
mod model;
pub(crate) mod network;
pub(crate) mod preprocess;
mod resize;
pub(crate) mod text;

pub use config::ClipConfig;
pub use model::{ClipFiles, ClipModel, workspace};
pub use network::{Clip, Tap, Tower};

use candle_core::DType;

use super::error::Context;
use super::kernels::Precision;
use super::weights::spec::{TensorSpec, record};
use crate::contract::ModelError;

/// Every tensor that a CLIP of these sizes asks for, in order.
pub fn tensors(config: &ClipConfig) -> Result<Vec<TensorSpec>, ModelError> {
    record(DType::F32, |vb| Clip::new(config, Precision::F32, &vb))
        .context(|| "listing CLIP's tensors".to_owned())
}
