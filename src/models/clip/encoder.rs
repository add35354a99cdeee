//! The transformer that both towers are: pre-norm layers of attention and a feed-forward network.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

use super::config::TowerConfig;
use crate::models::kernels::{Activation, LayerNorm, Linear, Mask, Precision, attention};

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
    pub(super) fn new(config: &TowerConfig, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        let layers = vb.pp("layers");
        let layers = (0..config.layers).map(|index| Layer::new(config, precision, &layers.pp(index)));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
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

    pub(super) fn size(&self) -> usize {
        self.layers.iter().map(Layer::size).sum()
    }
}

impl Layer {
    fn new(config: &TowerConfig, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        let TowerConfig { hidden, intermediate, heads, activation, eps, causal, .. } = *config;
        let attention = vb.pp("self_attn");
        let parts = ["q_proj", "k_proj", "v_proj"].map(|part| attention.pp(part));
        Ok(Self {
            norm1: LayerNorm::load(hidden, eps, &vb.pp("layer_norm1"))?,
            joined: Linear::join(hidden, &[hidden; 3], true, precision, &parts)?,
            out: Linear::load(hidden, hidden, true, precision, &attention.pp("out_proj"))?,
            norm2: LayerNorm::load(hidden, eps, &vb.pp("layer_norm2"))?,
            wide: Linear::load(hidden, intermediate, true, precision, &vb.pp("mlp.fc1"))?,
            narrow: Linear::load(intermediate, hidden, true, precision, &vb.pp("mlp.fc2"))?,
            heads,
            activation,
            causal,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
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
