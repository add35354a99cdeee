//! The autoencoder's sizes.

use serde::Deserialize;
use serde_json::Value;

use super::{check_sizes, fields};
use crate::contract::ModelError;

/// The autoencoder's decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of the finished picture.
    pub outputs: usize,
    /// Channels of the latent one.
    pub latent: usize,
    /// Channels at each size, from the full size to an eighth.
    pub channels: Vec<usize>,
    /// Residual blocks at each size of the encoder; the decoder has one more.
    pub blocks: usize,
    /// Groups of the group norms.
    pub groups: usize,
    /// Latents are divided by it before decoding.
    pub scale: f64,
    /// And then this is added.
    pub shift: f64,
}

/// Black Forest Labs' field names.
#[derive(Deserialize)]
struct Published {
    out_ch: usize,
    ch: usize,
    ch_mult: Vec<usize>,
    num_res_blocks: usize,
    z_channels: usize,
    scale_factor: f64,
    shift_factor: f64,
    #[serde(default = "groups")]
    num_groups: usize,
}

/// diffusers'.
#[derive(Deserialize)]
struct Diffusers {
    out_channels: usize,
    latent_channels: usize,
    block_out_channels: Vec<usize>,
    layers_per_block: usize,
    #[serde(default = "groups")]
    norm_num_groups: usize,
    scaling_factor: f64,
    shift_factor: Option<f64>,
    #[serde(default)]
    use_post_quant_conv: bool,
    #[serde(default = "yes")]
    mid_block_add_attention: bool,
}

fn groups() -> usize {
    32
}

fn yes() -> bool {
    true
}

impl VaeConfig {
    /// FLUX.1's autoencoder as published.
    pub fn flux() -> Self {
        Self {
            outputs: 3,
            latent: 16,
            channels: vec![128, 256, 512, 512],
            blocks: 2,
            groups: groups(),
            scale: 0.3611,
            shift: 0.1159,
        }
    }

    /// From diffusers' `config.json`, or Black Forest Labs' parameters, alone or under `autoencoder`.
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        const WHAT: &str = "the autoencoder's configuration";
        let value = value.get("autoencoder").unwrap_or(value);
        let config = if value.get("block_out_channels").is_some() {
            let c: Diffusers = fields(WHAT, value)?;
            if c.use_post_quant_conv || !c.mid_block_add_attention {
                return Err(ModelError::own(format!(
                    "{WHAT}: use_post_quant_conv is {}, mid_block_add_attention {}; false and true are understood",
                    c.use_post_quant_conv, c.mid_block_add_attention
                )));
            }
            Self {
                outputs: c.out_channels,
                latent: c.latent_channels,
                channels: c.block_out_channels,
                blocks: c.layers_per_block,
                groups: c.norm_num_groups,
                scale: c.scaling_factor,
                shift: c.shift_factor.unwrap_or(0.0),
            }
        } else {
            let c: Published = fields(WHAT, value)?;
            Self {
                outputs: c.out_ch,
                latent: c.z_channels,
                channels: c.ch_mult.iter().map(|factor| factor.saturating_mul(c.ch)).collect(),
                blocks: c.num_res_blocks,
                groups: c.num_groups,
                scale: c.scale_factor,
                shift: c.shift_factor,
            }
        };
        config.checked()
    }

    fn checked(self) -> Result<Self, ModelError> {
        const WHAT: &str = "the autoencoder's configuration";
        let mut sizes = vec![
            ("the latent channels", self.latent),
            ("the groups", self.groups),
            ("the blocks", self.blocks),
        ];
        sizes.extend(self.channels.iter().map(|channels| ("a level's channels", *channels)));
        check_sizes(WHAT, &sizes)?;
        if self.channels.is_empty() || self.channels.len() > 8 || self.blocks > 64 {
            return Err(ModelError::own(format!(
                "{WHAT}: {} levels of {} blocks; expected 1 to 8 of up to 64",
                self.channels.len(),
                self.blocks
            )));
        }
        if let Some(channels) = self.channels.iter().find(|channels| !channels.is_multiple_of(self.groups)) {
            return Err(ModelError::own(format!(
                "{WHAT}: {channels} channels do not divide into {} groups",
                self.groups
            )));
        }
        if self.outputs != 3 {
            return Err(ModelError::own(format!(
                "{WHAT}: {} channels of the picture; expected 3",
                self.outputs
            )));
        }
        if !(self.scale.is_finite() && self.scale != 0.0 && self.shift.is_finite()) {
            return Err(ModelError::own(format!("{WHAT}: scale {} and shift {}", self.scale, self.shift)));
        }
        Ok(self)
    }

    /// How many pixels of the picture one latent position stands for, along each side.
    pub fn factor(&self) -> usize {
        1 << (self.channels.len() - 1)
    }
}
