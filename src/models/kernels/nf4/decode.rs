//! From 4-bit values back to floats: with tensor operations on any device, and row by row on a processor.

use candle_core::{CpuStorage, DType, Result, Storage, Tensor};
use half::{bf16, f16};

use super::{Absmax, BLOCK, NESTED_BLOCK, Nf4};

/// Rows `bytes` of `table`.
///
/// As u32: candle's look-up takes the largest number of the index type for "none" and gives zeros for it, which among
/// bytes is the 256th entry.
fn looked_up(table: &Tensor, bytes: &Tensor) -> Result<Tensor> {
    table.index_select(&bytes.to_dtype(DType::U32)?, 0)
}

impl Absmax {
    /// f32 \[blocks\].
    pub fn values(&self) -> Result<Tensor> {
        let Self::Nested { codes, map, scales, offset } = self else {
            let Self::Plain(values) = self else { candle_core::bail!("no magnitudes") };
            return Ok(values.clone());
        };
        let blocks = codes.elem_count();
        let values = looked_up(map, codes)?;
        let whole = blocks / NESTED_BLOCK;
        let mut parts = Vec::with_capacity(2);
        if whole > 0 {
            let scales = scales.narrow(0, 0, whole)?.unsqueeze(1)?;
            let values = values.narrow(0, 0, whole * NESTED_BLOCK)?.reshape((whole, NESTED_BLOCK))?;
            parts.push(values.broadcast_mul(&scales)?.flatten_all()?);
        }
        if blocks > whole * NESTED_BLOCK {
            let rest = values.narrow(0, whole * NESTED_BLOCK, blocks - whole * NESTED_BLOCK)?;
            parts.push(rest.broadcast_mul(&scales.narrow(0, whole, 1)?)?);
        }
        // A multiplication and an addition, rounded each: `affine` may fuse them on some devices.
        Tensor::cat(&parts, 0)?.broadcast_add(&Tensor::new(*offset, codes.device())?)
    }
}

impl Nf4 {
    /// The matrix as `dtype` [rows, cols], by one look-up of two values per byte.
    pub fn dequantise(&self, dtype: DType) -> Result<Tensor> {
        let count = self.rows * self.cols;
        let values = looked_up(&self.pairs, &self.packed)?.flatten_all()?.narrow(0, 0, count)?;
        let absmax = self.absmax.values()?;
        let whole = count / BLOCK;
        let mut parts = Vec::with_capacity(2);
        if whole > 0 {
            let absmax = absmax.narrow(0, 0, whole)?.unsqueeze(1)?;
            let values = values.narrow(0, 0, whole * BLOCK)?.reshape((whole, BLOCK))?;
            parts.push(values.broadcast_mul(&absmax)?.flatten_all()?);
        }
        if count > whole * BLOCK {
            let rest = values.narrow(0, whole * BLOCK, count - whole * BLOCK)?;
            parts.push(rest.broadcast_mul(&absmax.narrow(0, whole, 1)?)?);
        }
        let values = if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? };
        values.reshape((self.rows, self.cols))?.to_dtype(self.rounding)?.to_dtype(dtype)
    }

    /// Rows `first..` of the matrix into `out`, a whole number of rows, on a processor; the same bits as
    /// [`dequantise`](Self::dequantise).
    ///
    /// The sixteen levels are multiplied by a block's magnitude once, so that a value costs one look-up.
    pub fn decode_rows(&self, absmax: &[f32], first: usize, out: &mut [f32]) -> Result<()> {
        let start = first * self.cols;
        let (storage, layout) = self.packed.storage_and_layout();
        let Storage::Cpu(CpuStorage::U8(bytes)) = &*storage else {
            candle_core::bail!("packed values are bytes in host memory")
        };
        let bytes = &bytes[layout.start_offset()..];
        let end = start + out.len();
        if end.div_ceil(2) > bytes.len() || end.div_ceil(BLOCK) > absmax.len() {
            candle_core::bail!(
                "rows {first}.. of an NF4 matrix of {}x{} end outside it",
                self.rows,
                self.cols
            )
        }
        let mut at = start;
        let mut out = out;
        while at < end {
            let block = at / BLOCK;
            let stop = ((block + 1) * BLOCK).min(end);
            let scaled = self.levels.map(|level| level * absmax[block]);
            let (here, rest) = out.split_at_mut(stop - at);
            decode_run(bytes, at, &scaled, here);
            round_to(self.rounding, here);
            (at, out) = (stop, rest);
        }
        Ok(())
    }

    /// The magnitudes in host memory, for [`decode_rows`](Self::decode_rows).
    pub fn host_absmax(&self) -> Result<Vec<f32>> {
        self.absmax.values()?.to_vec1()
    }
}

fn decode_run(bytes: &[u8], at: usize, scaled: &[f32; 16], out: &mut [f32]) {
    if at.is_multiple_of(2) {
        let mut pairs = out.chunks_exact_mut(2);
        for (pair, byte) in (&mut pairs).zip(&bytes[at / 2..]) {
            pair[0] = scaled[usize::from(byte >> 4)];
            pair[1] = scaled[usize::from(byte & 15)];
        }
        let last = at + out.len() - 1;
        if out.len() % 2 == 1 {
            out[last - at] = scaled[usize::from(bytes[last / 2] >> 4)];
        }
        return;
    }
    for (i, value) in out.iter_mut().enumerate() {
        let byte = bytes[(at + i) / 2];
        let index = if (at + i).is_multiple_of(2) { byte >> 4 } else { byte & 15 };
        *value = scaled[usize::from(index)];
    }
}

fn round_to(dtype: DType, values: &mut [f32]) {
    match dtype {
        DType::BF16 => values.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32()),
        DType::F16 => values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32()),
        _ => {}
    }
}
