//! PyTorch checkpoints (`.pth`, `.pt`), read without executing anything, and rewritten as safetensors.
//!
//! A checkpoint is a zip archive with one pickle, `data.pkl`, whose tensors point at further entries. `machine` runs
//! the pickle into plain values: it knows a few opcodes and a few names, and calls nothing. Our own and not candle's
//! reader, which panics on short tuples and long integers, copies values on every reference (a few hundred bytes can
//! ask for all memory), and reads nested dictionaries only by key.

mod archive;
mod machine;
mod state;

use std::io::Read;
use std::path::Path;

use safetensors::Dtype;

use super::WeightsError;
use super::writer::{Entry, Written, write_safetensors};
use crate::contract::{ModelError, Progress, Run, Unit};
use archive::Archive;

#[cfg(test)]
mod tests;

/// Raised whenever the same checkpoint comes out as other bytes: 1 wrote names and keys by the alphabet, 2 writes as
/// safetensors' own writers do.
pub const CONVERTER: u32 = 2;

/// The name that a checkpoint gets which is a tensor and no dictionary, as Kokoro's voices are.
pub const BARE_TENSOR: &str = "voice";

/// A tensor of a checkpoint, before its values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The keys on the way to it, joined by dots.
    pub name: String,
    /// What its values are.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// In values, from the beginning of its storage.
    offset: usize,
    /// In values, one per dimension.
    strides: Vec<usize>,
    /// The storage's entry in the archive.
    storage: String,
    /// How many values the storage has.
    values: usize,
}

/// What a conversion wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// How many tensors.
    pub tensors: usize,
    /// The file.
    pub written: Written,
}

/// An open checkpoint: what is in it, to be read one tensor after the other.
pub(crate) struct Checkpoint {
    archive: Archive,
    tensors: Vec<Stored>,
}

impl Checkpoint {
    /// Opens `path` and reads which tensors it has, in order of name.
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let mut archive = Archive::open(path)?;
        let tensors = archive.tensors()?;
        archive.expect_unfolded(&tensors)?;
        Ok(Self { archive, tensors })
    }

    /// Its tensors, in order of name.
    pub(crate) fn tensors(&self) -> &[Stored] {
        &self.tensors
    }

    /// The values of the tensor at that place in [`tensors`](Self::tensors), little-endian, row-major.
    pub(crate) fn values(&mut self, place: usize) -> Result<Vec<u8>, WeightsError> {
        self.tensors.get(place).map_or(Ok(Vec::new()), |tensor| self.archive.values(tensor))
    }
}

/// Whether the file at `path` is a checkpoint or a bare pickle by its first bytes, whatever it is called; false where it cannot
/// be read.
pub fn is_checkpoint(path: &Path) -> bool {
    let mut first = [0; 9];
    if std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_err() {
        return false;
    }
    // The length of a safetensors header may begin with any byte, but then the header stands behind it.
    let is_safetensors = matches!(first[8], b'{' | b' ');
    !is_safetensors && (first.starts_with(b"PK\x03\x04") || matches!(first, [0x80, 2..=5, ..]))
}

/// Rewrites the checkpoint `from` as the safetensors file `to`: the same tensors, names of nested dictionaries joined
/// by dots. The same checkpoint gives the same bytes: those that safetensors' own writers give for these tensors.
pub fn convert(from: &Path, to: &Path, run: &Run) -> Result<Converted, ModelError> {
    let mut checkpoint = Checkpoint::open(from)?;
    let entries: Vec<Entry> = checkpoint
        .tensors()
        .iter()
        .map(|tensor| Entry { name: tensor.name.clone(), dtype: tensor.dtype, shape: tensor.shape.clone() })
        .collect();
    let total = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut done = 0;
    let written = write_safetensors(to, &entries, |place, file| -> Result<(), ModelError> {
        let values = checkpoint.values(place)?;
        let failed = |source| WeightsError::Unwritable { file: to.to_owned(), source };
        file.write_all(&values).map_err(failed)?;
        done += 1;
        run.step(Progress::new(Unit::Parts, done, total))?;
        Ok(())
    })?;
    Ok(Converted { tensors: entries.len(), written })
}
