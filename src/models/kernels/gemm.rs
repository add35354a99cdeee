//! Matrix products on slices: the one door to the `gemm` crate.
//!
//! Owns the bounds that make the call sound; never allocates, and never changes the order of a sum with the number of
//! threads.

use gemm::Parallelism;

/// Rows of f32, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` × `columns` numbers of `data`, each row `stride` after the one before.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, columns, stride), "a matrix must lie within its numbers");
        Self { data, rows, columns, stride }
    }
}

fn fits(length: usize, rows: usize, columns: usize, stride: usize) -> bool {
    columns <= stride && (rows == 0 || (rows - 1) * stride + columns <= length)
}

/// What becomes of the old contents of the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

/// `out` = or += `a · b`, its rows `stride` apart.
pub(super) fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], stride: usize, into: Into) {
    run(a, b, out, stride, into, Parallelism::None);
}

/// The same on all threads of the pool.
pub(super) fn multiply_on_all_threads(
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: &mut [f32],
    stride: usize,
    into: Into,
) {
    run(a, b, out, stride, into, Parallelism::Rayon(rayon::current_num_threads()));
}

fn run(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], stride: usize, into: Into, threads: Parallelism) {
    assert_eq!(a.columns, b.rows, "the inner sides of a product must agree");
    assert!(fits(out.len(), a.rows, b.columns, stride), "a product must lie within its destination");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    let add = into == Into::Add;
    #[expect(unsafe_code, reason = "gemm takes pointers and strides")]
    // SAFETY: each pointer is the start of a slice that, as asserted above and in `Matrix::new`, holds every element
    // (row · stride + column) with row < rows and column < columns; `out` is borrowed mutably, so nothing aliases it.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.data.as_ptr(),
            1,
            a.stride as isize,
            b.data.as_ptr(),
            1,
            b.stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_strided_rows_are_those_of_the_definition() {
        let (rows, depth, columns) = (5, 7, 9);
        let a: Vec<f32> = (0..rows * (depth + 2)).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..depth * (columns + 3)).map(|i| (i as f32 * 0.11).cos()).collect();
        for (into, start) in [(Into::Set, 0.0), (Into::Add, 2.0)] {
            let mut out = vec![2.0; rows * (columns + 1)];
            multiply(
                Matrix::new(&a, rows, depth, depth + 2),
                Matrix::new(&b, depth, columns, columns + 3),
                &mut out,
                columns + 1,
                into,
            );
            for row in 0..rows {
                for column in 0..columns {
                    let sum: f32 =
                        (0..depth).map(|k| a[row * (depth + 2) + k] * b[k * (columns + 3) + column]).sum();
                    assert!((out[row * (columns + 1) + column] - sum - start).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "must lie within")]
    fn a_matrix_beyond_its_numbers_is_refused() {
        let _ = Matrix::new(&[0.0; 5], 2, 3, 3);
    }
}
