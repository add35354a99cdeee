//! CLIP's text encoder as Flux uses it: one pooled vector of the whole prompt.
//!
//! The pooled vector is the last layer's, at the text's end, after the final norm and without CLIP's projection.

use candle_core::{Module, Result, Tensor};

use super::config::ClipConfig;
use super::linear::Linear;
use super::source::Source;
use crate::models::kernels::{Activation, LayerNorm, Mask, attention_of_rows};

fn norm(config: &ClipConfig, source: &Source<'_>, name: &str) -> Result<LayerNorm> {
    let get = |part: &str| source.tensor(&format!("{name}.{part}"), &[config.hidden_size]);
    LayerNorm::new(get("weight")?, get("bias")?, config.layer_norm_eps)
}

#[derive(Debug)]
struct Layer {
    first_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    second_norm: LayerNorm,
    up: Linear,
    down: Linear,
}

/// The encoder.
#[derive(Debug)]
pub struct ClipText {
    config: ClipConfig,
    tokens: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    last_norm: LayerNorm,
}

impl ClipText {
    /// From `source`.
    pub fn new(config: &ClipConfig, source: &Source<'_>) -> Result<Self> {
        let (width, mlp) = (config.hidden_size, config.intermediate_size);
        let layer = |index: usize| {
            let at = |name: &str| format!("text_model.encoder.layers.{index}.{name}");
            let square = |name: &str| source.linear(&at(name), width, &[width], true);
            Ok(Layer {
                first_norm: norm(config, source, &at("layer_norm1"))?,
                query: square("self_attn.q_proj")?,
                key: square("self_attn.k_proj")?,
                value: square("self_attn.v_proj")?,
                output: square("self_attn.out_proj")?,
                second_norm: norm(config, source, &at("layer_norm2"))?,
                up: source.linear(&at("mlp.fc1"), width, &[mlp], true)?,
                down: source.linear(&at("mlp.fc2"), mlp, &[width], true)?,
            })
        };
        let embedding = |name: &str, rows: usize| {
            source.stored(&format!("text_model.embeddings.{name}_embedding.weight"), &[rows, width])
        };
        Ok(Self {
            tokens: embedding("token", config.vocab_size)?,
            positions: embedding("position", config.max_position_embeddings)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            last_norm: norm(config, source, "text_model.final_layer_norm")?,
            config: config.clone(),
        })
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let layer = |layer: &Layer| {
            let linears = [&layer.query, &layer.key, &layer.value, &layer.output, &layer.up, &layer.down]
                .map(Linear::size);
            layer.first_norm.size() + layer.second_norm.size() + linears.iter().sum::<usize>()
        };
        of(&self.tokens)
            + of(&self.positions)
            + self.last_norm.size()
            + self.layers.iter().map(layer).sum::<usize>()
    }

    /// Every token's vector after the last norm, [tokens, width], and the pooled one, [1, width].
    pub fn encode(&self, ids: &[u32]) -> Result<(Tensor, Tensor)> {
        let config = &self.config;
        if ids.is_empty() || ids.len() > config.max_position_embeddings {
            candle_core::bail!("CLIP takes 1 to {} tokens, not {}", config.max_position_embeddings, ids.len())
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= config.vocab_size) {
            candle_core::bail!("token {id} is not among CLIP's {}", config.vocab_size)
        }
        let compute = self.last_norm.dtype();
        let words =
            self.tokens.index_select(&Tensor::new(ids, self.tokens.device())?, 0)?.to_dtype(compute)?;
        let mut x = (words + self.positions.narrow(0, 0, ids.len())?.to_dtype(compute)?)?;
        let heads = config.num_attention_heads;
        let scale = 1.0 / ((config.hidden_size / heads) as f64).sqrt();
        for layer in &self.layers {
            let normal = layer.first_norm.forward(&x)?;
            let (q, k, v) =
                (layer.query.forward(&normal)?, layer.key.forward(&normal)?, layer.value.forward(&normal)?);
            let attended = attention_of_rows(heads, scale, [&q, &k, &v], Mask::Causal)?;
            x = (x + layer.output.forward(&attended)?)?;
            let normal = layer.second_norm.forward(&x)?;
            let up = Activation::QuickGelu.forward(&layer.up.forward(&normal)?)?;
            x = (x + layer.down.forward(&up)?)?;
        }
        let x = self.last_norm.forward(&x)?;
        let pooled = x.narrow(0, end_of_text(ids, config.eos_token_id), 1)?;
        Ok((x, pooled))
    }
}

/// Where a text ends: at its first end token. Old configurations say 2, which is no end token of any tokenizer: they
/// mean the largest token there is.
fn end_of_text(ids: &[u32], eos: u32) -> usize {
    const OLD: u32 = 2;
    let end = if eos == OLD { ids.iter().copied().max().unwrap_or(0) } else { eos };
    ids.iter().position(|id| *id == end).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_its_first_end_token() {
        assert_eq!(end_of_text(&[8, 3, 4, 9, 9, 9], 2), 3);
        assert_eq!(end_of_text(&[8, 3, 7, 9, 7], 7), 2);
        assert_eq!(end_of_text(&[1, 1], 7), 0);
    }
}
