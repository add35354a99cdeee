//! Square kernels that are no 3×3 ones, of pictures and volumes: 1×1 as products of pixels, wider ones as sums of 4×4 ones
//! (7×7 takes 12 products a pixel, not 49).
//!
//! Owns a layer's weights and bias; the work is [`Banded`]'s and [`Pointwise`]'s.

use candle_core::Result;

use super::super::activation::Activation;
use super::banded::Banded;
use super::finish::Finish;
use super::pointwise::Pointwise;
use super::tiles::{Source, Volume};
use super::transform::Four;

/// Fewest outputs for which transforming the input four times or more is worth it.
const FEWEST: usize = 8;
/// Most weights of a 1×1 kernel that pixels are multiplied with in registers; `gemm` is faster with more.
const FEW: usize = 1024;

/// A layer.
pub(in super::super) struct Wide {
    kernel: Kernel,
    inputs: usize,
    bias: Vec<f32>,
}

enum Kernel {
    One(Pointwise),
    Sum(Banded<Four>),
}

impl Wide {
    /// From weights \[output\]\[input\]\[slice\]\[side\]\[side\]; none where another way is better.
    pub(in super::super) fn new(
        weights: &[f32],
        bias: &[f32],
        inputs: usize,
        kernel: [usize; 3],
    ) -> Option<Self> {
        let outputs = bias.len();
        let kernel = match kernel {
            [1, 1, 1] if inputs * outputs <= FEW => Kernel::One(Pointwise::prepare(weights, outputs, inputs)),
            [slices, height, width] if height == width && width > 3 && outputs >= FEWEST => {
                Kernel::Sum(Banded::prepare(weights, outputs, inputs, [slices, width]))
            }
            _ => return None,
        };
        Some(Self { kernel, inputs, bias: bias.to_vec() })
    }

    pub(in super::super) fn bytes(&self) -> usize {
        let kernel = match &self.kernel {
            Kernel::One(kernel) => kernel.bytes(),
            Kernel::Sum(kernel) => kernel.bytes(),
        };
        kernel + size_of_val(self.bias.as_slice())
    }

    /// Of `x`, `[batch, inputs, depth, height, width]`, into `out`, activated.
    pub(in super::super) fn run(
        &self,
        x: &[f32],
        [batch, depth, height, width]: [usize; 4],
        activation: Activation,
        out: &mut [f32],
    ) -> Result<()> {
        let slope = activation.negative_slope()?;
        match &self.kernel {
            // Slices lie one after the other like rows of one picture.
            Kernel::One(kernel) => {
                let volume = Volume { batch, depth: 1, height: depth * height, width };
                kernel.run(x, volume, &self.bias, slope, out);
            }
            Kernel::Sum(kernel) => {
                let source = Source { data: x, total: self.inputs, first: 0, factor: 1 };
                let finish = Finish::Plain { bias: &self.bias, slope, residual: None, pool: false };
                kernel.run(source, Volume { batch, depth, height, width }, &finish, out);
            }
        }
        Ok(())
    }
}
