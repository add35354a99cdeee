//! Norms over the last dimension: layer norm (Ba et al. 2016), plain, weighted or modulated, and RMS norm (Zhang and
//! Sennrich 2019).
//!
//! Owns their arithmetic in both forms: one pass over memory on the processor, candle's operations elsewhere, statistics
//! in f32 in each. Knows no tensor's name but `weight` and `bias`.

use candle_core::{D, DType, Module, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use super::elementary::sum;
use super::host::{on_host, on_processor};
use crate::profile::timed;
use crate::simd::kernel;

/// Rows handed to a thread at once: enough work to outweigh the handing over.
const ROWS: usize = 16;

/// (x − mean) / √(variance + ε) · weight + bias, over the last dimension. Weight and bias come together or not at all.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    size: usize,
    affine: Option<(Tensor, Tensor)>,
    eps: f64,
}

impl LayerNorm {
    /// With `weight` and `bias` of `size` from `vb`.
    pub fn load(size: usize, eps: f64, vb: &VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get_with_hints(size, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(size, "bias", Init::Const(0.0))?;
        Self::new(weight, bias, eps)
    }

    /// With `weight` and `bias`, both \[size\].
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        let size = weight.dims1()?;
        if bias.dims() != [size] {
            bail!("a layer norm of {size} weights was given biases {:?}", bias.shape())
        }
        Ok(Self { size, affine: Some((weight, bias)), eps })
    }

    /// Without weight and bias.
    pub fn plain(size: usize, eps: f64) -> Self {
        Self { size, affine: None, eps }
    }

    /// The type of its weight, f32 where it has none.
    pub fn dtype(&self) -> DType {
        self.affine.as_ref().map_or(DType::F32, |(weight, _)| weight.dtype())
    }

    /// Bytes of its weights.
    pub fn size(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.affine.as_ref().map_or(0, |(weight, bias)| of(weight) + of(bias))
    }
}

impl Module for LayerNorm {
    /// Any shape whose last dimension is the layer's size; the same shape comes back.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("layer norm", x = x.dims());
        match &self.affine {
            Some((weight, bias)) => scaled(x, bias, weight, 0.0, self.eps),
            None => {
                let zeros = Tensor::zeros(self.size, DType::F32, x.device())?;
                scaled(x, &zeros, &zeros, 1.0, self.eps)
            }
        }
    }
}

/// Layer norm without weights, then · (1 + scale) + shift; both \[size\]. Any shape whose last dimension is `size`.
pub fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    timed!("layer norm", x = x.dims());
    scaled(x, shift, scale, 1.0, eps)
}

/// (x − mean)/√(variance + eps) · (one + scale) + shift.
fn scaled(x: &Tensor, shift: &Tensor, scale: &Tensor, one: f64, eps: f64) -> Result<Tensor> {
    let size = shift.dims1()?;
    if x.dim(D::Minus1)? != size || scale.dims() != [size] {
        bail!("a layer norm of {size} features was given {:?}", x.shape())
    }
    if on_processor(x) {
        let [shift, scale] = [wide(shift)?, wide(scale)?];
        let out = on_host(&[x, &shift, &scale], |values| {
            rows(values[0], size, |x, out| {
                normalise(x, values[1], values[2], one as f32, eps as f32, out);
            })
        })?;
        return Tensor::from_vec(out, x.dims(), x.device());
    }
    if !x.device().is_cpu() && [x, shift, scale].iter().all(|tensor| tensor.dtype() == DType::F32) {
        return candle_nn::ops::layer_norm(
            &x.contiguous()?,
            &(scale + one)?,
            &shift.contiguous()?,
            eps as f32,
        );
    }
    // Half precision has too few digits for a variance.
    let wide_x = wide(x)?;
    let centred = wide_x.broadcast_sub(&wide_x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normal.broadcast_mul(&(wide(scale)? + one)?)?.broadcast_add(&wide(shift)?)?.to_dtype(x.dtype())
}

/// x/√(mean x² + eps) · weight over the last dimension, which has as many values as `weight`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    timed!("rms norm", x = x.dims());
    let size = weight.dims1()?;
    if x.dim(D::Minus1)? != size {
        bail!("an RMS norm of {size} features was given {:?}", x.shape())
    }
    if on_processor(x) {
        let weight = wide(weight)?;
        let out = on_host(&[x, &weight], |values| {
            rows(values[0], size, |x, out| root_mean_square(x, values[1], eps as f32, out))
        })?;
        return Tensor::from_vec(out, x.dims(), x.device());
    }
    let wide_x = wide(x)?;
    let mean = wide_x.sqr()?.mean_keepdim(D::Minus1)?;
    wide_x.broadcast_div(&(mean + eps)?.sqrt()?)?.broadcast_mul(&wide(weight)?)?.to_dtype(x.dtype())
}

fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)
}

/// `row` of every `size` values of `x`, shared out among the threads.
fn rows(x: &[f32], size: usize, row: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    if size > 0 {
        out.par_chunks_mut(ROWS * size).zip(x.par_chunks(ROWS * size)).for_each(|(out, x)| {
            out.chunks_mut(size).zip(x.chunks(size)).for_each(|(out, x)| row(x, out));
        });
    }
    out
}

kernel! {
    /// One row of a layer norm. Two passes: the difference of two large sums would lose what is left of the variance.
    pub(super) fn normalise<'a>(
        x: &'a [f32],
        shift: &'a [f32],
        scale: &'a [f32],
        one: f32,
        eps: f32,
        out: &'a mut [f32],
    ) {
        let count = x.len() as f32;
        let mean = sum(x, |x| x) / count;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
        let inverse = 1.0 / (variance + eps).sqrt();
        for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
            *out = (*x - mean) * inverse * (one + *scale) + *shift;
        }
    }
}

kernel! {
    /// One row of an RMS norm.
    pub(super) fn root_mean_square<'a>(x: &'a [f32], weight: &'a [f32], eps: f32, out: &'a mut [f32]) {
        let inverse = 1.0 / (sum(x, |x| x * x) / x.len() as f32 + eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = *x * inverse * *weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn rows_are_normalised_around_any_mean() {
        let size = 37;
        for offset in [0.0, 1000.0] {
            let xs: Vec<f32> = Noise::new(1, 0).normals(3 * size).iter().map(|x| x + offset).collect();
            let ours =
                values(&LayerNorm::plain(size, 1e-5).forward(&tensor(xs.clone(), &[3, size])).unwrap());
            for (row, ours) in xs.chunks(size).zip(ours.chunks(size)) {
                let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / size as f64;
                let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / size as f64;
                for (x, ours) in row.iter().zip(ours) {
                    let exact = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
                    // f32 keeps 7 digits of a mean of 1000.
                    assert!(
                        (f64::from(*ours) - exact).abs() < 1e-6 + f64::from(offset) * 5e-7,
                        "{ours} for {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn weights_modulations_and_mean_squares_follow_their_formulas() {
        let (size, eps) = (5, 1e-6);
        let xs = Noise::new(2, 0).normals(2 * size);
        let (a, b) = (Noise::new(2, 1).normals(size), Noise::new(2, 2).normals(size));
        let (x, wa, wb) =
            (tensor(xs.clone(), &[2, size]), tensor(a.clone(), &[size]), tensor(b.clone(), &[size]));
        let weighted = values(&LayerNorm::new(wa.clone(), wb.clone(), eps).unwrap().forward(&x).unwrap());
        let shifted = values(&modulated(&x, &wb, &wa, eps).unwrap());
        let rooted = values(&rms_norm(&x, &wa, eps).unwrap());
        for (place, value) in xs.iter().enumerate() {
            let row: Vec<f64> = xs[place / size * size..][..size].iter().map(|x| f64::from(*x)).collect();
            let (a, b, x) = (f64::from(a[place % size]), f64::from(b[place % size]), f64::from(*value));
            let mean = row.iter().sum::<f64>() / size as f64;
            let normal =
                (x - mean) / (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size as f64 + eps).sqrt();
            let root = (row.iter().map(|x| x * x).sum::<f64>() / size as f64 + eps).sqrt();
            let exact = [normal * a + b, normal * (1.0 + a) + b, x / root * a];
            for (ours, exact) in [weighted[place], shifted[place], rooted[place]].into_iter().zip(exact) {
                assert!((f64::from(ours) - exact).abs() < 1e-5, "{ours} for {exact}");
            }
        }
    }

    #[test]
    fn half_precision_takes_the_general_way_to_the_same_numbers() {
        let x = tensor(Noise::new(2, 0).normals(4 * 20), &[4, 20]).to_dtype(DType::F16).unwrap();
        let norm = LayerNorm::plain(20, 1e-5);
        let half = norm.forward(&x).unwrap().to_dtype(DType::F32).unwrap();
        let full = norm.forward(&x.to_dtype(DType::F32).unwrap()).unwrap();
        let difference = (half - full).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 2e-3, "{difference}");
    }

    #[test]
    fn a_wrong_width_is_refused() {
        let x = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
        let four = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
        assert!(LayerNorm::plain(4, 1e-5).forward(&x).unwrap_err().to_string().contains("4 features"));
        assert!(rms_norm(&x, &four, 1e-5).unwrap_err().to_string().contains("4 features"));
        assert!(LayerNorm::new(four, x.get(0).unwrap(), 1e-5).is_err());
    }

    #[test]
    fn rows_run_on_the_widest_vectors() {
        let (x, weight) = (tensor(vec![1.0; 40], &[2, 20]), tensor(vec![1.0; 20], &[20]));
        runs_wide(&["normalise", "root_mean_square"], || {
            assert!(modulated(&x, &weight, &weight, 1e-6).is_ok());
            assert!(rms_norm(&x, &weight, 1e-6).is_ok());
        });
    }
}
