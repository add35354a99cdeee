//! Group normalisation (Wu and He 2018) of one picture, and the SiLU that follows it in an autoencoder.

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use super::elementary::{sigmoid, sum_of_runs};
use super::host::{on_host, on_processor};
use crate::profile::timed;
use crate::simd::kernel;

/// A group norm with weight and bias per channel.
#[derive(Debug)]
pub struct GroupNorm {
    groups: usize,
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl GroupNorm {
    /// Of `groups` equal runs of channels; `weight` and `bias` \[channels\].
    pub fn new(groups: usize, weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        let channels = weight.dims1()?;
        if bias.dims() != [channels] || groups == 0 || !channels.is_multiple_of(groups) {
            bail!("{channels} channels with biases {:?} make no {groups} groups", bias.shape())
        }
        Ok(Self { groups, weight, bias, eps })
    }

    /// Of `x` [1, channels, height, width], normalised.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("group norm", x = x.dims());
        self.apply(x, false)
    }

    /// Normalised, then SiLU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        timed!("group norm", x = x.dims());
        self.apply(x, true)
    }

    fn apply(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        if batch != 1 || channels != self.weight.elem_count() {
            bail!("a group norm of {} channels was given {:?}", self.weight.elem_count(), x.shape())
        }
        if on_processor(x) {
            let out = on_host(&[x, &self.weight, &self.bias], |values| {
                grouped(values[0], self.groups, values[1], values[2], self.eps as f32, silu)
            })?;
            return Tensor::from_vec(out, x.dims(), x.device());
        }
        let grouped = x.to_dtype(DType::F32)?.reshape((self.groups, ()))?;
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim(1)?)?;
        let variance = centred.sqr()?.mean_keepdim(1)?;
        let normal = centred.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let normal = normal.reshape((1, channels, height, width))?;
        let per_channel = |v: &Tensor| v.to_dtype(DType::F32)?.reshape((1, channels, 1, 1));
        let y =
            normal.broadcast_mul(&per_channel(&self.weight)?)?.broadcast_add(&per_channel(&self.bias)?)?;
        (if silu { y.silu()? } else { y }).to_dtype(x.dtype())
    }

    /// Bytes of its weights.
    pub fn size(&self) -> usize {
        2 * self.weight.elem_count() * self.weight.dtype().size_in_bytes()
    }
}

/// One picture [channels, pixels].
fn grouped(x: &[f32], groups: usize, weight: &[f32], bias: &[f32], eps: f32, silu: bool) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    let channels = weight.len() / groups;
    let size = x.len() / groups;
    if size > 0 {
        out.par_chunks_mut(size)
            .zip(x.par_chunks(size))
            .zip(weight.par_chunks(channels).zip(bias.par_chunks(channels)))
            .for_each(|((out, x), (weight, bias))| group(x, weight, bias, eps, silu, out));
    }
    out
}

kernel! {
    /// One group.
    pub(super) fn group<'a>(
        x: &'a [f32],
        weight: &'a [f32],
        bias: &'a [f32],
        eps: f32,
        silu: bool,
        out: &'a mut [f32],
    ) {
        let count = x.len() as f64;
        // Groups of a large picture hold a million values: partial sums per channel are added in f64.
        let plane = x.len() / weight.len();
        let mean = (sum_of_runs(x, plane, |x| x) / count) as f32;
        let squares = sum_of_runs(x, plane, |x| (x - mean) * (x - mean));
        let inverse = 1.0 / ((squares / count) as f32 + eps).sqrt();
        let planes = out.chunks_mut(plane).zip(x.chunks(plane)).zip(weight.iter().zip(bias));
        for ((out, x), (weight, bias)) in planes {
            let scale = inverse * *weight;
            if silu {
                for (out, x) in out.iter_mut().zip(x) {
                    let y = (*x - mean) * scale + *bias;
                    *out = y * sigmoid(y);
                }
            } else {
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (*x - mean) * scale + *bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    #[test]
    fn groups_follow_the_formula_and_what_makes_none_is_refused() {
        let (channels, groups, area) = (6, 3, 35);
        let xs = Noise::new(1, 0).normals(channels * area);
        let (weight, bias) = (Noise::new(1, 1).normals(channels), Noise::new(1, 2).normals(channels));
        let vector = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let norm = GroupNorm::new(groups, vector(&weight), vector(&bias), 1e-6).unwrap();
        let x = Tensor::from_slice(&xs, (1, channels, 5, 7), &Device::Cpu).unwrap();
        let ours: Vec<f32> = norm.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let active: Vec<f32> = norm.forward_silu(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let size = channels / groups * area;
        for (place, value) in xs.iter().enumerate() {
            let group: Vec<f64> = xs[place / size * size..][..size].iter().map(|x| f64::from(*x)).collect();
            let mean = group.iter().sum::<f64>() / size as f64;
            let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size as f64;
            let (weight, bias) = (f64::from(weight[place / area]), f64::from(bias[place / area]));
            let exact = (f64::from(*value) - mean) / (variance + 1e-6).sqrt() * weight + bias;
            assert!((f64::from(ours[place]) - exact).abs() < 1e-5);
            assert!((f64::from(active[place]) - exact / (1.0 + (-exact).exp())).abs() < 1e-5);
        }
        assert!(norm.forward(&x.narrow(1, 0, 4).unwrap()).is_err());
        assert!(GroupNorm::new(4, vector(&weight), vector(&bias), 1e-6).is_err());
    }

    #[test]
    fn groups_run_on_the_widest_vectors() {
        let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
        let norm = GroupNorm::new(2, ones(&[4]), ones(&[4]), 1e-6).unwrap();
        let x = ones(&[1, 4, 3, 3]);
        runs_wide(&["group"], || assert!(norm.forward_silu(&x).is_ok()));
    }
}
