//! Layer normalisation over the last dimension (Ba et al. 2016).

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Module, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::sum;
use crate::simd::vectorised;

/// (x − mean) / √(variance + ε) · weight + bias, over the last dimension. Weight and bias are each optional.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    size: usize,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    eps: f64,
}

impl LayerNorm {
    /// With `weight` and `bias` of `size` from `vb`.
    pub fn load(size: usize, eps: f64, vb: &VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get_with_hints(size, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(size, "bias", Init::Const(0.0))?;
        Ok(Self { size, weight: Some(weight), bias: Some(bias), eps })
    }

    /// Without weight and bias.
    pub fn plain(size: usize, eps: f64) -> Self {
        Self { size, weight: None, bias: None, eps }
    }

    /// Memory of its weights.
    pub fn size(&self) -> usize {
        [&self.weight, &self.bias]
            .into_iter()
            .flatten()
            .map(|t| t.elem_count() * t.dtype().size_in_bytes())
            .sum()
    }
}

impl Module for LayerNorm {
    /// Any shape whose last dimension is the layer's size; the same shape comes back.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.dim(D::Minus1)? != self.size {
            candle_core::bail!("a layer norm of {} features was given {:?}", self.size, x.shape());
        }
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            let values =
                |t: &Option<Tensor>| t.as_ref().map(|t| t.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose();
            let op = Rows {
                weight: values(&self.weight)?,
                bias: values(&self.bias)?,
                size: self.size,
                eps: self.eps,
            };
            return x.contiguous()?.apply_op1_no_bwd(&op);
        }
        // Half precision is widened for the sums.
        let wide = x.to_dtype(DType::F32)?;
        let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let mut normal = centred.broadcast_div(&(variance + self.eps)?.sqrt()?)?.to_dtype(x.dtype())?;
        if let Some(weight) = &self.weight {
            normal = normal.broadcast_mul(&weight.to_dtype(x.dtype())?)?;
        }
        match &self.bias {
            Some(bias) => normal.broadcast_add(&bias.to_dtype(x.dtype())?),
            None => Ok(normal),
        }
    }
}

struct Rows {
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    size: usize,
    eps: f64,
}

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        /// Rows that one task takes.
        const ROWS: usize = 16;
        let x = super::contiguous_f32(storage, layout, "a layer norm")?;
        let mut out = vec![0.0f32; x.len()];
        if self.size > 0 {
            let pieces = out.par_chunks_mut(ROWS * self.size).zip(x.par_chunks(ROWS * self.size));
            pieces.for_each(|(out, x)| vectorised(Piece { rows: self, x, out }));
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

struct Piece<'a> {
    rows: &'a Rows,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let size = self.rows.size;
        for (out, x) in self.out.chunks_exact_mut(size).zip(self.x.chunks_exact(size)) {
            let mean = sum(x, |value| value) / size as f32;
            // Two passes: the difference of two large sums would lose what is left of the variance.
            let variance = sum(x, |value| (value - mean) * (value - mean)) / size as f32;
            let scale = (1.0 / (f64::from(variance) + self.rows.eps).sqrt()) as f32;
            out.iter_mut().zip(x).for_each(|(out, value)| *out = (value - mean) * scale);
            if let Some(weight) = &self.rows.weight {
                out.iter_mut().zip(weight).for_each(|(out, weight)| *out *= weight);
            }
            if let Some(bias) = &self.rows.bias {
                out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::models::noise::Noise;

    #[test]
    fn rows_are_normalised_around_any_mean() {
        let size = 37;
        for offset in [0.0, 1000.0] {
            let xs: Vec<f32> = Noise::new(1, 0).normals(3 * size).iter().map(|x| x + offset).collect();
            let x = Tensor::from_slice(&xs, (3, size), &Device::Cpu).unwrap();
            let ours = LayerNorm::plain(size, 1e-5).forward(&x).unwrap().flatten_all().unwrap();
            for (row, ours) in xs.chunks(size).zip(ours.to_vec1::<f32>().unwrap().chunks(size)) {
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
    fn half_precision_takes_the_general_way_to_the_same_numbers() {
        let x = Tensor::from_vec(Noise::new(2, 0).normals(4 * 20), (4, 20), &Device::Cpu).unwrap();
        let x = x.to_dtype(DType::F16).unwrap();
        let norm = LayerNorm::plain(20, 1e-5);
        let half = norm.forward(&x).unwrap().to_dtype(DType::F32).unwrap();
        let full = norm.forward(&x.to_dtype(DType::F32).unwrap()).unwrap();
        let difference = (half - full).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 2e-3, "{difference}");
    }

    #[test]
    fn a_wrong_width_is_refused() {
        let x = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
        assert!(LayerNorm::plain(4, 1e-5).forward(&x).unwrap_err().to_string().contains("4 features"));
    }
}
