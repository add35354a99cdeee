//! Rows to columns: 32 rows of numbers, laid side by side.
//!
//! Here and not with the kernels, because it takes instructions by name: what a compiler makes of the plain loop is one
//! number at a time.

/// Numbers side by side.
pub(crate) const SIDE: usize = 32;

/// One number of each of 32 rows, on whole cache lines: a vector that straddles two of them loads at half speed.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Row(pub(crate) [f32; SIDE]);

impl Row {
    pub(crate) const ZERO: Self = Self([0.0; SIDE]);
}

/// `rows`, 32 of them and each `stride` after the one before, into `out`: first all first values, then all second ones.
/// Rows are as long as `out`, at most `stride`.
pub(crate) fn turn(rows: &[f32], stride: usize, out: &mut [Row]) {
    #[cfg(target_arch = "x86_64")]
    if super::widest() >= super::Width::Avx2
        && let Some(simd) = pulp::x86::V3::try_new()
    {
        pulp::Simd::vectorize(simd, By8 { simd, rows, stride, out });
        return;
    }
    plain(rows, stride, 0, out);
}

/// From step `first` on.
fn plain(rows: &[f32], stride: usize, first: usize, out: &mut [Row]) {
    for (column, row) in rows.chunks(stride.max(1)).enumerate().take(SIDE) {
        for (out, value) in out.iter_mut().zip(row).skip(first) {
            out.0[column] = *value;
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct By8<'a> {
    simd: pulp::x86::V3,
    rows: &'a [f32],
    stride: usize,
    out: &'a mut [Row],
}

#[cfg(target_arch = "x86_64")]
impl pulp::WithSimd for By8<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { simd, rows, stride, out } = self;
        let whole = out.len() / 8 * 8;
        for (first, out) in out.chunks_exact_mut(8).enumerate() {
            for column in (0..SIDE).step_by(8) {
                let mut block = [simd.avx._mm256_setzero_ps(); 8];
                for (i, vector) in block.iter_mut().enumerate() {
                    if let Some(values) = rows[(column + i) * stride + first * 8..].first_chunk::<8>() {
                        *vector = pulp::cast(*values);
                    }
                }
                for (out, vector) in out.iter_mut().zip(turned(simd, block)) {
                    if let Some(out) = out.0[column..].first_chunk_mut::<8>() {
                        *out = pulp::cast(vector);
                    }
                }
            }
        }
        plain(rows, stride, whole, out);
    }
}

/// Eight rows of eight: pairs, then fours within each half, then the halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turned(simd: pulp::x86::V3, r: [core::arch::x86_64::__m256; 8]) -> [core::arch::x86_64::__m256; 8] {
    let avx = simd.avx;
    let low = |i: usize| avx._mm256_unpacklo_ps(r[i], r[i + 1]);
    let high = |i: usize| avx._mm256_unpackhi_ps(r[i], r[i + 1]);
    let pairs = [[low(0), low(2), low(4), low(6)], [high(0), high(2), high(4), high(6)]];
    // Of rows 0 to 3 and of 4 to 7: values 0, 1, 2, 3 of the lower half, 4, 5, 6, 7 of the upper.
    let fours = |of: usize| {
        [
            avx._mm256_shuffle_ps::<0x44>(pairs[0][of], pairs[0][of + 1]),
            avx._mm256_shuffle_ps::<0xEE>(pairs[0][of], pairs[0][of + 1]),
            avx._mm256_shuffle_ps::<0x44>(pairs[1][of], pairs[1][of + 1]),
            avx._mm256_shuffle_ps::<0xEE>(pairs[1][of], pairs[1][of + 1]),
        ]
    };
    let (upper, lower) = (fours(0), fours(2));
    let first = |i: usize| avx._mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
    let second = |i: usize| avx._mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
    [first(0), first(1), first(2), first(3), second(0), second(1), second(2), second(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_of_any_length() {
        for steps in 0..50 {
            for stride in [steps, steps + 3] {
                let rows: Vec<f32> = (0..SIDE * stride).map(|i| i as f32).collect();
                let mut out = vec![Row([-1.0; SIDE]); steps];
                turn(&rows, stride, &mut out);
                for (step, row) in out.iter().enumerate() {
                    for (column, value) in row.0.iter().enumerate() {
                        assert_eq!(*value, rows[column * stride + step], "{steps}: {step}, {column}");
                    }
                }
            }
        }
    }
}
