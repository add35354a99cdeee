//! The text encoders' sizes.

use serde::Deserialize;
use serde_json::Value;

use super::{check_heads, check_sizes, fields};
use crate::contract::ModelError;
use crate::models::clip::config::{HiddenAct, TextConfig};

/// T5's encoder, Hugging Face's field names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct T5Config {
    /// Width of a token.
    pub d_model: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Width of the feed-forward layers.
    pub d_ff: usize,
    /// Heads.
    pub num_heads: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Tokens there are.
    pub vocab_size: usize,
    /// Buckets of relative distance.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distance from which on all are alike.
    #[serde(default = "distance")]
    pub relative_attention_max_distance: usize,
    /// Added under the root of the norm.
    #[serde(default = "eps")]
    pub layer_norm_epsilon: f64,
    /// Which feed-forward layer; the gated one with GELU is understood.
    feed_forward_proj: String,
}

fn buckets() -> usize {
    32
}

fn distance() -> usize {
    128
}

fn eps() -> f64 {
    1e-6
}

impl T5Config {
    /// T5-XXL's encoder (version 1.1).
    pub fn xxl() -> Self {
        Self {
            d_model: 4096,
            d_kv: 64,
            d_ff: 10240,
            num_heads: 64,
            num_layers: 24,
            vocab_size: 32128,
            relative_attention_num_buckets: buckets(),
            relative_attention_max_distance: distance(),
            layer_norm_epsilon: eps(),
            feed_forward_proj: "gated-gelu".to_owned(),
        }
    }

    /// From `text_encoder_2/config.json`.
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        fields::<Self>("T5's configuration", value)?.checked()
    }

    /// From the names and shapes of a GGUF file with llama.cpp's names.
    pub fn from_shapes<'a>(shapes: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<Self, ModelError> {
        let shapes: std::collections::HashMap<&str, &[usize]> = shapes.collect();
        let dims = |name: &str| {
            shapes.get(name).filter(|dims| dims.len() == 2).copied().ok_or_else(|| {
                ModelError::own(format!(
                    "without a config.json T5's sizes are read from its tensors, and there is no matrix {name}"
                ))
            })
        };
        let embedding = dims("token_embd.weight")?;
        let bias = dims("enc.blk.0.attn_rel_b.weight")?;
        let index = |name: &&str| name.strip_prefix("enc.blk.")?.split('.').next()?.parse::<usize>().ok();
        let layers = shapes.keys().filter_map(index).max().map_or(0, |last| last.saturating_add(1));
        let config = Self {
            d_model: embedding[1],
            d_kv: dims("enc.blk.0.attn_q.weight")?[0] / bias[1].max(1),
            d_ff: dims("enc.blk.0.ffn_gate.weight")?[0],
            num_heads: bias[1],
            num_layers: layers,
            vocab_size: embedding[0],
            relative_attention_num_buckets: bias[0],
            ..Self::xxl()
        };
        config.checked()
    }

    fn checked(self) -> Result<Self, ModelError> {
        const WHAT: &str = "T5's configuration";
        check_sizes(
            WHAT,
            &[
                ("d_model", self.d_model),
                ("d_kv", self.d_kv),
                ("d_ff", self.d_ff),
                ("num_heads", self.num_heads),
                ("num_layers", self.num_layers),
                ("vocab_size", self.vocab_size),
            ],
        )?;
        let buckets = self.relative_attention_num_buckets;
        if buckets < 4 || !buckets.is_multiple_of(4) || self.relative_attention_max_distance <= buckets / 4 {
            return Err(ModelError::own(format!(
                "{WHAT}: {buckets} buckets up to a distance of {}; expected a multiple of 4 and a longer distance",
                self.relative_attention_max_distance
            )));
        }
        if self.feed_forward_proj != "gated-gelu" {
            return Err(ModelError::own(format!(
                "{WHAT}: feed_forward_proj is {:?}; gated-gelu is understood",
                self.feed_forward_proj
            )));
        }
        Ok(self)
    }
}

/// CLIP's text encoder, Hugging Face's field names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ClipConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Tokens there are.
    pub vocab_size: usize,
    /// Most tokens in a text.
    pub max_position_embeddings: usize,
    /// Added under the root of the norms.
    #[serde(default = "clip_eps")]
    pub layer_norm_eps: f64,
    /// The token that ends a text; 2 in old configurations means "the largest there is".
    #[serde(default = "clip_eos")]
    pub eos_token_id: u32,
    hidden_act: Option<String>,
}

fn clip_eps() -> f64 {
    1e-5
}

fn clip_eos() -> u32 {
    2
}

impl ClipConfig {
    /// CLIP ViT-L/14's text encoder.
    pub fn large() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_attention_heads: 12,
            num_hidden_layers: 12,
            vocab_size: 49408,
            max_position_embeddings: 77,
            layer_norm_eps: clip_eps(),
            eos_token_id: clip_eos(),
            hidden_act: None,
        }
    }

    /// As the tower takes it.
    pub fn tower(&self) -> TextConfig {
        TextConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_attention_heads: self.num_attention_heads,
            num_hidden_layers: self.num_hidden_layers,
            max_position_embeddings: self.max_position_embeddings,
            vocab_size: self.vocab_size,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: self.layer_norm_eps,
            eos_token_id: self.eos_token_id,
        }
    }

    /// From `text_encoder/config.json`.
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        const WHAT: &str = "CLIP's configuration";
        let config: Self = fields(WHAT, value.get("text_config").unwrap_or(value))?;
        check_sizes(
            WHAT,
            &[
                ("hidden_size", config.hidden_size),
                ("intermediate_size", config.intermediate_size),
                ("num_hidden_layers", config.num_hidden_layers),
                ("vocab_size", config.vocab_size),
                ("max_position_embeddings", config.max_position_embeddings),
            ],
        )?;
        check_heads(WHAT, config.hidden_size, config.num_attention_heads)?;
        match config.hidden_act.as_deref() {
            None | Some("quick_gelu") => Ok(config),
            Some(other) => {
                Err(ModelError::own(format!("{WHAT}: hidden_act is {other:?}; quick_gelu is understood")))
            }
        }
    }
}
