//! A few rows times one panel, with the running sums in registers.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Finish;
use super::disjoint::Disjoint;
use crate::simd::{Row, lanes};

/// Most rows of a tile on any processor.
pub(super) const MAX_ROWS: usize = 12;

/// Running results of one tile.
type Tile = [Row; MAX_ROWS];

/// Rows of the tallest tile whose running sums fit into this processor's registers: with AVX-512 twelve rows of a panel,
/// elsewhere six of half a panel.
pub(super) fn tallest() -> usize {
    match lanes() {
        16 => MAX_ROWS,
        8 | 4 => 6,
        _ => 4,
    }
}

/// Where a tile goes.
pub(super) struct Store<'a> {
    pub columns: Range<usize>,
    pub stride: usize,
    pub first: usize,
    /// Whether the output holds sums that this tile goes on with.
    pub begun: bool,
    /// What is done to the sums, where this tile ends them.
    pub finish: Option<Finish<'a>>,
    pub out: &'a Disjoint<'a>,
}

impl Store<'_> {
    fn start(&self, index: usize) -> usize {
        (self.first + index) * self.stride + self.columns.start
    }

    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "that is what `Disjoint` is for")]
    #[expect(unsafe_code, reason = "a tile is a strip of the output's rows; see `disjoint`")]
    fn row(&self, index: usize) -> &mut [f32] {
        // SAFETY: a panel's columns and a tile's rows belong to one task alone, which asks for one row after the other.
        unsafe { self.out.piece(self.start(index), self.columns.len()) }
    }

    #[inline(always)]
    fn load(&self, tile: &mut Tile, count: usize) {
        if self.begun {
            for (index, row) in tile.iter_mut().enumerate().take(count) {
                row.0[..self.columns.len()].copy_from_slice(self.row(index));
            }
        }
    }

    #[inline(always)]
    fn store(&self, tile: &mut Tile, count: usize) {
        let width = self.columns.len();
        for (index, row) in tile.iter_mut().enumerate().take(count) {
            let values = &mut row.0[..width];
            let out = self.row(index);
            let Some(finish) = &self.finish else {
                out.copy_from_slice(values);
                continue;
            };
            if let Some(bias) = finish.bias {
                values.iter_mut().zip(&bias[self.columns.clone()]).for_each(|(value, bias)| *value += bias);
            }
            if let Some(bias) = finish.of_rows {
                let bias = bias[self.first + index];
                values.iter_mut().for_each(|value| *value += bias);
            }
            finish.activation.apply(values);
            match finish.residual {
                None => out.copy_from_slice(values),
                Some(residual) => {
                    let start = self.start(index);
                    let added = out.iter_mut().zip(values.iter()).zip(&residual[start..start + width]);
                    added.for_each(|((out, value), residual)| *out = value + residual);
                }
            }
        }
    }
}

/// One tile, [`interleave`]d, times one panel.
pub(super) struct Block<'a> {
    pub packed: &'a [f32],
    pub count: usize,
    pub weights: &'a [Row],
    pub store: Store<'a>,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut tile = [Row::ZERO; MAX_ROWS];
        self.store.load(&mut tile, self.count);
        multiply_tile(simd, self.packed, self.count, self.weights, &mut tile);
        self.store.store(&mut tile, self.count);
    }
}

/// Puts `count` rows of `depth`, `stride` apart, side by side: all first values, then all second ones.
#[inline(always)]
pub(super) fn interleave(x: &[f32], stride: usize, count: usize, depth: usize, packed: &mut [f32]) {
    for row in 0..count {
        let values = &x[row * stride..][..depth];
        packed[row..].iter_mut().step_by(count).zip(values).for_each(|(to, from)| *to = *from);
    }
}

/// `count` interleaved rows times one panel, onto `tile`. At most as many rows as are [`tallest`].
#[inline(always)]
fn multiply_tile<S: Simd>(simd: S, packed: &[f32], count: usize, panel: &[Row], tile: &mut Tile) {
    // The third number: which of the panel's parts of so many vectors.
    macro_rules! by_rows {
        ($vectors:literal, $part:literal: $($rows:literal)*) => {
            match count {
                $($rows => rows_by_panel::<S, $rows, $vectors, $part>(simd, packed, panel, tile),)*
                _ => {}
            }
        };
    }
    match S::F32_LANES {
        16 => by_rows!(2, 0: 1 2 3 4 5 6 7 8 9 10 11 12),
        8 => {
            by_rows!(2, 0: 1 2 3 4 5 6);
            by_rows!(2, 1: 1 2 3 4 5 6);
        }
        4 => {
            by_rows!(4, 0: 1 2 3 4 5 6);
            by_rows!(4, 1: 1 2 3 4 5 6);
        }
        _ => plain(packed, count, panel, tile),
    }
}

/// `packed` holds `ROWS` values for each row of the panel, so that the inner loop follows two pointers only.
#[inline(always)]
fn rows_by_panel<S: Simd, const ROWS: usize, const VECTORS: usize, const PART: usize>(
    simd: S,
    packed: &[f32],
    panel: &[Row],
    tile: &mut Tile,
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (sums, row) in sums.iter_mut().zip(tile.iter()) {
        *sums = vectors::<S, VECTORS, PART>(simd, row);
    }
    let (steps, _) = packed.as_chunks::<ROWS>();
    for (values, weights) in steps.iter().zip(panel) {
        let weights = vectors::<S, VECTORS, PART>(simd, weights);
        for (sums, value) in sums.iter_mut().zip(values) {
            let value = simd.splat_f32s(*value);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(value, weight, *sum);
            }
        }
    }
    for (row, sums) in tile.iter_mut().zip(sums) {
        let (out, _) = S::as_mut_simd_f32s(&mut row.0);
        if let Some(out) = out.as_chunks_mut::<VECTORS>().0.get_mut(PART) {
            *out = sums;
        }
    }
}

#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize, const PART: usize>(simd: S, row: &Row) -> [S::f32s; VECTORS] {
    let (whole, _) = S::as_simd_f32s(&row.0);
    whole.as_chunks::<VECTORS>().0.get(PART).copied().unwrap_or([simd.splat_f32s(0.0); VECTORS])
}

/// Without vectors that pulp knows: the compiler's own.
fn plain(packed: &[f32], count: usize, panel: &[Row], tile: &mut Tile) {
    for (index, out) in tile.iter_mut().enumerate().take(count) {
        let mut sums = out.0;
        for (value, weights) in packed[index..].iter().step_by(count).zip(panel) {
            sums.iter_mut().zip(&weights.0).for_each(|(sum, weight)| *sum += value * weight);
        }
        out.0 = sums;
    }
}
