//! Adaptive instance normalisation and what is built of it: style-driven residual blocks of two kinds.
//!
//! AdaIN (Huang & Belongie 2017) normalises each channel over time, then scales and shifts it by the style.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use super::norms::Norms;
use crate::models::kernels::conv1d::{Affine, Conv1d, ConvShape, InputActivation, Prepare};
use crate::models::kernels::{Activation, Doubler, Kernels, Linear, Signal, moments};

/// torch's default for instance norm.
const EPSILON: f64 = 1e-5;

/// From a style to a gain and a shift for each channel.
#[derive(Debug)]
pub(super) struct AdaIn {
    fc: Linear,
    channels: usize,
}

impl AdaIn {
    /// For signals of `channels`, styles of `style`; tensors `fc.weight`, `fc.bias`.
    pub(super) fn new(style: usize, channels: usize, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        // Small, so that a fresh network starts near plain normalisation.
        let weight =
            vb.get_with_hints((2 * channels, style), "fc.weight", Init::Randn { mean: 0.0, stdev: 0.02 })?;
        let bias = vb.get_with_hints(2 * channels, "fc.bias", Init::Const(0.0))?;
        Ok(Self { fc: Linear::in_form(&weight, &bias, kernels)?, channels })
    }

    /// On the CPU: how to normalise the signal `data` (rows of `len`) by this style on its way into a convolution.
    fn affine(&self, data: &[f32], len: usize, style: &Tensor, norms: &mut Norms) -> Result<Affine> {
        let scales = self.fc.forward(style)?.flatten_all()?.to_vec1::<f32>()?;
        let (gain, shift) = scales.split_at(self.channels);
        let rows = norms.of(len, || data.par_chunks(len).map(moments).collect());
        let scaled = rows.into_iter().zip(gain).map(|((mean, variance), gain)| {
            (mean, (1.0 + gain) * (1.0 / (variance + EPSILON).sqrt()) as f32)
        });
        let (mean, gain) = scaled.unzip();
        Ok(Affine { mean, gain, shift: shift.to_vec() })
    }

    /// The normalised, scaled and shifted [1, channels, len] signal, by candle's operations.
    fn tensor(&self, x: &Tensor, style: &Tensor, norms: &mut Norms) -> Result<Tensor> {
        let scales = self.fc.forward(style)?.reshape((1, 2 * self.channels, 1))?;
        let gain = (scales.narrow(1, 0, self.channels)? + 1.0)?;
        let shift = scales.narrow(1, self.channels, self.channels)?;
        let (mean, variance) = norms.of_tensor(x)?;
        let spread = (variance + EPSILON)?.sqrt()?;
        x.broadcast_sub(&mean)?.broadcast_div(&spread)?.broadcast_mul(&gain)?.broadcast_add(&shift)
    }
}

/// AdaIN, leaky ReLU and convolution, twice, beside a shortcut: predictor and decoder are made of these.
#[derive(Debug)]
pub(super) struct StyleBlock {
    norm1: AdaIn,
    norm2: AdaIn,
    conv1: Conv1d,
    conv2: Conv1d,
    shortcut: Option<Conv1d>,
    doubler: Option<Doubler>,
    kernels: Kernels,
}

/// Slope of its activations.
const BLOCK_SLOPE: f32 = 0.2;

impl StyleBlock {
    /// From `inputs` to `outputs` channels, twice as long where it `doubles`.
    pub(super) fn new(
        (inputs, outputs): (usize, usize),
        style: usize,
        doubles: bool,
        vb: &VarBuilder<'_>,
        kernels: Kernels,
    ) -> Result<Self> {
        let shape = |inputs, outputs, taps| ConvShape { inputs, outputs, taps, dilation: 1 };
        let shortcut = match inputs == outputs {
            true => None,
            false => Some(Conv1d::normed(shape(inputs, outputs, 1), false, &vb.pp("conv1x1"), kernels)?),
        };
        Ok(Self {
            norm1: AdaIn::new(style, inputs, &vb.pp("norm1"), kernels)?,
            norm2: AdaIn::new(style, outputs, &vb.pp("norm2"), kernels)?,
            conv1: Conv1d::normed(shape(inputs, outputs, 3), true, &vb.pp("conv1"), kernels)?,
            conv2: Conv1d::normed(shape(outputs, outputs, 3), true, &vb.pp("conv2"), kernels)?,
            shortcut,
            doubler: if doubles { Some(Doubler::new(inputs, &vb.pp("pool"))?) } else { None },
            kernels,
        })
    }

    /// [1, inputs, len] and a [1, style] to [1, outputs, len or 2·len].
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let mut side = x.clone();
        if self.doubler.is_some() {
            let (batch, channels, len) = side.dims3()?;
            side = side.unsqueeze(3)?.broadcast_as((batch, channels, len, 2))?.reshape((
                batch,
                channels,
                2 * len,
            ))?;
        }
        if let Some(shortcut) = &self.shortcut {
            side = shortcut.forward(&side)?;
        }
        (self.residual(x, style)? + side)? * std::f64::consts::FRAC_1_SQRT_2
    }

    fn residual(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let leaky = |x: &Tensor| Activation::Leaky(BLOCK_SLOPE).forward(x);
        if self.kernels != Kernels::Fused || self.doubler.is_some() {
            let mut y = leaky(&self.norm1.tensor(x, style, &mut Norms::own())?)?;
            if let Some(doubler) = &self.doubler {
                y = doubler.forward(&y)?;
            }
            let y = self.conv1.forward(&y)?;
            return self.conv2.forward(&leaky(&self.norm2.tensor(&y, style, &mut Norms::own())?)?);
        }
        let x = Signal::of(x)?;
        let mut y = Signal::zeros(self.conv1.outputs(), x.len);
        self.step(&self.norm1, &self.conv1, &x, style, &mut y)?;
        let mut z = Signal::zeros(self.conv2.outputs(), x.len);
        self.step(&self.norm2, &self.conv2, &y, style, &mut z)?;
        z.into_tensor()
    }

    fn step(&self, norm: &AdaIn, conv: &Conv1d, x: &Signal, style: &Tensor, out: &mut Signal) -> Result<()> {
        let affine = Some(norm.affine(&x.data, x.len, style, &mut Norms::own())?);
        let prepare = Prepare { affine, activation: InputActivation::Leaky(BLOCK_SLOPE) };
        conv.write(&x.data, x.len, &prepare, &mut out.data, false)
    }
}

/// AdaIN, Snake and convolution, twice for each dilation, added onto the signal: the vocoder is made of these.
#[derive(Debug)]
pub(super) struct SnakeBlock {
    steps: Vec<SnakeStep>,
    reach: usize,
    kernels: Kernels,
}

#[derive(Debug)]
struct SnakeStep {
    halves: [(AdaIn, Tensor, Conv1d); 2],
}

impl SnakeBlock {
    /// For `channels`; tensors `convs1.{i}`, `adain1.{i}`, `alpha1.{i}` and the same with 2, i over `dilations`.
    pub(super) fn new(
        channels: usize,
        taps: usize,
        dilations: &[usize],
        style: usize,
        vb: &VarBuilder<'_>,
        kernels: Kernels,
    ) -> Result<Self> {
        let half = |half: usize, step: usize, dilation: usize| -> Result<(AdaIn, Tensor, Conv1d)> {
            let shape = ConvShape { inputs: channels, outputs: channels, taps, dilation };
            Ok((
                AdaIn::new(style, channels, &vb.pp(format!("adain{half}.{step}")), kernels)?,
                vb.get_with_hints((1, channels, 1), &format!("alpha{half}.{step}"), Init::Const(1.0))?,
                Conv1d::normed(shape, true, &vb.pp(format!("convs{half}.{step}")), kernels)?,
            ))
        };
        let steps = dilations
            .iter()
            .enumerate()
            .map(|(step, dilation)| Ok(SnakeStep { halves: [half(1, step, *dilation)?, half(2, step, 1)?] }))
            .collect::<Result<_>>()?;
        let reach = dilations.iter().map(|dilation| taps / 2 * (dilation + 1)).sum();
        Ok(Self { steps, reach, kernels })
    }

    /// How far to each side its convolutions look.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// [1, channels, len] to the same.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor, norms: &mut Norms) -> Result<Tensor> {
        if self.kernels == Kernels::Fused {
            let mut signal = Signal::of(x)?;
            let mut scratch = vec![0.0; signal.data.len()];
            self.in_place(&mut signal, style, &mut scratch, norms)?;
            return signal.into_tensor();
        }
        let mut x = x.clone();
        for step in &self.steps {
            let mut y = x.clone();
            for (norm, alpha, conv) in &step.halves {
                y = norm.tensor(&y, style, norms)?;
                let sine = y.broadcast_mul(alpha)?.sin()?.sqr()?;
                y = conv.forward(&(y + sine.broadcast_div(alpha)?)?)?;
            }
            x = (x + y)?;
        }
        Ok(x)
    }

    /// The same on the CPU, in place; `scratch` is as large as the signal and left with nothing of meaning.
    pub(super) fn in_place(
        &self,
        x: &mut Signal,
        style: &Tensor,
        scratch: &mut [f32],
        norms: &mut Norms,
    ) -> Result<()> {
        for SnakeStep { halves: [(norm1, alpha1, conv1), (norm2, alpha2, conv2)] } in &self.steps {
            let prepare = snake(norm1.affine(&x.data, x.len, style, norms)?, alpha1)?;
            conv1.write(&x.data, x.len, &prepare, scratch, false)?;
            let prepare = snake(norm2.affine(scratch, x.len, style, norms)?, alpha2)?;
            conv2.write(scratch, x.len, &prepare, &mut x.data, true)?;
        }
        Ok(())
    }
}

fn snake(affine: Affine, alpha: &Tensor) -> Result<Prepare> {
    let alpha = alpha.flatten_all()?.to_vec1()?;
    Ok(Prepare { affine: Some(affine), activation: InputActivation::Snake(alpha) })
}
