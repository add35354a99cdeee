//! The prosody predictor: how long each token lasts, and the F0 and energy curves.

use candle_core::{D, Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::adain::StyleBlock;
use super::config::KokoroConfig;
use crate::models::kernels::{Activation, BiLstm, Kernels, Linear, modulated};

/// torch's default for layer norm.
const EPSILON: f64 = 1e-5;

/// The predictor's networks.
#[derive(Debug)]
pub struct Predictor {
    encoder: Vec<(BiLstm, Linear)>,
    lstm: BiLstm,
    durations: Linear,
    shared: BiLstm,
    f0: Curve,
    energy: Curve,
    hidden: usize,
}

/// Three residual blocks, the middle one doubling the rate, and a projection to one value.
#[derive(Debug)]
struct Curve {
    blocks: [StyleBlock; 3],
    weight: Tensor,
    bias: Tensor,
}

impl Curve {
    /// `name`.{0, 1, 2} and `name`_proj; a fresh network's values lie around `mean` with this spread.
    fn new(
        config: &KokoroConfig,
        name: &str,
        (mean, spread): (f64, f64),
        vb: &VarBuilder<'_>,
        kernels: Kernels,
    ) -> Result<Self> {
        let (wide, narrow) = (config.hidden_dim, config.hidden_dim / 2);
        let block = |index: usize, channels, doubles| {
            StyleBlock::new(channels, config.style_dim, doubles, &vb.pp(format!("{name}.{index}")), kernels)
        };
        let projection = vb.pp(format!("{name}_proj"));
        let init = Init::Randn { mean: 0.0, stdev: spread / (narrow as f64).sqrt() };
        Ok(Self {
            blocks: [
                block(0, (wide, wide), false)?,
                block(1, (wide, narrow), true)?,
                block(2, (narrow, narrow), false)?,
            ],
            weight: projection.get_with_hints((1, narrow, 1), "weight", init)?,
            bias: projection.get_with_hints(1, "bias", Init::Const(mean))?,
        })
    }

    fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x, style)?;
        }
        x.conv1d(&self.weight, 0, 1, 1, 1)?.squeeze(1)?.broadcast_add(&self.bias)
    }
}

impl Predictor {
    /// The networks under `vb` (`predictor.module`).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let (hidden, style) = (config.hidden_dim, config.style_dim);
        let lstm = |name: &str| BiLstm::new(hidden + style, hidden / 2, &vb.pp(name), kernels);
        let encoder = (0..config.n_layer).map(|layer| {
            let fc = vb.pp(format!("text_encoder.lstms.{}.fc", 2 * layer + 1));
            let init = Init::Randn { mean: 0.0, stdev: 0.02 };
            let weight = fc.get_with_hints((2 * hidden, style), "weight", init)?;
            let bias = fc.get_with_hints(2 * hidden, "bias", Init::Const(0.0))?;
            Ok((
                lstm(&format!("text_encoder.lstms.{}", 2 * layer))?,
                Linear::in_form(&weight, &bias, kernels)?,
            ))
        });
        let projection = vb.pp("duration_proj.linear_layer");
        let init = Init::Randn { mean: 0.0, stdev: 2.0 / (hidden as f64).sqrt() };
        let weight = projection.get_with_hints((config.max_dur, hidden), "weight", init)?;
        // A fresh network's tokens last a tenth of the bins, five frames in the release: about what speech has.
        let bias = projection.get_with_hints(config.max_dur, "bias", Init::Const(-2.2))?;
        Ok(Self {
            encoder: encoder.collect::<Result<_>>()?,
            lstm: lstm("lstm")?,
            durations: Linear::in_form(&weight, &bias, kernels)?,
            shared: lstm("shared")?,
            // A voice of 180 Hz, now and then unvoiced; energies are log-norms.
            f0: Curve::new(config, "F0", (180.0, 90.0), vb, kernels)?,
            energy: Curve::new(config, "N", (0.0, 1.0), vb, kernels)?,
            hidden,
        })
    }

    /// Layers of the duration encoder.
    pub fn layers(&self) -> usize {
        self.encoder.len()
    }

    /// Features with the style behind them: [1, tokens, hidden] to [1, tokens, hidden + style].
    pub fn with_style(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        let style = style.unsqueeze(1)?.broadcast_as((batch, tokens, style.dim(1)?))?;
        Tensor::cat(&[x, &style], D::Minus1)
    }

    /// Layer `layer`'s LSTM: [1, tokens, hidden + style] to [1, tokens, hidden].
    pub fn recur(&self, layer: usize, x: &Tensor) -> Result<Tensor> {
        self.encoder[layer].0.forward(x)
    }

    /// Layer `layer`'s norm over channels, scaled and shifted by the style: [1, tokens, hidden] to the same.
    pub fn normalise(&self, layer: usize, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let scales = self.encoder[layer].1.forward(style)?.squeeze(0)?;
        let shift = scales.narrow(0, self.hidden, self.hidden)?;
        modulated(x, &shift, &scales.narrow(0, 0, self.hidden)?, EPSILON)
    }

    /// The duration encoder: [1, tokens, hidden] to [1, tokens, hidden + style].
    pub fn encode(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let mut x = self.with_style(x, style)?;
        for layer in 0..self.layers() {
            x = self.with_style(&self.normalise(layer, &self.recur(layer, &x)?, style)?, style)?;
        }
        Ok(x)
    }

    /// The LSTM in front of the durations: [1, tokens, hidden + style] to [1, tokens, hidden].
    pub fn lstm(&self, encoded: &Tensor) -> Result<Tensor> {
        self.lstm.forward(encoded)
    }

    /// The bins' logits: [1, tokens, hidden] to [1, tokens, max_dur].
    pub fn duration_logits(&self, x: &Tensor) -> Result<Tensor> {
        self.durations.forward(x)
    }

    /// How long each token lasts at normal speed, in frames and not yet rounded: logits to [1, tokens].
    pub fn durations(&self, logits: &Tensor) -> Result<Tensor> {
        Activation::Sigmoid.forward(logits)?.sum(D::Minus1)
    }

    /// What both curves are made of: [1, hidden + style, frames] to [1, hidden, frames].
    pub fn shared(&self, aligned: &Tensor) -> Result<Tensor> {
        self.shared.forward(&aligned.transpose(1, 2)?.contiguous()?)?.transpose(1, 2)?.contiguous()
    }

    /// Block `block` of the F0 branch.
    pub fn f0_block(&self, block: usize, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        self.f0.blocks[block].forward(x, style)
    }

    /// F0 in Hz and energy as a log-norm, each [1, 2·frames].
    pub fn curves(&self, shared: &Tensor, style: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.f0.forward(shared, style)?, self.energy.forward(shared, style)?))
    }
}
