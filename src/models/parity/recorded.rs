//! What was recorded of a reference implementation: `io.safetensors`, and in `meta.json` how exact it is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::contract::ModelError;
use crate::models::error::Context;

/// The recorded inputs and outputs of one set.
#[derive(Clone, Debug)]
pub struct Recorded {
    tensors: HashMap<String, Tensor>,
    meta: Value,
    folder: PathBuf,
}

impl Recorded {
    /// Reads `io.safetensors` and `meta.json` of `folder`.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let tensors = tensors(&folder.join("io.safetensors"))?;
        Ok(Self { tensors, meta: meta(folder)?, folder: folder.to_owned() })
    }

    /// A recording of nothing, for sets whose references are found in other ways.
    pub fn nothing() -> Self {
        Self { tensors: HashMap::new(), meta: Value::Null, folder: PathBuf::new() }
    }

    /// The recorded input `in.{name}`.
    pub fn input(&self, name: &str) -> Result<&Tensor, ModelError> {
        self.tensor(&format!("in.{name}"))
    }

    /// The recorded output `out.{name}`.
    pub fn output(&self, name: &str) -> Result<&Tensor, ModelError> {
        self.tensor(&format!("out.{name}"))
    }

    /// Whether `out.{name}` was recorded.
    pub fn has_output(&self, name: &str) -> bool {
        self.tensors.contains_key(&format!("out.{name}"))
    }

    /// The names of all recorded outputs, without `out.`.
    pub fn output_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().filter_map(|name| name.strip_prefix("out.")).collect();
        names.sort_unstable();
        names
    }

    /// Any recorded tensor by its full name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, ModelError> {
        let file = || self.folder.join("io.safetensors").display().to_string();
        self.tensors.get(name).ok_or_else(|| ModelError::own(format!("{} records no {name}", file())))
    }

    /// A recorded tensor's values in order, as f32.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>();
        flat(self.tensor(name)?).context(|| format!("reading {name} of {}", self.folder.display()))
    }

    /// A recorded tensor's values in order, as token ids.
    pub fn ids(&self, name: &str) -> Result<Vec<u32>, ModelError> {
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::U32)?.to_vec1::<u32>();
        flat(self.tensor(name)?).context(|| format!("reading {name} of {}", self.folder.display()))
    }

    /// What `meta.json` says.
    pub fn meta(&self) -> &Value {
        &self.meta
    }

    /// How far the reference is from itself in f64, in `out.{name}`.
    pub fn noise(&self, name: &str) -> Option<f64> {
        self.meta["outputs"][name]["max_abs_diff_vs_float64"].as_f64()
    }

    /// Outputs that `meta.json` tells of, whether they are recorded or not.
    pub fn told(&self) -> Vec<&str> {
        self.meta["outputs"]
            .as_object()
            .map(|all| all.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }
}

/// Every tensor of a recording.
pub fn tensors(file: &Path) -> Result<HashMap<String, Tensor>, ModelError> {
    candle_core::safetensors::load(file, &Device::Cpu)
        .context(|| format!("{} cannot be read", file.display()))
}

/// What the `meta.json` of `folder` says.
pub fn meta(folder: &Path) -> Result<Value, ModelError> {
    json(&folder.join("meta.json"))
}

/// The JSON in a file.
pub fn json(file: &Path) -> Result<Value, ModelError> {
    serde_json::from_str(&text(file)?)
        .map_err(|error| ModelError::own(format!("{} is not JSON", file.display())).because(error))
}

/// The text in a file.
pub fn text(file: &Path) -> Result<String, ModelError> {
    std::fs::read_to_string(file)
        .map_err(|error| ModelError::own(format!("{} cannot be read", file.display())).because(error))
}
