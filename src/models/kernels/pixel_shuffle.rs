//! Pixel shuffle (Shi et al. 2016): from channels to pixels, in both forms.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::buffers::taken;
use super::form::Kernels;
use super::host::with_values;
use crate::profile::timed;

/// `[batch, channels · factor², height, width]` to `[batch, channels, height · factor, width · factor]`.
pub(crate) fn pixel_shuffle(x: &Tensor, factor: usize, kernels: Kernels) -> Result<Tensor> {
    timed!("pixel shuffle", x = x.dims());
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
    let mut out = taken(x.elem_count());
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
    out.into_tensor(dims)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

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
}
