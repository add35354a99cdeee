//! The 3-D hourglass of the dense motion network: halves height and width n times and comes back, depth untouched.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::super::parts::{folded, kernel, within_depth};
use crate::models::kernels::buffers::{beside, give_back};
use crate::models::kernels::conv3::{Conv3, Finish, Input};
use crate::models::kernels::{Activation, Kernels};

/// The network.
pub(super) struct Hourglass {
    down: Vec<Conv3>,
    up: Vec<Conv3>,
    last: Conv3,
    outputs: usize,
    kernels: Kernels,
}

impl Hourglass {
    pub(super) fn new(
        inputs: usize,
        [expansion, blocks, most, depth]: [usize; 4],
        vb: &VarBuilder<'_>,
        kernels: Kernels,
    ) -> Result<Self> {
        let width = |level: usize| most.min(expansion << level);
        let normed = |vb: VarBuilder<'_>, outputs: usize, inputs: usize| {
            let shape = kernel(outputs, inputs, &[3, 3, 3]);
            let (weight, bias) = folded(&vb.pp("conv"), &vb.pp("norm"), &shape, kernels)?;
            Conv3::new(&within_depth(&weight, depth)?, &bias, kernels)
        };
        let down = (0..blocks)
            .map(|level| {
                let inputs = if level == 0 { inputs } else { width(level) };
                normed(vb.pp(format!("encoder.down_blocks.{level}")), width(level + 1), inputs)
            })
            .collect::<Result<_>>()?;
        let up = (0..blocks)
            .rev()
            .enumerate()
            .map(|(place, level)| {
                // All but the deepest also take what the encoder left at their size.
                let inputs = if place == 0 { 1 } else { 2 } * width(level + 1);
                normed(vb.pp(format!("decoder.up_blocks.{place}")), width(level), inputs)
            })
            .collect::<Result<_>>()?;
        let outputs = expansion + inputs;
        Ok(Self { down, up, last: normed(vb.pp("decoder"), outputs, outputs)?, outputs, kernels })
    }

    /// Channels of its result: those of its last block beside its own input.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Of `[batch, inputs, depth, height, width]`.
    pub(super) fn forward(&self, x: Tensor) -> Result<Tensor> {
        let relu = Finish::activated(Activation::Relu);
        let mut levels = vec![x];
        for (place, down) in self.down.iter().enumerate() {
            let next = down.forward(Input::new(&levels[place]), Finish { pool: true, ..relu })?;
            levels.push(next);
        }
        let Some(mut x) = levels.pop() else { candle_core::bail!("an hourglass without input") };
        for up in &self.up {
            let grown = up.forward(Input::new(&x).enlarged(2), relu)?;
            let Some(skip) = levels.pop() else {
                candle_core::bail!("an hourglass with more ways up than down")
            };
            let joined = match self.kernels {
                Kernels::Fused => beside(&grown, &skip)?,
                _ => Tensor::cat(&[&grown, &skip], 1)?,
            };
            for spent in [std::mem::replace(&mut x, joined), grown, skip] {
                self.spent(spent)?;
            }
        }
        let last = self.last.forward(Input::new(&x), relu)?;
        self.spent(x)?;
        Ok(last)
    }

    fn spent(&self, tensor: Tensor) -> Result<()> {
        if self.kernels == Kernels::Fused { give_back(tensor) } else { Ok(()) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.down.iter().chain(&self.up).chain([&self.last]).map(Conv3::bytes).sum()
    }
}
