//! Instance normalisation without affine weights (Ulyanov et al. 2016): every channel of every picture for itself.
//!
//! Owns the statistics, apart from their use: SPADE normalises the same tensor twice and as part of other work.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use super::form::Kernels;
use super::host::{values, with_values};
use super::moments::moments;
use crate::profile::timed;

/// Added to the variance, as PyTorch's `InstanceNorm2d` does by default.
const EPSILON: f64 = 1e-5;

/// Mean and 1 / √(variance + ε), each `[batch, channels, 1, 1]` in f32.
pub struct Statistics {
    mean: Tensor,
    scale: Tensor,
}

impl Statistics {
    /// Of `x`, `[batch, channels, height, width]`. Enlarging `x` by repetition would not change them.
    pub fn of(x: &Tensor, kernels: Kernels) -> Result<Self> {
        timed!("statistics", x = x.dims());
        let (batch, channels, height, width) = x.dims4()?;
        if kernels == Kernels::Fused {
            let pairs: Vec<(f32, f32)> = with_values(x, |values| {
                let planes = values.par_chunks(height * width).map(|plane| {
                    let (mean, variance) = moments(plane);
                    (mean, (1.0 / (variance + EPSILON).sqrt()) as f32)
                });
                Ok(planes.collect())
            })?;
            let (mean, scale): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let shaped = |part: Vec<f32>| Tensor::from_vec(part, (batch, channels, 1, 1), &Device::Cpu);
            return Ok(Self { mean: shaped(mean)?, scale: shaped(scale)? });
        }
        let flat = x.to_dtype(DType::F32)?.flatten_from(2)?;
        let mean = flat.mean_keepdim(2)?;
        let variance = flat.broadcast_sub(&mean)?.sqr()?.mean_keepdim(2)?;
        let scale = (variance + EPSILON)?.sqrt()?.recip()?;
        Ok(Self { mean: mean.unsqueeze(3)?, scale: scale.unsqueeze(3)? })
    }

    /// (x − mean) · scale, in the precision of `x`.
    pub fn normalise(&self, x: &Tensor) -> Result<Tensor> {
        let normal = x.to_dtype(DType::F32)?.broadcast_sub(&self.mean)?.broadcast_mul(&self.scale)?;
        normal.to_dtype(x.dtype())
    }

    /// Means and scales, one per batch and channel.
    pub(super) fn values(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((values(&self.mean)?, values(&self.scale)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_the_definition() {
        let x: Vec<f32> = (0..2 * 3 * 35).map(|i| (i as f32 * 0.7).sin() * 3.0 + (i / 35) as f32).collect();
        let tensor = Tensor::from_vec(x.clone(), (2, 3, 5, 7), &Device::Cpu).unwrap();
        for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
            let normal = Statistics::of(&tensor, kernels).unwrap().normalise(&tensor).unwrap();
            let ours = values(&normal).unwrap();
            for (plane, ours) in x.chunks(35).zip(ours.chunks(35)) {
                let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / 35.0;
                let variance = plane.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 35.0;
                for (x, ours) in plane.iter().zip(ours) {
                    let exact = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
                    assert!((f64::from(*ours) - exact).abs() < 2e-6, "{ours} for {exact}");
                }
            }
        }
    }
}
