//! A part of a matrix in rows of 32 columns on whole cache lines, for the innermost loops of a product.
//!
//! Rows that lie in order are copied, columns that do are turned by shuffles. What a part lacks in columns is zeros or what
//! was there before: nobody looks at its sums. Owns no memory.

use std::ops::Range;

use super::Matrix;
use crate::simd::{Row, SIDE, turn};

/// Writes rows `steps` of the columns `columns` of `matrix`, times `scale`: 32 columns to as many of `out`, the next 32
/// to those from `apart` on, and so on.
#[inline(always)]
pub(in super::super) fn pack(
    matrix: Matrix<'_>,
    steps: Range<usize>,
    columns: Range<usize>,
    scale: f32,
    out: &mut [Row],
    apart: usize,
) {
    let Matrix { data, row_stride, column_stride, .. } = matrix;
    if columns.is_empty() || steps.is_empty() {
        return;
    }
    let data = &data[steps.start * row_stride + columns.start * column_stride..];
    let (count, number) = (steps.len(), columns.len().div_ceil(SIDE));
    if column_stride == 1 {
        for step in 0..count {
            let values = &data[step * row_stride..][..columns.len()];
            let (whole, rest) = values.as_chunks::<SIDE>();
            for (panel, values) in whole.iter().enumerate() {
                out[panel * apart + step].0 = *values;
            }
            if !rest.is_empty() {
                out[whole.len() * apart + step].0[..rest.len()].copy_from_slice(rest);
            }
        }
    } else {
        for (panel, first) in (0..columns.len()).step_by(SIDE).enumerate() {
            let (width, out) = ((columns.len() - first).min(SIDE), &mut out[panel * apart..][..count]);
            let data = &data[first * column_stride..];
            if row_stride != 1 {
                one_by_one(data, (row_stride, column_stride), width, out);
            } else if width == SIDE {
                turn(data, column_stride, out);
            } else {
                turn_few(data, column_stride, width, out);
            }
        }
    }
    // Not while they are packed: what was just stored by narrower vectors cannot be loaded by wider ones at once.
    if scale != 1.0 {
        for panel in 0..number {
            for row in &mut out[panel * apart..][..count] {
                row.0.iter_mut().for_each(|value| *value *= scale);
            }
        }
    }
}

fn one_by_one(data: &[f32], (row_stride, column_stride): (usize, usize), width: usize, out: &mut [Row]) {
    for (step, row) in out.iter_mut().enumerate() {
        for (column, value) in row.0.iter_mut().enumerate().take(width) {
            *value = data[step * row_stride + column * column_stride];
        }
    }
}

/// Steps of which fewer than 32 columns are copied together before they are turned.
const FEW: usize = 64;

/// Turns fewer than 32 columns, `stride` apart.
#[inline(always)]
fn turn_few(data: &[f32], stride: usize, count: usize, out: &mut [Row]) {
    let mut together = [0.0; SIDE * FEW];
    for (block, out) in out.chunks_mut(FEW).enumerate() {
        for (column, to) in together.chunks_exact_mut(FEW).enumerate().take(count) {
            to[..out.len()].copy_from_slice(&data[column * stride + block * FEW..][..out.len()]);
        }
        turn(&together, FEW, out);
    }
}
