//! Matrix products on strided slices, with every index checked before the kernel sees a pointer.

use gemm::Parallelism;

/// A strided view of f32 values as a matrix.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` × `cols` with element (i, j) at `i · row_stride + j · col_stride`; `None` where that leaves `data`.
    pub fn new(
        data: &'a [f32],
        (rows, cols): (usize, usize),
        (row_stride, col_stride): (usize, usize),
    ) -> Option<Self> {
        let fits = rows == 0 || cols == 0 || last((rows, cols), (row_stride, col_stride))? < data.len();
        fits.then_some(Self { data, rows, cols, row_stride, col_stride })
    }

    /// Rows one after another.
    pub fn rows(data: &'a [f32], rows: usize, cols: usize) -> Option<Self> {
        Self::new(data, (rows, cols), (cols, 1))
    }

    /// The same values with rows and columns exchanged.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

fn last((rows, cols): (usize, usize), (row_stride, col_stride): (usize, usize)) -> Option<usize> {
    (rows - 1).checked_mul(row_stride)?.checked_add((cols - 1).checked_mul(col_stride)?)
}

/// Where a product goes: rows of `cols` values, `row_stride` apart.
pub struct Target<'a> {
    data: &'a mut [f32],
    row_stride: usize,
}

impl<'a> Target<'a> {
    /// Rows `row_stride` apart in `data`.
    pub fn new(data: &'a mut [f32], row_stride: usize) -> Self {
        Self { data, row_stride }
    }
}

/// What happens to what the target held before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Overwritten, unread.
    Ignored,
    /// Added to.
    Kept,
}

/// target = scale · a · b (+ target); `threads` of 1 keeps to the calling thread.
///
/// Shapes that do not match leave the target as it is and answer `false`: a mistake of the caller's, never of the data's.
#[must_use]
pub fn product(
    target: &mut Target<'_>,
    before: Before,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    threads: usize,
) -> bool {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if k != b.rows {
        return false;
    }
    if m == 0 || n == 0 {
        return true;
    }
    let inside = last((m, n), (target.row_stride, 1)).is_some_and(|last| last < target.data.len());
    if !inside || (target.row_stride < n && m > 1) {
        return false;
    }
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    // SAFETY: `Matrix::new` and the checks above keep the last element of each operand inside its slice, strides are
    // not negative, and the target's rows do not overlap. The target is borrowed mutably, so nothing aliases it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.data.as_mut_ptr(),
            1,
            target.row_stride as isize,
            before == Before::Kept,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_follow_strides_and_keep_what_they_are_told() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2×3
        let b = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]; // 2×3, used transposed
        let (a, b) = (Matrix::rows(&a, 2, 3).unwrap(), Matrix::rows(&b, 2, 3).unwrap());
        let mut out = [10.0; 6];
        assert!(product(&mut Target::new(&mut out, 3), Before::Kept, 2.0, a, b.t(), 1));
        assert_eq!(out, [24.0, 20.0, 10.0, 42.0, 32.0, 10.0]);
        assert!(product(&mut Target::new(&mut out, 3), Before::Ignored, 1.0, a, b.t(), 2));
        assert_eq!(out, [7.0, 5.0, 10.0, 16.0, 11.0, 10.0]);
    }

    #[test]
    fn views_outside_their_data_are_refused() {
        let data = [0.0; 5];
        assert!(Matrix::rows(&data, 2, 3).is_none());
        assert!(Matrix::new(&data, (2, 2), (usize::MAX, 1)).is_none());
        let square = Matrix::rows(&data, 2, 2).unwrap();
        assert!(!product(&mut Target::new(&mut [0.0; 3], 2), Before::Ignored, 1.0, square, square, 1));
        assert!(!product(&mut Target::new(&mut [0.0; 4], 1), Before::Ignored, 1.0, square, square, 1));
    }
}
