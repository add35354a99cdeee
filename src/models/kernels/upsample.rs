//! Transposed 1-D convolutions: the vocoder's up-sampling and the residual blocks' depthwise doubling.
//!
//! On the CPU a transposed convolution of stride s is an ordinary one with s times the channels, one for each phase of
//! the output, whose results are interleaved (polyphase form).

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use super::activation::Activation;
use super::conv1d::{Conv1d, InputActivation, Prepare, weight_norm};
use super::form::Kernels;
use super::signal::Signal;
use crate::profile::timed;

/// A weight-normed transposed convolution whose padding makes the signal exactly `rate` times as long.
#[derive(Debug)]
pub struct Upsample {
    outputs: usize,
    taps: usize,
    rate: usize,
    padding: usize,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Polyphase(Conv1d),
    Tensor { weight: Tensor, bias: Tensor },
}

impl Upsample {
    /// From `inputs` to `outputs` channels; the kernel exceeds the rate by an even number.
    pub fn new(
        (inputs, outputs): (usize, usize),
        (taps, rate): (usize, usize),
        vb: &VarBuilder<'_>,
        kernels: Kernels,
    ) -> Result<Self> {
        let weight = weight_norm(vb, (inputs, outputs, taps), 1.0)?;
        let bias = vb.get_with_hints(outputs, "bias", Init::Const(0.0))?;
        let form = match kernels {
            Kernels::Stock(_) | Kernels::Listed => {
                Form::Tensor { weight, bias: bias.reshape((1, outputs, 1))? }
            }
            Kernels::Fused => {
                // Output o = q·rate + phase sees input q − j through tap phase + j·rate.
                let depth = taps.div_ceil(rate);
                let weight = weight.pad_with_zeros(2, 0, depth * rate - taps)?;
                let weight = weight
                    .reshape((inputs, outputs, depth, rate))?
                    .permute((1, 3, 0, 2))?
                    .contiguous()?
                    .flip(&[3])?
                    .reshape((outputs * rate, inputs, depth))?;
                let bias = bias.reshape((outputs, 1))?.broadcast_as((outputs, rate))?.flatten_all()?;
                Form::Polyphase(Conv1d::new(&weight, Some(&bias), 1, depth - 1, kernels)?)
            }
        };
        Ok(Self { outputs, taps, rate, padding: (taps - rate) / 2, form })
    }

    /// Taps of its kernel.
    pub fn taps(&self) -> usize {
        self.taps
    }

    /// How many times as long the signal becomes.
    pub fn rate(&self) -> usize {
        self.rate
    }

    /// The up-sampled leaky ReLU (slope `slope`) of a [1, inputs, len] signal.
    pub fn forward(&self, x: &Tensor, slope: f32) -> Result<Tensor> {
        match &self.form {
            Form::Tensor { weight, bias } => {
                let x = Activation::Leaky(slope).forward(x)?;
                x.conv_transpose1d(weight, self.padding, 0, self.rate, 1, 1)?.broadcast_add(bias)
            }
            Form::Polyphase(_) => {
                let x = Signal::of(x)?;
                let mut out = Signal::zeros(self.outputs, x.len * self.rate);
                self.onto(&x, slope, &mut out, 0)?;
                out.into_tensor()
            }
        }
    }

    /// On the CPU: the same, added onto `out`, whose rows begin with `reflected` samples that mirror what follows.
    pub fn onto(&self, x: &Signal, slope: f32, out: &mut Signal, reflected: usize) -> Result<()> {
        timed!("upsample", inputs = x.channels, samples = x.len);
        let Form::Polyphase(conv) = &self.form else {
            candle_core::bail!("this up-sampling was not laid out for the CPU")
        };
        let (len, phases) = (x.len * self.rate, conv.out_len(x.len));
        if out.len != len + reflected || reflected >= len {
            candle_core::bail!(
                "{len} up-sampled samples and {reflected} mirrored ones do not make {}",
                out.len
            );
        }
        let mut streams = vec![0.0; conv.outputs() * phases];
        let prepare = Prepare::activation(InputActivation::Leaky(slope));
        conv.write(&x.data, x.len, &prepare, &mut streams, false)?;
        let channels = streams.par_chunks(self.rate * phases).zip(out.data.par_chunks_mut(out.len));
        channels.for_each(|(streams, out)| {
            for (phase, stream) in streams.chunks_exact(phases).enumerate() {
                // The first sample of this phase that survives the cut of `padding` at the front.
                let skip = self.padding.saturating_sub(phase).div_ceil(self.rate);
                let first = skip * self.rate + phase - self.padding;
                let into = out[reflected..].iter_mut().skip(first).step_by(self.rate);
                into.zip(&stream[skip..]).for_each(|(out, value)| *out += value);
            }
            // Mirrored around the first sample, which is not repeated: sample 0 takes what was added to sample 2.
            for (sample, out) in out.iter_mut().take(reflected).enumerate() {
                let source = reflected - sample;
                *out += streams_at(streams, phases, self.rate, source + self.padding);
            }
        });
        Ok(())
    }
}

fn streams_at(streams: &[f32], phases: usize, rate: usize, at: usize) -> f32 {
    streams[at % rate * phases + at / rate]
}

/// A weight-normed depthwise transposed convolution: three taps, stride 2, twice as long.
#[derive(Debug)]
pub struct Doubler {
    /// For each tap, [1, channels, 1].
    taps: [Tensor; 3],
    bias: Tensor,
}

impl Doubler {
    /// For `channels`.
    pub fn new(channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let weight = weight_norm(vb, (channels, 1, 3), 1.0)?;
        let tap = |tap| weight.narrow(2, tap, 1)?.reshape((1, channels, 1));
        Ok(Self {
            taps: [tap(0)?, tap(1)?, tap(2)?],
            bias: vb.get_with_hints(channels, "bias", Init::Const(0.0))?.reshape((1, channels, 1))?,
        })
    }

    /// [1, channels, len] to [1, channels, 2·len]: even samples see one input, odd ones two.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, len) = x.dims3()?;
        let next = x.narrow(2, 1, len - 1)?.pad_with_zeros(2, 0, 1)?;
        let even = x.broadcast_mul(&self.taps[1])?;
        let odd = (x.broadcast_mul(&self.taps[2])? + next.broadcast_mul(&self.taps[0])?)?;
        Tensor::stack(&[even, odd], 3)?.reshape((batch, channels, 2 * len))?.broadcast_add(&self.bias)
    }
}

#[cfg(test)]
mod tests;
