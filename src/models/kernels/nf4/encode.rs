//! Quantising while loading: the nearest level of sixteen, per block of 64.

use std::sync::LazyLock;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use super::{Absmax, BLOCK, LEVELS, NESTED_BLOCK, Nf4};
use crate::simd::kernel;

/// Blocks handed to a thread at once.
const BLOCKS: usize = 1 << 10;

/// The middles between neighbouring levels: a value above the n-th belongs to level n + 1 at least.
fn thresholds() -> [f32; 15] {
    std::array::from_fn(|i| (LEVELS[i] + LEVELS[i + 1]) / 2.0)
}

/// The 256 values of bitsandbytes' signed dynamic map (Dettmers 2016, "8-bit approximations"): seven decades, the n-th
/// with 2ⁿ values of each sign in the middles of equal parts of [0.1, 1], and besides 0 and 1.
pub(super) static DYNAMIC_MAP: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut values = vec![0f32, 1.0];
    for decade in 0..7 {
        let parts = 1u32 << decade;
        let boundary = |i: u32| (0.1 + 0.9 * f64::from(i) / f64::from(parts)) as f32;
        let power = 10f64.powi(decade - 6);
        for i in 0..parts {
            let middle = (boundary(i) + boundary(i + 1)) / 2.0;
            let value = (power * f64::from(middle)) as f32;
            values.extend([value, -value]);
        }
    }
    values.sort_by(f32::total_cmp);
    let mut map = [0.0; 256];
    map.copy_from_slice(&values);
    map
});

kernel! {
    /// One block: its magnitude, and the indices of its values.
    pub(super) fn encode_block<'a>(values: &'a [f32], absmax: &'a mut f32, out: &'a mut [u8]) {
        let mut most = 0f32;
        for value in values {
            most = if value.abs() > most { value.abs() } else { most };
        }
        *absmax = most;
        let inverse = if most > 0.0 { 1.0 / most } else { 0.0 };
        let thresholds = thresholds();
        let mut index = [0u32; BLOCK];
        for (index, value) in index.iter_mut().zip(values) {
            let scaled = *value * inverse;
            // Counting the thresholds below is branchless, hence vector code, unlike a search.
            let mut count = 0;
            for threshold in thresholds {
                count += u32::from(scaled > threshold);
            }
            *index = count;
        }
        // A byte past an odd end keeps the level of zero in its low half, as an empty place does there.
        for (out, pair) in out.iter_mut().zip(index.chunks_exact(2)) {
            *out = (pair[0] << 4 | pair[1]) as u8;
        }
    }
}

impl Nf4 {
    /// Quantises a matrix in host memory and puts the result on `device`; nested magnitudes where asked.
    pub fn quantise(matrix: &Tensor, nested: bool, device: &Device) -> Result<Self> {
        let (rows, cols) = matrix.dims2()?;
        let rounding = match matrix.dtype() {
            kind @ (DType::BF16 | DType::F16) => kind,
            _ => DType::F32,
        };
        let matrix = matrix.to_device(&Device::Cpu)?.contiguous()?;
        let count = rows * cols;
        let mut packed = vec![0u8; count.div_ceil(2)];
        let mut absmax = vec![0f32; count.div_ceil(BLOCK)];
        let flat = matrix.flatten_all()?;
        // Part by part through f32, so that a large bf16 matrix never stands there whole in f32.
        let part = BLOCKS * BLOCK * 64;
        for start in (0..count).step_by(part) {
            let len = part.min(count - start);
            let values = flat.narrow(0, start, len)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let bytes = &mut packed[start / 2..(start + len).div_ceil(2)];
            let most = &mut absmax[start / BLOCK..(start + len).div_ceil(BLOCK)];
            values
                .par_chunks(BLOCKS * BLOCK)
                .zip(bytes.par_chunks_mut(BLOCKS * BLOCK / 2))
                .zip(most.par_chunks_mut(BLOCKS))
                .for_each(|((values, bytes), most)| {
                    let blocks = values.chunks(BLOCK).zip(bytes.chunks_mut(BLOCK / 2)).zip(most);
                    blocks.for_each(|((values, bytes), most)| encode_block(values, most, bytes));
                });
        }
        if let Some(bad) = absmax.iter().position(|most| !most.is_finite()) {
            candle_core::bail!("values {}.. are not finite and have no 4-bit form", bad * BLOCK)
        }
        let packed = Tensor::from_vec(packed, count.div_ceil(2), device)?;
        let absmax =
            if nested { nest(&absmax, device)? } else { Absmax::Plain(Tensor::new(absmax, device)?) };
        Self::new((rows, cols), &packed, absmax, LEVELS, rounding)
    }
}

/// Quantises the magnitudes: their mean off, blocks of 256 by their largest, the nearest of the dynamic map.
fn nest(absmax: &[f32], device: &Device) -> Result<Absmax> {
    let mean = absmax.iter().map(|most| f64::from(*most)).sum::<f64>() / absmax.len().max(1) as f64;
    let offset = mean as f32;
    let map = &*DYNAMIC_MAP;
    let mut codes = Vec::with_capacity(absmax.len());
    let mut scales = Vec::with_capacity(absmax.len().div_ceil(NESTED_BLOCK));
    for block in absmax.chunks(NESTED_BLOCK) {
        let scale = block.iter().map(|most| (most - offset).abs()).fold(0.0, f32::max);
        scales.push(scale);
        codes.extend(block.iter().map(|most| {
            let value = if scale > 0.0 { (most - offset) / scale } else { 0.0 };
            let above = map.partition_point(|level| *level < value).min(255);
            let below = above.saturating_sub(1);
            if value - map[below] < map[above] - value { below as u8 } else { above as u8 }
        }));
    }
    Ok(Absmax::Nested {
        codes: Tensor::new(codes, device)?,
        map: Tensor::new(map.as_slice(), device)?,
        scales: Tensor::new(scales, device)?,
        offset,
    })
}
