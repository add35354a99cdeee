//! The two towers, from pixels and token ids to features of one space.
//!
//! Owns names and shapes of the published checkpoint, and lets every stage be looked at; knows no files, no texts and
//! no pictures.

use candle_core::{IndexOp, Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::config::{ClipConfig, TextConfig};
use super::encoder::Encoder;
use crate::models::kernels::{Embedding, LayerNorm, Linear, Patches, Precision, parameter};

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
pub type Look<'a> = &'a mut dyn FnMut(Tower, Tap, &Tensor);

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
    tokens: Embedding,
    positions: Tensor,
    encoder: Encoder,
    last_norm: LayerNorm,
    projection: Linear,
    config: TextConfig,
}

impl Clip {
    /// Takes every weight from `vb`; matrices are kept as `precision` says.
    pub fn new(config: &ClipConfig, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        // ln(1/0.07), where training began.
        let logit_scale = vb.get_with_hints((), "logit_scale", Init::Const(2.6592))?;
        let logit_scale = logit_scale.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?.exp();
        Ok(Self {
            vision: Vision::new(config, precision, vb)?,
            text: Text::new(config, precision, vb)?,
            logit_scale,
        })
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
    fn new(config: &ClipConfig, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        let sizes = &config.vision_config;
        let tower = sizes.tower();
        let model = vb.pp("vision_model");
        let embeddings = model.pp("embeddings");
        let place = embeddings.pp("position_embedding");
        let norm = |name| LayerNorm::load(tower.hidden, tower.eps, &model.pp(name));
        Ok(Self {
            class: parameter(tower.hidden, "class_embedding", precision, &embeddings)?,
            patches: Patches::load(
                sizes.num_channels,
                tower.hidden,
                sizes.patch_size,
                precision,
                &embeddings.pp("patch_embedding"),
            )?,
            positions: parameter((sizes.tokens(), tower.hidden), "weight", precision, &place)?,
            // Misspelt in the published checkpoints, and so for ever.
            pre_norm: norm("pre_layrnorm")?,
            encoder: Encoder::new(&tower, precision, &model.pp("encoder"))?,
            post_norm: norm("post_layernorm")?,
            projection: projection(tower.hidden, config, precision, &vb.pp("visual_projection"))?,
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
    fn new(config: &ClipConfig, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        let sizes = &config.text_config;
        let tower = sizes.tower();
        let model = vb.pp("text_model");
        let embeddings = model.pp("embeddings");
        let place = embeddings.pp("position_embedding");
        Ok(Self {
            tokens: Embedding::load(
                sizes.vocab_size,
                tower.hidden,
                precision,
                &embeddings.pp("token_embedding"),
            )?,
            positions: parameter((sizes.max_position_embeddings, tower.hidden), "weight", precision, &place)?,
            encoder: Encoder::new(&tower, precision, &model.pp("encoder"))?,
            last_norm: LayerNorm::load(tower.hidden, tower.eps, &model.pp("final_layer_norm"))?,
            projection: projection(tower.hidden, config, precision, &vb.pp("text_projection"))?,
            config: sizes.clone(),
        })
    }

    fn forward(&self, ids: &[u32], length: usize, look: Look<'_>) -> Result<Tensor> {
        let most = self.config.max_position_embeddings;
        if length == 0 || length > most || !ids.len().is_multiple_of(length) {
            candle_core::bail!(
                "texts of {length} tokens in {} ids: expected 1 to {most}, all alike",
                ids.len()
            );
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            candle_core::bail!("token id {id} in a vocabulary of {}", self.config.vocab_size);
        }
        let device = self.positions.device();
        let texts = Tensor::from_slice(ids, (ids.len() / length, length), device)?;
        let x = self.tokens.forward(&texts)?.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        look(Tower::Text, Tap::Embeddings, &x);
        let x = self.encoder.forward(x, &mut |index, x| look(Tower::Text, Tap::Layer(index), x))?;
        let x = self.last_norm.forward(&x)?;
        look(Tower::Text, Tap::LastHidden, &x);
        let ends = ids.chunks(length).enumerate();
        let ends = ends.map(|(text, ids)| (text * length + self.config.pooled_position(ids)) as u32);
        let ends = Tensor::from_iter(ends, device)?;
        let pooled = x.flatten_to(1)?.index_select(&ends, 0)?;
        look(Tower::Text, Tap::Pooled, &pooled);
        self.projection.forward(&pooled)
    }

    fn size(&self) -> usize {
        self.tokens.size()
            + tensor_size(&self.positions)
            + self.encoder.size()
            + self.last_norm.size()
            + self.projection.size()
    }
}

fn projection(
    hidden: usize,
    config: &ClipConfig,
    precision: Precision,
    vb: &VarBuilder<'_>,
) -> Result<Linear> {
    Linear::load(hidden, config.projection_dim, false, precision, vb)
}

fn tensor_size(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}
