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
use super::float8::{self, Marks, Scale};
use super::header::{self, Entry};
use super::naming::{self, Aliases, Stored};
use super::spec::TensorSpec;
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
    marks: Marks,
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
    /// What its values are times, where they are float8 and it is stored beside them.
    scale: Option<Scale<'a>>,
    /// Whether its file says that it is stored beside them, and it is not.
    lacks_scale: bool,
}

impl Weights {
    /// Maps `files`, each a `.safetensors` file or the index of one in shards (`*.safetensors.index.json`), and checks
    /// their headers. Nothing is read yet but the headers.
    pub fn open<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self, WeightsError> {
        let mut weights = Self { files: Vec::new(), tensors: BTreeMap::new(), marks: Marks::default() };
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
            self.marks.note(&name);
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

    /// Gives every tensor that a network asks for the name it asks by, whatever program wrote the files (see
    /// [`naming`]), and leaves out what belongs to other networks of an all-in-one checkpoint.
    pub fn named_for(self, asked: &[TensorSpec], aliases: Aliases) -> Result<Self, WeightsError> {
        let names = Stored::new(self.shapes()).named_for(asked, aliases);
        self.renamed(|name| names.get(name).cloned())
    }

    /// Names and shapes of all tensors.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, located)| (name.as_str(), located.entry.shape.as_slice()))
    }

    /// The shape of the tensor that a network would ask for as `name`, before it is told all that it asks for.
    pub fn shape_as(&self, name: &str) -> Option<Vec<usize>> {
        let wanted = naming::plain(name);
        let found =
            self.shapes().find(|(stored, _)| naming::before(&naming::plain(stored), &wanted).is_some());
        found.map(|(_, shape)| shape.to_vec())
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
        let Entry { dtype, ref shape, .. } = located.entry;
        let scale = if float8::is_float8(dtype) {
            let beside = float8::scale_names(name).into_iter().find_map(|name| self.tensors.get(&name));
            beside.and_then(|beside| {
                let Entry { dtype, ref shape, .. } = beside.entry;
                Some(Scale { dtype, shape, bytes: self.bytes(beside)? })
            })
        } else {
            None
        };
        let file = &self.files[located.file].path;
        let (stored, bytes) = (&located.stored, self.bytes(located)?);
        let lacks_scale = float8::is_float8(dtype) && scale.is_none() && self.marks.promise(stored, shape);
        Some(Found { file, stored, dtype, shape, bytes, scale, lacks_scale })
    }

    fn bytes(&self, located: &Located) -> Option<&[u8]> {
        self.files[located.file].bytes.get(located.entry.start..located.entry.end)
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

    /// Fails unless it can become `target` and be the same numbers: a float may become any other float, everything else
    /// must be stored as it is wanted. Float8 must have a usable scale where it has one.
    pub fn expect_dtype(&self, target: DType) -> Result<(), WeightsError> {
        let wrong = |expected: String| WeightsError::WrongDtype {
            file: self.file.to_owned(),
            tensor: self.stored.to_owned(),
            expected,
            found: self.dtype.to_string(),
        };
        if float8::is_float8(self.dtype) && is_plain_float(target) {
            return match self.scale.map(|scale| scale.fits(self.shape)) {
                Some(Err(expected)) => Err(wrong(expected)),
                None if self.lacks_scale => {
                    let [scale, ..] = float8::scale_names(self.stored);
                    Err(wrong(format!("its scale {scale:?} beside it, because the file is marked as scaled")))
                }
                Some(Ok(())) | None => Ok(()),
            };
        }
        let stored = DType::try_from(self.dtype).ok();
        match stored {
            Some(stored) if stored == target || (is_plain_float(stored) && is_plain_float(target)) => Ok(()),
            _ if is_plain_float(target) => Err(wrong("F32, F16, BF16 or F64".to_owned())),
            _ => Err(wrong(target.as_str().to_uppercase())),
        }
    }

    /// Bytes that it takes as [`float_type`](Self::float_type) where it is float8, which nothing computes in; else as
    /// it is stored.
    pub fn size(&self) -> usize {
        if float8::is_float8(self.dtype) {
            self.bytes.len() * self.float_type().size_in_bytes()
        } else {
            self.bytes.len()
        }
    }

    /// The narrowest float type that a computation can keep its values in: every float8 is a bf16, but not every one
    /// times its scale.
    pub fn float_type(&self) -> DType {
        match self.dtype {
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            dtype if float8::is_float8(dtype) && self.scale.is_none() => DType::BF16,
            _ => DType::F32,
        }
    }

    /// Fails where a value is NaN, infinite, or too large for `target`.
    pub fn expect_finite(&self, target: DType) -> Result<(), WeightsError> {
        let unusable = if float8::is_float8(self.dtype) {
            self.first_unusable_float8(target)
        } else {
            first_unusable(self.bytes, self.dtype, target)
        };
        let Some((index, value)) = unusable else { return Ok(()) };
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
        self.expect_dtype(target).map_err(candle_core::Error::wrap)?;
        self.read(0, self.bytes, self.shape, target, device)
    }

    /// Rows `ids` of a matrix as [`float_type`](Self::float_type), read without the others.
    pub fn rows(&self, ids: &[u32], device: &Device) -> Result<Tensor, candle_core::Error> {
        let target = self.float_type();
        self.expect_dtype(target).map_err(candle_core::Error::wrap)?;
        let [rows, cols] = *self.shape else {
            candle_core::bail!("{} of shape {:?} has no rows to look up", self.stored, self.shape)
        };
        let width = self.bytes.len() / rows.max(1);
        let mut read = Vec::with_capacity(ids.len());
        for id in ids {
            let row = *id as usize;
            match self.bytes.get(row * width..(row + 1) * width) {
                Some(bytes) => read.push(self.read(row * cols, bytes, &[1, cols], target, device)?),
                None => candle_core::bail!("{} has {rows} rows and no row {id}", self.stored),
            }
        }
        if read.is_empty() {
            return Tensor::zeros((0, cols), target, device);
        }
        Tensor::cat(&read, 0)
    }

    /// `bytes` of it, which hold the values from `first` on, as `target`.
    fn read(
        &self,
        first: usize,
        bytes: &[u8],
        shape: &[usize],
        target: DType,
        device: &Device,
    ) -> Result<Tensor, candle_core::Error> {
        if float8::is_float8(self.dtype) {
            return Tensor::from_vec(self.decoded(first, bytes), shape, &Device::Cpu)?
                .to_dtype(target)?
                .to_device(device);
        }
        let stored = DType::try_from(self.dtype)?;
        Tensor::from_raw_buffer(bytes, stored, shape, device)?.to_dtype(target)
    }

    fn first_unusable_float8(&self, target: DType) -> Option<(usize, f64)> {
        // Some rows at a time: as f32 the largest matrices take a quarter of a gigabyte.
        const VALUES: usize = 1 << 16;
        let width = self.shape.iter().skip(1).product::<usize>().max(1);
        let step = (VALUES / width).max(1) * width;
        self.bytes.chunks(step).enumerate().find_map(|(part, bytes)| {
            let values = self.decoded(part * step, bytes);
            let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let (index, value) = first_unusable(&values, Dtype::F32, target)?;
            Some((part * step + index, value))
        })
    }

    fn decoded(&self, first: usize, bytes: &[u8]) -> Vec<f32> {
        float8::decode(self.dtype, self.shape, self.scale, first, bytes)
    }
}

fn is_plain_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

fn is_surplus_buffer(name: &str) -> bool {
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    SURPLUS_BUFFERS.contains(&last) || float8::BESIDE.contains(&last)
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
