//! 4-bit NormalFloat (Dettmers et al. 2023): blocks of 64 values, each a 4-bit index into a fixed table times the
//! block's largest magnitude, as the bitsandbytes library packs it.
//!
//! Element 2k is the high nibble of byte k, element 2k + 1 the low one, in row-major order across rows; the last block
//! may be short. The blocks' magnitudes ("absmax") are f32, or nested: bytes into a second table, times an f32 per 256
//! of them, plus an offset. Owns the packed form; what it never does is keep an unpacked copy.

mod decode;
mod encode;

use candle_core::{DType, Device, Result, Tensor};

pub(super) use self::decode::Held;

/// Values that share one magnitude.
pub const BLOCK: usize = 64;
/// Magnitudes that share one second-level magnitude.
pub const NESTED_BLOCK: usize = 256;

/// The sixteen levels: quantiles of a normal distribution, scaled to [−1, 1] with an exact zero (appendix E of the paper).
pub const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The magnitudes of the blocks.
#[derive(Clone, Debug)]
pub enum Absmax {
    /// f32 \[blocks\].
    Plain(Tensor),
    /// Quantised themselves: map\[code\] · scale\[block / 256\] + offset.
    Nested {
        /// u8 \[blocks\].
        codes: Tensor,
        /// f32 \[256\].
        map: Tensor,
        /// f32 [⌈blocks / 256⌉].
        scales: Tensor,
        /// Added to every one.
        offset: f32,
    },
}

/// A matrix of 4-bit values.
#[derive(Clone, Debug)]
pub struct Nf4 {
    rows: usize,
    cols: usize,
    /// u8 [⌈rows · cols / 2⌉].
    packed: Tensor,
    absmax: Absmax,
    /// What the sixteen indices mean.
    levels: [f32; 16],
    /// f32 [256, 2]: both values of every byte.
    pairs: Tensor,
    /// Values are rounded to this after decoding, as the library that wrote them does; f32 where they are not.
    rounding: DType,
}

impl Nf4 {
    /// From its stored parts; sizes are checked.
    pub fn new(
        (rows, cols): (usize, usize),
        packed: &Tensor,
        absmax: Absmax,
        levels: [f32; 16],
        rounding: DType,
    ) -> Result<Self> {
        let blocks = (rows * cols).div_ceil(BLOCK);
        let expect = |what: &str, tensor: &Tensor, count: usize| {
            if tensor.elem_count() == count {
                return Ok(());
            }
            candle_core::bail!(
                "an NF4 matrix of {rows}x{cols} has {count} {what}, not {}",
                tensor.elem_count()
            )
        };
        expect("packed bytes", packed, (rows * cols).div_ceil(2))?;
        match &absmax {
            Absmax::Plain(values) => expect("block magnitudes", values, blocks)?,
            Absmax::Nested { codes, map, scales, .. } => {
                expect("block magnitudes", codes, blocks)?;
                expect("entries in its nested table", map, 256)?;
                expect("second-level magnitudes", scales, blocks.div_ceil(NESTED_BLOCK))?;
            }
        }
        let pairs: Vec<f32> = (0..256usize).flat_map(|byte| [levels[byte >> 4], levels[byte & 15]]).collect();
        let pairs = Tensor::from_vec(pairs, (256, 2), packed.device())?;
        Ok(Self { rows, cols, packed: packed.flatten_all()?, absmax, levels, pairs, rounding })
    }

    /// Rows and columns of the matrix it stands for.
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let absmax = match &self.absmax {
            Absmax::Plain(values) => of(values),
            Absmax::Nested { codes, map, scales, .. } => of(codes) + of(map) + of(scales),
        };
        of(&self.packed) + of(&self.pairs) + absmax
    }

    /// Bytes that a matrix of this size takes.
    pub fn size_of(rows: usize, cols: usize, nested: bool) -> usize {
        let blocks = (rows * cols).div_ceil(BLOCK);
        let absmax = if nested { blocks + 4 * 256 + 4 * blocks.div_ceil(NESTED_BLOCK) } else { 4 * blocks };
        (rows * cols).div_ceil(2) + 4 * 512 + absmax
    }

    /// The same on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let absmax = match &self.absmax {
            Absmax::Plain(values) => Absmax::Plain(values.to_device(device)?),
            Absmax::Nested { codes, map, scales, offset } => Absmax::Nested {
                codes: codes.to_device(device)?,
                map: map.to_device(device)?,
                scales: scales.to_device(device)?,
                offset: *offset,
            },
        };
        Ok(Self {
            packed: self.packed.to_device(device)?,
            pairs: self.pairs.to_device(device)?,
            absmax,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests;
