//! Mapped safetensors files under one roof: every tensor by its network's name, checked before a byte is read.
//!
//! Owns the mappings; tensors made from them are copies, so a network never outlives its files by accident.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::Dtype;

use super::finite::first_unusable;
use super::header::{self, Entry};
use super::{WeightsError, index};
use crate::types::{Bytes, nearest};

#[cfg(test)]
mod tests;

/// Buffers that training code stored beside the weights and no inference needs, by the last part of their name.
const SURPLUS_BUFFERS: [&str; 2] = ["position_ids", "num_batches_tracked"];

/// One or several mapped files and every tensor in them.
#[derive(Debug)]
pub struct Weights {
    files: Vec<Mapped>,
    tensors: BTreeMap<String, Located>,
}

#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    bytes: Mmap,
}

#[derive(Clone, Debug)]
struct Located {
    file: usize,
    /// The name in the file, before renaming: what errors speak of.
    stored: String,
    entry: Entry,
}

/// One tensor as it lies in its file.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The file.
    pub file: &'a Path,
    /// Its name there; differs from the one asked for where names were rewritten.
    pub stored: &'a str,
    /// Its dtype there.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its values, little-endian, row-major.
    pub bytes: &'a [u8],
}

impl Weights {
    /// Maps `files`, each a `.safetensors` file or the index of one in shards (`*.safetensors.index.json`), and checks
    /// their headers. Nothing is read yet but the headers.
    pub fn open<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self, WeightsError> {
        let mut weights = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for file in files {
            let file = file.as_ref();
            if !index::is_index(file) {
                weights.map(file)?;
                continue;
            }
            for (shard, promised) in index::read(file)? {
                weights.map(&shard)?;
                let place = weights.files.len() - 1;
                let kept = |name: &String| weights.tensors.get(name).is_some_and(|t| t.file == place);
                if let Some(missing) = promised.iter().find(|name| !kept(name)) {
                    let why = format!("expected it in {}, which does not have it", shard.display());
                    return Err(WeightsError::malformed(file, format!("tensor {missing:?}"), why));
                }
            }
        }
        Ok(weights)
    }

    fn map(&mut self, path: &Path) -> Result<(), WeightsError> {
        let unreadable = |source| WeightsError::Unreadable { file: path.to_owned(), source };
        let bytes = map(path).map_err(unreadable)?;
        let header = header::read(path, &bytes)?;
        let file = self.files.len();
        self.files.push(Mapped { path: path.to_owned(), bytes });
        for (name, entry) in header.tensors {
            self.insert(name.clone(), Located { file, stored: name, entry })?;
        }
        Ok(())
    }

    fn insert(&mut self, name: String, located: Located) -> Result<(), WeightsError> {
        if let Some(other) = self.tensors.get(&name) {
            let file = self.files[located.file].path.clone();
            return Err(WeightsError::Twice {
                file,
                tensor: name,
                other: self.files[other.file].path.clone(),
            });
        }
        self.tensors.insert(name, located);
        Ok(())
    }

    /// Gives every tensor the name that the network knows it by; `None` leaves the tensor out.
    pub fn renamed(mut self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, WeightsError> {
        for (name, located) in std::mem::take(&mut self.tensors) {
            if let Some(name) = rename(&name) {
                self.insert(name, located)?;
            }
        }
        Ok(self)
    }

    /// Drops the first of `prefixes` (such as `"module."` or `"model.diffusion_model."`) that a name begins with.
    pub fn without_prefixes(self, prefixes: &[&str]) -> Result<Self, WeightsError> {
        self.renamed(|name| {
            let stripped = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
            Some(stripped.unwrap_or(name).to_owned())
        })
    }

    /// Every tensor's name, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The names that are weights: without the surplus buffers of training code.
    pub fn weight_names(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| !is_surplus_buffer(name))
    }

    /// The tensor of that name, if there is one.
    pub fn find(&self, name: &str) -> Option<Found<'_>> {
        let located = self.tensors.get(name)?;
        let Entry { dtype, ref shape, start, end } = located.entry;
        let file = &self.files[located.file];
        let bytes = file.bytes.get(start..end)?;
        Some(Found { file: &file.path, stored: &located.stored, dtype, shape, bytes })
    }

    /// What is on disk of all tensors together.
    pub fn size(&self) -> Bytes {
        self.tensors.values().map(|tensor| Bytes::of::<u8>(tensor.entry.end - tensor.entry.start)).sum()
    }

    /// How many numbers all weights together have, surplus buffers left out.
    pub fn parameters(&self) -> u64 {
        let count =
            |name: &str| self.find(name).map_or(0, |found| found.shape.iter().product::<usize>() as u64);
        self.weight_names().map(count).sum()
    }

    /// The mapped files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// That nothing of this name is there: with the name most like it.
    pub fn missing(&self, tensor: &str, expected: Option<candle_core::Shape>) -> WeightsError {
        let hint = nearest(tensor, self.names())
            .map(|name| format!("; the most similar name there is {name:?}"))
            .unwrap_or_default();
        let files: Vec<String> = self.files().map(|file| file.display().to_string()).collect();
        WeightsError::Missing { files: files.join(", "), tensor: tensor.to_owned(), expected, hint }
    }
}

impl Found<'_> {
    /// Fails unless it has this shape.
    pub fn expect_shape(&self, shape: &[usize]) -> Result<(), WeightsError> {
        if self.shape == shape {
            return Ok(());
        }
        Err(WeightsError::WrongShape {
            file: self.file.to_owned(),
            tensor: self.stored.to_owned(),
            expected: shape.to_vec(),
            found: self.shape.to_vec(),
        })
    }

    /// The dtype to read it in before it becomes `target`; fails where that would not be the same numbers.
    ///
    /// A float may become any other float; everything else must be stored as it is wanted.
    pub fn expect_dtype(&self, target: DType) -> Result<DType, WeightsError> {
        let stored = DType::try_from(self.dtype).ok();
        let accepted =
            |stored: &DType| *stored == target || (is_plain_float(*stored) && is_plain_float(target));
        stored.filter(accepted).ok_or_else(|| WeightsError::WrongDtype {
            file: self.file.to_owned(),
            tensor: self.stored.to_owned(),
            expected: if is_plain_float(target) {
                "F32, F16, BF16 or F64".to_owned()
            } else {
                target.as_str().to_uppercase()
            },
            found: self.dtype.to_string(),
        })
    }

    /// Fails where a value is NaN, infinite, or too large for `target`.
    pub fn expect_finite(&self, target: DType) -> Result<(), WeightsError> {
        let Some((index, value)) = first_unusable(self.bytes, self.dtype, target) else { return Ok(()) };
        Err(WeightsError::NotFinite {
            file: self.file.to_owned(),
            tensor: self.stored.to_owned(),
            index,
            count: self.shape.iter().product(),
            value,
            precision: target,
        })
    }

    /// A copy on `device`, converted to `target`.
    pub fn to_tensor(&self, target: DType, device: &Device) -> Result<Tensor, candle_core::Error> {
        let stored = self.expect_dtype(target).map_err(candle_core::Error::wrap)?;
        Tensor::from_raw_buffer(self.bytes, stored, self.shape, device)?.to_dtype(target)
    }
}

fn is_plain_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

fn is_surplus_buffer(name: &str) -> bool {
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    SURPLUS_BUFFERS.contains(&last)
}

/// Maps a file for reading.
fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // SAFETY: the mapping is private to this process and only read. What the type system cannot rule out is another
    // process changing or shortening the file meanwhile: values would change, or the process die of SIGBUS. Every
    // writer of ours therefore puts weights under a temporary name and renames, which leaves a mapped file as it is.
    #[expect(unsafe_code, reason = "mapping is what keeps 24 GB of weights out of this process's own memory")]
    unsafe {
        Mmap::map(&file)
    }
}
