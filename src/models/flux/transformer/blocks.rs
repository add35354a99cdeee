//! The two kinds of block. Modulations come in as rows of [shift, scale, gate], once or twice.

use candle_core::{Module, Result, Tensor};

use super::super::config::TransformerConfig;
use super::super::source::Source;
use super::EPS;
use crate::models::kernels::{
    Activation, Linear, Qkv, Rotation, beside_gelu, gate_add, joint_attention, modulated,
};

/// The RMS weights of a block's queries and keys.
#[derive(Debug)]
struct Norms {
    query: Tensor,
    key: Tensor,
}

impl Norms {
    fn new(config: &TransformerConfig, source: &Source<'_>, name: &str) -> Result<Self> {
        let weight = |which: &str| source.tensor(&format!("{name}.{which}.scale"), &[config.head()]);
        Ok(Self { query: weight("query_norm")?, key: weight("key_norm")? })
    }

    fn of<'a>(&'a self, rows: &'a Tensor) -> Qkv<'a> {
        Qkv { rows, query: &self.query, key: &self.key }
    }

    fn size(&self) -> usize {
        (self.query.elem_count() + self.key.elem_count()) * self.query.dtype().size_in_bytes()
    }
}

/// What one stream of a double block has for itself.
#[derive(Debug)]
struct StreamLayers {
    qkv: Linear,
    norms: Norms,
    proj: Linear,
    up: Linear,
    down: Linear,
}

impl StreamLayers {
    fn new(config: &TransformerConfig, source: &Source<'_>, name: &str) -> Result<Self> {
        let (width, mlp) = (config.width, config.mlp);
        let at = |layer: &str| format!("{name}_{layer}");
        Ok(Self {
            qkv: source.linear(&at("attn.qkv"), width, &[width; 3], config.qkv_bias)?,
            norms: Norms::new(config, source, &at("attn.norm"))?,
            proj: source.linear(&at("attn.proj"), width, &[width], true)?,
            up: source.linear(&at("mlp.0"), width, &[mlp], true)?,
            down: source.linear(&at("mlp.2"), mlp, &[width], true)?,
        })
    }

    fn size(&self) -> usize {
        self.qkv.size() + self.norms.size() + self.proj.size() + self.up.size() + self.down.size()
    }

    /// The rest of the block once attention is done.
    fn finish(&self, x: &Tensor, attended: &Tensor, modulation: &[Tensor]) -> Result<Tensor> {
        let [_, _, gate, shift, scale, mlp_gate] = modulation else {
            candle_core::bail!("a double block takes six modulations, not {}", modulation.len())
        };
        let x = gate_add(x, gate, &self.proj.forward(attended)?)?;
        let up = self.up.forward_then(&modulated(&x, shift, scale, EPS)?, Activation::GeluTanh)?;
        let down = self.down.forward(&up)?;
        gate_add(&x, mlp_gate, &down)
    }
}

/// Rows of a double block's modulations for one step, [6 · width] each.
pub struct DoubleModulation {
    /// The picture's.
    pub image: Tensor,
    /// The text's.
    pub text: Tensor,
}

/// A block with separate weights for picture and text.
#[derive(Debug)]
pub struct DoubleBlock {
    heads: usize,
    image: StreamLayers,
    text: StreamLayers,
}

impl DoubleBlock {
    /// The block `name` (such as `double_blocks.3`) of `source`.
    pub fn new(config: &TransformerConfig, source: &Source<'_>, name: &str) -> Result<Self> {
        let layers = |stream: &str| StreamLayers::new(config, source, &format!("{name}.{stream}"));
        Ok(Self { heads: config.heads, image: layers("img")?, text: layers("txt")? })
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        self.image.size() + self.text.size()
    }

    /// Picture and text tokens through the block.
    pub fn forward(
        &self,
        image: &Tensor,
        text: &Tensor,
        modulation: &DoubleModulation,
        rotation: &Rotation,
    ) -> Result<(Tensor, Tensor)> {
        let for_image = modulation.image.chunk(6, 0)?;
        let for_text = modulation.text.chunk(6, 0)?;
        let of_image = self.image.qkv.forward(&modulated(image, &for_image[0], &for_image[1], EPS)?)?;
        let of_text = self.text.qkv.forward(&modulated(text, &for_text[0], &for_text[1], EPS)?)?;
        let streams = [self.text.norms.of(&of_text), self.image.norms.of(&of_image)];
        let attended = joint_attention(&streams, self.heads, rotation)?;
        let (words, pixels) = (text.dim(0)?, image.dim(0)?);
        let image = self.image.finish(image, &attended.narrow(0, words, pixels)?, &for_image)?;
        let text = self.text.finish(text, &attended.narrow(0, 0, words)?, &for_text)?;
        Ok((image, text))
    }
}

/// A block with shared weights, attention and feed-forward side by side.
#[derive(Debug)]
pub struct SingleBlock {
    heads: usize,
    width: usize,
    norms: Norms,
    first: Linear,
    second: Linear,
}

impl SingleBlock {
    /// The block `name` (such as `single_blocks.3`) of `source`.
    pub fn new(config: &TransformerConfig, source: &Source<'_>, name: &str) -> Result<Self> {
        let (width, mlp) = (config.width, config.mlp);
        Ok(Self {
            heads: config.heads,
            width,
            norms: Norms::new(config, source, &format!("{name}.norm"))?,
            first: source.linear(&format!("{name}.linear1"), width, &[width, width, width, mlp], true)?,
            second: source.linear(&format!("{name}.linear2"), width + mlp, &[width], true)?,
        })
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        self.norms.size() + self.first.size() + self.second.size()
    }

    /// Text and picture tokens, in this order, through the block; `modulation` [3 · width].
    pub fn forward(&self, x: &Tensor, modulation: &Tensor, rotation: &Rotation) -> Result<Tensor> {
        let parts = modulation.chunk(3, 0)?;
        let [shift, scale, gate] = parts.as_slice() else {
            candle_core::bail!("a single block takes three modulations, not {}", parts.len())
        };
        let first = self.first.forward(&modulated(x, shift, scale, EPS)?)?;
        let attended = joint_attention(&[self.norms.of(&first)], self.heads, rotation)?;
        let second = self.second.forward(&beside_gelu(&attended, &first, 3 * self.width)?)?;
        gate_add(x, gate, &second)
    }
}
