//! Mean and variance of a row of any length, as norms over time and over a picture need them.

use pulp::{Simd, WithSimd};

use super::elementary::sum_of_runs;
use crate::simd::vectorised;

/// Numbers summed in f32 before the sum goes on in f64: keeps means of large pictures and of minutes of sound exact.
const RUN: usize = 1024;

/// Mean and variance, without Bessel's correction, of `row`; NaN of nothing.
pub(in crate::models) fn moments(row: &[f32]) -> (f32, f64) {
    vectorised(Moments(row))
}

struct Moments<'a>(&'a [f32]);

impl WithSimd for Moments<'_> {
    type Output = (f32, f64);

    /// Two passes: the difference of two large sums would lose what is left of the variance.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (f32, f64) {
        let count = self.0.len() as f64;
        let mean = (sum_of_runs(self.0, RUN, |x| x) / count) as f32;
        (mean, sum_of_runs(self.0, RUN, |x| (x - mean) * (x - mean)) / count)
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
        let (mean, variance) = moments(&row);
        assert!((f64::from(mean) - exact_mean).abs() < 1e-4, "{mean} for {exact_mean}");
        assert!(((variance / exact).sqrt() - 1.0).abs() < 1e-3, "{variance} for {exact}");
    }

    #[test]
    fn rows_run_on_the_widest_vectors() {
        runs_wide(&["Moments"], || assert_eq!(moments(&[1.0; 200]), (1.0, 0.0)));
    }
}
