//! Square kernels wider than 3×3, of pictures and volumes, as sums of 4×4 ones: 7×7 takes 12 products a pixel, not 49.
//!
//! Owns a layer's weights and bias; the work is [`Banded`]'s.

use candle_core::Result;

use super::super::activation::Activation;
use super::banded::Banded;
use super::finish::Finish;
use super::tiles::{Source, Volume};
use super::transform::Four;

/// Fewest outputs for which transforming the input four times or more is worth it.
const FEWEST: usize = 8;

/// A layer.
pub(in super::super) struct Wide {
    kernel: Banded<Four>,
    inputs: usize,
    bias: Vec<f32>,
}

impl Wide {
    /// From weights \[output\]\[input\]\[slice\]\[side\]\[side\]; none where another way is better.
    pub(in super::super) fn new(
        weights: &[f32],
        bias: &[f32],
        inputs: usize,
        [taps, height, width]: [usize; 3],
    ) -> Option<Self> {
        let fits = height == width && width > 3 && bias.len() >= FEWEST;
        fits.then(|| Self {
            kernel: Banded::prepare(weights, bias.len(), inputs, [taps, width]),
            inputs,
            bias: bias.to_vec(),
        })
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.kernel.bytes() + size_of_val(self.bias.as_slice())
    }

    /// Of `x`, `[batch, inputs, depth, height, width]`, into `out`, activated.
    pub(in super::super) fn run(
        &self,
        x: &[f32],
        [batch, depth, height, width]: [usize; 4],
        activation: Activation,
        out: &mut [f32],
    ) -> Result<()> {
        let source = Source { data: x, total: self.inputs, first: 0, factor: 1 };
        let slope = activation.negative_slope()?;
        let finish = Finish::Plain { bias: &self.bias, slope, residual: None, pool: false };
        self.kernel.run(source, Volume { batch, depth, height, width }, &finish, out);
        Ok(())
    }
}
