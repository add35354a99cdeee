//! A matrix of GGUF's Q8_0 blocks in panels, multiplied as the integers that it is.
//!
//! What it is multiplied with is quantised by row in blocks of the same 32 inputs, as ggml does: to the largest magnitude
//! over 127, but with a scale that is not rounded to f16. Blocks' sums are exact, and are added in ascending order, so that
//! results depend neither on the number of threads, nor on the other rows, nor on the processor's instructions.

use half::f16;
use rayon::prelude::*;

use super::disjoint::Disjoint;
use super::product::{Strip, pack, tasks, tiles};
use super::scratch::with_bytes;
use super::tile::{Finished, Store};
use super::{Finish, WIDTH};
use crate::profile::timed;
use crate::simd::{BLOCK, LEFT, Row, TALLEST, Weights, dot, kernel, lay_out, vectorised};

/// Bytes of a block in GGUF: an f16, and a byte for each value.
const STORED: usize = 2 + BLOCK;

/// A weight of `columns` outputs and `depth` inputs.
pub struct Bytes {
    depth: usize,
    columns: usize,
    /// Panel by panel, each block by block.
    blocks: Vec<Weights>,
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({} to {})", self.depth, self.columns)
    }
}

impl Bytes {
    /// Packs `stored`, Q8_0 blocks of `columns` rows of `depth` values; `depth` divides into blocks.
    pub fn pack(stored: &[u8], columns: usize, depth: usize) -> Self {
        let deep = depth / BLOCK;
        let mut blocks = vec![Weights::ZERO; columns.div_ceil(WIDTH) * deep];
        let (stored, _) = stored.as_chunks::<STORED>();
        if deep > 0 {
            blocks.par_chunks_mut(deep).zip(stored.par_chunks(WIDTH * deep)).for_each(|(panel, stored)| {
                for (column, stored) in stored.chunks_exact(deep).enumerate() {
                    for (block, [low, high, values @ ..]) in panel.iter_mut().zip(stored) {
                        block.set(column, f16::from_le_bytes([*low, *high]), &values.map(u8::cast_signed));
                    }
                }
            });
        }
        Self { depth, columns, blocks }
    }

    /// Memory held.
    pub fn size(&self) -> usize {
        size_of_val(self.blocks.as_slice())
    }

    /// The product of `x`, rows of `depth`, with the matrix: rows of `columns`, finished.
    pub fn multiply(&self, x: &[f32], finish: Finish<'_>) -> Vec<f32> {
        let rows = x.len().checked_div(self.depth).unwrap_or(0);
        let mut out = vec![0.0f32; rows * self.columns];
        let tiles: Vec<Strip> = tiles(0, rows, TALLEST).collect();
        let deep = self.depth / BLOCK * LEFT;
        let shared = Disjoint::new(&mut out);
        with_bytes(rows * deep, |left| {
            pack(&tiles, deep, left, |start, count, piece| {
                timed!("quantised input");
                quantise(&x[start * self.depth..][..count * self.depth], count, piece);
            });
            let left = &*left;
            let tasks = tasks(self.columns.div_ceil(WIDTH), &tiles);
            tasks.into_par_iter().for_each(|(panels, tiles)| {
                timed!("quantised panels");
                for (first, count) in tiles {
                    let left = &left[first * deep..][..count * deep];
                    for panel in panels.clone() {
                        let blocks = &self.blocks[panel * (self.depth / BLOCK)..][..self.depth / BLOCK];
                        let mut tile = [Row::ZERO; TALLEST];
                        dot(left, *count, blocks, &mut tile);
                        let columns = panel * WIDTH..((panel + 1) * WIDTH).min(self.columns);
                        let (stride, finish) = (self.columns, Some(finish));
                        let store =
                            Store { columns, stride, first: *first, begun: false, finish, out: &shared };
                        vectorised(Finished { tile: &mut tile[..*count], store });
                    }
                }
            });
        });
        out
    }
}

kernel! {
    /// `count` rows `x`, laid out for [`dot`]. A block that holds anything but finite numbers becomes NaN.
    fn quantise<'a>(x: &'a [f32], count: usize, left: &'a mut [i32]) {
        for (row, values) in x.chunks_exact((x.len() / count.max(1)).max(1)).enumerate() {
            let (values, _) = values.as_chunks::<BLOCK>();
            for (values, left) in values.iter().zip(left.chunks_exact_mut(count * LEFT)) {
                let (scale, bytes) = quantised(values);
                lay_out(left, count, row, scale, &bytes);
            }
        }
    }
}

/// The scale and the integers of a block.
#[inline(always)]
fn quantised(values: &[f32; BLOCK]) -> (f32, [i8; BLOCK]) {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    // As integers magnitudes keep their order, and NaN is above all of them.
    let mut largest = 0u32;
    for value in values {
        let bits = value.to_bits() & 0x7fff_ffff;
        largest = if bits > largest { bits } else { largest };
    }
    let largest = f32::from_bits(largest);
    let scale = largest / 127.0;
    let inverse = 127.0 / largest;
    // Of zeros, and of numbers so small that the inverse is none; 0 · NaN and 0 · ∞ are NaN.
    let inverse = if inverse < f32::INFINITY { inverse } else { 0.0 };
    let mut bytes = [0; BLOCK];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = (value * inverse + ROUND).to_bits() as i8;
    }
    (scale, bytes)
}

#[cfg(test)]
mod tests;
