//! T5's encoder (version 1.1: gated GELU, no biases), which turns a prompt into one vector per token.
//!
//! Its layers are resident, or read from the mapped file one at a time while a prompt is encoded: 4.7 billion
//! parameters that are used once per job. As the Flux pipelines do, padding is not masked: the transformer was trained
//! on what padded tokens become.
//!
//! candle-transformers' T5 is not used: it keeps every layer resident in one type, and masks.

use candle_core::{Module, Result, Tensor};

use super::config::T5Config;
use super::source::Source;
use crate::models::kernels::{Linear, Mask, attention_of_rows, gated_gelu, rms_norm};
use crate::profile::timed;

#[derive(Debug)]
struct Block {
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    mlp_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(config: &T5Config, source: &Source<'_>, index: usize) -> Result<Self> {
        let inner = config.num_heads * config.d_kv;
        let (width, mlp) = (config.d_model, config.d_ff);
        let at = |layer: &str| format!("encoder.block.{index}.layer.{layer}");
        let layer = |name: &str, inputs, outputs| source.linear(&at(name), inputs, &[outputs], false);
        Ok(Self {
            attention_norm: source.tensor(&at("0.layer_norm.weight"), &[width])?,
            query: layer("0.SelfAttention.q", width, inner)?,
            key: layer("0.SelfAttention.k", width, inner)?,
            value: layer("0.SelfAttention.v", width, inner)?,
            output: layer("0.SelfAttention.o", inner, width)?,
            mlp_norm: source.tensor(&at("1.layer_norm.weight"), &[width])?,
            gate: layer("1.DenseReluDense.wi_0", width, mlp)?,
            up: layer("1.DenseReluDense.wi_1", width, mlp)?,
            down: layer("1.DenseReluDense.wo", mlp, width)?,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor, config: &T5Config) -> Result<Tensor> {
        timed!("t5 layer");
        let normal = rms_norm(x, &self.attention_norm, config.layer_norm_epsilon)?;
        let (q, k, v) =
            (self.query.forward(&normal)?, self.key.forward(&normal)?, self.value.forward(&normal)?);
        // T5 does not scale scores: its initialisation does.
        let attended = attention_of_rows(config.num_heads, 1.0, [&q, &k, &v], Mask::Bias(bias))?;
        let x = self.output.forward_onto(&attended, x)?;
        let normal = rms_norm(&x, &self.mlp_norm, config.layer_norm_epsilon)?;
        let gated = gated_gelu(&self.gate.forward(&normal)?, &self.up.forward(&normal)?)?;
        self.down.forward_onto(&gated, &x)
    }

    fn size(&self) -> usize {
        let layers = [&self.query, &self.key, &self.value, &self.output, &self.gate, &self.up, &self.down]
            .map(Linear::size);
        let norms = [&self.attention_norm, &self.mlp_norm]
            .map(|norm| norm.elem_count() * norm.dtype().size_in_bytes());
        layers.iter().chain(&norms).sum()
    }
}

/// The encoder.
pub struct T5Encoder {
    config: T5Config,
    source: Source<'static>,
    /// Empty where layers are streamed.
    blocks: Vec<Block>,
    buckets: Tensor,
    last_norm: Tensor,
}

impl T5Encoder {
    /// With all layers in memory.
    pub fn resident(config: &T5Config, source: &Source<'static>) -> Result<Self> {
        let blocks =
            (0..config.num_layers).map(|index| Block::new(config, source, index)).collect::<Result<_>>()?;
        Ok(Self { blocks, ..Self::streamed(config, source)? })
    }

    /// Reading every layer when it is needed, as it is stored.
    pub fn streamed(config: &T5Config, source: &Source<'static>) -> Result<Self> {
        let (buckets, last_norm) = shared(config, source)?;
        let source = source.as_stored();
        Ok(Self { config: config.clone(), source, blocks: Vec::new(), buckets, last_norm })
    }

    /// Asks `source` for everything that either way would read.
    pub fn list(config: &T5Config, source: &Source<'_>) -> Result<()> {
        shared(config, source)?;
        source.stored(TABLE, &[config.vocab_size, config.d_model])?;
        (0..config.num_layers).try_for_each(|index| Block::new(config, source, index).map(|_| ()))
    }

    /// Bytes it holds between prompts.
    pub fn size(&self) -> usize {
        let rest = [&self.buckets, &self.last_norm].map(|t| t.elem_count() * t.dtype().size_in_bytes());
        self.blocks.iter().map(Block::size).sum::<usize>() + rest.iter().sum::<usize>()
    }

    /// Layers it has.
    pub fn layers(&self) -> usize {
        self.config.num_layers
    }

    /// One vector per token, [tokens, d_model]; `each` sees every layer's output and may stop the work.
    pub fn encode(&self, ids: &[u32], each: &mut dyn FnMut(usize, &Tensor) -> Result<()>) -> Result<Tensor> {
        timed!("t5", tokens = ids.len());
        let config = &self.config;
        if let Some(id) = ids.iter().find(|id| **id as usize >= config.vocab_size) {
            candle_core::bail!("token {id} is not among T5's {}", config.vocab_size)
        }
        // Of the table, a tenth of a billion numbers, only the prompt's rows are read.
        let rows = self.source.rows(TABLE, (config.vocab_size, config.d_model), ids)?;
        let mut x = rows.to_dtype(self.source.compute())?;
        let bias = self.position_bias(ids.len())?;
        for index in 0..config.num_layers {
            x = match self.blocks.get(index) {
                Some(block) => block.forward(&x, &bias, config)?,
                None => Block::new(config, &self.source, index)?.forward(&x, &bias, config)?,
            };
            each(index, &x)?;
        }
        rms_norm(&x, &self.last_norm, config.layer_norm_epsilon)
    }

    /// [heads, tokens, tokens]: a learned number per head and bucket of key − query distance.
    fn position_bias(&self, tokens: usize) -> Result<Tensor> {
        let config = &self.config;
        let mut buckets = Vec::with_capacity(tokens * tokens);
        for query in 0..tokens {
            buckets.extend((0..tokens).map(|key| bucket(key as i64 - query as i64, config)));
        }
        let buckets = Tensor::from_vec(buckets, tokens * tokens, self.buckets.device())?;
        let rows = self.buckets.index_select(&buckets, 0)?;
        rows.reshape((tokens, tokens, config.num_heads))?.permute((2, 0, 1))?.contiguous()
    }
}

/// What does not belong to a layer: the position buckets, which only block 0 stores, and the last norm.
fn shared(config: &T5Config, source: &Source<'_>) -> Result<(Tensor, Tensor)> {
    let shape = [config.relative_attention_num_buckets, config.num_heads];
    let name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    Ok((source.tensor(name, &shape)?, source.tensor("encoder.final_layer_norm.weight", &[config.d_model])?))
}

/// The name of the token embeddings.
const TABLE: &str = "shared.weight";

/// Half the buckets for keys before the query, half for those after it; in each, one per distance up to half of them,
/// then logarithmically wider ones up to the longest distance (Raffel et al. 2020, `t5/modeling`).
fn bucket(distance: i64, config: &T5Config) -> u32 {
    let half = config.relative_attention_num_buckets / 2;
    let exact = half / 2;
    let offset = if distance > 0 { half } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    let within = if distance < exact {
        distance
    } else {
        // In f32, as the published code computes it: the bucket borders depend on its rounding.
        let ratio = (distance as f32 / exact as f32).ln();
        let range = (config.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        let further = ratio / range * (half - exact) as f32;
        (exact + further as usize).min(half - 1)
    };
    (offset + within) as u32
}

/// Parameters of one layer.
pub fn layer_parameters(config: &T5Config) -> usize {
    let inner = config.num_heads * config.d_kv;
    4 * config.d_model * inner + 3 * config.d_model * config.d_ff + 2 * config.d_model
}
