//! From published tensor names to layers: convolutions with their batch or spectral norm, perceptrons, probes.
//!
//! Owns how a checkpoint's tensors become a layer's weights; never a network's shape.

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};

use super::config::Mlp;
use crate::models::kernels::batch_norm::BatchNorm;
use crate::models::kernels::buffers::give_back;
use crate::models::kernels::conv3::{Conv3, no_bias};
use crate::models::kernels::{Activation, Kernels, LayerNorm, Linear};

/// What a probe hands an intermediate result and its name to.
type Seen<'a> = &'a mut dyn FnMut(&str, &Tensor);

/// Sees intermediate results; the tests' way into a network. Off in production.
pub struct Probe<'a> {
    seen: Option<Seen<'a>>,
}

impl<'a> Probe<'a> {
    /// Sees nothing.
    pub fn off() -> Self {
        Self { seen: None }
    }

    /// Hands every intermediate to `seen` with its name, those included that are made for it alone.
    pub fn on(seen: &'a mut dyn FnMut(&str, &Tensor)) -> Self {
        Self { seen: Some(seen) }
    }

    /// Whether results that only a probe needs are to be made.
    pub(super) fn is_on(&self) -> bool {
        self.seen.is_some()
    }

    /// Keeps the memory of a result that nobody needs any more, unless a probe may still look at it.
    pub(super) fn spent(&self, tensor: Tensor, kernels: Kernels) -> Result<()> {
        if self.is_on() || kernels != Kernels::Fused { Ok(()) } else { give_back(tensor) }
    }

    pub(super) fn see(&mut self, name: &str, tensor: &Tensor) {
        if let Some(seen) = &mut self.seen {
            seen(name, tensor);
        }
    }
}

/// The shape of a kernel: 3×3 or 3×3×3, …
pub(super) fn kernel(outputs: usize, inputs: usize, sides: &[usize]) -> Vec<usize> {
    [&[outputs, inputs], sides].concat()
}

/// `weight` and `bias` of a convolution, in f32.
pub(super) fn conv_weights(vb: &VarBuilder<'_>, shape: &[usize]) -> Result<(Tensor, Tensor)> {
    let weight = vb.get_with_hints(shape, "weight", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
    let bias = vb.get_with_hints(shape[0], "bias", Init::Const(0.0))?;
    Ok((weight.to_dtype(DType::F32)?, bias.to_dtype(DType::F32)?))
}

/// A batch norm by its four published tensors.
pub(super) fn batch_norm(vb: &VarBuilder<'_>, channels: usize) -> Result<BatchNorm> {
    let one = |name: &str, value: f64| vb.get_with_hints(channels, name, Init::Const(value));
    BatchNorm::new(
        &one("weight", 1.0)?,
        &one("bias", 0.0)?,
        &one("running_mean", 0.0)?,
        &one("running_var", 1.0)?,
    )
}

/// A 3×3 (or 3×3×3) convolution `conv` with the batch norm `norm` after it folded in.
pub(super) fn normed_conv3(
    conv: &VarBuilder<'_>,
    norm: &VarBuilder<'_>,
    shape: &[usize],
    kernels: Kernels,
) -> Result<Conv3> {
    let (weight, bias) = folded(conv, norm, shape, kernels)?;
    Conv3::new(&weight, &bias, kernels)
}

/// Weight and bias of the convolution `conv` with the batch norm `norm` after it folded in.
pub(super) fn folded(
    conv: &VarBuilder<'_>,
    norm: &VarBuilder<'_>,
    shape: &[usize],
    kernels: Kernels,
) -> Result<(Tensor, Tensor)> {
    let (weight, bias) = conv_weights(conv, shape)?;
    let norm = batch_norm(norm, shape[0])?;
    if kernels == Kernels::Listed { Ok((weight, bias)) } else { norm.fold(&weight, &bias) }
}

/// Of a volume's kernel, `[outputs, inputs, slices, …]`, the slices that meet anything in volumes of `depth` slices: the
/// others only ever see the zeros beyond.
pub(super) fn within_depth(weight: &Tensor, depth: usize) -> Result<Tensor> {
    let middle = weight.dim(2)? / 2;
    let reach = middle.min(depth.saturating_sub(1));
    weight.narrow(2, middle - reach, 2 * reach + 1)
}

/// The weight of a spectrally normalised convolution, `weight_orig / (uᵀ W v)` (Miyato et al. 2018), and its bias.
pub(super) fn spectral_weights(
    vb: &VarBuilder<'_>,
    shape: &[usize],
    biased: bool,
    kernels: Kernels,
) -> Result<(Tensor, Tensor)> {
    let (outputs, columns) = (shape[0], shape[1..].iter().product::<usize>());
    let weight = vb
        .get_with_hints(shape, "weight_orig", candle_nn::init::DEFAULT_KAIMING_NORMAL)?
        .to_dtype(DType::F32)?;
    // Unit vectors as power iteration leaves them.
    let unit = |count: usize| Init::Randn { mean: 0.0, stdev: 1.0 / (count as f64).sqrt() };
    let u = vb.get_with_hints(outputs, "weight_u", unit(outputs))?;
    let v = vb.get_with_hints(columns, "weight_v", unit(columns))?;
    let bias = if biased {
        vb.get_with_hints(outputs, "bias", Init::Const(0.0))?.to_dtype(DType::F32)?
    } else {
        no_bias(outputs, vb.device())?
    };
    if kernels == Kernels::Listed {
        return Ok((weight, bias));
    }
    let [u, v] = [u.reshape((1, outputs))?, v.reshape((columns, 1))?].map(|part| part.to_dtype(DType::F32));
    let sigma = u?
        .matmul(&weight.reshape((outputs, columns))?)?
        .matmul(&v?)?
        .flatten_all()?
        .get(0)?
        .to_scalar::<f32>()?;
    if sigma == 0.0 || !sigma.is_finite() {
        bail!("{}: the spectral norm of weight_orig is {sigma}, it must be finite and not zero", vb.prefix());
    }
    Ok((weight.affine(1.0 / f64::from(sigma), 0.0)?, bias))
}

/// Layers side by side as one; all but the first are dropped where only names matter.
pub(super) fn beside(parts: &[Tensor], kernels: Kernels) -> Result<Tensor> {
    if kernels == Kernels::Listed { Ok(parts[0].clone()) } else { Tensor::cat(parts, 0) }
}

/// A perceptron with ReLU between its layers. Always on the processor and in f32: it is tiny and works on key points.
pub(super) struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    /// From `mlp.0`, `mlp.2`, …
    pub(super) fn new(config: &Mlp, vb: &VarBuilder<'_>) -> Result<Self> {
        let mut layers = Vec::new();
        let mut inputs = config.input_size;
        for (place, outputs) in config.hidden_sizes.iter().chain([&config.output_size]).enumerate() {
            let vb = vb.pp(format!("mlp.{}", 2 * place));
            let weight =
                vb.get_with_hints((*outputs, inputs), "weight", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
            let bias = vb.get_with_hints(*outputs, "bias", Init::Const(0.0))?;
            let here = |part: Tensor| part.to_device(&Device::Cpu)?.to_dtype(DType::F32);
            layers.push(Linear::in_form(&here(weight)?, &here(bias)?, Kernels::Fused)?);
            inputs = *outputs;
        }
        Ok(Self { layers })
    }

    /// Rows of inputs to rows of outputs.
    pub(super) fn forward(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let width = rows.first().map_or(0, Vec::len);
        let mut x = Tensor::from_vec(rows.concat(), (rows.len(), width), &Device::Cpu)?;
        for (place, layer) in self.layers.iter().enumerate() {
            let is_last = place + 1 == self.layers.len();
            x = layer.forward_then(&x, if is_last { Activation::Identity } else { Activation::Relu })?;
        }
        x.to_vec2()
    }
}

/// A layer norm over the last dimension, ε 1e-6, in the precision of the network.
pub(super) fn layer_norm(vb: &VarBuilder<'_>, channels: usize, kernels: Kernels) -> Result<LayerNorm> {
    let part = |name: &str, value: f64| {
        vb.get_with_hints(channels, name, Init::Const(value))?.to_dtype(kernels.dtype())
    };
    LayerNorm::new(part("weight", 1.0)?, part("bias", 0.0)?, 1e-6)
}

/// A linear layer; `shape` is `[outputs, inputs…]`: a patch convolution's weight is a matrix on the pixels of its patch.
pub(super) fn linear(vb: &VarBuilder<'_>, shape: &[usize], kernels: Kernels) -> Result<Linear> {
    let weight = vb.get_with_hints(shape, "weight", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
    let bias = vb.get_with_hints(shape[0], "bias", Init::Const(0.0))?;
    // Flattening would copy what is only listed.
    let weight = if kernels == Kernels::Listed { weight } else { weight.flatten_from(1)? };
    Linear::in_form(&weight, &bias, kernels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::kernels::Activation;
    use crate::models::kernels::conv::Conv;
    use crate::models::noise::Noise;

    #[test]
    fn slices_of_a_kernel_that_meet_nothing_change_nothing() {
        let normal = |stream, dims: &[usize]| {
            let values = Noise::new(1, stream).normals(dims.iter().product());
            Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
        };
        let (weight, bias) = (normal(1, &[9, 3, 7, 7, 7]), normal(2, &[9]));
        for (depth, slices) in [(1, 1), (2, 3), (3, 5), (4, 7), (9, 7)] {
            let less = within_depth(&weight, depth).unwrap();
            assert_eq!(less.dims(), [9, 3, slices, 7, 7]);
            let x = normal(3, &[1, 3, depth, 5, 6]);
            let [all, some] = [&weight, &less].map(|weight| {
                let layer = Conv::new(weight, &bias, Kernels::Fused).unwrap();
                let sum = layer.forward(&x, Activation::Identity).unwrap();
                sum.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            });
            assert_eq!(all, some);
        }
    }
}
