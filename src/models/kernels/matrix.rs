//! Matrix products on slices: the one door to the `gemm` crate.
//!
//! Owns the checks that make the one unsafe call sound; allocates nothing. The order of each sum depends on the sizes
//! alone, never on the number of threads.

use gemm::Parallelism;

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

/// `target` = or += scale · a · b. Shapes that do not match leave the target as it is.
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
    let count = rayon::current_num_threads();
    let parallelism =
        if threads == Threads::All && count > 1 { Parallelism::Rayon(count) } else { Parallelism::None };
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    // SAFETY: `Matrix` and the checks above keep the last element of each operand inside its slice, strides are not
    // negative, and the target's rows do not overlap. The target is borrowed mutably, so nothing aliases it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            data.as_mut_ptr(),
            1,
            stride as isize,
            kept,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_follow_strides_and_keep_what_they_are_told() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2×3
        let b = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]; // 2×3, used transposed
        let (a, b) = (Matrix::dense(&a, 2, 3).unwrap(), Matrix::dense(&b, 2, 3).unwrap());
        let mut out = [10.0; 6];
        product(Target::onto(&mut out, 3), 2.0, a, b.t(), Threads::One).unwrap();
        assert_eq!(out, [24.0, 20.0, 10.0, 42.0, 32.0, 10.0]);
        product(Target::over(&mut out, 3), 1.0, a, b.t(), Threads::All).unwrap();
        assert_eq!(out, [7.0, 5.0, 10.0, 16.0, 11.0, 10.0]);
    }

    #[test]
    fn products_of_strided_rows_are_those_of_the_definition() {
        let (rows, depth, columns) = (5, 7, 9);
        let a: Vec<f32> = (0..rows * (depth + 2)).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..depth * (columns + 3)).map(|i| (i as f32 * 0.11).cos()).collect();
        let mut out = vec![2.0; rows * (columns + 1)];
        let left = Matrix::new(&a, (rows, depth), depth + 2).unwrap();
        let right = Matrix::new(&b, (depth, columns), columns + 3).unwrap();
        product(Target::onto(&mut out, columns + 1), 1.0, left, right, Threads::One).unwrap();
        for row in 0..rows {
            for column in 0..columns {
                let sum: f32 =
                    (0..depth).map(|k| a[row * (depth + 2) + k] * b[k * (columns + 3) + column]).sum();
                assert!((out[row * (columns + 1) + column] - sum - 2.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let data = [0.0; 5];
        assert!(matches!(Matrix::dense(&data, 2, 3), Err(ShapeError::Outside { length: 5, .. })));
        assert!(Matrix::new(&data, (2, 2), usize::MAX).is_err());
        let square = Matrix::dense(&data, 2, 2).unwrap();
        let wide = Matrix::dense(&data, 1, 5).unwrap();
        let run = |length: usize, stride, b| {
            product(Target::over(&mut vec![0.0; length], stride), 1.0, square, b, Threads::One)
        };
        assert!(matches!(run(3, 2, square), Err(ShapeError::Outside { .. })));
        assert_eq!(run(4, 1, square), Err(ShapeError::Overlapping { columns: 2, stride: 1 }));
        let inner = run(10, 5, wide).unwrap_err();
        assert_eq!(inner.to_string(), "a product of 2x2 and 1x5: the inner sides differ");
        assert!(candle_core::Error::from(inner).to_string().starts_with(&inner.to_string()));
    }
}
