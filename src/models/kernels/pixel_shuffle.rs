//! Pixel shuffle (Shi et al. 2016) and the sigmoid after it: from channels to pixels between 0 and 1.
//!
//! Owns both forms of each.

use candle_core::{Device, Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::elementary::sigmoid as logistic;
use super::form::Kernels;
use super::host::with_values;
use crate::simd::vectorised;

/// `[batch, channels · factor², height, width]` to `[batch, channels, height · factor, width · factor]`.
pub fn pixel_shuffle(x: &Tensor, factor: usize, kernels: Kernels) -> Result<Tensor> {
    let (batch, stacked, height, width) = x.dims4()?;
    let square = factor * factor;
    if square == 0 || !stacked.is_multiple_of(square) {
        bail!("{stacked} channels cannot be shuffled into squares of side {factor}");
    }
    let channels = stacked / square;
    let dims = (batch, channels, height * factor, width * factor);
    if kernels != Kernels::Fused {
        return x
            .reshape((batch * channels, factor, factor, height, width))?
            .permute((0, 3, 1, 4, 2))?
            .contiguous()?
            .reshape(dims);
    }
    let mut out = vec![0.0; x.elem_count()];
    if !out.is_empty() {
        with_values(x, |x| {
            let row = width * factor;
            out.par_chunks_mut(row).enumerate().for_each(|(line, out)| {
                let (plane, y) = (line / (height * factor), line % (height * factor));
                for column in 0..factor {
                    let source = (plane * square + y % factor * factor + column) * height + y / factor;
                    let source = &x[source * width..][..width];
                    out[column..].iter_mut().step_by(factor).zip(source).for_each(|(out, x)| *out = *x);
                }
            });
            Ok(())
        })?;
    }
    Tensor::from_vec(out, dims, &Device::Cpu)
}

/// 1 / (1 + e⁻ˣ) of every element.
pub fn sigmoid(x: &Tensor, kernels: Kernels) -> Result<Tensor> {
    if kernels != Kernels::Fused {
        return candle_nn::ops::sigmoid(x);
    }
    let out = with_values(x, |x| {
        let mut out = x.to_vec();
        // One run per task; its length only keeps tasks from being too many.
        out.par_chunks_mut(1 << 14).for_each(|run| vectorised(Sigmoid(run)));
        Ok(out)
    })?;
    Tensor::from_vec(out, x.dims(), &Device::Cpu)
}

struct Sigmoid<'a>(&'a mut [f32]);

impl WithSimd for Sigmoid<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.iter_mut().for_each(|value| *value = logistic(*value));
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::simd::tests::runs_wide;

    #[test]
    fn channels_become_the_pixels_of_squares() {
        let x = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 8, 1, 2)).unwrap();
        for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
            let y = pixel_shuffle(&x, 2, kernels).unwrap();
            assert_eq!(y.dims(), [1, 2, 2, 4]);
            let y: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
            // torch.nn.functional.pixel_shuffle of the same
            let expected = [0., 2., 1., 3., 4., 6., 5., 7., 8., 10., 9., 11., 12., 14., 13., 15.];
            assert_eq!(y, expected);
        }
        assert!(pixel_shuffle(&x, 3, Kernels::Fused).is_err());
    }

    #[test]
    fn sigmoids_agree() {
        let x = Tensor::new(&[-90f32, -3.0, -0.5, 0.0, 0.25, 7.0, 90.0], &Device::Cpu).unwrap();
        let exact = [8.194_01e-40, 0.047_425_873, 0.377_540_67, 0.5, 0.562_176_5, 0.999_089, 1.0];
        for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
            let y: Vec<f32> = sigmoid(&x, kernels).unwrap().to_vec1().unwrap();
            assert!(y.iter().zip(exact).all(|(y, exact)| (y - exact).abs() < 1e-6), "{y:?}");
        }
    }

    #[test]
    fn sigmoids_run_on_the_widest_vectors() {
        let x = Tensor::ones(40, DType::F32, &Device::Cpu).unwrap();
        runs_wide(&["Sigmoid"], || assert!(sigmoid(&x, Kernels::Fused).is_ok()));
    }
}
