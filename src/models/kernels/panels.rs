//! Matrix products with a matrix that is kept in the order in which the processor reads it.
//!
//! A general product first copies its right side into blocks, each time anew; with the 50 to 257 rows of a picture
//! that copy costs as much memory traffic as the product itself. A network's weights never change, so here the copy is
//! made once, when they are loaded: panels of 32 columns, each row of a panel two AVX-512 vectors (four AVX2 vectors)
//! on aligned cache lines. Bias, activation and residual are added while a tile is still in the first-level cache.
//!
//! Owns the layout and the kernel. Each output is one chain of fused multiply-adds over k in ascending order, so results
//! depend neither on the number of threads nor on the other rows of the batch.

mod disjoint;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use self::disjoint::Disjoint;
use super::activation::Activation;
use crate::profile::timed;
use crate::simd::{lanes, vectorised};

/// Columns of a panel: two vectors of AVX-512, so that 12 rows fill 24 of its 32 registers with running sums.
const WIDTH: usize = 32;
/// Most rows of a tile on any processor.
const MAX_ROWS: usize = 12;
/// Bytes of left-hand rows that one pass over the panels works on: half of a common second-level cache, the rest of
/// which holds a panel.
const PASS: usize = 1 << 20;

/// One row of a panel, on whole cache lines: a vector that straddles two of them loads at half speed.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Row([f32; WIDTH]);

/// Running results of one tile.
type Tile = [Row; MAX_ROWS];

/// How a packed matrix is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Four bytes a weight.
    F32,
    /// Two bytes, widened panel by panel.
    F16,
    /// Two bytes, widened panel by panel.
    Bf16,
}

/// A weight of `columns` outputs and `depth` inputs, packed.
#[derive(Debug)]
pub struct Panels {
    depth: usize,
    columns: usize,
    data: Data,
}

enum Data {
    F32(Vec<Row>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32(_) => "F32",
            Self::F16(_) => "F16",
            Self::Bf16(_) => "Bf16",
        })
    }
}

/// What is done to each output after its sum.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// One per column, added first.
    pub bias: Option<&'a [f32]>,
    /// Applied next.
    pub activation: Activation,
    /// Of the output's shape, added last.
    pub residual: Option<&'a [f32]>,
}

impl Panels {
    /// Packs `weight`, `columns` rows of `depth` as checkpoints have it.
    pub fn pack(weight: &[f32], columns: usize, depth: usize, kept: Kept) -> Self {
        let panels = columns.div_ceil(WIDTH);
        let mut rows = vec![Row([0.0; WIDTH]); panels * depth];
        if depth > 0 {
            rows.par_chunks_mut(depth).zip(weight.par_chunks(WIDTH * depth)).for_each(|(panel, weight)| {
                for (column, values) in weight.chunks_exact(depth).enumerate() {
                    for (row, value) in panel.iter_mut().zip(values) {
                        row.0[column] = *value;
                    }
                }
            });
        }
        let data = match kept {
            Kept::F32 => Data::F32(rows),
            Kept::F16 => Data::F16(rows.iter().flat_map(|row| row.0.map(f16::from_f32)).collect()),
            Kept::Bf16 => Data::Bf16(rows.iter().flat_map(|row| row.0.map(bf16::from_f32)).collect()),
        };
        Self { depth, columns, data }
    }

    /// Inputs.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Outputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Memory held.
    pub fn size(&self) -> usize {
        match &self.data {
            Data::F32(rows) => size_of_val(rows.as_slice()),
            Data::F16(values) => size_of_val(values.as_slice()),
            Data::Bf16(values) => size_of_val(values.as_slice()),
        }
    }

    /// The product of `x`, rows of `depth`, with the packed matrix: rows of `columns`, finished.
    pub fn multiply(&self, x: &[f32], finish: Finish<'_>) -> Vec<f32> {
        let rows = x.len().checked_div(self.depth).unwrap_or(0);
        let mut out = vec![0.0f32; rows * self.columns];
        let panels = self.columns.div_ceil(WIDTH);
        let pass = (PASS / (4 * self.depth.max(1))).clamp(MAX_ROWS, rows.max(MAX_ROWS));
        let shared = Disjoint::new(&mut out);
        let mut packed = Vec::new();
        // Passes outermost: while one is worked on, its rows stay in the cache and the panels stream by.
        for first in (0..rows).step_by(pass) {
            let last = (first + pass).min(rows);
            let tiles: Vec<(usize, usize)> = tiles(first, last).collect();
            packed.resize((last - first) * self.depth, 0.0);
            let mut rest = packed.as_mut_slice();
            let pieces: Vec<_> = tiles
                .iter()
                .map(|(start, count)| {
                    let (piece, after) = std::mem::take(&mut rest).split_at_mut(count * self.depth);
                    rest = after;
                    (*start, *count, piece)
                })
                .collect();
            pieces.into_par_iter().for_each(|(start, count, piece)| {
                timed!("packed input");
                interleave(&x[start * self.depth..], self.depth, count, self.depth, piece);
            });
            (0..panels).into_par_iter().for_each_init(Vec::new, |widened, panel| {
                timed!("packed panel");
                let columns = panel * WIDTH..((panel + 1) * WIDTH).min(self.columns);
                let weights = self.panel(panel, widened);
                for (start, count) in &tiles {
                    let packed = &packed[(start - first) * self.depth..][..count * self.depth];
                    let (stride, first) = (self.columns, *start);
                    let store = Store { columns: columns.clone(), stride, first, finish, out: &shared };
                    vectorised(Block { packed, count: *count, weights, store });
                }
            });
        }
        out
    }

    fn panel<'a>(&'a self, index: usize, widened: &'a mut Vec<Row>) -> &'a [Row] {
        let range = index * self.depth..(index + 1) * self.depth;
        let halves = range.start * WIDTH..range.end * WIDTH;
        if let Data::F32(rows) = &self.data {
            return &rows[range];
        }
        widened.resize(self.depth, Row([0.0; WIDTH]));
        match &self.data {
            Data::F32(_) => {}
            Data::F16(values) => {
                for (row, values) in widened.iter_mut().zip(values[halves].chunks_exact(WIDTH)) {
                    values.convert_to_f32_slice(&mut row.0);
                }
            }
            Data::Bf16(values) => {
                for (row, values) in widened.iter_mut().zip(values[halves].chunks_exact(WIDTH)) {
                    values.convert_to_f32_slice(&mut row.0);
                }
            }
        }
        widened
    }
}

/// Rows `first..last` in tiles of as equal a height as can be: a last tile of one row would run at a twelfth of the
/// speed.
fn tiles(first: usize, last: usize) -> impl Iterator<Item = (usize, usize)> {
    let rows = last - first;
    let count = rows.div_ceil(tallest()).max(1);
    (0..count).map(move |i| {
        let (start, end) = (rows * i / count, rows * (i + 1) / count);
        (first + start, end - start)
    })
}

/// Rows of the tallest tile whose running sums fit into this processor's registers.
fn tallest() -> usize {
    match lanes() {
        16 => MAX_ROWS,
        8 | 4 => 3,
        _ => 4,
    }
}

/// Where a tile goes.
struct Store<'a> {
    columns: std::ops::Range<usize>,
    stride: usize,
    first: usize,
    finish: Finish<'a>,
    out: &'a Disjoint<'a>,
}

impl Store<'_> {
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "that is what `Disjoint` is for")]
    #[expect(unsafe_code, reason = "a tile is a strip of the output's rows; see `disjoint`")]
    fn row(&self, index: usize) -> &mut [f32] {
        let start = (self.first + index) * self.stride + self.columns.start;
        // SAFETY: a panel's columns belong to one task alone, and within it each row to one tile, which asks for one row
        // after the other.
        unsafe { self.out.piece(start, self.columns.len()) }
    }

    #[inline(always)]
    fn store(&self, tile: &mut Tile, count: usize) {
        let width = self.columns.len();
        for (index, row) in tile.iter_mut().enumerate().take(count) {
            let values = &mut row.0[..width];
            if let Some(bias) = self.finish.bias {
                values.iter_mut().zip(&bias[self.columns.clone()]).for_each(|(value, bias)| *value += bias);
            }
            self.finish.activation.apply(values);
            let out = self.row(index);
            match self.finish.residual {
                None => out.copy_from_slice(values),
                Some(residual) => {
                    let start = (self.first + index) * self.stride + self.columns.start;
                    let added = out.iter_mut().zip(values.iter()).zip(&residual[start..start + width]);
                    added.for_each(|((out, value), residual)| *out = value + residual);
                }
            }
        }
    }
}

struct Block<'a> {
    packed: &'a [f32],
    count: usize,
    weights: &'a [Row],
    store: Store<'a>,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut tile = [Row([0.0; WIDTH]); MAX_ROWS];
        multiply_tile(simd, self.packed, self.count, self.weights, &mut tile);
        self.store.store(&mut tile, self.count);
    }
}

/// Puts `count` rows of `depth`, `stride` apart, side by side: all first values, then all second ones.
#[inline(always)]
fn interleave(x: &[f32], stride: usize, count: usize, depth: usize, packed: &mut [f32]) {
    for row in 0..count {
        let values = &x[row * stride..][..depth];
        packed[row..].iter_mut().step_by(count).zip(values).for_each(|(to, from)| *to = *from);
    }
}

/// `count` interleaved rows times one panel. At most as many rows as [`tiles`] gives.
#[inline(always)]
fn multiply_tile<S: Simd>(simd: S, packed: &[f32], count: usize, panel: &[Row], tile: &mut Tile) {
    macro_rules! by_rows {
        ($vectors:literal: $($rows:literal)*) => {
            match count {
                $($rows => rows_by_panel::<S, $rows, $vectors>(simd, packed, panel, tile),)*
                _ => {}
            }
        };
    }
    match S::F32_LANES {
        16 => by_rows!(2: 1 2 3 4 5 6 7 8 9 10 11 12),
        8 => by_rows!(4: 1 2 3),
        4 => by_rows!(8: 1 2 3),
        _ => plain(packed, count, panel, tile),
    }
}

/// `packed` holds `ROWS` values for each row of the panel, so that the inner loop follows two pointers only.
#[inline(always)]
fn rows_by_panel<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    packed: &[f32],
    panel: &[Row],
    tile: &mut Tile,
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    let (steps, _) = packed.as_chunks::<ROWS>();
    for (values, weights) in steps.iter().zip(panel) {
        let weights = vectors::<S, VECTORS>(simd, weights);
        for (sums, value) in sums.iter_mut().zip(values) {
            let value = simd.splat_f32s(*value);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(value, weight, *sum);
            }
        }
    }
    for (row, sums) in tile.iter_mut().zip(sums) {
        let (out, _) = S::as_mut_simd_f32s(&mut row.0);
        out.copy_from_slice(&sums);
    }
}

#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize>(simd: S, row: &Row) -> [S::f32s; VECTORS] {
    let (whole, _) = S::as_simd_f32s(&row.0);
    whole.first_chunk::<VECTORS>().copied().unwrap_or([simd.splat_f32s(0.0); VECTORS])
}

/// Without vectors that pulp knows: the compiler's own.
fn plain(packed: &[f32], count: usize, panel: &[Row], tile: &mut Tile) {
    for (index, out) in tile.iter_mut().enumerate().take(count) {
        let mut sums = [0.0f32; WIDTH];
        for (value, weights) in packed[index..].iter().step_by(count).zip(panel) {
            sums.iter_mut().zip(&weights.0).for_each(|(sum, weight)| *sum += value * weight);
        }
        out.0 = sums;
    }
}

#[cfg(test)]
mod tests;
