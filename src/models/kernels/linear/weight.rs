//! Matrices kept in any precision, unpacked only while they are multiplied: whole by tensor operations on a device, panel
//! by panel into the cache on the processor ([`held`](super::held)).

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Tensor};

use super::super::nf4::Nf4;

/// Values per piece of a GGUF matrix in host memory.
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
    pub(super) piece_rows: usize,
    pub(super) pieces: Vec<QTensor>,
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
}
