//! Every network's sizes, from the `config.json`s that people have, or from the tensors where there is none.
//!
//! Unknown fields of published files are ignored; sizes that no network can have are refused with their names.

mod text;
mod transformer;
mod vae;

pub use text::{ClipConfig, T5Config};
pub use transformer::TransformerConfig;
pub use vae::VaeConfig;

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::contract::ModelError;

/// The JSON in a file.
pub fn read_json(path: &Path) -> Result<Value, ModelError> {
    let bytes = std::fs::read(path)
        .map_err(|error| ModelError::own(format!("{} cannot be read", path.display())).because(error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ModelError::own(format!("{} is not JSON", path.display())).because(error))
}

fn fields<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, ModelError> {
    T::deserialize(value)
        .map_err(|error| ModelError::own(format!("{what} is not as expected")).because(error))
}

/// Fails unless every size is between one and a billion: larger ones are corrupted, and would overflow products.
fn check_sizes(what: &str, sizes: &[(&str, usize)]) -> Result<(), ModelError> {
    match sizes.iter().find(|(_, size)| !(1..=1_000_000_000).contains(size)) {
        Some((name, size)) => Err(ModelError::own(format!("{what}: {name} is {size}, expected at least 1"))),
        None => Ok(()),
    }
}

/// Fails unless `heads` divide `width`.
fn check_heads(what: &str, width: usize, heads: usize) -> Result<(), ModelError> {
    if heads > 0 && width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(ModelError::own(format!("{what}: a width of {width} does not divide into {heads} heads")))
}

#[cfg(test)]
mod tests;
