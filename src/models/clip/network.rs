//! The two towers, from pixels and token ids to features of one space.
//!
//! Owns names and shapes of the published checkpoint, and lets every stage be looked at; knows no files, no texts and
//! no pictures.

use candle_core::{IndexOp, Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::config::ClipConfig;
use super::encoder::Encoder;
use super::layers::{Layers, Published};
use super::text::TextTower;
use crate::models::kernels::{LayerNorm, Linear, Patches, Precision};

/// What of a tower a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    /// Tokens with their positions.
    Embeddings,
    /// These, normalised; pictures only.
    PreNorm,
    /// After the layer of this number.
    Layer(usize),
    /// After the last layer norm, all tokens; texts only.
    LastHidden,
    /// The one token that stands for all.
    Pooled,
}

/// One of the two towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    /// Pictures.
    Vision,
    /// Texts.
    Text,
}

/// Sees what passes.
pub(crate) type Look<'a> = &'a mut dyn FnMut(Tower, Tap, &Tensor);

/// Both towers.
#[derive(Clone, Debug)]
pub struct Clip {
    vision: Vision,
    text: Text,
    logit_scale: f32,
}

#[derive(Clone, Debug)]
struct Vision {
    class: Tensor,
    patches: Patches,
    positions: Tensor,
    pre_norm: LayerNorm,
    encoder: Encoder,
    post_norm: LayerNorm,
    projection: Linear,
}

#[derive(Clone, Debug)]
struct Text {
    tower: TextTower,
    projection: Linear,
}

impl Clip {
    /// Takes every weight from `vb`; matrices are kept as `precision` says.
    pub fn new(config: &ClipConfig, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        let from = Published { vb, precision };
        // ln(1/0.07), where training began.
        let logit_scale = vb.get_with_hints((), "logit_scale", Init::Const(2.6592))?;
        let logit_scale = logit_scale.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?.exp();
        Ok(Self { vision: Vision::new(config, &from)?, text: Text::new(config, &from)?, logit_scale })
    }

    /// Of `pixels` [batch, 3, side, side], normalised as published: features [batch, projection].
    pub fn image_features(&self, pixels: &Tensor, look: Look<'_>) -> Result<Tensor> {
        self.vision.forward(pixels, look)
    }

    /// Of `ids`, texts of one length after each other: features [texts, projection].
    ///
    /// What follows the end of a text changes nothing, so any padding that is not mistaken for the end will do.
    pub fn text_features(&self, ids: &[u32], length: usize, look: Look<'_>) -> Result<Tensor> {
        self.text.forward(ids, length, look)
    }

    /// What cosines are multiplied by to give logits.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale
    }

    /// Memory of its weights.
    pub fn size(&self) -> usize {
        self.vision.size() + self.text.size()
    }
}

impl Vision {
    fn new(config: &ClipConfig, from: &Published<'_>) -> Result<Self> {
        let sizes = &config.vision_config;
        let tower = sizes.tower();
        let at = |name: &str| format!("vision_model.{name}");
        let norm = |name| from.norm(&at(name), tower.hidden, tower.eps);
        Ok(Self {
            class: from.tensor(&at("embeddings.class_embedding"), &[tower.hidden])?,
            patches: Patches::load(
                sizes.num_channels,
                tower.hidden,
                sizes.patch_size,
                from.precision,
                &from.vb.pp(at("embeddings.patch_embedding")),
            )?,
            positions: from
                .tensor(&at("embeddings.position_embedding.weight"), &[sizes.tokens(), tower.hidden])?,
            // Misspelt in the published checkpoints, and so for ever.
            pre_norm: norm("pre_layrnorm")?,
            encoder: Encoder::new(&tower, &at("encoder"), from)?,
            post_norm: norm("post_layernorm")?,
            projection: projection(tower.hidden, config, "visual_projection", from)?,
        })
    }

    fn forward(&self, pixels: &Tensor, look: Look<'_>) -> Result<Tensor> {
        let patches = self.patches.forward(pixels)?;
        let (batch, _, hidden) = patches.dims3()?;
        let class = self.class.reshape((1, 1, hidden))?.broadcast_as((batch, 1, hidden))?;
        let x = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&self.positions)?;
        look(Tower::Vision, Tap::Embeddings, &x);
        let x = self.pre_norm.forward(&x)?;
        look(Tower::Vision, Tap::PreNorm, &x);
        let x = self.encoder.forward(x, &mut |index, x| look(Tower::Vision, Tap::Layer(index), x))?;
        let pooled = self.post_norm.forward(&x.i((.., 0))?)?;
        look(Tower::Vision, Tap::Pooled, &pooled);
        self.projection.forward(&pooled)
    }

    fn size(&self) -> usize {
        tensor_size(&self.class)
            + self.patches.size()
            + tensor_size(&self.positions)
            + self.pre_norm.size()
            + self.encoder.size()
            + self.post_norm.size()
            + self.projection.size()
    }
}

impl Text {
    fn new(config: &ClipConfig, from: &Published<'_>) -> Result<Self> {
        Ok(Self {
            tower: TextTower::new(&config.text_config, from)?,
            projection: projection(config.text_config.hidden_size, config, "text_projection", from)?,
        })
    }

    fn forward(&self, ids: &[u32], length: usize, look: Look<'_>) -> Result<Tensor> {
        let encoded = self.tower.forward(ids, length, &mut |tap, x| look(Tower::Text, tap, x))?;
        self.projection.forward(&encoded.pooled)
    }

    fn size(&self) -> usize {
        self.tower.size() + self.projection.size()
    }
}

fn projection(hidden: usize, config: &ClipConfig, name: &str, from: &Published<'_>) -> Result<Linear> {
    from.linear(&[name.to_owned()], hidden, config.projection_dim, false)
}

fn tensor_size(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}
