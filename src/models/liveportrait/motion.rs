//! M, the motion extractor: key points, expression and pose of a picture, by a ConvNeXt V2 (Woo et al. 2023).
//!
//! Pictures lie channels-last throughout.

use candle_core::{DType, Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::config::Motion as Config;
use super::keypoints::Motion;
use super::parts::{Probe, layer_norm, linear};
use crate::models::kernels::depthwise::Depthwise;
use crate::models::kernels::response_norm::ResponseNorm;
use crate::models::kernels::{Activation, Kernels, LayerNorm, Linear};
use crate::profile::timed;

/// The network.
pub struct MotionExtractor {
    stages: Vec<Stage>,
    norm: LayerNorm,
    heads: Vec<(&'static str, Linear)>,
    dtype: DType,
}

struct Stage {
    /// A norm before (all but the first) or after the patches are merged.
    norm: LayerNorm,
    /// Pixels per side of a patch.
    patch: usize,
    merge: Linear,
    blocks: Vec<Block>,
}

struct Block {
    depthwise: Depthwise,
    norm: LayerNorm,
    widen: Linear,
    response: ResponseNorm,
    narrow: Linear,
}

impl MotionExtractor {
    /// From the tensors of `motion_extractor`.
    pub fn new(config: &Config, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let vb = vb.pp("detector");
        let mut stages = Vec::new();
        for (place, (depth, channels)) in config.depths.iter().zip(&config.dims).enumerate() {
            let down = vb.pp(format!("downsample_layers.{place}"));
            let (patch, inputs, merge, norm, normed) = match place {
                0 => (4, 3, "0", "1", *channels),
                _ => (2, config.dims[place - 1], "1", "0", config.dims[place - 1]),
            };
            let blocks = (0..*depth)
                .map(|block| Block::new(&vb.pp(format!("stages.{place}.{block}")), *channels, kernels))
                .collect::<Result<_>>()?;
            stages.push(Stage {
                norm: layer_norm(&down.pp(norm), normed, kernels)?,
                patch,
                merge: linear(&down.pp(merge), &[*channels, inputs, patch, patch], kernels)?,
                blocks,
            });
        }
        let last = config.dims.last().copied().unwrap_or(0);
        let points = 3 * config.num_kp;
        let heads = [
            ("kp", points),
            ("scale", 1),
            ("pitch", config.num_bins),
            ("yaw", config.num_bins),
            ("roll", config.num_bins),
            ("t", 3),
            ("exp", points),
        ];
        let heads = heads
            .into_iter()
            .map(|(name, outputs)| {
                Ok((name, linear(&vb.pp(format!("fc_{name}")), &[outputs, last], kernels)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { stages, norm: layer_norm(&vb.pp("norm"), last, kernels)?, heads, dtype: kernels.dtype() })
    }

    /// The motion of each picture of `[batch, 3, height, width]`, in 0 … 1.
    pub fn forward(&self, pictures: &Tensor, probe: &mut Probe<'_>) -> Result<Vec<Motion>> {
        timed!("M: motion", x = pictures.dims());
        let mut x = pictures.to_dtype(self.dtype)?.permute((0, 2, 3, 1))?.contiguous()?;
        for (place, stage) in self.stages.iter().enumerate() {
            x = stage.forward(&x, place == 0)?;
            if probe.is_on() {
                probe.see(&format!("M.stage{place}"), &x.permute((0, 3, 1, 2))?.contiguous()?);
            }
        }
        let pooled = self.norm.forward(&x.mean((1, 2))?)?;
        let mut values = Vec::new();
        for (name, head) in &self.heads {
            let out = head.forward(&pooled)?.to_dtype(DType::F32)?;
            probe.see(&format!("M.{name}"), &out);
            values.push(out.to_vec2::<f32>()?);
        }
        let heads = |place: usize| values.iter().map(|head| head[place].as_slice()).collect::<Vec<_>>();
        (0..pictures.dim(0)?)
            .map(|place| match heads(place)[..] {
                [kp, scale, pitch, yaw, roll, t, exp] => {
                    Motion::from_heads(kp, scale, [pitch, yaw, roll], t, exp)
                }
                _ => candle_core::bail!("a motion has seven parts"),
            })
            .collect()
    }

    /// Bytes that its weights hold.
    pub fn bytes(&self) -> usize {
        let stages = self.stages.iter().map(|stage| {
            let blocks = stage.blocks.iter().map(|block| block.widen.size() + block.narrow.size());
            stage.merge.size() + blocks.sum::<usize>()
        });
        stages.sum::<usize>() + self.heads.iter().map(|(_, head)| head.size()).sum::<usize>()
    }
}

impl Stage {
    fn forward(&self, x: &Tensor, is_first: bool) -> Result<Tensor> {
        let merged = if is_first {
            self.norm.forward(&self.merge.forward(&patches(x, self.patch)?)?)?
        } else {
            self.merge.forward(&patches(&self.norm.forward(x)?, self.patch)?)?
        };
        self.blocks.iter().try_fold(merged, |x, block| block.forward(&x))
    }
}

/// `[batch, height, width, channels]` to `[batch, h, w, channels · side²]`: whole patches, each as a row of channels first.
fn patches(x: &Tensor, side: usize) -> Result<Tensor> {
    let (batch, height, width, channels) = x.dims4()?;
    let (rows, columns) = (height / side, width / side);
    x.narrow(1, 0, rows * side)?
        .narrow(2, 0, columns * side)?
        .reshape(vec![batch, rows, side, columns, side, channels])?
        .permute(vec![0, 1, 3, 5, 2, 4])?
        .contiguous()?
        .reshape((batch, rows, columns, channels * side * side))
}

impl Block {
    fn new(vb: &VarBuilder<'_>, channels: usize, kernels: Kernels) -> Result<Self> {
        let wide = 4 * channels;
        let depthwise = vb.pp("dwconv");
        let weight = depthwise.get_with_hints(
            (channels, 1, 7, 7),
            "weight",
            Init::Randn { mean: 0.0, stdev: 0.02 },
        )?;
        let bias = depthwise.get_with_hints(channels, "bias", Init::Const(0.0))?;
        let grn = |name: &str| vb.pp("grn").get_with_hints((1, 1, 1, wide), name, Init::Const(0.0));
        Ok(Self {
            depthwise: Depthwise::new(&weight, &bias, kernels)?,
            norm: layer_norm(&vb.pp("norm"), channels, kernels)?,
            widen: linear(&vb.pp("pwconv1"), &[wide, channels], kernels)?,
            response: ResponseNorm::new(&grn("gamma")?, &grn("beta")?, kernels)?,
            narrow: linear(&vb.pp("pwconv2"), &[channels, wide], kernels)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mixed = self.norm.forward(&self.depthwise.forward(x)?)?;
        let wide = self.response.forward(&self.widen.forward_then(&mixed, Activation::Gelu)?)?;
        self.narrow.forward_onto(&wide, x)
    }
}
