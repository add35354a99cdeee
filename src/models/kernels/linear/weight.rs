//! Matrices kept in any precision, unpacked only while they are multiplied: whole by tensor operations on a device, some
//! rows at a time into a buffer that stays in cache on the processor.

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::super::host::{on_host, with_values};
use super::super::nf4::Nf4;

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
    pub(super) fn for_rows(&self, mut each: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        let (rows, cols) = self.dims()?;
        if rows == 0 || cols == 0 {
            return Ok(());
        }
        if let Self::Plain(tensor) = self
            && tensor.dtype() == DType::F32
        {
            return with_values(tensor, |values| each(0, values));
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
