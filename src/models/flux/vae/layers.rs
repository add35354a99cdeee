//! What the autoencoder is made of: convolutions, group norms, residual blocks and its attention.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::super::cpu::conv::{Sizes, by_offset, conv3x3};
use super::super::cpu::gemm::{Before, Matrix, Target, product};
use super::super::cpu::rows;
use super::super::ops::{Mask, attention, on_host};
use super::super::source::Source;
use super::super::transformer::Layout;

const EPS: f64 = 1e-6;

#[derive(Debug)]
enum Kernel {
    /// [9, outputs, inputs], in host memory.
    Offsets(Vec<f32>),
    /// As stored: [outputs, inputs, k, k].
    Whole(Tensor),
}

/// A convolution with bias, stride 1 and as much padding as keeps the size.
#[derive(Debug)]
pub struct Conv {
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: Kernel,
    bias: Tensor,
}

impl Conv {
    /// `name` of `source`, `side` × `side`.
    pub fn new(
        source: &Source<'_>,
        name: &str,
        (inputs, outputs): (usize, usize),
        side: usize,
    ) -> Result<Self> {
        let weight = source.tensor(&format!("{name}.weight"), &[outputs, inputs, side, side])?;
        let bias = source.tensor(&format!("{name}.bias"), &[outputs])?;
        let in_host = weight.device().is_cpu() && weight.dtype() == DType::F32 && !source.is_listing();
        let kernel = if in_host && side == 3 {
            Kernel::Offsets(on_host(&[&weight], |values| by_offset(values[0], outputs, inputs))?)
        } else {
            Kernel::Whole(weight)
        };
        Ok(Self { inputs, outputs, side, kernel, bias })
    }

    /// Of `x` [1, inputs, h, w]: [1, outputs, h, w].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, inputs, height, width) = x.dims4()?;
        if inputs != self.inputs {
            candle_core::bail!("a convolution of {} channels was given {inputs}", self.inputs)
        }
        let shape = (1, self.outputs, height, width);
        match &self.kernel {
            Kernel::Offsets(weight) => {
                let sizes = Sizes { inputs, outputs: self.outputs, height, width };
                let out = on_host(&[x, &self.bias], |v| conv3x3(sizes, v[0], weight, v[1]))?;
                let Some(out) = out else {
                    candle_core::bail!("a convolution of {sizes:?} does not fit its weights")
                };
                Tensor::from_vec(out, shape, x.device())
            }
            Kernel::Whole(weight) if self.side == 1 && x.device().is_cpu() => {
                let out = on_host(&[x, weight, &self.bias], |v| {
                    pointwise((inputs, self.outputs, height * width), v[0], v[1], v[2])
                })?;
                let Some(out) = out else { candle_core::bail!("a 1x1 convolution does not fit its weights") };
                Tensor::from_vec(out, shape, x.device())
            }
            Kernel::Whole(weight) => {
                let y = in_bands(x, weight, self.side / 2)?;
                y.broadcast_add(&self.bias.reshape((1, self.outputs, 1, 1))?)
            }
        }
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let kernel = match &self.kernel {
            Kernel::Offsets(values) => size_of_val(values.as_slice()),
            Kernel::Whole(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
        };
        kernel + self.bias.elem_count() * self.bias.dtype().size_in_bytes()
    }
}

/// Bytes that an unfolded band may take.
const BAND: usize = 1 << 27;

/// candle's convolution, some rows at a time: it unfolds what it is given to k² times its size, which at 512×512 would
/// be more than a gigabyte for the widest pictures.
fn in_bands(x: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    let (_, inputs, height, width) = x.dims4()?;
    let unfolded_row = inputs * weight.dim(2)? * weight.dim(3)? * width * x.dtype().size_in_bytes();
    let rows = (BAND / unfolded_row.max(1)).clamp(1, height.max(1));
    if rows >= height {
        return x.conv2d(weight, padding, 1, 1, 1);
    }
    let padded = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
    let bands = (0..height)
        .step_by(rows)
        .map(|first| {
            let count = rows.min(height - first) + 2 * padding;
            padded.narrow(2, first, count)?.contiguous()?.conv2d(weight, 0, 1, 1, 1)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&bands, 2)
}

/// A matrix product over channels, at every pixel.
fn pointwise(
    (inputs, outputs, area): (usize, usize, usize),
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> Option<Vec<f32>> {
    let mut out = vec![0f32; outputs * area];
    out.par_chunks_mut(area.max(1)).zip(bias).for_each(|(out, bias)| out.fill(*bias));
    let (weight, x) = (Matrix::rows(weight, outputs, inputs)?, Matrix::rows(x, inputs, area)?);
    let threads = rayon::current_num_threads();
    product(&mut Target::new(&mut out, area), Before::Kept, 1.0, weight, x, threads).then_some(out)
}

/// A group norm with weight and bias per channel.
#[derive(Debug)]
pub struct Norm {
    groups: usize,
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    /// `name` of `source`.
    pub fn new(source: &Source<'_>, name: &str, channels: usize, groups: usize) -> Result<Self> {
        let get = |part: &str| source.tensor(&format!("{name}.{part}"), &[channels]);
        Ok(Self { groups, weight: get("weight")?, bias: get("bias")? })
    }

    /// Normalised.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    /// Normalised, then SiLU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    fn apply(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            let out = on_host(&[x, &self.weight, &self.bias], |v| {
                rows::group_norm(v[0], self.groups, v[1], v[2], EPS as f32, silu)
            })?;
            return Tensor::from_vec(out, x.dims(), x.device());
        }
        let (_, channels, height, width) = x.dims4()?;
        let grouped = x.to_dtype(DType::F32)?.reshape((self.groups, ()))?;
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim(1)?)?;
        let variance = centred.sqr()?.mean_keepdim(1)?;
        let normal =
            centred.broadcast_div(&(variance + EPS)?.sqrt()?)?.reshape((1, channels, height, width))?;
        let per_channel = |v: &Tensor| v.to_dtype(DType::F32)?.reshape((1, channels, 1, 1));
        let y =
            normal.broadcast_mul(&per_channel(&self.weight)?)?.broadcast_add(&per_channel(&self.bias)?)?;
        (if silu { y.silu()? } else { y }).to_dtype(x.dtype())
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        2 * self.weight.elem_count() * self.weight.dtype().size_in_bytes()
    }
}

/// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1×1 convolution of x where the number of channels changes.
#[derive(Debug)]
pub struct Residual {
    norm1: Norm,
    conv1: Conv,
    norm2: Norm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

impl Residual {
    /// `name` of `source`.
    pub fn new(
        source: &Source<'_>,
        name: &str,
        (inputs, outputs): (usize, usize),
        groups: usize,
    ) -> Result<Self> {
        let at = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm1: Norm::new(source, &at("norm1"), inputs, groups)?,
            conv1: Conv::new(source, &at("conv1"), (inputs, outputs), 3)?,
            norm2: Norm::new(source, &at("norm2"), outputs, groups)?,
            conv2: Conv::new(source, &at("conv2"), (outputs, outputs), 3)?,
            shortcut: (inputs != outputs)
                .then(|| Conv::new(source, &at("nin_shortcut"), (inputs, outputs), 1))
                .transpose()?,
        })
    }

    /// Of `x` [1, inputs, h, w].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.conv1.forward(&self.norm1.forward_silu(x)?)?;
        let y = self.conv2.forward(&self.norm2.forward_silu(&y)?)?;
        match &self.shortcut {
            Some(conv) => conv.forward(x)? + y,
            None => x + y,
        }
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let shortcut = self.shortcut.as_ref().map_or(0, Conv::size);
        self.norm1.size() + self.conv1.size() + self.norm2.size() + self.conv2.size() + shortcut
    }
}

/// Attention of every position to every other, one head over all channels.
#[derive(Debug)]
pub struct Attention {
    norm: Norm,
    query: Conv,
    key: Conv,
    value: Conv,
    output: Conv,
}

impl Attention {
    /// `name` of `source`: 1×1 convolutions as Black Forest Labs store them, matrices as diffusers does.
    pub fn new(
        source: &Source<'_>,
        name: &str,
        channels: usize,
        groups: usize,
        layout: Layout,
    ) -> Result<Self> {
        let conv = |part: &str| {
            let name = format!("{name}.{part}");
            if layout == Layout::BlackForestLabs {
                return Conv::new(source, &name, (channels, channels), 1);
            }
            let weight = source.tensor(&format!("{name}.weight"), &[channels, channels])?;
            let weight =
                if source.is_listing() { weight } else { weight.reshape((channels, channels, 1, 1))? };
            let bias = source.tensor(&format!("{name}.bias"), &[channels])?;
            Ok(Conv { inputs: channels, outputs: channels, side: 1, kernel: Kernel::Whole(weight), bias })
        };
        Ok(Self {
            norm: Norm::new(source, &format!("{name}.norm"), channels, groups)?,
            query: conv("q")?,
            key: conv("k")?,
            value: conv("v")?,
            output: conv("proj_out")?,
        })
    }

    /// Of `x` [1, channels, h, w].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let normal = self.norm.forward(x)?;
        let tokens =
            |conv: &Conv| conv.forward(&normal)?.reshape((channels, height * width))?.t()?.contiguous();
        let (q, k, v) = (tokens(&self.query)?, tokens(&self.key)?, tokens(&self.value)?);
        let scale = 1.0 / (channels as f64).sqrt();
        let attended = attention(1, scale, [&q, &k, &v], &Mask::None)?;
        let attended = attended.t()?.contiguous()?.reshape((1, channels, height, width))?;
        x + self.output.forward(&attended)?
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        [&self.query, &self.key, &self.value, &self.output].map(Conv::size).iter().sum::<usize>()
            + self.norm.size()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::models::noise::Noise;

    #[test]
    fn a_convolution_in_bands_is_the_whole_one() {
        let random = |dims: &[usize]| {
            Tensor::from_vec(Noise::new(1, 0).normals(dims.iter().product()), dims, &Device::Cpu).unwrap()
        };
        // 40 channels of 3000 columns unfold to 4.3 MB a row: bands of 31 rows.
        let (x, weight) = (random(&[1, 40, 70, 3000]), random(&[2, 40, 3, 3]));
        let (bands, whole) = (in_bands(&x, &weight, 1).unwrap(), x.conv2d(&weight, 1, 1, 1, 1).unwrap());
        assert_eq!(bands.dims(), whole.dims());
        let worst = (bands - whole).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-3, "{worst:e}");
    }
}
