//! From 4-bit values back to floats: with tensor operations on any device, and piece by piece on a processor.

use candle_core::{CpuStorage, DType, Result, Storage, Tensor};
use half::f16;
use parking_lot::RwLockReadGuard;

use super::{Absmax, BLOCK, NESTED_BLOCK, Nf4};
use crate::simd::kernel;

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

    /// The matrix for a processor to unpack piece by piece; an error where it lies elsewhere.
    pub(in super::super) fn held(&self) -> Result<Held<'_>> {
        let (storage, layout) = self.packed.storage_and_layout();
        let start = layout.start_offset();
        let Storage::Cpu(CpuStorage::U8(bytes)) = &*storage else {
            candle_core::bail!("packed values are bytes in host memory")
        };
        if !layout.is_contiguous() || bytes.len() < start + (self.rows * self.cols).div_ceil(2) {
            candle_core::bail!("an NF4 matrix of {}x{} ends outside its bytes", self.rows, self.cols)
        }
        let pairs = std::array::from_fn(|byte| [self.levels[byte >> 4], self.levels[byte & 15]]);
        Ok(Held { matrix: self, storage, start, absmax: self.host_absmax()?, pairs: Box::new(pairs) })
    }

    /// The magnitudes in host memory.
    pub fn host_absmax(&self) -> Result<Vec<f32>> {
        self.absmax.values()?.to_vec1()
    }
}

/// A matrix in host memory.
pub(in super::super) struct Held<'a> {
    matrix: &'a Nf4,
    storage: RwLockReadGuard<'a, Storage>,
    /// Where its bytes begin.
    start: usize,
    absmax: Vec<f32>,
    /// What each byte means: two levels, so that one look-up gives two values.
    pairs: Box<[[f32; 2]; 256]>,
}

impl Held<'_> {
    /// Values `start..` in row-major order into `out`, all inside the matrix; the same bits as
    /// [`dequantise`](Nf4::dequantise).
    pub(in super::super) fn values(&self, start: usize, out: &mut [f32]) {
        let Storage::Cpu(CpuStorage::U8(bytes)) = &*self.storage else { return };
        let bytes = &bytes[self.start..];
        // A row of an odd number of values begins in the middle of a byte every other time.
        let (odd, even) = out.split_at_mut(out.len().min(start % 2));
        if let Some(first) = odd.first_mut() {
            *first = self.pairs[usize::from(bytes[start / 2])][1];
        }
        unpack(&bytes[start.div_ceil(2)..], &self.pairs, even);
        scale(out, &self.absmax[start / BLOCK..], start % BLOCK, self.matrix.rounding);
    }

    /// The bytes of `count` values from `start` on, where they are inside the matrix.
    pub(in super::super) fn bytes(&self, start: usize, count: usize) -> Option<&[u8]> {
        let Storage::Cpu(CpuStorage::U8(bytes)) = &*self.storage else { return None };
        bytes.get(self.start..)?.get(start / 2..(start + count).div_ceil(2))
    }
}

/// The levels of `bytes`, the high half of each first.
fn unpack(bytes: &[u8], pairs: &[[f32; 2]; 256], out: &mut [f32]) {
    let (whole, last) = out.as_chunks_mut::<2>();
    for (pair, byte) in whole.iter_mut().zip(bytes) {
        *pair = pairs[usize::from(*byte)];
    }
    if let (Some(value), Some(byte)) = (last.first_mut(), bytes.get(whole.len())) {
        *value = pairs[usize::from(*byte)][0];
    }
}

kernel! {
    /// Levels times the magnitudes of their blocks, each rounded to `dtype`, as the library that wrote them does. Of the
    /// first block, `begun` values come before these.
    fn scale<'a>(values: &'a mut [f32], absmax: &'a [f32], begun: usize, dtype: DType) {
        let (first, rest) = values.split_at_mut(values.len().min(BLOCK - begun));
        let blocks = std::iter::once(first).chain(rest.chunks_mut(BLOCK));
        for (values, absmax) in blocks.zip(absmax) {
            values.iter_mut().for_each(|value| *value *= absmax);
        }
        match dtype {
            DType::BF16 => values.iter_mut().for_each(|value| *value = bf16_of(*value)),
            DType::F16 => values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32()),
            _ => {}
        }
    }
}

/// The nearest number that bf16 has; of two as near ones the one that ends in a zero.
#[inline(always)]
pub(super) fn bf16_of(value: f32) -> f32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if value.is_nan() { value } else { f32::from_bits(rounded) }
}
