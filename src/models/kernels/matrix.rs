//! Products of matrices that both change, on slices; weights that stay go through [`panels`](super::panels).
//!
//! Owns the checks of shapes; the product is in [`blocked`], its innermost loops in [`tile`]. Each output is one chain of
//! fused multiply-adds over the depth in ascending order, from zero or from what is there: results depend neither on the
//! number of threads nor on the other rows and columns.

mod blocked;
mod pack;
mod tile;

pub(super) use self::pack::pack;
pub(super) use self::tile::{At, Left, Out, Strip, multiply};
use crate::profile::timed;

/// A product whose sizes do not fit together, or not into their slices: a mistake of the caller's, never of the data's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A matrix reaches beyond its values.
    #[error(
        "a matrix of {rows}x{columns}, rows {row_stride} and columns {column_stride} apart, in {length} values"
    )]
    Outside {
        /// Rows of the matrix.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Values between the beginnings of neighbouring rows.
        row_stride: usize,
        /// Values between neighbours in a row.
        column_stride: usize,
        /// Values there are.
        length: usize,
    },
    /// The inner sides differ.
    #[error("a product of {}x{} and {}x{}: the inner sides differ", left.0, left.1, right.0, right.1)]
    Inner {
        /// Rows and columns of the left side.
        left: (usize, usize),
        /// Of the right side.
        right: (usize, usize),
    },
    /// The destination's rows would run into each other.
    #[error("rows of {columns} values cannot lie {stride} apart")]
    Overlapping {
        /// Values in a row.
        columns: usize,
        /// Values between the beginnings of neighbouring rows.
        stride: usize,
    },
}

impl From<ShapeError> for candle_core::Error {
    fn from(error: ShapeError) -> Self {
        Self::wrap(error)
    }
}

/// A strided view of f32 values as a matrix.
#[derive(Clone, Copy)]
pub(in crate::models) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` × `columns` values of `data`, each row `stride` after the one before.
    pub(in crate::models) fn new(
        data: &'a [f32],
        (rows, columns): (usize, usize),
        stride: usize,
    ) -> Result<Self, ShapeError> {
        inside(data.len(), (rows, columns), (stride, 1))?;
        Ok(Self { data, rows, columns, row_stride: stride, column_stride: 1 })
    }

    /// Rows one after another.
    pub(in crate::models) fn dense(data: &'a [f32], rows: usize, columns: usize) -> Result<Self, ShapeError> {
        Self::new(data, (rows, columns), columns)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// From some row and column on, as the left side of a tile. Its columns must lie in order.
    #[inline(always)]
    pub(super) fn part(&self, row: usize, column: usize) -> Left<'a> {
        let start = row * self.row_stride + column;
        Left::Rows(self.data.get(start..).unwrap_or_default(), self.row_stride)
    }

    /// The same values with rows and columns exchanged.
    #[must_use]
    pub(in crate::models) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Fails where the last of `rows` × `columns` values lies beyond `length`.
fn inside(
    length: usize,
    (rows, columns): (usize, usize),
    (row_stride, column_stride): (usize, usize),
) -> Result<(), ShapeError> {
    let last = |count: usize, stride: usize| count.checked_sub(1)?.checked_mul(stride);
    let fits = rows == 0
        || columns == 0
        || last(rows, row_stride)
            .zip(last(columns, column_stride))
            .and_then(|(row, column)| row.checked_add(column))
            .is_some_and(|last| last < length);
    let outside = ShapeError::Outside { rows, columns, row_stride, column_stride, length };
    if fits { Ok(()) } else { Err(outside) }
}

/// Where a product goes: rows `stride` apart.
pub(in crate::models) struct Target<'a> {
    data: &'a mut [f32],
    stride: usize,
    kept: bool,
}

impl<'a> Target<'a> {
    /// What is there is overwritten, unread.
    pub(in crate::models) fn over(data: &'a mut [f32], stride: usize) -> Self {
        Self { data, stride, kept: false }
    }

    /// The product is added to what is there.
    pub(in crate::models) fn onto(data: &'a mut [f32], stride: usize) -> Self {
        Self { data, stride, kept: true }
    }
}

/// Which threads share a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) enum Threads {
    /// The calling one alone.
    One,
    /// All of the pool.
    All,
}

/// `target` = or += a · (scale · b). Shapes that do not match leave the target as it is.
pub(in crate::models) fn product(
    target: Target<'_>,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    threads: Threads,
) -> Result<(), ShapeError> {
    timed!("product", rows = a.rows, depth = a.columns, columns = b.columns);
    let Target { data, stride, kept } = target;
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if k != b.rows {
        return Err(ShapeError::Inner { left: (m, k), right: (b.rows, n) });
    }
    if m == 0 || n == 0 {
        return Ok(());
    }
    inside(data.len(), (m, n), (stride, 1))?;
    if stride < n && m > 1 {
        return Err(ShapeError::Overlapping { columns: n, stride });
    }
    let out = blocked::Strided { data, stride, kept };
    blocked::product(out, scale, a, b, threads);
    Ok(())
}

#[cfg(test)]
mod tests;
