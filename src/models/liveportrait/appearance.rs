//! F, the appearance feature extractor: from the source picture to a volume of features, once per slot.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::config::Appearance;
use super::parts::{Probe, batch_norm, conv_weights, kernel, normed_conv3};
use crate::models::kernels::batch_norm::BatchNorm;
use crate::models::kernels::conv::Conv;
use crate::models::kernels::conv3::{Conv3, Finish, Input};
use crate::models::kernels::{Activation, Kernels};
use crate::profile::timed;

/// The network.
pub struct AppearanceExtractor {
    first: Conv3,
    down: Vec<Conv3>,
    second: Conv,
    residual: Vec<Residual>,
    shape: (usize, usize),
}

/// norm, ReLU, convolution, norm, ReLU, convolution, and the input added.
struct Residual {
    norm: BatchNorm,
    /// With the second norm folded in.
    first: Conv3,
    second: Conv3,
}

impl AppearanceExtractor {
    /// From the tensors of `appearance_feature_extractor`.
    pub fn new(config: &Appearance, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let normed = |vb: VarBuilder<'_>, outputs: usize, inputs: usize| {
            normed_conv3(&vb.pp("conv"), &vb.pp("norm"), &kernel(outputs, inputs, &[3, 3]), kernels)
        };
        let width = |level: usize| config.max_features.min(config.block_expansion << level);
        // Upstream's first layer is not bounded by max_features, but its first down block's input is.
        let first = normed(vb.pp("first"), config.block_expansion, config.image_channel)?;
        let down = (0..config.num_down_blocks)
            .map(|level| normed(vb.pp(format!("down_blocks.{level}")), width(level + 1), width(level)))
            .collect::<Result<_>>()?;
        let (weight, bias) = conv_weights(
            &vb.pp("second"),
            &kernel(config.max_features, width(config.num_down_blocks), &[1, 1]),
        )?;
        let channels = config.reshape_channel;
        let shape = kernel(channels, channels, &[3, 3, 3]);
        let residual = (0..config.num_resblocks)
            .map(|block| {
                let vb = vb.pp(format!("resblocks_3d.3dr{block}"));
                let (weight, bias) = conv_weights(&vb.pp("conv2"), &shape)?;
                Ok(Residual {
                    norm: batch_norm(&vb.pp("norm1"), channels)?,
                    first: normed_conv3(&vb.pp("conv1"), &vb.pp("norm2"), &shape, kernels)?,
                    second: Conv3::new(&weight, &bias, kernels)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            first,
            down,
            second: Conv::new(&weight, &bias, kernels)?,
            residual,
            shape: (channels, config.reshape_depth),
        })
    }

    /// `[batch, 3, height, width]` in 0 … 1 to `[batch, reshape_channel, reshape_depth, height / 2ⁿ, width / 2ⁿ]`.
    pub fn forward(&self, picture: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor> {
        timed!("F: appearance", x = picture.dims());
        let relu = Finish::activated(Activation::Relu);
        let mut x = self.first.forward(Input::new(picture), relu)?;
        probe.see("F.first", &x);
        for down in &self.down {
            x = down.forward(Input::new(&x), Finish { pool: true, ..relu })?;
        }
        let x = self.second.forward(&x, Activation::Identity)?;
        probe.see("F.second", &x);
        let (batch, _, height, width) = x.dims4()?;
        let mut volume = x.reshape((batch, self.shape.0, self.shape.1, height, width))?;
        for block in &self.residual {
            let inner = block.first.forward(Input::new(&block.norm.forward(&volume)?.relu()?), relu)?;
            volume = block
                .second
                .forward(Input::new(&inner), Finish { residual: Some(&volume), ..Finish::default() })?;
        }
        probe.see("F.feature_3d", &volume);
        Ok(volume)
    }

    /// Bytes that its weights hold.
    pub fn bytes(&self) -> usize {
        let residual: usize =
            self.residual.iter().map(|block| block.first.bytes() + block.second.bytes()).sum();
        self.first.bytes()
            + self.second.bytes()
            + residual
            + self.down.iter().map(Conv3::bytes).sum::<usize>()
    }
}
