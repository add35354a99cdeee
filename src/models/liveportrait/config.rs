//! The sizes of LivePortrait's networks, as its published `models.yaml` (or the same as JSON) states them.
//!
//! Owns reading, the published values of what may be absent, and the checks that make every later size arithmetic sound;
//! never a tensor. Unknown fields are ignored: the file is not ours.

use serde::Deserialize;

use crate::contract::ModelError;

mod yaml;

/// All five networks.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Sides of the source picture; absent: 256 × 256.
    #[serde(default = "published_input")]
    pub input_shape: [usize; 2],
    /// The networks.
    pub model_params: Networks,
}

/// The sections of the published file.
#[derive(Clone, Debug, Deserialize)]
pub struct Networks {
    /// F.
    #[serde(rename = "appearance_feature_extractor_params")]
    pub appearance: Appearance,
    /// M.
    #[serde(rename = "motion_extractor_params")]
    pub motion: Motion,
    /// W.
    #[serde(rename = "warping_module_params")]
    pub warping: Warping,
    /// G.
    #[serde(rename = "spade_generator_params")]
    pub generator: Generator,
    /// S and both R.
    #[serde(rename = "stitching_retargeting_module_params")]
    pub retargeting: Retargeting,
}

/// F, the appearance feature extractor.
#[derive(Clone, Debug, Deserialize)]
pub struct Appearance {
    /// Colours.
    pub image_channel: usize,
    /// Channels of the first layer.
    pub block_expansion: usize,
    /// Halvings.
    pub num_down_blocks: usize,
    /// Most channels; `reshape_channel · reshape_depth`.
    pub max_features: usize,
    /// Channels of the feature volume.
    pub reshape_channel: usize,
    /// Slices of the feature volume.
    pub reshape_depth: usize,
    /// Residual blocks on the volume.
    pub num_resblocks: usize,
}

/// M, the motion extractor.
#[derive(Clone, Debug, Deserialize)]
pub struct Motion {
    /// Key points.
    pub num_kp: usize,
    /// Blocks per stage.
    #[serde(default = "tiny_depths")]
    pub depths: Vec<usize>,
    /// Channels per stage.
    #[serde(default = "tiny_dims")]
    pub dims: Vec<usize>,
    /// Bins per angle.
    #[serde(default = "published_bins")]
    pub num_bins: usize,
}

/// W, the warping module.
#[derive(Clone, Debug, Deserialize)]
pub struct Warping {
    /// Key points.
    pub num_kp: usize,
    /// Channels at full size of the generator's input.
    pub block_expansion: usize,
    /// Channels of the warped volume laid flat.
    pub max_features: usize,
    /// Halvings.
    pub num_down_blocks: usize,
    /// Channels of the feature volume.
    pub reshape_channel: usize,
    /// Whether what is hidden is estimated.
    #[serde(default)]
    pub estimate_occlusion_map: bool,
    /// Whether the estimate is used.
    #[serde(default = "yes")]
    pub flag_use_occlusion_map: bool,
    /// The dense motion network.
    pub dense_motion_params: DenseMotion,
}

/// The dense motion network.
#[derive(Clone, Debug, Deserialize)]
pub struct DenseMotion {
    /// Channels of the hourglass at full size.
    pub block_expansion: usize,
    /// Most channels.
    pub max_features: usize,
    /// Halvings of the hourglass.
    pub num_blocks: usize,
    /// Slices of the feature volume.
    pub reshape_depth: usize,
    /// Channels of the volume that is shifted per key point.
    pub compress: usize,
}

/// G, the SPADE generator.
#[derive(Clone, Debug, Deserialize)]
pub struct Generator {
    /// 2: a last pixel shuffle doubles the picture.
    #[serde(default = "one")]
    pub upscale: usize,
    /// Channels at full size.
    pub block_expansion: usize,
    /// Most channels.
    pub max_features: usize,
    /// Halvings of the features.
    pub num_down_blocks: usize,
    /// Channels before the last convolution.
    #[serde(default = "published_last")]
    pub out_channels: usize,
    /// Hidden channels of every SPADE.
    #[serde(default = "published_hidden", alias = "hidden_channels", alias = "spade_hidden")]
    pub nhidden: usize,
}

impl Generator {
    /// Channels of its input.
    pub fn input_channels(&self) -> usize {
        self.max_features.min(self.block_expansion << self.num_down_blocks)
    }
}

/// Stitching and both retargeting networks.
#[derive(Clone, Debug, Deserialize)]
pub struct Retargeting {
    /// Source and driving key points to a correction and a shift.
    pub stitching: Mlp,
    /// Key points and lip ratios to a correction.
    pub lip: Mlp,
    /// Key points and eye ratios to a correction.
    pub eye: Mlp,
}

/// A perceptron with ReLU between its layers.
#[derive(Clone, Debug, Deserialize)]
pub struct Mlp {
    /// Inputs.
    pub input_size: usize,
    /// Hidden layers.
    pub hidden_sizes: Vec<usize>,
    /// Outputs.
    pub output_size: usize,
}

fn published_input() -> [usize; 2] {
    [256, 256]
}
fn tiny_depths() -> Vec<usize> {
    vec![3, 3, 9, 3]
}
fn tiny_dims() -> Vec<usize> {
    vec![96, 192, 384, 768]
}
fn published_bins() -> usize {
    66
}
fn published_last() -> usize {
    64
}
fn published_hidden() -> usize {
    128
}
fn one() -> usize {
    1
}
fn yes() -> bool {
    true
}

/// More than any published size by orders of magnitude; products of a few of them stay within 64 bits.
const LARGEST: usize = 1 << 16;

impl Config {
    /// From the text of a `config.json` or a `models.yaml`.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let wrong = |what: String| ModelError::own(format!("liveportrait's configuration: {what}"));
        let value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?
        } else {
            yaml::parse(text).map_err(wrong)?
        };
        let config: Self = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        config.check().map_err(wrong)?;
        Ok(config)
    }

    /// Sides of a frame as the networks make it: height, width.
    pub fn output_shape(&self) -> [usize; 2] {
        let generator = &self.model_params.generator;
        let factor = if generator.upscale > 1 { 8 } else { 4 };
        self.input_shape.map(|side| (side >> self.model_params.appearance.num_down_blocks) * factor)
    }

    fn check(&self) -> Result<(), String> {
        let Networks { appearance, motion, warping, generator, retargeting } = &self.model_params;
        let dense = &warping.dense_motion_params;
        let sizes = [
            ("appearance block_expansion", appearance.block_expansion),
            ("appearance num_down_blocks", appearance.num_down_blocks),
            ("appearance reshape_channel", appearance.reshape_channel),
            ("appearance reshape_depth", appearance.reshape_depth),
            ("appearance max_features", appearance.max_features),
            ("motion num_kp", motion.num_kp),
            ("motion num_bins", motion.num_bins),
            ("warping block_expansion", warping.block_expansion),
            ("warping max_features", warping.max_features),
            ("dense motion block_expansion", dense.block_expansion),
            ("dense motion max_features", dense.max_features),
            ("dense motion num_blocks", dense.num_blocks),
            ("dense motion compress", dense.compress),
            ("generator block_expansion", generator.block_expansion),
            ("generator max_features", generator.max_features),
            ("generator out_channels", generator.out_channels),
            ("generator nhidden", generator.nhidden),
            ("input_shape height", self.input_shape[0]),
            ("input_shape width", self.input_shape[1]),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| !(1..=LARGEST).contains(size)) {
            return Err(format!("{name} is {size}, accepted are 1 to {LARGEST}"));
        }
        let depths = [
            appearance.num_down_blocks,
            warping.num_down_blocks,
            generator.num_down_blocks,
            dense.num_blocks,
        ];
        if depths.iter().any(|depth| *depth > 8) || appearance.num_resblocks > 64 {
            return Err(format!("{depths:?} halvings, accepted are at most 8; residual blocks at most 64"));
        }
        let volume = appearance.reshape_channel * appearance.reshape_depth;
        if appearance.image_channel != 3 || volume != appearance.max_features {
            return Err(format!(
                "the appearance extractor takes {} colours to {} features, which must be 3 and \
                 reshape_channel · reshape_depth = {volume}",
                appearance.image_channel, appearance.max_features
            ));
        }
        if warping.num_kp != motion.num_kp
            || warping.reshape_channel != appearance.reshape_channel
            || warping.max_features != appearance.max_features
            || dense.reshape_depth != appearance.reshape_depth
        {
            return Err(
                "warping_module_params must state the key points, reshape_channel, max_features and \
                 reshape_depth of the two extractors"
                    .into(),
            );
        }
        let given = warping.block_expansion << warping.num_down_blocks;
        if given != generator.input_channels() {
            return Err(format!("W gives {given} channels and G takes {}", generator.input_channels()));
        }
        let four = |list: &[usize]| list.len() == 4 && list.iter().all(|size| (1..=LARGEST).contains(size));
        if !four(&motion.depths) || !four(&motion.dims) {
            return Err(format!(
                "depths {:?} and dims {:?} must have four sizes",
                motion.depths, motion.dims
            ));
        }
        let kp = 3 * motion.num_kp;
        for (name, mlp, input, output) in [
            ("stitching", &retargeting.stitching, 2 * kp, kp + 2),
            ("lip", &retargeting.lip, kp + 2, kp),
            ("eye", &retargeting.eye, kp + 3, kp),
        ] {
            if (mlp.input_size, mlp.output_size) != (input, output) {
                return Err(format!(
                    "{name} maps {} to {} values, {} key points need {input} to {output}",
                    mlp.input_size, mlp.output_size, motion.num_kp
                ));
            }
            if mlp.hidden_sizes.iter().any(|size| !(1..=LARGEST).contains(size)) {
                return Err(format!("{name} has hidden sizes {:?}", mlp.hidden_sizes));
            }
        }
        // M halves five times and drops what is left over.
        if self.input_shape.iter().any(|side| *side < 32) {
            return Err(format!("input_shape is {:?}, accepted are sides from 32 on", self.input_shape));
        }
        let small = 1 << (appearance.num_down_blocks + dense.num_blocks);
        if self.input_shape.iter().any(|side| side % small != 0) {
            return Err(format!(
                "input_shape is {:?}, but {} halvings need multiples of {small}",
                self.input_shape,
                appearance.num_down_blocks + dense.num_blocks
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
