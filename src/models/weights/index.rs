//! The index of a checkpoint in shards (`*.safetensors.index.json`): which file holds which tensor.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::WeightsError;

/// The published form; further fields such as `metadata` say nothing that the shards do not.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether a path is such an index, by its name.
pub(super) fn is_index(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".index.json"))
}

/// The shards that `file` names, beside it, in order of name, each with the tensors it should hold.
pub(super) fn read(file: &Path) -> Result<BTreeMap<PathBuf, Vec<String>>, WeightsError> {
    let bytes =
        std::fs::read(file).map_err(|source| WeightsError::Unreadable { file: file.to_owned(), source })?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| WeightsError::malformed(file, "shard index", error.to_string()))?;
    let mut shards = BTreeMap::<PathBuf, Vec<String>>::new();
    for (tensor, shard) in index.weight_map {
        let plain = Path::new(&shard).components().all(|part| matches!(part, Component::Normal(_)));
        if shard.is_empty() || !plain {
            let why = format!("expected the name of a file beside the index, found {shard:?}");
            return Err(WeightsError::malformed(file, format!("tensor {tensor:?}"), why));
        }
        shards.entry(file.with_file_name(shard)).or_default().push(tensor);
    }
    if shards.is_empty() {
        return Err(WeightsError::malformed(file, "shard index", "weight_map names no tensor"));
    }
    Ok(shards)
}
