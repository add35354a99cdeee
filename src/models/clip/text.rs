//! The text tower, from token ids to features of every token and of the text: CLIP's own, and Flux's reader of whole
//! prompts.
//!
//! Both are the same network with other sizes. They differ in where the layers come from ([`Layers`]) and in what is
//! taken: CLIP projects the pooled token, Flux takes it as it is.

use candle_core::{Module, Result, Tensor, bail};

use super::config::TextConfig;
use super::encoder::Encoder;
use super::layers::Layers;
use super::network::Tap;
use crate::models::kernels::{Embedding, LayerNorm};

/// Everything up to the last norm.
#[derive(Clone, Debug)]
pub struct TextTower {
    tokens: Embedding,
    positions: Tensor,
    encoder: Encoder,
    last_norm: LayerNorm,
    config: TextConfig,
}

/// What a tower makes of texts.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Every token after the last norm, [texts, tokens, hidden].
    pub tokens: Tensor,
    /// The token that stands for each text, [texts, hidden].
    pub pooled: Tensor,
}

impl TextTower {
    /// From `text_model.…` of the published names.
    pub fn new(config: &TextConfig, from: &dyn Layers) -> Result<Self> {
        let tower = config.tower();
        let tokens = "text_model.embeddings.token_embedding";
        let positions = "text_model.embeddings.position_embedding.weight";
        Ok(Self {
            tokens: from.embedding(tokens, config.vocab_size, tower.hidden)?,
            positions: from.tensor(positions, &[config.max_position_embeddings, tower.hidden])?,
            encoder: Encoder::new(&tower, "text_model.encoder", from)?,
            last_norm: from.norm("text_model.final_layer_norm", tower.hidden, tower.eps)?,
            config: config.clone(),
        })
    }

    /// Of `ids`, texts of `length` tokens after each other; `look` sees what passes.
    pub fn forward(&self, ids: &[u32], length: usize, look: &mut dyn FnMut(Tap, &Tensor)) -> Result<Encoded> {
        let most = self.config.max_position_embeddings;
        if length == 0 || length > most || !ids.len().is_multiple_of(length) {
            bail!("texts of {length} tokens in {} ids: CLIP takes 1 to {most}, all alike", ids.len());
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            bail!("token id {id} in a vocabulary of {}", self.config.vocab_size);
        }
        let device = self.positions.device();
        let texts = Tensor::from_slice(ids, (ids.len() / length, length), device)?;
        let words = self.tokens.forward(&texts)?;
        let positions = self.positions.narrow(0, 0, length)?.to_dtype(words.dtype())?;
        let x = words.broadcast_add(&positions)?;
        look(Tap::Embeddings, &x);
        let x = self.encoder.forward(x, &mut |index, x| look(Tap::Layer(index), x))?;
        let tokens = self.last_norm.forward(&x)?;
        look(Tap::LastHidden, &tokens);
        let ends = ids.chunks(length).enumerate();
        let ends = ends.map(|(text, ids)| (text * length + self.config.pooled_position(ids)) as u32);
        let pooled = tokens.flatten_to(1)?.index_select(&Tensor::from_iter(ends, device)?, 0)?;
        look(Tap::Pooled, &pooled);
        Ok(Encoded { tokens, pooled })
    }

    /// Bytes of its weights.
    pub fn size(&self) -> usize {
        let positions = self.positions.elem_count() * self.positions.dtype().size_in_bytes();
        self.tokens.size() + positions + self.encoder.size() + self.last_norm.size()
    }
}
