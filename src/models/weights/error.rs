//! What can be wrong with a weights file: always the file, the tensor where there is one, what was expected and found.

use std::path::PathBuf;

use candle_core::{DType, Shape};

use crate::contract::ModelError;
use crate::models::error::is_final;
use crate::types::Bytes;

/// A file of weights that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{file}: cannot be read: {source}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operating system refused to write.
    #[error("{file}: cannot be written: {source}", file = file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not a safetensors file, or a damaged one.
    #[error("{file}: {place}: {why}", file = file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where in it: "header", or a tensor with its name.
        place: String,
        /// What is wrong there, and what would be right.
        why: String,
    },
    /// Two files, or two renamed tensors, claim one name.
    #[error("{file}: tensor {tensor:?} is also in {other}; each tensor may be stored once", file = file.display(), other = other.display())]
    Twice {
        /// The file read later.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The file read earlier.
        other: PathBuf,
    },
    /// The network asks for a tensor that no file has.
    #[error("{files}: tensor {tensor:?} is missing: expected shape {expected}{hint}", expected = dims(expected.as_ref()))]
    Missing {
        /// The files that were searched.
        files: String,
        /// The tensor's name.
        tensor: String,
        /// The shape it should have, where the network says.
        expected: Option<Shape>,
        /// A tensor with a similar name, as a sentence.
        hint: String,
    },
    /// The tensor is there with another shape.
    #[error("{file}: tensor {tensor:?}: expected shape {expected:?}, found {found:?}", file = file.display())]
    WrongShape {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What the network asks for.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// The tensor is there as another kind of number.
    #[error("{file}: tensor {tensor:?}: expected {expected}, found {found}", file = file.display())]
    WrongDtype {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The dtypes that would be accepted.
        expected: String,
        /// The dtype in the file.
        found: String,
    },
    /// A weight that no computation survives.
    #[error(
        "{file}: tensor {tensor:?}: value {index} of {count} is {value}, expected finite numbers{limit}",
        file = file.display(), limit = limit(*precision)
    )]
    NotFinite {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its place in the tensor, counted from 0 in row-major order.
        index: usize,
        /// How many values the tensor has.
        count: usize,
        /// The value.
        value: f64,
        /// The precision it was to be converted to.
        precision: DType,
    },
    /// The file ends before its tensors do.
    #[error("{file}: truncated: its header describes {expected} bytes ({expected_size}), the file has {found}", file = file.display(), expected_size = Bytes::new(*expected))]
    Truncated {
        /// The file.
        file: PathBuf,
        /// The length that the header calls for.
        expected: u64,
        /// The length on disk.
        found: u64,
    },
}

impl WeightsError {
    pub(super) fn malformed(
        file: impl Into<PathBuf>,
        place: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::Malformed { file: file.into(), place: place.into(), why: why.into() }
    }
}

impl From<WeightsError> for ModelError {
    fn from(error: WeightsError) -> Self {
        let text = error.to_string();
        match error {
            WeightsError::Unreadable { source, .. } if !is_final(source.kind()) => Self::transient(text),
            _ => Self::own(text),
        }
    }
}

fn dims(shape: Option<&Shape>) -> String {
    shape.map_or_else(|| "any".to_owned(), |shape| format!("{:?}", shape.dims()))
}

fn limit(precision: DType) -> &'static str {
    if precision == DType::F16 { " of magnitude at most 65504, the largest f16" } else { "" }
}
