//! Depthwise convolution: every channel by a kernel of its own, stride one, zero padding to the same size.
//!
//! Owns both forms, of pictures that lie channels-last: neighbouring numbers then have weights of their own, and a pixel's
//! neighbours are whole rows of numbers. candle's grouped convolution runs one small convolution per channel.

use candle_core::{Device, Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::form::Kernels;
use super::host::{values, with_values};
use crate::profile::timed;
use crate::simd::vectorised;

/// Pixels that are summed at a time: they share each load of a weight.
const PIXELS: usize = 4;

/// A layer: weights `[channels, 1, side, side]` with an odd side, and a bias.
pub(crate) struct Depthwise {
    channels: usize,
    side: usize,
    form: Form,
}

enum Form {
    Fused {
        /// `[row][column][channel]`.
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    /// Per tap `[1, 1, 1, channels]`.
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
        let by_tap = |weight: &Tensor| weight.reshape((channels, side * side))?.t()?.contiguous();
        let form = match kernels {
            Kernels::Listed => Form::Listed,
            Kernels::Fused => Form::Fused { weight: values(&by_tap(weight)?)?, bias: values(bias)? },
            Kernels::Stock(dtype) => {
                let flat = by_tap(&weight.to_dtype(dtype)?)?;
                let taps = (0..side * side)
                    .map(|tap| flat.get(tap)?.reshape((1, 1, 1, channels)))
                    .collect::<Result<_>>()?;
                Form::Stock { taps, bias: bias.to_dtype(dtype)?.reshape((1, 1, 1, channels))? }
            }
        };
        Ok(Self { channels, side, form })
    }

    /// Of `[batch, height, width, channels]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("depthwise", x = x.dims());
        let (_, height, width, channels) = x.dims4()?;
        if channels != self.channels {
            bail!("a depthwise convolution of {} channels was given {channels}", self.channels);
        }
        match &self.form {
            Form::Listed => bail!("weights that were only listed cannot be used"),
            Form::Fused { weight, bias } => {
                let mut out = vec![0.0; x.elem_count()];
                let size = [height, width];
                with_values(x, |x| {
                    out.par_chunks_mut((width * channels).max(1)).enumerate().for_each(|(line, out)| {
                        let picture =
                            &x[line / height * height * width * channels..][..height * width * channels];
                        vectorised(Line {
                            x: picture,
                            out,
                            weight,
                            bias,
                            side: self.side,
                            size,
                            y: line % height,
                        });
                    });
                    Ok(())
                })?;
                Tensor::from_vec(out, x.dims(), &Device::Cpu)
            }
            Form::Stock { taps, bias } => {
                let margin = self.side / 2;
                let padded = x.pad_with_zeros(1, margin, margin)?.pad_with_zeros(2, margin, margin)?;
                let mut sum = bias.broadcast_as(x.dims())?.contiguous()?;
                for (place, tap) in taps.iter().enumerate() {
                    let view =
                        padded.narrow(1, place / self.side, height)?.narrow(2, place % self.side, width)?;
                    sum = (sum + view.broadcast_mul(tap)?)?;
                }
                Ok(sum)
            }
        }
    }
}

/// One row of a picture.
struct Line<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    side: usize,
    size: [usize; 2],
    y: usize,
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (width, margin) = (self.size[1], self.side / 2);
        let mut x = 0;
        while x < width {
            if x >= margin && x + PIXELS + margin <= width {
                self.pixels::<S, PIXELS>(simd, x);
                x += PIXELS;
            } else {
                self.pixels::<S, 1>(simd, x);
                x += 1;
            }
        }
    }
}

impl Line<'_> {
    /// `COUNT` pixels from `first` on. More than one must all have their whole neighbourhood along the row.
    #[inline(always)]
    fn pixels<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
        let Self { x, ref mut out, weight, bias, side, size: [height, width], y } = *self;
        let (channels, margin) = (bias.len(), side / 2);
        let rows = margin.saturating_sub(y)..side.min(height + margin - y);
        let columns = margin.saturating_sub(first)..side.min(width + margin - first);
        let whole = channels / S::F32_LANES * S::F32_LANES;
        for channel in (0..whole).step_by(S::F32_LANES) {
            let mut sums = [vector(simd, &bias[channel..]); COUNT];
            for row in rows.clone() {
                let line = &x[(y + row - margin) * width * channels..][..width * channels];
                for column in columns.clone() {
                    let weight = vector(simd, &weight[(row * side + column) * channels + channel..]);
                    let start = (first + column - margin) * channels + channel;
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        let x = vector(simd, &line[start + pixel * channels..]);
                        *sum = simd.mul_add_e_f32s(weight, x, *sum);
                    }
                }
            }
            for (pixel, sum) in sums.into_iter().enumerate() {
                let out = &mut out[(first + pixel) * channels + channel..];
                if let Some(out) = S::as_mut_simd_f32s(out).0.first_mut() {
                    *out = sum;
                }
            }
        }
        for channel in whole..channels {
            for pixel in 0..COUNT {
                let mut sum = bias[channel];
                for row in rows.clone() {
                    let line = &x[(y + row - margin) * width * channels..][..width * channels];
                    for column in columns.clone() {
                        let weight = weight[(row * side + column) * channels + channel];
                        sum += weight * line[(first + pixel + column - margin) * channels + channel];
                    }
                }
                out[(first + pixel) * channels + channel] = sum;
            }
        }
    }
}

/// The first whole vector of `values`.
#[inline(always)]
fn vector<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    S::as_simd_f32s(values).0.first().copied().unwrap_or(simd.splat_f32s(0.0))
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use proptest::prelude::*;

    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn both_forms_are_candles_grouped_convolution(
            (batch, height, width, channels) in (1..3usize, 1..10usize, 1..14usize, 1..36usize),
            margin in 0..4usize,
            seed in any::<u64>(),
        ) {
            let side = 2 * margin + 1;
            let normal = |stream, dims: &[usize]| {
                let values = Noise::new(seed, stream).normals(dims.iter().product());
                Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
            };
            let x = normal(1, &[batch, height, width, channels]);
            let (weight, bias) = (normal(2, &[channels, 1, side, side]), normal(3, &[channels]));
            let planes = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let reference = planes
                .conv2d(&weight, margin, 1, 1, channels)
                .unwrap()
                .broadcast_add(&bias.reshape((1, channels, 1, 1)).unwrap())
                .unwrap();
            let reference = values(&reference.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()).unwrap();
            for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
                let ours = Depthwise::new(&weight, &bias, kernels).unwrap().forward(&x).unwrap();
                prop_assert_eq!(ours.dims(), x.dims());
                for (ours, exact) in values(&ours).unwrap().iter().zip(&reference) {
                    prop_assert!((ours - exact).abs() < 2e-5, "{:?} {}: {} for {}", kernels, side, ours, exact);
                }
            }
        }
    }

    #[test]
    fn lines_run_on_the_widest_vectors() {
        let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
        let layer = Depthwise::new(&ones(&[2, 1, 3, 3]), &ones(&[2]), Kernels::Fused).unwrap();
        let x = ones(&[1, 5, 5, 2]);
        runs_wide(&["Line"], || assert!(layer.forward(&x).is_ok()));
    }
}
