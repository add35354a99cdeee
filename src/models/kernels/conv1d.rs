//! Dilated 1-D convolutions of stride 1, with their weight norm folded away and their input prepared on the fly.
//!
//! Owns the weights in the layout that its form of the operator wants. Strided convolutions are candle's.

use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use self::nested::Layer;
use self::panel::{ConvPanel, PANEL, SLACK};
use super::form::Kernels;
use super::host::with_values;
use super::signal::Signal;
use crate::profile::timed;
pub(crate) use prepare::{Affine, InputActivation, Prepare};

mod nested;
mod panel;
mod points;
mod prepare;
mod product;
mod transform;

/// Frees what the calling thread and the pool's keep for their next convolutions; returns the bytes.
pub(crate) fn release_scratch() -> usize {
    nested::release_scratch()
}

/// Bytes that convolutions of so many channels, dilated so far, keep at most, and others of `widest` channels and few taps.
pub(crate) fn most_scratch(widest: usize, channels: usize, dilation: usize) -> usize {
    nested::most_scratch(widest, channels, dilation)
}

/// Floats of prepared input that a block may take: three quarters of the smallest second-level cache in servers (1 MiB).
const BLOCK: usize = 196_608;

/// Kernel and bias of one convolution.
#[derive(Debug)]
pub(crate) struct Conv1d {
    inputs: usize,
    outputs: usize,
    taps: usize,
    dilation: usize,
    padding: usize,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    /// `[panel][input][tap][PANEL]`, and a bias for each row of each panel.
    Packed { panels: Vec<f32>, bias: Vec<[f32; PANEL]> },
    /// [outputs, inputs, taps] and [1, outputs, 1].
    Tensor { weight: Tensor, bias: Option<Tensor> },
}

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Taps.
    pub taps: usize,
    /// Distance between taps.
    pub dilation: usize,
}

/// `weight_v` scaled so that each slice along dimension 0 has the length `weight_g` says (Salimans & Kingma 2016).
///
/// Dimension 0 is output channels for convolutions and *input* channels for transposed ones.
/// A fresh network's lengths are `fresh`.
pub(crate) fn weight_norm(vb: &VarBuilder<'_>, dims: (usize, usize, usize), fresh: f64) -> Result<Tensor> {
    let gain = vb.get_with_hints((dims.0, 1, 1), "weight_g", Init::Const(fresh))?;
    let direction = vb.get_with_hints(dims, "weight_v", Init::Randn { mean: 0.0, stdev: 1.0 })?;
    // In f64: once per load, and no rounding is added to what the checkpoint says.
    let wide = direction.to_dtype(DType::F64)?;
    let length = wide.sqr()?.sum_keepdim((1, 2))?.sqrt()?;
    wide.broadcast_mul(&gain.to_dtype(DType::F64)?.div(&length)?)?.to_dtype(DType::F32)
}

impl Conv1d {
    /// A weight-normed convolution with the padding that keeps the length.
    pub(crate) fn normed(
        shape: ConvShape,
        bias: bool,
        vb: &VarBuilder<'_>,
        kernels: Kernels,
    ) -> Result<Self> {
        let weight = weight_norm(vb, (shape.outputs, shape.inputs, shape.taps), 1.0)?;
        let bias = match bias {
            true => Some(vb.get_with_hints(shape.outputs, "bias", Init::Const(0.0))?),
            false => None,
        };
        Self::new(&weight, bias.as_ref(), shape.dilation, (shape.taps - 1) * shape.dilation / 2, kernels)
    }

    /// From a kernel \[outputs, inputs, taps\] and a bias \[outputs\]; `padding` zeros at both ends.
    pub(crate) fn new(
        weight: &Tensor,
        bias: Option<&Tensor>,
        dilation: usize,
        padding: usize,
        kernels: Kernels,
    ) -> Result<Self> {
        let (outputs, inputs, taps) = weight.dims3()?;
        let weights = match kernels {
            Kernels::Stock(_) | Kernels::Listed => Weights::Tensor {
                weight: weight.clone(),
                bias: bias.map(|bias| bias.reshape((1, outputs, 1))).transpose()?,
            },
            Kernels::Fused => {
                let panels = with_values(weight, |values| Ok(pack(values, outputs, inputs * taps)))?;
                let mut packed = vec![[0.0; PANEL]; outputs.div_ceil(PANEL)];
                if let Some(bias) = bias {
                    let flat = packed.as_flattened_mut();
                    with_values(bias, |values| {
                        flat[..outputs].copy_from_slice(values);
                        Ok(())
                    })?;
                }
                Weights::Packed { panels, bias: packed }
            }
        };
        Ok(Self { inputs, outputs, taps, dilation, padding, weights })
    }

    /// Samples that come out for `len` that go in.
    pub(crate) fn out_len(&self, len: usize) -> usize {
        (len + 2 * self.padding).saturating_sub(self.dilation * (self.taps - 1))
    }

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The convolution of a [1, inputs, len] signal.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, len) = x.dims3()?;
        match &self.weights {
            Weights::Tensor { weight, bias } => {
                let y = x.conv1d(weight, self.padding, 1, self.dilation, 1)?;
                match bias {
                    None => Ok(y),
                    Some(bias) => y.broadcast_add(bias),
                }
            }
            Weights::Packed { .. } => {
                if channels != self.inputs {
                    candle_core::bail!("a convolution of {} channels was given {channels}", self.inputs);
                }
                let mut out = Signal::zeros(self.outputs, self.out_len(len));
                with_values(x, |values| self.write(values, len, &Prepare::NOTHING, &mut out.data, false))?;
                out.into_tensor()
            }
        }
    }

    /// On the CPU: the convolution of the prepared `x` (`inputs` rows of `len`) into `out`, or added onto it.
    pub(crate) fn write(
        &self,
        x: &[f32],
        len: usize,
        prepare: &Prepare,
        out: &mut [f32],
        add: bool,
    ) -> Result<()> {
        timed!("conv1d", inputs = self.inputs, outputs = self.outputs, taps = self.taps, samples = len);
        let Weights::Packed { panels, bias } = &self.weights else {
            candle_core::bail!("this convolution was not laid out for the CPU")
        };
        let out_len = self.out_len(len);
        if x.len() != self.inputs * len || out.len() != self.outputs * out_len {
            candle_core::bail!(
                "a convolution of {} to {} channels was given {} and {} values for {len} samples",
                self.inputs,
                self.outputs,
                x.len(),
                out.len()
            );
        }
        if out_len == 0 {
            return Ok(());
        }
        let layer = Layer {
            inputs: self.inputs,
            outputs: self.outputs,
            taps: self.taps,
            dilation: self.dilation,
            padding: self.padding,
            panels,
            bias,
            x,
            len,
            prepare,
            add,
        };
        if layer.pays(out_len) {
            layer.run(out, out_len);
            return Ok(());
        }
        let reach = self.dilation * (self.taps - 1);
        let block = (BLOCK / self.inputs).next_multiple_of(SLACK).min(out_len.next_multiple_of(SLACK));
        // An odd number of cache lines between rows keeps them from falling into the same cache set.
        let stride = ((block + reach + SLACK).div_ceil(16) | 1) * 16;
        let mut prepared = vec![0.0f32; self.inputs * stride];
        for at in (0..out_len).step_by(block) {
            let width = block.min(out_len - at);
            prepared.par_chunks_mut(stride).enumerate().for_each(|(channel, row)| {
                timed!("conv1d input");
                let source = &x[channel * len..(channel + 1) * len];
                // Row position p holds sample at + p − padding; outside the signal lies silence.
                let first = self.padding.saturating_sub(at).min(row.len());
                let begin = (at + first).saturating_sub(self.padding).min(len);
                let end = (at + width + reach).saturating_sub(self.padding).clamp(begin, len);
                let filled = first + end - begin;
                row[..first].fill(0.0);
                prepare.row(channel, &source[begin..end], &mut row[first..filled]);
                row[filled..].fill(0.0);
            });
            let size = self.inputs * self.taps * PANEL;
            out.par_chunks_mut(PANEL * out_len).enumerate().for_each(|(panel, output)| {
                timed!("conv1d panel");
                ConvPanel {
                    input: &prepared,
                    stride,
                    taps: self.taps,
                    dilation: self.dilation,
                    weights: &panels[panel * size..(panel + 1) * size],
                    bias: &bias[panel],
                    output,
                    row: out_len,
                    at,
                    len: width,
                    add,
                }
                .run();
            });
        }
        Ok(())
    }
}

/// \[outputs\]\[columns\] into `[panel][column][PANEL]`, missing rows zero.
fn pack(values: &[f32], outputs: usize, columns: usize) -> Vec<f32> {
    let mut panels = vec![0.0; outputs.next_multiple_of(PANEL) * columns];
    for (output, row) in values.chunks_exact(columns).enumerate() {
        let panel = &mut panels[output / PANEL * columns * PANEL..];
        for (column, value) in row.iter().enumerate() {
            panel[column * PANEL + output % PANEL] = *value;
        }
    }
    panels
}

#[cfg(test)]
mod tests;
