//! W, the warping module: moves the source's feature volume to where the driving key points want it.
//!
//! Owns the network's outline; the dense motion between key points and voxels is in `warping/dense_motion.rs`.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

mod dense_motion;
mod fields;
mod hourglass;

use self::dense_motion::DenseMotion;
use super::config::Warping;
use super::keypoints::KeyPoints;
use super::parts::{Probe, conv_weights, kernel, normed_conv3};
use crate::models::kernels::buffers::taken;
use crate::models::kernels::conv::Conv;
use crate::models::kernels::conv3::{Conv3, Finish, Input};
use crate::models::kernels::grid_sample::grid_sample;
use crate::models::kernels::{Activation, Kernels, on_host};
use crate::profile::timed;

/// The network.
pub struct WarpingModule {
    dense_motion: DenseMotion,
    third: Conv3,
    fourth: Conv,
    uses_occlusion: bool,
    kernels: Kernels,
}

/// What W needs of a source, made once per slot: its feature volume, and that compressed, for all its batch.
pub struct Source {
    feature: Tensor,
    compressed: Tensor,
    key_points: Vec<KeyPoints>,
}

/// Every channel of `x` times `map`, `[batch, 1, height, width]`.
fn seen_through(x: &Tensor, map: &Tensor, kernels: Kernels) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    if kernels != Kernels::Fused || map.dims() != [batch, 1, height, width] {
        return x.broadcast_mul(map);
    }
    let mut out = taken(x.elem_count());
    on_host(&[x, map], |values| {
        let plane = (height * width).max(1);
        for (place, (out, x)) in out.chunks_mut(plane).zip(values[0].chunks(plane)).enumerate() {
            let map = &values[1][place / channels * plane..][..out.len()];
            for ((out, x), map) in out.iter_mut().zip(x).zip(map) {
                *out = x * map;
            }
        }
    })?;
    out.into_tensor(x.shape().clone())
}

impl WarpingModule {
    /// From the tensors of `warping_module`.
    pub fn new(config: &Warping, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let channels = config.block_expansion << config.num_down_blocks;
        let third = vb.pp("third");
        let (weight, bias) = conv_weights(&vb.pp("fourth"), &kernel(channels, channels, &[1, 1]))?;
        Ok(Self {
            dense_motion: DenseMotion::new(config, &vb.pp("dense_motion_network"), kernels)?,
            third: normed_conv3(
                &third.pp("conv"),
                &third.pp("norm"),
                &kernel(channels, config.max_features, &[3, 3]),
                kernels,
            )?,
            fourth: Conv::new(&weight, &bias, kernels)?,
            uses_occlusion: config.flag_use_occlusion_map,
            kernels,
        })
    }

    /// Prepares a source: `feature` is F's output, with key points for each of its batch.
    pub fn source(
        &self,
        feature: Tensor,
        key_points: Vec<KeyPoints>,
        probe: &mut Probe<'_>,
    ) -> Result<Source> {
        if feature.dim(0)? != key_points.len() {
            candle_core::bail!("{} sets of key points for {:?}", key_points.len(), feature.dims());
        }
        let compressed = self.dense_motion.compress(&feature, probe)?;
        Ok(Source { feature, compressed, key_points })
    }

    /// The generator's input for each set of driving key points: `[batch, channels, height, width]`.
    ///
    /// The source's batch is one, shared by all, or as many as there are sets.
    pub fn forward(&self, source: &Source, driving: &[KeyPoints], probe: &mut Probe<'_>) -> Result<Tensor> {
        timed!("W: warping", frames = driving.len());
        let sources = source.key_points.len();
        if sources != 1 && sources != driving.len() {
            candle_core::bail!("{sources} sources cannot be driven by {} sets of key points", driving.len());
        }
        let fields = self.dense_motion.forward(&source.compressed, &source.key_points, driving, probe)?;
        let warped = grid_sample(&source.feature, &fields.deformation, self.kernels)?;
        probe.spent(fields.deformation, self.kernels)?;
        let (batch, channels, depth, height, width) = warped.dims5()?;
        let flat = warped.reshape((batch, channels * depth, height, width))?;
        // PyTorch's LeakyReLU has a slope of 0.01 by default.
        let third = self.third.forward(Input::new(&flat), Finish::activated(Activation::Leaky(0.01)))?;
        probe.see("W.third", &third);
        drop(flat);
        probe.spent(warped, self.kernels)?;
        let mut out = self.fourth.forward(&third, Activation::Identity)?;
        probe.spent(third, self.kernels)?;
        if let Some(occlusion) = fields.occlusion.filter(|_| self.uses_occlusion) {
            let seen = seen_through(&out, &occlusion, self.kernels)?;
            probe.spent(std::mem::replace(&mut out, seen), self.kernels)?;
            probe.spent(occlusion, self.kernels)?;
        }
        probe.see("W.out", &out);
        Ok(out)
    }

    /// Bytes that its weights hold.
    pub fn bytes(&self) -> usize {
        self.dense_motion.bytes() + self.third.bytes() + self.fourth.bytes()
    }
}
