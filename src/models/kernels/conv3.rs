//! Convolution by 3×3 (pictures) or 3×3×3 (volumes) kernels, stride one, zero padding: nearly all of the animator's work.
//!
//! Owns the choice between the fused kernel and stock operations and what may follow the sum: bias, residual,
//! activation, 2×2 pooling, SPADE's modulation. Its input may stand for a nearest-neighbour enlargement that is never
//! made.

use candle_core::{DType, Device, Result, Tensor, bail};

mod banded;
mod enlarged;
mod finish;
mod packed;
mod pieces;
pub(super) mod scratch;
mod tile;
mod tiles;
mod transform;
mod wide;
mod winograd;

use self::banded::Banded;
use self::enlarged::Enlarged;
use self::finish::Finish as Epilogue;
use self::tiles::{Source, Volume};
use self::transform::Three;
pub(super) use self::wide::Wide;
use self::winograd::Winograd;
use super::activation::Activation;
use super::buffers::{self, taken};
use super::form::Kernels;
use super::grid_sample;
use super::host::{values, with_values};
use super::instance_norm::Statistics;
use super::resample::{average_pool, enlarge};
use super::stencil::Stencil;
use crate::profile::timed;

/// Most weights, inputs times outputs times slices, of a volume's layer that is carried out band by band: each band
/// transforms the slices beside its own once more, and the smallest pictures have the most weights.
const FEW: usize = 1 << 15;

/// Enlargement from which on nine products for each pixel before it cost less than Winograd's transforms and products for
/// those after it. Measured: at 4 they take 0.48 of the time with 256 and 384 channels and 0.63 with 16 and 24; at 2, where
/// both need as many products, 1.8 and 1.5.
const LEAST_FACTOR: usize = 4;

/// Frees what the calling thread and those of its pool keep for their next results; returns the bytes.
pub fn release_scratch() -> usize {
    let given = || {
        winograd::release_scratch() + scratch::release() + grid_sample::release_scratch() + buffers::release()
    };
    given() + rayon::broadcast(|_| given()).into_iter().sum::<usize>()
}

/// Some channels of a tensor, enlarged `factor` times in height and width.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    tensor: &'a Tensor,
    first: usize,
    channels: Option<usize>,
    factor: usize,
}

impl<'a> Input<'a> {
    /// All of `tensor`, `[batch, channels, (depth,) height, width]`.
    pub fn new(tensor: &'a Tensor) -> Self {
        Self { tensor, first: 0, channels: None, factor: 1 }
    }

    /// Only `count` channels from `first` on.
    #[must_use]
    pub fn channels(self, first: usize, count: usize) -> Self {
        Self { first, channels: Some(count), ..self }
    }

    /// As if every pixel were `factor` × `factor` pixels (nearest-neighbour enlargement).
    #[must_use]
    pub fn enlarged(self, factor: usize) -> Self {
        Self { factor, ..self }
    }

    /// The same as a tensor of its own.
    fn made(self) -> Result<Tensor> {
        let taken = match self.channels {
            Some(count) => self.tensor.narrow(1, self.first, count)?,
            None => self.tensor.clone(),
        };
        enlarge(&taken, self.factor)
    }
}

/// What follows the sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// Added to the sum; of the output's shape before pooling.
    pub residual: Option<&'a Tensor>,
    /// Applied next.
    pub activation: Activation,
    /// Averages 2×2 pixels last.
    pub pool: bool,
}

impl Finish<'_> {
    /// An activation and nothing else.
    pub fn activated(activation: Activation) -> Self {
        Self { activation, ..Self::default() }
    }
}

/// A layer: weights `[outputs, inputs, (3,) 3, 3]` and a bias.
pub struct Conv3 {
    outputs: usize,
    inputs: usize,
    /// Kernel slices: 1 for pictures, 3 for volumes.
    taps: usize,
    form: Form,
}

enum Form {
    Fused { kernel: Fused, bias: Vec<f32> },
    Picture { weight: Tensor, bias: Tensor },
    Volume(Stencil),
    Listed,
}

/// How the 36 products of each tile are carried out: which one is better is decided by the layer's size alone.
enum Fused {
    Banded(Banded<Three>),
    Staged(Winograd),
    Enlarged(Enlarged),
}

impl Fused {
    fn prepare(weights: &[f32], outputs: usize, inputs: usize, [taps, factor]: [usize; 2]) -> Self {
        if taps == 1 && factor >= LEAST_FACTOR {
            Self::Enlarged(Enlarged::prepare(weights, outputs, inputs))
        } else if taps == 1 || outputs * inputs * taps <= FEW {
            Self::Banded(Banded::prepare(weights, outputs, inputs, [taps, 3]))
        } else {
            Self::Staged(Winograd::prepare(weights, outputs, inputs, taps))
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Banded(kernel) => kernel.bytes(),
            Self::Staged(kernel) => kernel.bytes(),
            Self::Enlarged(kernel) => kernel.bytes(),
        }
    }

    fn run(&self, source: Source<'_>, volume: Volume, finish: &Epilogue<'_>, out: &mut [f32]) -> Result<()> {
        match self {
            Self::Banded(kernel) => kernel.run(source, volume, finish, out),
            Self::Staged(kernel) => kernel.run(source, volume, finish, out)?,
            Self::Enlarged(_) if source.factor < 2 || finish.is_paired() => {
                bail!("a convolution that was made for an enlarged input was given another, or modulates")
            }
            Self::Enlarged(kernel) => kernel.run(source, volume, finish, out),
        }
        Ok(())
    }
}

impl Conv3 {
    /// From `weight` `[outputs, inputs, 3, 3]` or `[outputs, inputs, n, 3, 3]` with odd n, and `bias` `[outputs]`.
    pub fn new(weight: &Tensor, bias: &Tensor, kernels: Kernels) -> Result<Self> {
        Self::of_enlarged(weight, bias, 1, kernels)
    }

    /// The same, of inputs that are always enlarged by `factor`.
    pub fn of_enlarged(weight: &Tensor, bias: &Tensor, factor: usize, kernels: Kernels) -> Result<Self> {
        let (outputs, inputs, taps) = match *weight.dims() {
            [outputs, inputs, 3, 3] => (outputs, inputs, 1),
            [outputs, inputs, taps, 3, 3] if taps % 2 == 1 => (outputs, inputs, taps),
            _ => {
                bail!("a 3x3 convolution's weight has shape [o, i, (n,) 3, 3], this one {:?}", weight.dims())
            }
        };
        if bias.dims() != [outputs] {
            bail!("a convolution with {outputs} outputs has as many biases, not {:?}", bias.dims());
        }
        let form = match kernels {
            Kernels::Listed => Form::Listed,
            Kernels::Fused => Form::Fused {
                kernel: Fused::prepare(&values(weight)?, outputs, inputs, [taps, factor]),
                bias: values(bias)?,
            },
            Kernels::Stock(dtype) if weight.rank() == 4 => {
                let bias = bias.to_dtype(dtype)?.reshape((1, outputs, 1, 1))?;
                Form::Picture { weight: weight.to_dtype(dtype)?, bias }
            }
            Kernels::Stock(dtype) => Form::Volume(Stencil::new(weight, bias, dtype)?),
        };
        Ok(Self { outputs, inputs, taps, form })
    }

    /// Bytes that its weights hold.
    pub fn bytes(&self) -> usize {
        match &self.form {
            Form::Fused { kernel, bias } => kernel.bytes() + size_of_val(bias.as_slice()),
            Form::Picture { weight, bias } => bytes_of(weight) + bytes_of(bias),
            Form::Volume(stencil) => stencil.bytes(),
            Form::Listed => 0,
        }
    }

    /// The convolution of `input`, finished.
    pub fn forward(&self, input: Input<'_>, finish: Finish<'_>) -> Result<Tensor> {
        timed!("conv3", x = input.tensor.dims(), outputs = self.outputs);
        self.check(input)?;
        let Form::Fused { kernel, bias } = &self.form else {
            let mut sum = self.stock(&input.made()?)?;
            if let Some(residual) = finish.residual {
                sum = (sum + residual)?;
            }
            let activated = finish.activation.forward(&sum)?;
            return if finish.pool { average_pool(&activated) } else { Ok(activated) };
        };
        let (volume, mut dims) = self.volume(input)?;
        let side = dims.len() - 2;
        if finish.pool {
            dims[side] /= 2;
            dims[side + 1] /= 2;
        }
        let run = |residual: Option<&[f32]>| {
            let slope = finish.activation.negative_slope()?;
            let epilogue = Epilogue::Plain { bias, slope, residual, pool: finish.pool };
            self.fused(kernel, input, volume, &epilogue, &dims)
        };
        match finish.residual {
            Some(residual) if residual.elem_count() == expected(volume, self.outputs) => {
                with_values(residual, |values| run(Some(values)))
            }
            Some(residual) => bail!("a residual of shape {:?} does not fit the sum", residual.dims()),
            None => run(None),
        }
    }

    /// SPADE: this layer's outputs are γ and β, and `x`, enlarged `factor` times, is normalised by `statistics`,
    /// scaled by 1 + γ, shifted by β and activated. Pictures only.
    pub fn modulate(
        &self,
        input: Input<'_>,
        x: &Tensor,
        factor: usize,
        statistics: &Statistics,
        activation: Activation,
    ) -> Result<Tensor> {
        timed!("conv3 spade", x = x.dims(), outputs = self.outputs);
        self.check(input)?;
        let Form::Fused { kernel, bias } = &self.form else {
            let modulation = self.stock(&input.made()?)?;
            let (gamma, beta) = (
                modulation.narrow(1, 0, self.outputs / 2)?,
                modulation.narrow(1, self.outputs / 2, self.outputs / 2)?,
            );
            let x = enlarge(&statistics.normalise(x)?, factor)?;
            return activation.forward(&((&x * (gamma + 1.0)?)? + beta)?);
        };
        let (volume, mut dims) = self.volume(input)?;
        dims[1] = self.outputs / 2;
        let expected = expected(volume, dims[1]) / (factor * factor);
        if x.rank() != 4 || x.elem_count() != expected || !self.outputs.is_multiple_of(2) {
            bail!("{:?} cannot be modulated by {} channels at factor {factor}", x.dims(), self.outputs);
        }
        let (mean, scale) = statistics.values()?;
        with_values(x, |x| {
            let slope = activation.negative_slope()?;
            let epilogue = Epilogue::Modulate { bias, slope, x, factor, mean: &mean, scale: &scale };
            self.fused(kernel, input, volume, &epilogue, &dims)
        })
    }

    fn fused(
        &self,
        kernel: &Fused,
        input: Input<'_>,
        volume: Volume,
        epilogue: &Epilogue<'_>,
        dims: &[usize],
    ) -> Result<Tensor> {
        let total = input.tensor.dim(1)?;
        let mut out = taken(dims.iter().product());
        if !out.is_empty() {
            with_values(input.tensor, |data| {
                kernel.run(
                    Source { data, total, first: input.first, factor: input.factor },
                    volume,
                    epilogue,
                    &mut out,
                )
            })?;
        }
        out.into_tensor(dims)
    }

    fn stock(&self, x: &Tensor) -> Result<Tensor> {
        match &self.form {
            Form::Picture { weight, bias } => x.conv2d(weight, 1, 1, 1, 1)?.broadcast_add(bias),
            Form::Volume(stencil) => stencil.forward(x),
            Form::Fused { .. } | Form::Listed => bail!("weights that were only listed cannot be used"),
        }
    }

    fn check(&self, input: Input<'_>) -> Result<()> {
        let total = input.tensor.dim(1)?;
        let count = input.channels.unwrap_or(total);
        let rank = if self.taps == 1 { 4..=5 } else { 5..=5 };
        if count != self.inputs || input.first + count > total || !rank.contains(&input.tensor.rank()) {
            bail!(
                "a convolution of {} channels was given {count} from {} on of {:?}",
                self.inputs,
                input.first,
                input.tensor.dims()
            );
        }
        Ok(())
    }

    /// Size of the input as enlarged, and the shape of the sum.
    fn volume(&self, input: Input<'_>) -> Result<(Volume, Vec<usize>)> {
        let mut dims = input.tensor.dims().to_vec();
        let rank = dims.len();
        dims[1] = self.outputs;
        dims[rank - 2] *= input.factor;
        dims[rank - 1] *= input.factor;
        let depth = if rank == 5 { dims[2] } else { 1 };
        Ok((Volume { batch: dims[0], depth, height: dims[rank - 2], width: dims[rank - 1] }, dims))
    }
}

fn expected(volume: Volume, channels: usize) -> usize {
    volume.batch * channels * volume.depth * volume.height * volume.width
}

fn bytes_of(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// A bias of zeros, for layers that have none.
pub fn no_bias(outputs: usize, device: &Device) -> Result<Tensor> {
    Tensor::zeros(outputs, DType::F32, device)
}

#[cfg(test)]
mod tests;
