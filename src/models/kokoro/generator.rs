//! The vocoder: from decoder features, a style and the harmonic source to a spectrum, and from it to sound (ISTFTNet,
//! Kaneko et al. 2022).
//!
//! A part of a long sentence can be made for itself: see [`super::windows`]. On the CPU it keeps four signals of the widest stage at a time and works in place; that bounds a run's memory.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use super::adain::SnakeBlock;
use super::config::KokoroConfig;
use super::norms::Norms;
use super::source::{NoiseOf, Source};
use crate::models::kernels::conv1d::{Conv1d, InputActivation, Prepare, weight_norm};
use crate::models::kernels::{Activation, Kernels, Signal, Stft, Upsample};
use crate::profile::timed;

/// Harmonics of the source, the fundamental included; the release hard-codes it.
const HARMONICS: usize = 9;
/// Slope of the leaky ReLU before each up-sampling.
const SLOPE: f32 = 0.1;
/// Slope of the one before the last convolution: torch's default.
const LAST_SLOPE: f32 = 0.01;
/// Taps of the last convolution.
const LAST_TAPS: usize = 7;

/// The vocoder's networks.
#[derive(Debug)]
pub struct Generator {
    source: Source,
    stft: Stft,
    stages: Vec<Stage>,
    last: Conv1d,
    kernels: Kernels,
}

#[derive(Debug)]
struct Stage {
    noise_conv: NoiseConv,
    noise_block: SnakeBlock,
    up: Upsample,
    blocks: Vec<SnakeBlock>,
}

/// A plain convolution of the source's spectrum, strided but for the last stage's.
#[derive(Debug)]
struct NoiseConv {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
}

impl NoiseConv {
    fn new(inputs: usize, outputs: usize, stride: Option<usize>, vb: &VarBuilder<'_>) -> Result<Self> {
        let (taps, padding) = stride.map_or((1, 0), |stride| (2 * stride, stride.div_ceil(2)));
        let spread = 1.0 / ((inputs * taps) as f64).sqrt();
        let weight =
            vb.get_with_hints((outputs, inputs, taps), "weight", Init::Randn { mean: 0.0, stdev: spread })?;
        let bias = vb.get_with_hints(outputs, "bias", Init::Const(0.0))?.reshape((1, outputs, 1))?;
        Ok(Self { weight, bias, stride: stride.unwrap_or(1), padding })
    }

    fn forward(&self, har: &Tensor) -> Result<Tensor> {
        har.conv1d(&self.weight, self.padding, self.stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

impl Generator {
    /// The networks under `vb` (`decoder.module.generator`).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let vocoder = &config.istftnet;
        let stft = Stft::new(vocoder.gen_istft_n_fft, vocoder.gen_istft_hop_size);
        let merge = vb.pp("m_source.l_linear");
        // The sines have an amplitude of a tenth: weights of two make an excitation of the order of one.
        let weights =
            merge.get_with_hints((1, HARMONICS), "weight", Init::Randn { mean: 0.0, stdev: 2.0 })?;
        let bias = merge.get_with_hints(1, "bias", Init::Const(0.0))?;
        let source = Source::new(
            weights.flatten_all()?.to_vec1()?,
            bias.to_vec1::<f32>()?[0],
            vocoder.samples_per_f0(),
        );
        let kinds = vocoder.resblock_kernel_sizes.len();
        let count = vocoder.upsample_rates.len();
        let mut stages = Vec::with_capacity(count);
        for (index, (rate, taps)) in
            vocoder.upsample_rates.iter().zip(&vocoder.upsample_kernel_sizes).enumerate()
        {
            let channels = vocoder.upsample_initial_channel >> (index + 1);
            let last = index + 1 == count;
            let stride = (!last).then(|| vocoder.upsample_rates[index + 1..].iter().product());
            let block = |taps: usize, dilations: &[usize], vb: VarBuilder<'_>| {
                SnakeBlock::new(channels, taps, dilations, config.style_dim, &vb, kernels)
            };
            let blocks =
                vocoder.resblock_kernel_sizes.iter().zip(&vocoder.resblock_dilation_sizes).enumerate();
            stages.push(Stage {
                noise_conv: NoiseConv::new(
                    2 * stft.bins(),
                    channels,
                    stride,
                    &vb.pp(format!("noise_convs.{index}")),
                )?,
                // The release hard-codes these kernels and dilations.
                noise_block: block(
                    if last { 11 } else { 7 },
                    &[1, 3, 5],
                    vb.pp(format!("noise_res.{index}")),
                )?,
                up: Upsample::new(
                    (2 * channels, channels),
                    (*taps, *rate),
                    &vb.pp(format!("ups.{index}")),
                    kernels,
                )?,
                blocks: blocks
                    .map(|(kind, (taps, dilations))| {
                        block(*taps, dilations, vb.pp(format!("resblocks.{}", index * kinds + kind)))
                    })
                    .collect::<Result<_>>()?,
            });
        }
        let channels = vocoder.upsample_initial_channel >> count;
        let vb = vb.pp("conv_post");
        // Log-magnitudes around −3, not spread far, make a fresh network's sound fit into [−1, 1].
        let weight = weight_norm(&vb, (2 * stft.bins(), channels, LAST_TAPS), 0.25)?;
        let bias = vb.get_with_hints(2 * stft.bins(), "bias", Init::Const(-3.0))?;
        let last = Conv1d::new(&weight, Some(&bias), 1, LAST_TAPS / 2, kernels)?;
        Ok(Self { source, stft, stages, last, kernels })
    }

    /// How many frames to each side of a sample decide what it is, but for the norms' statistics: taps of every convolution
    /// between the decoder and the sound, the source's branch included.
    pub fn reach(&self) -> usize {
        // Halves of the transform's window, the last convolution, the mirrored sample; in places of the present stage.
        let mut reach = self.stft.size().div_ceil(2 * self.stft.hop()) + LAST_TAPS / 2 + 1;
        let mut per_frame = 2 * self.source.samples_per_f0() / self.stft.hop();
        let mut frames = 0;
        for stage in self.stages.iter().rev() {
            reach += stage.blocks.iter().map(SnakeBlock::reach).max().unwrap_or(0);
            let source = reach + stage.noise_block.reach() + 1;
            frames = frames.max(source.div_ceil(per_frame));
            reach = (reach + stage.up.taps()).div_ceil(stage.up.rate());
            per_frame /= stage.up.rate();
        }
        frames.max(reach.div_ceil(2))
    }

    /// The harmonic source.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The transform at both of its ends.
    pub fn stft(&self) -> &Stft {
        &self.stft
    }

    /// Magnitudes and phases of the excitation of the values `part` of `f0`: [1, 2·bins, frames] on `device`.
    pub fn harmonics(
        &self,
        f0: &[f32],
        part: Range<usize>,
        noise: NoiseOf<'_>,
        device: &Device,
    ) -> Result<Tensor> {
        let per = self.source.samples_per_f0();
        // A window of the transform reaches half its size to both sides.
        let side = self.stft.size().div_ceil(2 * per);
        let wide = part.start.saturating_sub(side)..(part.end + side).min(f0.len());
        let all = self.spectrum(&self.source.excite(f0, wide.clone(), noise), device)?;
        if wide == part {
            return Ok(all);
        }
        let frames = |values: usize| values * per / self.stft.hop();
        all.narrow(2, frames(part.start - wide.start), frames(part.len()) + 1)?.contiguous()
    }

    /// Magnitudes and phases of a given excitation: [1, 2·bins, frames] on `device`.
    pub fn spectrum(&self, excitation: &[f32], device: &Device) -> Result<Tensor> {
        let rows = self.stft.transform(excitation);
        Tensor::from_vec(rows, (1, 2 * self.stft.bins(), self.stft.frames(excitation.len())), &Device::Cpu)?
            .to_device(device)
    }

    /// Stage `stage`'s convolution of the source's spectrum.
    pub fn noise_conv(&self, stage: usize, har: &Tensor) -> Result<Tensor> {
        self.stages[stage].noise_conv.forward(har)
    }

    /// Stage `stage`'s residual block behind it.
    pub fn noise_block(&self, stage: usize, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        self.stages[stage].noise_block.forward(x, style, &mut Norms::own())
    }

    /// Stage `stage`'s up-sampling, before anything is mirrored or added.
    pub fn up(&self, stage: usize, x: &Tensor) -> Result<Tensor> {
        self.stages[stage].up.forward(x, SLOPE)
    }

    /// Residual block `block` of stage `stage`.
    pub fn block(&self, stage: usize, block: usize, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        self.stages[stage].blocks[block].forward(x, style, &mut Norms::own())
    }

    /// From decoder features [1, channels, 2·frames] to what the inverse transform is made of: [1, 2·bins, samples].
    pub fn features(&self, x: &Tensor, style: &Tensor, har: &Tensor) -> Result<Tensor> {
        self.features_by(x, style, har, &mut Norms::own())
    }

    /// The same, normalised by these statistics.
    pub fn features_by(&self, x: &Tensor, style: &Tensor, har: &Tensor, norms: &mut Norms) -> Result<Tensor> {
        norms.begin();
        match self.kernels {
            Kernels::Fused => self.in_place(x, style, har, norms),
            Kernels::Stock(_) | Kernels::Listed => self.of_tensors(x, style, har, norms),
        }
    }

    /// Log-magnitudes to magnitudes, and the sine of the rest as phases: each [1, bins, samples].
    pub fn split(&self, features: &Tensor) -> Result<(Tensor, Tensor)> {
        let bins = self.stft.bins();
        Ok((features.narrow(1, 0, bins)?.exp()?, features.narrow(1, bins, bins)?.sin()?))
    }

    /// The sound, not clamped: `samples_per_f0` samples for each value of F0.
    pub fn forward(&self, x: &Tensor, style: &Tensor, har: &Tensor) -> Result<Tensor> {
        timed!("generator", x = x.dims());
        self.sound(&self.features(x, style, har)?)
    }

    /// The sound of what the inverse transform is made of.
    pub fn sound(&self, features: &Tensor) -> Result<Tensor> {
        let (magnitudes, phases) = self.split(features)?;
        self.stft.inverse(&magnitudes, &phases)
    }

    fn of_tensors(&self, x: &Tensor, style: &Tensor, har: &Tensor, norms: &mut Norms) -> Result<Tensor> {
        let mut x = x.clone();
        for (index, stage) in self.stages.iter().enumerate() {
            let source = stage.noise_block.forward(&stage.noise_conv.forward(har)?, style, norms)?;
            x = stage.up.forward(&x, SLOPE)?;
            if index + 1 == self.stages.len() {
                x = Tensor::cat(&[&x.narrow(2, 1, 1)?, &x], 2)?;
            }
            x = (x + source)?;
            let mut sum = stage.blocks[0].forward(&x, style, norms)?;
            for block in &stage.blocks[1..] {
                sum = (sum + block.forward(&x, style, norms)?)?;
            }
            x = (sum / stage.blocks.len() as f64)?;
        }
        self.last.forward(&Activation::Leaky(LAST_SLOPE).forward(&x)?)
    }

    fn in_place(&self, x: &Tensor, style: &Tensor, har: &Tensor, norms: &mut Norms) -> Result<Tensor> {
        let mut x = Signal::of(x)?;
        for (index, stage) in self.stages.iter().enumerate() {
            let reflected = usize::from(index + 1 == self.stages.len());
            let mut sum = Signal::of(&stage.noise_conv.forward(har)?)?;
            let mut scratch = vec![0.0; sum.data.len()];
            stage.noise_block.in_place(&mut sum, style, &mut scratch, norms)?;
            stage.up.onto(&x, SLOPE, &mut sum, reflected)?;
            x = sum;
            let Some((final_block, first_blocks)) = stage.blocks.split_last() else { continue };
            let mut total: Option<Signal> = None;
            for block in first_blocks {
                let mut y = x.clone();
                block.in_place(&mut y, style, &mut scratch, norms)?;
                match &mut total {
                    None => total = Some(y),
                    Some(total) => together(&mut total.data, &y.data, |sum, y| *sum += y),
                }
            }
            final_block.in_place(&mut x, style, &mut scratch, norms)?;
            let share = 1.0 / stage.blocks.len() as f32;
            match &total {
                None => x.data.iter_mut().for_each(|x| *x *= share),
                Some(total) => together(&mut x.data, &total.data, |x, sum| *x = (*x + sum) * share),
            }
        }
        let mut out = Signal::zeros(self.last.outputs(), x.len);
        let prepare = Prepare::activation(InputActivation::Leaky(LAST_SLOPE));
        self.last.write(&x.data, x.len, &prepare, &mut out.data, false)?;
        out.into_tensor()
    }
}

/// Changes each of `values` by its counterpart, on all threads.
fn together(values: &mut [f32], others: &[f32], change: impl Fn(&mut f32, &f32) + Sync) {
    /// Samples of a task: as many as a first-level cache holds of both.
    const SOME: usize = 1 << 12;
    values.par_chunks_mut(SOME).zip(others.par_chunks(SOME)).for_each(|(values, others)| {
        values.iter_mut().zip(others).for_each(|(value, other)| change(value, other));
    });
}
