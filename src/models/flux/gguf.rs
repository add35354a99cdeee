//! Tensors of a GGUF file, read one at a time, never all at once.
//!
//! candle reads the header; what it would divide or multiply without looking is looked at here first.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Result, Shape, Tensor};
use memmap2::Mmap;

use crate::contract::ModelError;
use crate::models::kernels::{Gguf, Weight};
use crate::models::weights::WeightsError;
use crate::models::weights::naming::{Aliases, Stored};
use crate::models::weights::spec::TensorSpec;

mod types;

/// An opened file and what its header says.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    bytes: Mmap,
    tensors: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    dtype: GgmlDType,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

impl GgufFile {
    /// Opens a file and checks that every tensor lies inside it.
    pub fn open(path: &Path) -> std::result::Result<Self, ModelError> {
        let fail = |why: String| ModelError::own(format!("{} is no usable GGUF file: {why}", path.display()));
        let file = File::open(path)
            .map_err(|error| ModelError::own(format!("{} cannot be read", path.display())).because(error))?;
        #[expect(unsafe_code, reason = "weights are mapped, so that a file larger than memory can be loaded")]
        // SAFETY: the map is read only. A file that another process shortens meanwhile would end this one by SIGBUS;
        // bundles are written under a temporary name and renamed, so a file in place does not change.
        let bytes = unsafe { Mmap::map(&file) }
            .map_err(|error| ModelError::own(format!("{} cannot be read", path.display())).because(error))?;
        // The reader divides by the alignment that the file names and multiplies its shapes unchecked.
        let content = std::panic::catch_unwind(|| Content::read(&mut std::io::Cursor::new(&bytes[..])))
            .map_err(|_| fail("its header holds numbers that no file has".to_owned()))?
            .map_err(|error| fail(types::strange(&bytes).unwrap_or_else(|| error.to_string())))?;
        let base = usize::try_from(content.tensor_data_offset).unwrap_or(usize::MAX);
        let mut tensors = HashMap::with_capacity(content.tensor_infos.len());
        for (name, info) in content.tensor_infos {
            if !types::is_understood(info.ggml_dtype) {
                let why = types::strange(&bytes)
                    .unwrap_or_else(|| format!("{name} is stored as {:?}", info.ggml_dtype));
                return Err(fail(why));
            }
            let shape = info.shape.dims().to_vec();
            let count = shape.iter().try_fold(1usize, |count, dim| count.checked_mul(*dim));
            let size =
                count.filter(|count| count.is_multiple_of(info.ggml_dtype.block_size())).and_then(|count| {
                    (count / info.ggml_dtype.block_size()).checked_mul(info.ggml_dtype.type_size())
                });
            let start = usize::try_from(info.offset).ok().and_then(|offset| base.checked_add(offset));
            let range = start.zip(size).and_then(|(start, size)| Some((start, start.checked_add(size)?)));
            let Some((start, end)) = range.filter(|(_, end)| *end <= bytes.len()) else {
                return Err(fail(format!(
                    "{name} of shape {shape:?} in {:?} does not fit into its {} bytes",
                    info.ggml_dtype,
                    bytes.len()
                )));
            };
            tensors.insert(name, Entry { dtype: info.ggml_dtype, shape, start, end });
        }
        Ok(Self { path: path.to_owned(), bytes, tensors })
    }

    /// Gives every tensor that a network asks for the name it asks by, as
    /// [`Weights::named_for`](crate::models::weights::Weights::named_for) does.
    pub fn named_for(
        mut self,
        asked: &[TensorSpec],
        aliases: Aliases,
    ) -> std::result::Result<Self, WeightsError> {
        let names = Stored::new(self.shapes()).named_for(asked, aliases);
        let mut tensors = HashMap::with_capacity(self.tensors.len());
        for (stored, entry) in std::mem::take(&mut self.tensors) {
            let Some(name) = names.get(&stored) else { continue };
            if tensors.insert(name.clone(), entry).is_some() {
                let file = self.path.clone();
                return Err(WeightsError::Twice { other: file.clone(), file, tensor: name.clone() });
            }
        }
        Ok(Self { tensors, ..self })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why a matrix of its, of `cols` values a row, cannot be kept packed; `None` where it can.
    pub fn unfit(&self, name: &str, cols: usize) -> Option<String> {
        let dtype = self.tensors.get(name)?.dtype;
        let fits = float_type(dtype).is_some() || cols.is_multiple_of(dtype.block_size());
        (!fits).then(|| {
            format!("rows of {cols} values do not divide into {dtype:?} blocks of {}", dtype.block_size())
        })
    }

    /// Whether it has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Bytes of a tensor, and whether they are blocks rather than floats.
    pub fn look(&self, name: &str) -> Option<(usize, bool)> {
        let entry = self.tensors.get(name)?;
        Some((entry.end - entry.start, float_type(entry.dtype).is_none()))
    }

    /// The type that most of its bytes are in.
    pub(in crate::models) fn main_type(&self) -> Option<GgmlDType> {
        let mut sizes: Vec<(GgmlDType, usize)> = Vec::new();
        for entry in self.tensors.values() {
            let size = entry.end - entry.start;
            match sizes.iter_mut().find(|(dtype, _)| *dtype == entry.dtype) {
                Some((_, sum)) => *sum += size,
                None => sizes.push((entry.dtype, size)),
            }
        }
        sizes.into_iter().max_by_key(|(_, size)| *size).map(|(dtype, _)| dtype)
    }

    /// Names and shapes of its tensors.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<(&Entry, &[u8])> {
        let Some(entry) = self.tensors.get(name) else {
            let hint = crate::types::nearest(name, self.tensors.keys().map(String::as_str))
                .map(|name| format!("; the most similar name there is {name:?}"))
                .unwrap_or_default();
            candle_core::bail!("{} has no tensor {name:?}{hint}", self.path.display())
        };
        if entry.shape != shape {
            candle_core::bail!(
                "{name} in {} has shape {:?}, expected {shape:?}",
                self.path.display(),
                entry.shape
            )
        }
        Ok((entry, &self.bytes[entry.start..entry.end]))
    }

    /// Any tensor as floats: in its own type where it is one, else unpacked to f32.
    pub fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let (entry, bytes) = self.find(name, shape)?;
        if let Some(dtype) = float_type(entry.dtype) {
            return Tensor::from_raw_buffer(bytes, dtype, shape, device);
        }
        let dims = Shape::from(shape).dims().to_vec();
        candle_core::quantized::ggml_file::qtensor_from_ggml(entry.dtype, bytes, dims, device)?
            .dequantize(device)
    }

    /// A matrix as it is stored.
    pub fn matrix(&self, name: &str, (rows, cols): (usize, usize), device: &Device) -> Result<Weight> {
        let (entry, bytes) = self.find(name, &[rows, cols])?;
        if let Some(dtype) = float_type(entry.dtype) {
            return Ok(Weight::Plain(Tensor::from_raw_buffer(bytes, dtype, &[rows, cols], device)?));
        }
        let packed = Gguf::from_bytes(bytes, entry.dtype, (rows, cols), device);
        Ok(Weight::Gguf(packed.map_err(|error| error.context(format!("{name} in {}", self.path.display())))?))
    }
}

fn float_type(dtype: GgmlDType) -> Option<DType> {
    match dtype {
        GgmlDType::F32 => Some(DType::F32),
        GgmlDType::F16 => Some(DType::F16),
        GgmlDType::BF16 => Some(DType::BF16),
        _ => None,
    }
}
