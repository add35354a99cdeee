//! Matrix products with a matrix that is read in panels: 32 of its columns side by side, one row of them after the other.
//!
//! A general product first copies its right side into blocks, each time anew; with the 50 to 257 rows of a picture
//! that copy costs as much memory traffic as the product itself. Here the matrix of a small network is packed once, when
//! it is loaded ([`Panels`]); that of a large one stays as it is stored, and a few panels at a time are unpacked into the
//! cache while they are multiplied ([`Columns`]). Bias, activation and residual are added while a tile is still in the
//! first-level cache.
//!
//! Owns the layout; the product is in [`mod@product`], its innermost loops in [`mod@tile`].

mod bytes;
mod disjoint;
mod product;
mod scratch;
mod tile;

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

pub use self::bytes::Bytes;
pub(super) use self::product::{UNIT, product};
pub(super) use self::scratch::release as release_scratch;
use super::activation::Activation;
use crate::simd::{Coming, Row, SIDE};

/// Columns of a panel: two vectors of AVX-512, so that 12 rows fill 24 of its 32 registers with running sums.
pub(super) const WIDTH: usize = SIDE;

/// A matrix of some depth and so many columns, whose panels can be had in pieces.
pub(super) trait Columns: Sync {
    /// Inputs.
    fn depth(&self) -> usize;

    /// Outputs.
    fn columns(&self) -> usize;

    /// Rows `steps` of the panel `index`, where they lie or written to `room`. Their first is a multiple of [`UNIT`].
    fn panel<'a>(&'a self, index: usize, steps: Range<usize>, room: &'a mut [Row]) -> &'a [Row];

    /// What [`panel`](Self::panel) would read, where it lies side by side and there is such a panel.
    fn coming(&self, _index: usize, _steps: Range<usize>) -> Coming {
        Coming::NOTHING
    }

    /// Whether [`panel`](Self::panel) writes to its room, which must then have as many rows as are asked for.
    fn needs_room(&self) -> bool;
}

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
    /// One per row, added too.
    pub of_rows: Option<&'a [f32]>,
    /// Applied next.
    pub activation: Activation,
    /// Of the output's shape, added last.
    pub residual: Option<&'a [f32]>,
}

impl Panels {
    /// Packs `weight`, `columns` rows of `depth` as checkpoints have it.
    pub fn pack(weight: &[f32], columns: usize, depth: usize, kept: Kept) -> Self {
        let panels = columns.div_ceil(WIDTH);
        let mut rows = vec![Row::ZERO; panels * depth];
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
        product(self, x, finish)
    }
}

impl Columns for Panels {
    fn depth(&self) -> usize {
        self.depth
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn panel<'a>(&'a self, index: usize, steps: Range<usize>, room: &'a mut [Row]) -> &'a [Row] {
        let rows = index * self.depth + steps.start..index * self.depth + steps.end;
        let halves = rows.start * WIDTH..rows.end * WIDTH;
        match &self.data {
            Data::F32(values) => return &values[rows],
            Data::F16(values) => {
                for (row, values) in room.iter_mut().zip(values[halves].chunks_exact(WIDTH)) {
                    values.convert_to_f32_slice(&mut row.0);
                }
            }
            Data::Bf16(values) => {
                for (row, values) in room.iter_mut().zip(values[halves].chunks_exact(WIDTH)) {
                    values.convert_to_f32_slice(&mut row.0);
                }
            }
        }
        room
    }

    fn coming(&self, index: usize, steps: Range<usize>) -> Coming {
        let rows = index * self.depth + steps.start..index * self.depth + steps.end;
        let halves = rows.start * WIDTH..rows.end * WIDTH;
        let found = match &self.data {
            Data::F32(values) => values.get(rows).map(Coming::of),
            Data::F16(values) => values.get(halves).map(Coming::of),
            Data::Bf16(values) => values.get(halves).map(Coming::of),
        };
        found.unwrap_or(Coming::NOTHING)
    }

    fn needs_room(&self) -> bool {
        !matches!(self.data, Data::F32(_))
    }
}

#[cfg(test)]
mod tests;
