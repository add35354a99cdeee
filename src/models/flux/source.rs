//! Where a network takes its tensors from: mapped safetensors, a GGUF file, or nothing but a list that is being made.
//!
//! Networks ask by one naming, Black Forest Labs' for the transformer and the autoencoder, Hugging Face's for the text
//! encoders; a renaming turns that into the file's. Quantising while loading happens here, one matrix at a time.

use std::rc::Rc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::gguf::GgufFile;
use super::nf4;
use super::precision::{Precision, blocks_for};
use crate::models::clip::layers::Layers;
use crate::models::kernels::nf4::Nf4;
use crate::models::kernels::{Embedding, Gguf, LayerNorm, Linear, Weight};
use crate::models::weights::Weights;

/// The file's names for a network's name: one, or one for each part of a fused layer.
pub type Rename = Rc<dyn Fn(&str) -> Vec<String>>;

#[derive(Clone)]
enum Tensors<'a> {
    Dense { builder: VarBuilder<'a>, weights: Option<std::sync::Arc<Weights>> },
    Gguf(Rc<GgufFile>),
    Listing(VarBuilder<'a>),
}

/// A network's tensors, and how it keeps them.
#[derive(Clone)]
pub struct Source<'a> {
    tensors: Tensors<'a>,
    rename: Rename,
    precision: Precision,
    compute: DType,
    device: Device,
}

impl<'a> Source<'a> {
    /// From a builder; `weights` tell what dtype a tensor is stored in, which is f32 without them.
    pub fn dense(builder: VarBuilder<'a>, weights: Option<std::sync::Arc<Weights>>) -> Self {
        let device = builder.device().clone();
        Self::new(Tensors::Dense { builder, weights }, &device)
    }

    /// From a GGUF file.
    pub fn gguf(file: Rc<GgufFile>, device: &Device) -> Self {
        Self::new(Tensors::Gguf(file), device)
    }

    /// From nothing: what is asked for is noted by `builder`'s backend, and no layer holds anything.
    pub fn listing(builder: VarBuilder<'a>) -> Self {
        Self::new(Tensors::Listing(builder), &Device::Cpu)
    }

    fn new(tensors: Tensors<'a>, device: &Device) -> Self {
        let compute = super::precision::compute_type(Precision::Stored, device);
        Self {
            tensors,
            rename: Rc::new(|name| vec![name.to_owned()]),
            precision: Precision::Stored,
            compute,
            device: device.clone(),
        }
    }

    /// With the file's naming.
    #[must_use]
    pub fn named(self, rename: impl Fn(&str) -> Vec<String> + 'static) -> Self {
        Self { rename: Rc::new(rename), ..self }
    }

    /// Matrices kept in `precision`, everything else in `compute`.
    #[must_use]
    pub fn kept(self, precision: Precision, compute: DType) -> Self {
        Self { precision, compute, ..self }
    }

    /// The same, its tensors put elsewhere.
    #[must_use]
    pub fn on(&self, device: &Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    /// The same with matrices as the file has them.
    #[must_use]
    pub fn as_stored(&self) -> Self {
        Self { precision: Precision::Stored, ..self.clone() }
    }

    /// The type of everything but matrices.
    pub fn compute(&self) -> DType {
        self.compute
    }

    /// Where tensors go.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether only names are wanted: nothing may be computed from what is handed out.
    pub fn is_listing(&self) -> bool {
        matches!(self.tensors, Tensors::Listing(_))
    }

    /// A tensor that is no matrix of a layer, in the compute type.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let names = (self.rename)(name);
        let [name] = names.as_slice() else { candle_core::bail!("{name} is stored in parts: {names:?}") };
        self.plain(name, shape, self.compute)
    }

    /// A tensor in the type that the file has it in; of an embedding table, which is looked up and not multiplied.
    pub fn stored(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let names = (self.rename)(name);
        let [name] = names.as_slice() else { candle_core::bail!("{name} is stored in parts: {names:?}") };
        match &self.tensors {
            Tensors::Gguf(file) => file.tensor(name, shape, &self.device),
            _ => self.plain(name, shape, self.stored_type(name)),
        }
    }

    /// Rows `ids` of a table [rows, cols], read from the mapped file without the others where there is one.
    pub fn rows(&self, name: &str, (rows, cols): (usize, usize), ids: &[u32]) -> Result<Tensor> {
        let name_in_file = (self.rename)(name).join("");
        if let Tensors::Dense { weights: Some(weights), .. } = &self.tensors
            && let Some(found) = weights.find(&name_in_file)
            && found.shape == [rows, cols]
        {
            return found.rows(ids, &self.device);
        }
        let table = self.on(&Device::Cpu).stored(name, &[rows, cols])?;
        table.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?.to_device(&self.device)
    }

    fn stored_type(&self, name: &str) -> DType {
        let Tensors::Dense { weights: Some(weights), .. } = &self.tensors else { return DType::F32 };
        weights.find(name).map_or(DType::F32, |found| found.float_type())
    }

    fn plain(&self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        match &self.tensors {
            Tensors::Dense { builder, .. } => {
                let builder = builder.clone().set_device(self.device.clone());
                builder.get_with_hints_dtype(shape, name, init_of(name, shape), dtype)
            }
            Tensors::Listing(builder) => {
                builder.get_with_hints_dtype(shape, name, init_of(name, shape), builder.dtype())
            }
            Tensors::Gguf(file) => file.tensor(name, shape, &self.device)?.to_dtype(dtype),
        }
    }

    /// The layer `name`: `{name}.weight` of [rows in all, cols] and, where wanted, `{name}.bias`.
    ///
    /// `rows` are those of its parts, which some files keep apart.
    pub fn linear(&self, name: &str, cols: usize, rows: &[usize], bias: bool) -> Result<Linear> {
        let names = (self.rename)(name);
        let rows = match (names.len(), rows.len()) {
            (1, _) => vec![rows.iter().sum()],
            (a, b) if a == b => rows.to_vec(),
            _ => candle_core::bail!("{name} has {} parts, {names:?} are stored", rows.len()),
        };
        self.parts(&names, cols, &rows, bias)
    }

    /// The layer whose parts the file calls `names`, with `rows` each.
    fn parts(&self, names: &[String], cols: usize, rows: &[usize], bias: bool) -> Result<Linear> {
        let mut weights = Vec::with_capacity(names.len());
        let mut biases = Vec::new();
        for (name, rows) in names.iter().zip(rows) {
            weights.push(self.matrix(&format!("{name}.weight"), *rows, cols)?);
            if bias {
                biases.push(self.plain(&format!("{name}.bias"), &[*rows], self.compute)?);
            }
        }
        if self.is_listing() {
            return Linear::of_parts(Vec::new(), None);
        }
        let bias = match biases.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(Tensor::cat(several, 0)?),
        };
        Linear::of_parts(weights, bias)
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Weight> {
        match &self.tensors {
            Tensors::Listing(_) => Ok(Weight::Plain(self.plain(name, &[rows, cols], DType::F32)?)),
            Tensors::Gguf(file) => file.matrix(name, (rows, cols), &self.device),
            Tensors::Dense { builder, .. } => {
                if let Some(packed) = nf4::read(builder, name, &self.device)? {
                    if packed.dims() != (rows, cols) {
                        candle_core::bail!("{name} has shape {:?}, expected [{rows}, {cols}]", packed.dims())
                    }
                    return Ok(Weight::Nf4(packed));
                }
                let stored = self.stored_type(name);
                let (dtype, place) = match self.precision {
                    Precision::Stored => (stored, &self.device),
                    Precision::F32 => (DType::F32, &self.device),
                    Precision::F16 => (DType::F16, &self.device),
                    Precision::Bf16 => (DType::BF16, &self.device),
                    Precision::Nf4 { .. } | Precision::Gguf(_) => (stored, &Device::Cpu),
                };
                let read = self.on(place).plain(name, &[rows, cols], dtype)?;
                self.packed(name, &read)
            }
        }
    }

    fn packed(&self, name: &str, matrix: &Tensor) -> Result<Weight> {
        let context = |error: candle_core::Error| error.context(format!("quantising {name}"));
        match self.precision {
            Precision::Nf4 { nested } => {
                Ok(Weight::Nf4(Nf4::quantise(matrix, nested, &self.device).map_err(context)?))
            }
            Precision::Gguf(dtype) => {
                Ok(Weight::Gguf(blocks_of(matrix, dtype, &self.device).map_err(context)?))
            }
            _ => Ok(Weight::Plain(matrix.contiguous()?)),
        }
    }
}

impl Layers for Source<'_> {
    fn linear(&self, names: &[String], inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let names: Vec<String> = names.iter().flat_map(|name| (self.rename)(name)).collect();
        self.parts(&names, inputs, &vec![outputs; names.len()], bias)
    }

    fn norm(&self, name: &str, size: usize, eps: f64) -> Result<LayerNorm> {
        let get = |part: &str| Source::tensor(self, &format!("{name}.{part}"), &[size]);
        LayerNorm::new(get("weight")?, get("bias")?, eps)
    }

    fn embedding(&self, name: &str, rows: usize, size: usize) -> Result<Embedding> {
        Ok(Embedding::new(self.stored(&format!("{name}.weight"), &[rows, size])?, self.compute))
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.stored(name, shape)
    }
}

fn blocks_of(matrix: &Tensor, dtype: GgmlDType, device: &Device) -> Result<Gguf> {
    let (rows, cols) = matrix.dims2()?;
    let wanted = dtype;
    let dtype = blocks_for(wanted, cols);
    if !cols.is_multiple_of(dtype.block_size()) {
        candle_core::bail!(
            "rows of {cols} values divide neither into {wanted:?} blocks of {} nor into {dtype:?} blocks of {}; use \
             another precision",
            wanted.block_size(),
            dtype.block_size()
        )
    }
    let quantised = QTensor::quantize(&matrix.to_dtype(DType::F32)?, dtype)?;
    Gguf::from_bytes(&quantised.data()?, dtype, (rows, cols), device)
}

/// How a tensor would be initialised: synthetic weights follow it, and activations then keep their size.
fn init_of(name: &str, shape: &[usize]) -> Init {
    match shape {
        [_] if name.ends_with("bias") => Init::Const(0.0),
        [_] => Init::Const(1.0),
        [_, fan_in @ ..] => {
            let fan_in: usize = fan_in.iter().product();
            Init::Randn { mean: 0.0, stdev: 1.0 / (fan_in.max(1) as f64).sqrt() }
        }
        [] => Init::Const(0.0),
    }
}
