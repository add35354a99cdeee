//! The transformer that both towers are: pre-norm layers of attention and a feed-forward network.

use candle_core::{Module, Result, Tensor};

use super::config::TowerConfig;
use super::layers::Layers;
use crate::models::kernels::{Activation, LayerNorm, Linear, Mask, attention};
use crate::profile::timed;

/// Layers in order.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    norm1: LayerNorm,
    joined: Linear,
    out: Linear,
    norm2: LayerNorm,
    wide: Linear,
    narrow: Linear,
    heads: usize,
    activation: Activation,
    causal: bool,
}

impl Encoder {
    /// From `{name}.layers.0.…` on.
    pub(super) fn new(config: &TowerConfig, name: &str, from: &dyn Layers) -> Result<Self> {
        let layer = |index| Layer::new(config, &format!("{name}.layers.{index}"), from);
        Ok(Self { layers: (0..config.layers).map(layer).collect::<Result<_>>()? })
    }

    /// Of `x` [batch, tokens, hidden], the same shape; `tap` sees the output of every layer with its number.
    pub(super) fn forward(&self, x: Tensor, tap: &mut dyn FnMut(usize, &Tensor)) -> Result<Tensor> {
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            tap(index, &x);
        }
        Ok(x)
    }

    /// Bytes of its weights.
    pub(super) fn size(&self) -> usize {
        self.layers.iter().map(Layer::size).sum()
    }
}

impl Layer {
    fn new(config: &TowerConfig, name: &str, from: &dyn Layers) -> Result<Self> {
        let TowerConfig { hidden, intermediate, heads, activation, eps, causal, .. } = *config;
        let at = |part: &str| format!("{name}.{part}");
        let linear = |part, inputs, outputs| from.linear(&[at(part)], inputs, outputs, true);
        let projections = ["q_proj", "k_proj", "v_proj"].map(|part| at(&format!("self_attn.{part}")));
        Ok(Self {
            norm1: from.norm(&at("layer_norm1"), hidden, eps)?,
            joined: from.linear(&projections, hidden, hidden, true)?,
            out: linear("self_attn.out_proj", hidden, hidden)?,
            norm2: from.norm(&at("layer_norm2"), hidden, eps)?,
            wide: linear("mlp.fc1", hidden, intermediate)?,
            narrow: linear("mlp.fc2", intermediate, hidden)?,
            heads,
            activation,
            causal,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("clip layer", x = x.dims());
        let (batch, tokens, hidden) = x.dims3()?;
        let size = hidden / self.heads;
        let joined =
            self.joined.forward(&self.norm1.forward(x)?)?.reshape((batch, tokens, 3, self.heads, size))?;
        let part = |index| joined.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2);
        let mask = if self.causal { Mask::Causal } else { Mask::None };
        let seen = attention(&part(0)?, &part(1)?, &part(2)?, 1.0 / (size as f64).sqrt(), mask)?;
        let x = self.out.forward_onto(&seen, x)?;
        let wide = self.wide.forward_then(&self.norm2.forward(&x)?, self.activation)?;
        self.narrow.forward_onto(&wide, &x)
    }

    fn size(&self) -> usize {
        let norms = self.norm1.size() + self.norm2.size();
        norms + [&self.joined, &self.out, &self.wide, &self.narrow].map(Linear::size).iter().sum::<usize>()
    }
}
