//! Fully connected layers over matrices kept in any precision, unpacked only while they are multiplied.
//!
//! On a processor a matrix is unpacked some rows at a time into a buffer that stays in cache, and multiplied from there
//! in f32; elsewhere it is unpacked whole by tensor operations and multiplied in the compute type. A layer's matrix may
//! be several parts, one below the other: separate queries, keys and values of one checkpoint are the fused matrix of
//! another, and packed blocks of different parts cannot be joined.

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::nf4::Nf4;
use crate::models::kernels::{Matrix, Target, Threads, on_host, product};

/// Values unpacked at once: 8 MB, enough columns for the matrix product to run at full speed.
const UNPACKED: usize = 1 << 21;
/// Values per piece of a GGUF matrix in host memory, so that several threads can unpack it.
const GGUF_PIECE: usize = 1 << 18;

/// A matrix [rows, cols] in some precision.
#[derive(Debug)]
pub enum Weight {
    /// Floats of any type.
    Plain(Tensor),
    /// 4-bit NormalFloat.
    Nf4(Nf4),
    /// GGUF's blocks.
    Gguf(Gguf),
}

/// A matrix in GGUF's blocks, in pieces of whole rows.
#[derive(Debug)]
pub struct Gguf {
    rows: usize,
    cols: usize,
    piece_rows: usize,
    pieces: Vec<QTensor>,
}

impl Gguf {
    /// From the file's bytes; in pieces where `device` is the processor.
    pub fn from_bytes(
        bytes: &[u8],
        dtype: candle_core::quantized::GgmlDType,
        (rows, cols): (usize, usize),
        device: &Device,
    ) -> Result<Self> {
        if cols == 0 || !cols.is_multiple_of(dtype.block_size()) {
            candle_core::bail!(
                "rows of {cols} values do not divide into {dtype:?} blocks of {}; use another precision",
                dtype.block_size()
            )
        }
        let row_bytes = cols / dtype.block_size() * dtype.type_size();
        if bytes.len() != rows * row_bytes {
            candle_core::bail!(
                "{rows}x{cols} in {dtype:?} take {} bytes, not {}",
                rows * row_bytes,
                bytes.len()
            )
        }
        let piece_rows = if device.is_cpu() { (GGUF_PIECE / cols).max(1) } else { rows.max(1) };
        let pieces = bytes
            .chunks(piece_rows * row_bytes)
            .map(|piece| {
                let dims = vec![piece.len() / row_bytes, cols];
                candle_core::quantized::ggml_file::qtensor_from_ggml(dtype, piece, dims, device)
            })
            .collect::<Result<_>>()?;
        Ok(Self { rows, cols, piece_rows, pieces })
    }

    fn size(&self) -> usize {
        self.pieces.iter().map(QTensor::storage_size_in_bytes).sum()
    }
}

impl Weight {
    /// Rows and columns.
    pub fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::Plain(tensor) => tensor.dims2(),
            Self::Nf4(packed) => Ok(packed.dims()),
            Self::Gguf(packed) => Ok((packed.rows, packed.cols)),
        }
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        match self {
            Self::Plain(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Nf4(packed) => packed.size(),
            Self::Gguf(packed) => packed.size(),
        }
    }

    /// All of it as `dtype` on `device`, by tensor operations.
    pub fn unpacked(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        match self {
            Self::Plain(tensor) => tensor.to_device(device)?.to_dtype(dtype),
            Self::Nf4(packed) => packed.to_device(device)?.dequantise(dtype),
            Self::Gguf(packed) => {
                let pieces = packed
                    .pieces
                    .iter()
                    .map(|piece| piece.dequantize(&piece.device()))
                    .collect::<Result<Vec<_>>>()?;
                let whole =
                    if let [one] = pieces.as_slice() { one.clone() } else { Tensor::cat(&pieces, 0)? };
                whole.to_device(device)?.to_dtype(dtype)
            }
        }
    }

    /// Calls `each` with runs of rows in f32 and the number of the first one.
    fn for_rows(&self, mut each: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        let (rows, cols) = self.dims()?;
        if rows == 0 || cols == 0 {
            return Ok(());
        }
        if let Self::Plain(tensor) = self
            && tensor.dtype() == DType::F32
        {
            return on_host(&[tensor], |values| each(0, values[0]))?;
        }
        let at_once = match self {
            Self::Gguf(packed) => (UNPACKED / (packed.piece_rows * cols)).max(1) * packed.piece_rows,
            _ => (UNPACKED / cols).max(1),
        };
        let mut buffer = vec![0f32; at_once.min(rows) * cols];
        let absmax = if let Self::Nf4(packed) = self { packed.host_absmax()? } else { Vec::new() };
        for first in (0..rows).step_by(at_once) {
            let count = at_once.min(rows - first);
            let values = &mut buffer[..count * cols];
            match self {
                Self::Plain(tensor) => widen(tensor, first * cols, values)?,
                Self::Nf4(packed) => {
                    let share = count.div_ceil(4 * rayon::current_num_threads().max(1)).max(1);
                    values
                        .par_chunks_mut(share * cols)
                        .enumerate()
                        .try_for_each(|(i, values)| packed.decode_rows(&absmax, first + i * share, values))?;
                }
                Self::Gguf(packed) => {
                    let pieces = &packed.pieces[first / packed.piece_rows..];
                    values.par_chunks_mut(packed.piece_rows * cols).zip(pieces).try_for_each(
                        |(values, piece)| {
                            let tensor = piece.dequantize(&Device::Cpu)?;
                            on_host(&[&tensor], |from| values.copy_from_slice(&from[0][..values.len()]))
                        },
                    )?;
                }
            }
            each(first, values)?;
        }
        Ok(())
    }
}

/// Values `from..` of a bf16 or f16 tensor in host memory, as f32.
fn widen(tensor: &Tensor, from: usize, out: &mut [f32]) -> Result<()> {
    const BLOCK: usize = 1 << 15;
    let (storage, layout) = tensor.storage_and_layout();
    if !layout.is_contiguous() {
        candle_core::bail!("a matrix in host memory is kept in one piece")
    }
    let range = layout.start_offset() + from..layout.start_offset() + from + out.len();
    match &*storage {
        Storage::Cpu(CpuStorage::BF16(values)) => {
            let blocks = out.par_chunks_mut(BLOCK).zip(values[range].par_chunks(BLOCK));
            blocks.for_each(|(out, values)| values.convert_to_f32_slice(out));
        }
        Storage::Cpu(CpuStorage::F16(values)) => {
            let blocks = out.par_chunks_mut(BLOCK).zip(values[range].par_chunks(BLOCK));
            blocks.for_each(|(out, values)| values.convert_to_f32_slice(out));
        }
        _ => candle_core::bail!("a matrix of {:?} in host memory cannot be multiplied", tensor.dtype()),
    }
    Ok(())
}

/// y = x·Wᵀ + b.
#[derive(Debug)]
pub struct Linear {
    parts: Vec<Weight>,
    bias: Option<Tensor>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Of `parts`, one below the other.
    pub fn new(parts: Vec<Weight>, bias: Option<Tensor>) -> Result<Self> {
        let dims = parts.iter().map(Weight::dims).collect::<Result<Vec<_>>>()?;
        let outputs = dims.iter().map(|(rows, _)| rows).sum();
        let inputs = dims.first().map_or(0, |(_, cols)| *cols);
        if dims.iter().any(|(_, cols)| *cols != inputs) {
            candle_core::bail!("parts of one layer take {dims:?} inputs")
        }
        Ok(Self { parts, bias, inputs, outputs })
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |bias| bias.elem_count() * bias.dtype().size_in_bytes());
        self.parts.iter().map(Weight::size).sum::<usize>() + bias
    }

    /// Of `x` [tokens, inputs]: [tokens, outputs], on `x`'s device and in its type, wherever the weights are.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            return self.on_processor(x);
        }
        let parts = self
            .parts
            .iter()
            .map(|part| x.matmul(&part.unpacked(x.dtype(), x.device())?.t()?))
            .collect::<Result<Vec<_>>>()?;
        let y = if let [one] = parts.as_slice() { one.clone() } else { Tensor::cat(&parts, 1)? };
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_device(x.device())?.to_dtype(x.dtype())?),
            None => Ok(y),
        }
    }

    fn on_processor(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, inputs) = x.dims2()?;
        if inputs != self.inputs {
            candle_core::bail!("a layer of {} inputs was given {:?}", self.inputs, x.shape())
        }
        let outputs = self.outputs;
        let mut out = vec![0f32; tokens * outputs];
        if let Some(bias) = &self.bias {
            let bias = bias.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            out.par_chunks_mut(outputs.max(1)).for_each(|row| row.copy_from_slice(&bias));
        }
        on_host(&[x], |x| {
            let mut column = 0;
            for part in &self.parts {
                part.for_rows(|first, values| {
                    let a = Matrix::dense(x[0], tokens, inputs)?;
                    let b = Matrix::dense(values, values.len() / inputs, inputs)?;
                    let place = &mut out[(column + first).min(tokens * outputs)..];
                    let target = match &self.bias {
                        Some(_) => Target::onto(place, outputs),
                        None => Target::over(place, outputs),
                    };
                    Ok(product(target, 1.0, a, b.t(), Threads::All)?)
                })?;
                column += part.dims()?.0;
            }
            Ok::<(), candle_core::Error>(())
        })??;
        Tensor::from_vec(out, (tokens, outputs), x.device())
    }
}
