//! Batch normalisation at inference: a scale and a shift per channel, of pictures and of volumes alike.
//!
//! Owns the arithmetic and its folding into a convolution before it (Jacob et al. 2018, §3.2); never a file.

use crate::profile::timed;
use candle_core::{DType, Result, Tensor, bail};

/// Added to the variance, as PyTorch's batch norms do by default.
const EPSILON: f64 = 1e-5;

/// y = scale · x + shift, per channel; f32.
pub(crate) struct BatchNorm {
    scale: Tensor,
    shift: Tensor,
}

impl BatchNorm {
    /// From the learned and the running values, each `[channels]`.
    pub(crate) fn new(weight: &Tensor, bias: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Self> {
        let [weight, bias, mean, variance] =
            [weight, bias, mean, variance].map(|part| part.to_dtype(DType::F64));
        let scale = (weight? / (variance? + EPSILON)?.sqrt()?)?;
        let shift = (bias? - (mean? * &scale)?)?;
        Ok(Self { scale: scale.to_dtype(DType::F32)?, shift: shift.to_dtype(DType::F32)? })
    }

    /// Of `x`, `[batch, channels, …]`, in its precision.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("batch norm", x = x.dims());
        let mut dims = vec![1; x.rank()];
        let Some(place) = dims.get_mut(1) else { bail!("{:?} has no channels", x.dims()) };
        *place = self.scale.elem_count();
        let scale = self.scale.to_dtype(x.dtype())?.reshape(dims.as_slice())?;
        let shift = self.shift.to_dtype(x.dtype())?.reshape(dims)?;
        x.broadcast_mul(&scale)?.broadcast_add(&shift)
    }

    /// Weight and bias of a convolution that does both its own work and this.
    pub(crate) fn fold(&self, weight: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut dims = vec![1; weight.rank()];
        dims[0] = self.scale.elem_count();
        let weight = weight.broadcast_mul(&self.scale.reshape(dims)?)?;
        Ok((weight, ((bias * &self.scale)? + &self.shift)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn channels(values: [f32; 2]) -> Tensor {
        Tensor::new(&values, &Device::Cpu).unwrap()
    }

    #[test]
    fn pictures_and_volumes_are_scaled_per_channel() {
        // torch.nn.functional.batch_norm of the same: (x − mean) / √(var + 1e-5) · weight + bias.
        let norm = BatchNorm::new(
            &channels([2.0, -1.0]),
            &channels([0.5, 0.25]),
            &channels([1.0, -2.0]),
            &channels([4.0, 0.25]),
        )
        .unwrap();
        for dims in [vec![1, 2, 1, 2], vec![1, 2, 1, 1, 2]] {
            let x = Tensor::new(&[3f32, -1.0, 0.0, 1.0], &Device::Cpu).unwrap().reshape(dims).unwrap();
            let y: Vec<f32> = norm.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for (ours, exact) in y.iter().zip([2.499_997_5, -1.499_997_5, -3.749_92, -5.749_88]) {
                assert!((ours - exact).abs() < 2e-6, "{ours} for {exact}");
            }
        }
    }

    #[test]
    fn folding_changes_nothing() {
        let norm = BatchNorm::new(
            &channels([2.0, -1.0]),
            &channels([0.5, 0.25]),
            &channels([1.0, -2.0]),
            &channels([4.0, 0.25]),
        )
        .unwrap();
        let weight = Tensor::new(&[[1f32, 2.0], [3.0, -1.0]], &Device::Cpu).unwrap();
        let bias = channels([0.1, 0.2]);
        let x = Tensor::new(&[[0.3f32, -0.7]], &Device::Cpu).unwrap();
        let apart =
            norm.forward(&x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap()).unwrap();
        let (weight, bias) = norm.fold(&weight, &bias).unwrap();
        let folded = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let (a, b): (Vec<f32>, Vec<f32>) = (
            apart.flatten_all().unwrap().to_vec1().unwrap(),
            folded.flatten_all().unwrap().to_vec1().unwrap(),
        );
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
    }
}
