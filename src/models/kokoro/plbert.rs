//! The phoneme-level ALBERT (Lan et al. 2019; Li et al. 2023): one layer applied again and again.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{Embedding, Init, LayerNorm, Linear, Module, VarBuilder};

use super::config::KokoroConfig;

/// ALBERT's default.
const EPSILON: f64 = 1e-12;

/// Token ids to contextual features.
#[derive(Debug)]
pub struct Plbert {
    words: Embedding,
    positions: Tensor,
    kind: Tensor,
    embedded: LayerNorm,
    widen: Linear,
    layer: Layer,
    repeats: usize,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    dense: Linear,
    attended: LayerNorm,
    up: Linear,
    down: Linear,
    finished: LayerNorm,
    heads: usize,
}

fn norm(size: usize, vb: &VarBuilder<'_>) -> Result<LayerNorm> {
    let weight = vb.get_with_hints(size, "weight", Init::Const(1.0))?;
    Ok(LayerNorm::new(weight, vb.get_with_hints(size, "bias", Init::Const(0.0))?, EPSILON))
}

fn linear(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Linear> {
    let spread = 1.0 / (inputs as f64).sqrt();
    let weight = vb.get_with_hints((outputs, inputs), "weight", Init::Randn { mean: 0.0, stdev: spread })?;
    Ok(Linear::new(weight, Some(vb.get_with_hints(outputs, "bias", Init::Const(0.0))?)))
}

impl Plbert {
    /// The network under `vb` (`bert.module`).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let bert = &config.plbert;
        let embeddings = vb.pp("embeddings");
        let table = |rows: usize, name: &str| {
            let init = Init::Randn { mean: 0.0, stdev: 1.0 };
            embeddings.get_with_hints((rows, bert.embedding_size), &format!("{name}.weight"), init)
        };
        Ok(Self {
            words: Embedding::new(table(config.n_token, "word_embeddings")?, bert.embedding_size),
            positions: table(bert.max_position_embeddings, "position_embeddings")?,
            // Every token is of the first of the two kinds.
            kind: table(2, "token_type_embeddings")?.narrow(0, 0, 1)?,
            embedded: norm(bert.embedding_size, &embeddings.pp("LayerNorm"))?,
            widen: linear(
                bert.embedding_size,
                bert.hidden_size,
                &vb.pp("encoder.embedding_hidden_mapping_in"),
            )?,
            layer: Layer::new(config, &vb.pp("encoder.albert_layer_groups.0.albert_layers.0"))?,
            repeats: bert.num_hidden_layers,
        })
    }

    /// [1, tokens] ids to [1, tokens, hidden_size].
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let tokens = ids.dim(1)?;
        let x = self.words.forward(ids)?;
        let x = x.broadcast_add(&self.positions.narrow(0, 0, tokens)?)?.broadcast_add(&self.kind)?;
        let mut x = self.widen.forward(&self.embedded.forward(&x)?)?;
        for _ in 0..self.repeats {
            x = self.layer.forward(&x)?;
        }
        Ok(x)
    }
}

impl Layer {
    fn new(config: &KokoroConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (size, middle) = (config.plbert.hidden_size, config.plbert.intermediate_size);
        let attention = vb.pp("attention");
        let square = |name: &str| linear(size, size, &attention.pp(name));
        Ok(Self {
            query: square("query")?,
            key: square("key")?,
            value: square("value")?,
            dense: square("dense")?,
            attended: norm(size, &attention.pp("LayerNorm"))?,
            up: linear(size, middle, &vb.pp("ffn"))?,
            down: linear(middle, size, &vb.pp("ffn_output"))?,
            finished: norm(size, &vb.pp("full_layer_layer_norm"))?,
            heads: config.plbert.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, size) = x.dims3()?;
        let width = size / self.heads;
        let split = |projection: &Linear| {
            projection.forward(x)?.reshape((batch, tokens, self.heads, width))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let scores = (query.matmul(&key.transpose(D::Minus1, D::Minus2)?)? / (width as f64).sqrt())?;
        let mixed = softmax_last_dim(&scores)?.matmul(&value)?;
        let mixed = mixed.transpose(1, 2)?.reshape((batch, tokens, size))?;
        let x = self.attended.forward(&(self.dense.forward(&mixed)? + x)?)?;
        // The tanh form of GELU, which is candle's `gelu`.
        let y = self.down.forward(&self.up.forward(&x)?.gelu()?)?;
        self.finished.forward(&(y + x)?)
    }
}
