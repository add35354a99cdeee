//! The phoneme-level ALBERT (Lan et al. 2019; Li et al. 2023): one layer applied again and again.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Embedding, Init, VarBuilder};

use super::config::KokoroConfig;
use crate::models::kernels::{Activation, Kernels, LayerNorm, Linear, Mask, attention};

/// ALBERT's default.
const EPSILON: f64 = 1e-12;

/// Token ids to contextual features.
#[derive(Debug)]
pub(crate) struct Plbert {
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

fn linear(inputs: usize, outputs: usize, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Linear> {
    let spread = 1.0 / (inputs as f64).sqrt();
    let weight = vb.get_with_hints((outputs, inputs), "weight", Init::Randn { mean: 0.0, stdev: spread })?;
    Linear::in_form(&weight, &vb.get_with_hints(outputs, "bias", Init::Const(0.0))?, kernels)
}

impl Plbert {
    /// The network under `vb` (`bert.module`).
    pub(crate) fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
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
            embedded: LayerNorm::load(bert.embedding_size, EPSILON, &embeddings.pp("LayerNorm"))?,
            widen: linear(
                bert.embedding_size,
                bert.hidden_size,
                &vb.pp("encoder.embedding_hidden_mapping_in"),
                kernels,
            )?,
            layer: Layer::new(config, &vb.pp("encoder.albert_layer_groups.0.albert_layers.0"), kernels)?,
            repeats: bert.num_hidden_layers,
        })
    }

    /// [1, tokens] ids to [1, tokens, hidden_size].
    pub(crate) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
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
    fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let (size, middle) = (config.plbert.hidden_size, config.plbert.intermediate_size);
        let attention = vb.pp("attention");
        let square = |name: &str| linear(size, size, &attention.pp(name), kernels);
        Ok(Self {
            query: square("query")?,
            key: square("key")?,
            value: square("value")?,
            dense: square("dense")?,
            attended: LayerNorm::load(size, EPSILON, &attention.pp("LayerNorm"))?,
            up: linear(size, middle, &vb.pp("ffn"), kernels)?,
            down: linear(middle, size, &vb.pp("ffn_output"), kernels)?,
            finished: LayerNorm::load(size, EPSILON, &vb.pp("full_layer_layer_norm"))?,
            heads: config.plbert.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, size) = x.dims3()?;
        let width = size / self.heads;
        let split = |projection: &Linear| {
            projection.forward(x)?.reshape((batch, tokens, self.heads, width))?.transpose(1, 2)
        };
        let (query, key, value) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let mixed = attention(&query, &key, &value, 1.0 / (width as f64).sqrt(), Mask::None)?;
        let x = self.attended.forward(&self.dense.forward_onto(&mixed, x)?)?;
        let wide = self.up.forward_then(&x, Activation::GeluTanh)?;
        self.finished.forward(&self.down.forward_onto(&wide, &x)?)
    }
}
