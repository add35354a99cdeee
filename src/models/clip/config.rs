//! CLIP's sizes, from the published `config.json`.
//!
//! Owns the defaults that the format has for what a file leaves out (transformers' `CLIPTextConfig`,
//! `CLIPVisionConfig`); fields that do not matter here are not looked at.

use serde::Deserialize;

use crate::contract::ModelError;
use crate::models::kernels::Activation;

/// Both towers and the space they share.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ClipConfig {
    /// Dimensions of the shared space.
    #[serde(default = "projection_dim")]
    pub projection_dim: usize,
    /// The text tower.
    #[serde(default)]
    pub text_config: TextConfig,
    /// The vision tower.
    #[serde(default)]
    pub vision_config: VisionConfig,
}

/// What both towers have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TowerConfig {
    /// Features of a token.
    pub hidden: usize,
    /// Features inside the feed-forward layers.
    pub intermediate: usize,
    /// Attention heads.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Of the feed-forward layers.
    pub activation: Activation,
    /// ε of every layer norm.
    pub eps: f64,
    /// Whether a token sees only itself and those before it.
    pub causal: bool,
}

/// The text tower.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Features of a token.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Most tokens of a text.
    pub max_position_embeddings: usize,
    /// Tokens that exist.
    pub vocab_size: usize,
    /// Of the feed-forward layers.
    pub hidden_act: HiddenAct,
    /// ε of every layer norm.
    pub layer_norm_eps: f64,
    /// The token whose features stand for the text; 2 in old files, which means the largest id of the text.
    pub eos_token_id: u32,
}

/// The vision tower.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Features of a patch.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Pixels of a side of the picture.
    pub image_size: usize,
    /// Pixels of a side of a patch.
    pub patch_size: usize,
    /// Channels of the picture.
    pub num_channels: usize,
    /// Of the feed-forward layers.
    pub hidden_act: HiddenAct,
    /// ε of every layer norm.
    pub layer_norm_eps: f64,
}

/// Activations that CLIP checkpoints name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// OpenAI's.
    QuickGelu,
    /// LAION's.
    Gelu,
}

impl From<HiddenAct> for Activation {
    fn from(act: HiddenAct) -> Self {
        match act {
            HiddenAct::QuickGelu => Self::QuickGelu,
            HiddenAct::Gelu => Self::Gelu,
        }
    }
}

fn projection_dim() -> usize {
    512
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            hidden_size: 512,
            intermediate_size: 2048,
            num_attention_heads: 8,
            num_hidden_layers: 12,
            max_position_embeddings: 77,
            vocab_size: 49_408,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49_407,
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_attention_heads: 12,
            num_hidden_layers: 12,
            image_size: 224,
            patch_size: 32,
            num_channels: 3,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipConfig {
    /// From the text of `config.json`, checked; errors name the field, its value and what would be accepted.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        // By way of an object: a list would be read as the fields in order.
        let config: Self = serde_json::from_str::<serde_json::Map<_, _>>(text)
            .and_then(|fields| serde_json::from_value(fields.into()))
            .map_err(|error| ModelError::own("not a CLIP config.json").because(error))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ModelError> {
        /// Far above every published CLIP, and small enough that no product of sizes overflows.
        const MOST: usize = 1 << 20;
        let (text, vision) = (&self.text_config, &self.vision_config);
        for (name, value) in [
            ("projection_dim", self.projection_dim),
            ("text_config.hidden_size", text.hidden_size),
            ("text_config.intermediate_size", text.intermediate_size),
            ("text_config.num_attention_heads", text.num_attention_heads),
            ("text_config.num_hidden_layers", text.num_hidden_layers),
            ("text_config.vocab_size", text.vocab_size),
            ("vision_config.hidden_size", vision.hidden_size),
            ("vision_config.intermediate_size", vision.intermediate_size),
            ("vision_config.num_attention_heads", vision.num_attention_heads),
            ("vision_config.num_hidden_layers", vision.num_hidden_layers),
            ("vision_config.patch_size", vision.patch_size),
        ] {
            require(name, value, 1..=MOST)?;
        }
        // The beginning and the end of a text are tokens as well.
        require("text_config.max_position_embeddings", text.max_position_embeddings, 2..=MOST)?;
        require("vision_config.image_size", vision.image_size, vision.patch_size..=1 << 14)?;
        require("vision_config.num_channels", vision.num_channels, 3..=3)?;
        for (tower, hidden, heads) in [
            ("text_config", text.hidden_size, text.num_attention_heads),
            ("vision_config", vision.hidden_size, vision.num_attention_heads),
        ] {
            if !hidden.is_multiple_of(heads) {
                return Err(ModelError::own(format!(
                    "config.json: {tower}.hidden_size is {hidden}, expected a multiple of num_attention_heads, {heads}"
                )));
            }
        }
        for (tower, eps) in [("text_config", text.layer_norm_eps), ("vision_config", vision.layer_norm_eps)] {
            if !(eps > 0.0 && eps < 1.0) {
                return Err(ModelError::own(format!(
                    "config.json: {tower}.layer_norm_eps is {eps}, expected a number between 0 and 1"
                )));
            }
        }
        Ok(())
    }
}

fn require(name: &str, value: usize, range: std::ops::RangeInclusive<usize>) -> Result<(), ModelError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(ModelError::own(format!("config.json: {name} is {value}, expected {least} to {most}")))
}

impl TextConfig {
    /// What this tower shares with the other.
    pub fn tower(&self) -> TowerConfig {
        TowerConfig {
            hidden: self.hidden_size,
            intermediate: self.intermediate_size,
            heads: self.num_attention_heads,
            layers: self.num_hidden_layers,
            activation: self.hidden_act.into(),
            eps: self.layer_norm_eps,
            causal: true,
        }
    }

    /// Whether the largest id of a text is its end: configurations written before transformers 4.31 carry an
    /// `eos_token_id` of 2, though the tokenizer never gives it.
    pub fn pools_at_largest(&self) -> bool {
        self.eos_token_id == 2
    }

    /// The place of the token whose features stand for the text `ids`.
    pub fn pooled_position(&self, ids: &[u32]) -> usize {
        if !self.pools_at_largest() {
            return ids.iter().position(|id| *id == self.eos_token_id).unwrap_or(0);
        }
        let largest = ids.iter().max();
        ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
    }
}

impl VisionConfig {
    /// What this tower shares with the other.
    pub fn tower(&self) -> TowerConfig {
        TowerConfig {
            hidden: self.hidden_size,
            intermediate: self.intermediate_size,
            heads: self.num_attention_heads,
            layers: self.num_hidden_layers,
            activation: self.hidden_act.into(),
            eps: self.layer_norm_eps,
            causal: false,
        }
    }

    /// Patches of a picture and the class token before them.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_leaves_out_is_base_32() {
        let config =
            ClipConfig::from_json(r#"{"text_config": {"dropout": 0.1}, "architectures": []}"#).unwrap();
        assert_eq!((config.projection_dim, config.vision_config.tokens()), (512, 50));
        assert_eq!(config.text_config.tower().activation, Activation::QuickGelu);
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        for (json, expected) in [
            (
                r#"{"vision_config": {"hidden_size": 100, "num_attention_heads": 12}}"#,
                "vision_config.hidden_size is 100",
            ),
            (r#"{"text_config": {"num_hidden_layers": 0}}"#, "text_config.num_hidden_layers is 0"),
            (r#"{"vision_config": {"image_size": 16}}"#, "vision_config.image_size is 16, expected 32"),
            (r#"{"vision_config": {"num_channels": 4}}"#, "num_channels is 4"),
            (r#"{"vision_config": {"patch_size": 0}}"#, "vision_config.patch_size is 0"),
            (r#"{"text_config": {"layer_norm_eps": -1}}"#, "layer_norm_eps is -1"),
            (r#"{"text_config": {"hidden_act": "relu"}}"#, "quick_gelu"),
            ("[]", "not a CLIP config.json"),
        ] {
            let error = ClipConfig::from_json(json).unwrap_err().chain();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn the_end_of_a_text_is_the_first_of_its_tokens() {
        let mut config = TextConfig { eos_token_id: 7, ..TextConfig::default() };
        assert_eq!(config.pooled_position(&[1, 9, 7, 7]), 2);
        assert_eq!(config.pooled_position(&[1, 9]), 0);
        config.eos_token_id = 2;
        assert_eq!(config.pooled_position(&[1, 2, 9, 9]), 2);
    }
}
