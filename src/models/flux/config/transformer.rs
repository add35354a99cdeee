//! The transformer's sizes.

use serde::Deserialize;
use serde_json::Value;

use super::{check_heads, check_sizes, fields};
use crate::contract::ModelError;

/// The multimodal diffusion transformer's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Values per token of the picture, in: 16 latent channels of 2×2 positions.
    pub inputs: usize,
    /// And out.
    pub outputs: usize,
    /// Width of CLIP's pooled text.
    pub pooled: usize,
    /// Width of T5's tokens.
    pub context: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of the feed-forward layers.
    pub mlp: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks with separate weights for text and picture.
    pub doubles: usize,
    /// Blocks with shared ones.
    pub singles: usize,
    /// How the width of a head divides among the three position axes.
    pub axes: Vec<usize>,
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// Whether queries, keys and values of double blocks have biases.
    pub qkv_bias: bool,
    /// Whether it was distilled to take a guidance strength; schnell was not.
    pub guidance: bool,
}

/// Black Forest Labs' field names.
#[derive(Deserialize)]
struct Published {
    in_channels: usize,
    out_channels: Option<usize>,
    vec_in_dim: usize,
    context_in_dim: usize,
    hidden_size: usize,
    mlp_ratio: f64,
    num_heads: usize,
    depth: usize,
    depth_single_blocks: usize,
    axes_dim: Vec<usize>,
    theta: f64,
    qkv_bias: bool,
    guidance_embed: bool,
}

/// diffusers'.
#[derive(Deserialize)]
struct Diffusers {
    in_channels: usize,
    out_channels: Option<usize>,
    num_layers: usize,
    num_single_layers: usize,
    attention_head_dim: usize,
    num_attention_heads: usize,
    joint_attention_dim: usize,
    pooled_projection_dim: usize,
    #[serde(default)]
    guidance_embeds: bool,
    #[serde(default = "published_axes")]
    axes_dims_rope: Vec<usize>,
}

fn published_axes() -> Vec<usize> {
    vec![16, 56, 56]
}

impl TransformerConfig {
    /// FLUX.1-schnell as published (black-forest-labs/flux, `util.py`).
    pub fn schnell() -> Self {
        Self {
            inputs: 64,
            outputs: 64,
            pooled: 768,
            context: 4096,
            width: 3072,
            mlp: 12288,
            heads: 24,
            doubles: 19,
            singles: 38,
            axes: published_axes(),
            theta: 10_000.0,
            qkv_bias: true,
            guidance: false,
        }
    }

    /// From diffusers' `config.json`, or Black Forest Labs' parameters, alone or under `flux`.
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        const WHAT: &str = "the transformer's configuration";
        let value = value.get("flux").unwrap_or(value);
        let config = if value.get("num_single_layers").is_some() {
            let c: Diffusers = fields(WHAT, value)?;
            let width = c.num_attention_heads.saturating_mul(c.attention_head_dim);
            Self {
                inputs: c.in_channels,
                outputs: c.out_channels.unwrap_or(c.in_channels),
                pooled: c.pooled_projection_dim,
                context: c.joint_attention_dim,
                width,
                // diffusers' class has no field for it: four times the width, always.
                mlp: width.saturating_mul(4),
                heads: c.num_attention_heads,
                doubles: c.num_layers,
                singles: c.num_single_layers,
                axes: c.axes_dims_rope,
                theta: 10_000.0,
                qkv_bias: true,
                guidance: c.guidance_embeds,
            }
        } else {
            let c: Published = fields(WHAT, value)?;
            Self {
                inputs: c.in_channels,
                outputs: c.out_channels.unwrap_or(c.in_channels),
                pooled: c.vec_in_dim,
                context: c.context_in_dim,
                width: c.hidden_size,
                mlp: (c.hidden_size as f64 * c.mlp_ratio) as usize,
                heads: c.num_heads,
                doubles: c.depth,
                singles: c.depth_single_blocks,
                axes: c.axes_dim,
                theta: c.theta,
                qkv_bias: c.qkv_bias,
                guidance: c.guidance_embed,
            }
        };
        config.checked()
    }

    /// From the names and shapes of a file with Black Forest Labs' names, for files that come without a configuration.
    ///
    /// How positions divide a head is in no tensor: it is known for the published width of 128 alone.
    pub fn from_shapes<'a>(shapes: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<Self, ModelError> {
        let shapes: std::collections::HashMap<&str, &[usize]> = shapes.collect();
        let dims = |name: &str, rank: usize| {
            shapes.get(name).filter(|dims| dims.len() == rank).copied().ok_or_else(|| {
                ModelError::own(format!(
                    "without a config.json the transformer's sizes are read from its tensors, and there is no {name} \
                     with {rank} dimensions"
                ))
            })
        };
        let count = |prefix: &str| {
            let index = |name: &&str| {
                name.strip_prefix(prefix)?
                    .split('.')
                    .next()?
                    .parse::<usize>()
                    .ok()
                    .filter(|index| *index < 10_000)
            };
            shapes.keys().filter_map(index).max().map_or(0, |last| last + 1)
        };
        let head = dims("double_blocks.0.img_attn.norm.query_norm.scale", 1)?[0];
        if head != 128 {
            return Err(ModelError::own(format!(
                "without a config.json the position axes of heads {head} wide are not known, only of those 128 wide"
            )));
        }
        let image = dims("img_in.weight", 2)?;
        Self {
            inputs: image[1],
            outputs: dims("final_layer.linear.weight", 2)?[0],
            pooled: dims("vector_in.in_layer.weight", 2)?[1],
            context: dims("txt_in.weight", 2)?[1],
            width: image[0],
            mlp: dims("double_blocks.0.img_mlp.0.weight", 2)?[0],
            heads: image[0] / head,
            doubles: count("double_blocks."),
            singles: count("single_blocks."),
            axes: published_axes(),
            theta: 10_000.0,
            qkv_bias: shapes.contains_key("double_blocks.0.img_attn.qkv.bias"),
            guidance: shapes.contains_key("guidance_in.in_layer.weight"),
        }
        .checked()
    }

    /// Width of one head.
    pub fn head(&self) -> usize {
        self.width / self.heads.max(1)
    }

    /// Channels of the latent picture: a token is 2×2 positions of it.
    pub fn latent_channels(&self) -> usize {
        self.inputs / 4
    }

    fn checked(self) -> Result<Self, ModelError> {
        const WHAT: &str = "the transformer's configuration";
        check_sizes(
            WHAT,
            &[
                ("the input width", self.inputs),
                ("the output width", self.outputs),
                ("the pooled text's width", self.pooled),
                ("the context's width", self.context),
                ("the width", self.width),
                ("the feed-forward width", self.mlp),
            ],
        )?;
        check_heads(WHAT, self.width, self.heads)?;
        if self.doubles.max(self.singles) > 10_000 {
            return Err(ModelError::own(format!("{WHAT}: {} and {} blocks", self.doubles, self.singles)));
        }
        let fits = self.axes.iter().try_fold(0usize, |sum, axis| sum.checked_add(*axis)) == Some(self.head());
        if self.axes.len() != 3 || !fits || self.axes.iter().any(|axis| axis % 2 == 1) {
            return Err(ModelError::own(format!(
                "{WHAT}: position axes {:?}; expected three even numbers that add up to the head's width of {}",
                self.axes,
                self.head()
            )));
        }
        if !self.inputs.is_multiple_of(4) || self.outputs != self.inputs {
            return Err(ModelError::own(format!(
                "{WHAT}: {} values in and {} out per token; expected the same number, divisible by 4",
                self.inputs, self.outputs
            )));
        }
        Ok(self)
    }
}
