//! Depthwise convolution: every channel by a kernel of its own, stride one, zero padding to the same size.
//!
//! Owns both forms; candle's grouped convolution runs one small convolution per channel.

use candle_core::{Device, Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::form::Kernels;
use super::host::{values, with_values};
use crate::profile::timed;
use crate::simd::vectorised;

/// A layer: weights `[channels, 1, side, side]` with an odd side, and a bias.
pub(crate) struct Depthwise {
    channels: usize,
    side: usize,
    form: Form,
}

enum Form {
    Fused {
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    /// Per tap `[1, channels, 1, 1]`.
    Stock {
        taps: Vec<Tensor>,
        bias: Tensor,
    },
    Listed,
}

impl Depthwise {
    /// From `weight` `[channels, 1, side, side]` and `bias` `[channels]`.
    pub(crate) fn new(weight: &Tensor, bias: &Tensor, kernels: Kernels) -> Result<Self> {
        let (channels, one, side, other) = weight.dims4()?;
        if one != 1 || side != other || side % 2 == 0 || bias.dims() != [channels] {
            bail!("{:?} with biases {:?} is no depthwise kernel", weight.dims(), bias.dims());
        }
        let form = match kernels {
            Kernels::Listed => Form::Listed,
            Kernels::Fused => Form::Fused { weight: values(weight)?, bias: values(bias)? },
            Kernels::Stock(dtype) => {
                let flat = weight.to_dtype(dtype)?.reshape((1, channels, 1, side * side))?;
                let taps = (0..side * side).map(|tap| flat.narrow(3, tap, 1)).collect::<Result<_>>()?;
                Form::Stock { taps, bias: bias.to_dtype(dtype)?.reshape((1, channels, 1, 1))? }
            }
        };
        Ok(Self { channels, side, form })
    }

    /// Of `[batch, channels, height, width]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("depthwise", x = x.dims());
        let (_, channels, height, width) = x.dims4()?;
        if channels != self.channels {
            bail!("a depthwise convolution of {} channels was given {channels}", self.channels);
        }
        match &self.form {
            Form::Listed => bail!("weights that were only listed cannot be used"),
            Form::Fused { weight, bias } => {
                let mut out = vec![0.0; x.elem_count()];
                with_values(x, |x| {
                    let planes = out.par_chunks_mut(height * width).zip(x.par_chunks(height * width));
                    planes.enumerate().for_each(|(plane, (out, x))| {
                        let channel = plane % channels;
                        let size = self.side * self.side;
                        let kernel = &weight[channel * size..][..size];
                        vectorised(Plane { x, out, kernel, bias: bias[channel], side: self.side, width });
                    });
                    Ok(())
                })?;
                Tensor::from_vec(out, x.dims(), &Device::Cpu)
            }
            Form::Stock { taps, bias } => {
                let margin = self.side / 2;
                let padded = x.pad_with_zeros(2, margin, margin)?.pad_with_zeros(3, margin, margin)?;
                let mut sum = bias.broadcast_as(x.dims())?.contiguous()?;
                for (place, tap) in taps.iter().enumerate() {
                    let view =
                        padded.narrow(2, place / self.side, height)?.narrow(3, place % self.side, width)?;
                    sum = (sum + view.broadcast_mul(tap)?)?;
                }
                Ok(sum)
            }
        }
    }
}

struct Plane<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    kernel: &'a [f32],
    bias: f32,
    side: usize,
    width: usize,
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, out, kernel, bias, side, width } = self;
        let (height, margin) = (x.len() / width, side / 2);
        for (y, out) in out.chunks_mut(width).enumerate() {
            out.fill(bias);
            for row in (0..side).filter(|row| (margin..height + margin).contains(&(y + row))) {
                let line = &x[(y + row - margin) * width..][..width];
                for column in 0..side {
                    let weight = kernel[row * side + column];
                    // out[x] takes line[x + column − margin]
                    let (to, from) = (margin.saturating_sub(column), column.saturating_sub(margin));
                    let count = width.saturating_sub(to.max(from));
                    if count > 0 {
                        let source = &line[from..from + count];
                        out[to..to + count].iter_mut().zip(source).for_each(|(out, x)| *out += weight * x);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::simd::tests::runs_wide;

    #[test]
    fn both_forms_are_candles_grouped_convolution() {
        let tensor = |dims: &[usize], f: fn(f32) -> f32| {
            let count = dims.iter().product::<usize>() as u32;
            Tensor::from_vec((0..count).map(|i| f(i as f32)).collect::<Vec<f32>>(), dims, &Device::Cpu)
                .unwrap()
        };
        for side in [3, 7] {
            let x = tensor(&[2, 3, 5, 4], |i| (i * 0.37).sin());
            let weight = tensor(&[3, 1, side, side], |i| (i * 0.11).cos());
            let bias = tensor(&[3], |i| i * 0.1);
            let reference = x
                .conv2d(&weight, side / 2, 1, 1, 3)
                .unwrap()
                .broadcast_add(&bias.reshape((1, 3, 1, 1)).unwrap())
                .unwrap();
            for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
                let ours = Depthwise::new(&weight, &bias, kernels).unwrap().forward(&x).unwrap();
                let (a, b) = (values(&ours).unwrap(), values(&reference).unwrap());
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{kernels:?} {side}");
            }
        }
    }

    #[test]
    fn planes_run_on_the_widest_vectors() {
        let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
        let layer = Depthwise::new(&ones(&[2, 1, 3, 3]), &ones(&[2]), Kernels::Fused).unwrap();
        let x = ones(&[1, 2, 5, 5]);
        runs_wide(&["Plane"], || assert!(layer.forward(&x).is_ok()));
    }
}
