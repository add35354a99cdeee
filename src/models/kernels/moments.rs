//! Mean and spread of a row, as norms over time or over a picture need them.

use pulp::{Simd, WithSimd};

use crate::simd::vectorised;

/// Mean and 1/√(variance + `epsilon`) of one row, the variance without Bessel's correction.
pub fn moments(row: &[f32], epsilon: f64) -> (f32, f32) {
    let sum = vectorised(Deviations { row, from: 0.0, square: false });
    let mean = sum / row.len() as f64;
    let squares = vectorised(Deviations { row, from: mean as f32, square: true });
    (mean as f32, (1.0 / (squares / row.len() as f64 + epsilon).sqrt()) as f32)
}

/// Σ(x − from) or Σ(x − from)²: in vectors over blocks, the blocks in f64.
struct Deviations<'a> {
    row: &'a [f32],
    from: f32,
    square: bool,
}

impl WithSimd for Deviations<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // Short enough that each lane's f32 sum of a block stays exact to a few units in the last place.
        const STEPS: usize = 64;
        let from = simd.splat_f32s(self.from);
        let mut total = 0.0f64;
        for block in self.row.chunks(STEPS * S::F32_LANES) {
            let (vectors, tail) = S::as_simd_f32s(block);
            let mut sum = simd.splat_f32s(0.0);
            for value in vectors {
                let value = simd.sub_f32s(*value, from);
                sum = if self.square {
                    simd.mul_add_e_f32s(value, value, sum)
                } else {
                    simd.add_f32s(sum, value)
                };
            }
            total += f64::from(simd.reduce_sum_f32s(sum));
            for value in tail {
                let value = f64::from(value - self.from);
                total += if self.square { value * value } else { value };
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    #[test]
    fn moments_do_not_lose_a_small_spread_on_a_large_mean() {
        let row: Vec<f32> = Noise::new(1, 0).normals(24_001).into_iter().map(|x| 1000.0 + 0.1 * x).collect();
        let exact_mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64;
        let exact = row.iter().map(|x| (f64::from(*x) - exact_mean).powi(2)).sum::<f64>() / row.len() as f64;
        let (mean, inverse) = moments(&row, 0.0);
        assert!((f64::from(mean) - exact_mean).abs() < 1e-4, "{mean} for {exact_mean}");
        assert!(
            (f64::from(inverse) * exact.sqrt() - 1.0).abs() < 1e-3,
            "{inverse} for {}",
            1.0 / exact.sqrt()
        );
    }

    #[test]
    fn rows_run_on_the_widest_vectors() {
        runs_wide(&["Deviations"], || assert!(moments(&[1.0; 200], 1e-5).1.is_finite()));
    }
}
