//! The dense motion network: from key points to a motion for every voxel and a map of what is hidden.
//!
//! Owns the outline; how key points become fields and a mask becomes a motion is in `fields.rs`.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::super::config::Warping;
use super::super::keypoints::KeyPoints;
use super::super::parts::{Probe, batch_norm, conv_weights, kernel, within_depth};
use super::fields::{deformation, hourglass_input};
use super::hourglass::Hourglass;
use crate::models::kernels::batch_norm::BatchNorm;
use crate::models::kernels::conv::Conv;
use crate::models::kernels::{Activation, Kernels};
use crate::profile::timed;

/// The network.
pub(super) struct DenseMotion {
    compress: Conv,
    norm: BatchNorm,
    hourglass: Hourglass,
    mask: Conv,
    occlusion: Option<Conv>,
    kernels: Kernels,
}

/// What it finds out.
pub(super) struct Fields {
    /// Where each voxel comes from: `[batch, depth, height, width, 3]`, f32.
    pub(super) deformation: Tensor,
    /// How much of each place is visible in the source: `[batch, 1, height, width]`.
    pub(super) occlusion: Option<Tensor>,
}

impl DenseMotion {
    pub(super) fn new(config: &Warping, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let dense = &config.dense_motion_params;
        let conv = |name: &str, shape: &[usize]| {
            let (weight, bias) = conv_weights(&vb.pp(name), shape)?;
            let is_volume = weight.rank() == 5;
            let weight = if is_volume { within_depth(&weight, dense.reshape_depth)? } else { weight };
            Conv::new(&weight, &bias, kernels)
        };
        let motions = config.num_kp + 1;
        let sizes = [dense.block_expansion, dense.num_blocks, dense.max_features, dense.reshape_depth];
        let hourglass = Hourglass::new(motions * (dense.compress + 1), sizes, &vb.pp("hourglass"), kernels)?;
        let outputs = hourglass.outputs();
        let occlusion = config
            .estimate_occlusion_map
            .then(|| conv("occlusion", &kernel(1, outputs * dense.reshape_depth, &[7, 7])))
            .transpose()?;
        Ok(Self {
            compress: conv("compress", &kernel(dense.compress, config.reshape_channel, &[1, 1, 1]))?,
            norm: batch_norm(&vb.pp("norm"), dense.compress)?,
            mask: conv("mask", &kernel(motions, outputs, &[7, 7, 7]))?,
            hourglass,
            occlusion,
            kernels,
        })
    }

    /// The few channels of the feature volume that are shifted for every key point; of the source alone.
    pub(super) fn compress(&self, feature: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor> {
        let compressed = self.compress.forward(feature, Activation::Identity)?;
        probe.see("W.compress", &compressed);
        self.norm.forward(&compressed)?.relu()
    }

    pub(super) fn forward(
        &self,
        compressed: &Tensor,
        source: &[KeyPoints],
        driving: &[KeyPoints],
        probe: &mut Probe<'_>,
    ) -> Result<Fields> {
        timed!("dense motion");
        let input = hourglass_input(compressed, source, driving, self.kernels)?;
        if probe.is_on() {
            let (batch, _, depth, height, width) = input.dims5()?;
            let motions = driving.first().map_or(0, Vec::len) + 1;
            let split = input.reshape((batch, motions, (), depth * height * width))?;
            let compressed = split.dim(2)? - 1;
            let part = |first: usize, count: usize| -> Result<Tensor> {
                split
                    .narrow(2, first, count)?
                    .contiguous()?
                    .reshape(vec![batch, motions, count, depth, height, width])
            };
            probe.see("W.heatmap", &part(0, 1)?);
            probe.see("W.deformed_feature", &part(1, compressed)?);
        }
        let prediction = self.hourglass.forward(input)?;
        probe.see("W.hourglass", &prediction);
        let logits = self.mask.forward(&prediction, Activation::Identity)?;
        probe.see("W.mask_logits", &logits);
        let deformation = deformation(&logits, source, driving, self.kernels)?;
        probe.see("W.deformation", &deformation);
        probe.spent(logits, self.kernels)?;
        let occlusion = match &self.occlusion {
            Some(occlusion) => {
                let (batch, channels, depth, height, width) = prediction.dims5()?;
                let flat = prediction.reshape((batch, channels * depth, height, width))?;
                let logits = occlusion.forward(&flat, Activation::Identity)?;
                let map = Activation::Sigmoid.forward(&logits)?;
                probe.spent(logits, self.kernels)?;
                probe.see("W.occlusion_map", &map);
                Some(map)
            }
            None => None,
        };
        probe.spent(prediction, self.kernels)?;
        Ok(Fields { deformation, occlusion })
    }

    pub(super) fn bytes(&self) -> usize {
        let occlusion = self.occlusion.as_ref().map_or(0, Conv::bytes);
        self.compress.bytes() + self.hourglass.bytes() + self.mask.bytes() + occlusion
    }
}
