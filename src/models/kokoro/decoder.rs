//! The decoder in front of the vocoder: aligned text, F0 and energy to features at twice the frame rate.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::adain::StyleBlock;
use super::config::KokoroConfig;
use super::generator::Generator;
use crate::models::kernels::Kernels;
use crate::models::kernels::conv1d::{Conv1d, ConvShape, weight_norm};

/// Blocks behind the first; the release hard-codes it.
const BLOCKS: usize = 4;

/// The decoder and its vocoder.
#[derive(Debug)]
pub struct Decoder {
    f0: Halving,
    energy: Halving,
    residual: Conv1d,
    encode: StyleBlock,
    decode: Vec<StyleBlock>,
    generator: Generator,
}

/// What the decoder's blocks see besides each other's output.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// F0 at the frame rate, [1, 1, frames].
    pub f0: Tensor,
    /// Energy at the frame rate, [1, 1, frames].
    pub energy: Tensor,
    /// Text features, narrowed: [1, asr_res, frames].
    pub residual: Tensor,
}

/// A weight-normed convolution of one channel, three taps and stride 2.
#[derive(Debug)]
struct Halving {
    weight: Tensor,
    bias: Tensor,
}

impl Halving {
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(1, "bias", Init::Const(0.0))?.reshape((1, 1, 1))?;
        Ok(Self { weight: weight_norm(vb, (1, 1, 3), 1.0)?, bias })
    }

    fn forward(&self, curve: &Tensor) -> Result<Tensor> {
        curve.unsqueeze(1)?.conv1d(&self.weight, 1, 2, 1, 1)?.broadcast_add(&self.bias)
    }
}

impl Decoder {
    /// The networks under `vb` (`decoder.module`).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let (hidden, side) = (config.widths.decoder_hidden, config.widths.asr_res);
        let narrow = ConvShape { inputs: config.hidden_dim, outputs: side, taps: 1, dilation: 1 };
        let block = |inputs, outputs, doubles, name: String| {
            StyleBlock::new((inputs, outputs), config.style_dim, doubles, &vb.pp(name), kernels)
        };
        let decode = (0..BLOCKS).map(|index| {
            let last = index + 1 == BLOCKS;
            let outputs = if last { config.decoder_out() } else { hidden };
            block(hidden + 2 + side, outputs, last, format!("decode.{index}"))
        });
        Ok(Self {
            f0: Halving::new(&vb.pp("F0_conv"))?,
            energy: Halving::new(&vb.pp("N_conv"))?,
            residual: Conv1d::normed(narrow, true, &vb.pp("asr_res.0"), kernels)?,
            encode: block(config.hidden_dim + 2, hidden, false, "encode".to_owned())?,
            decode: decode.collect::<Result<_>>()?,
            generator: Generator::new(config, &vb.pp("generator"), kernels)?,
        })
    }

    /// The vocoder.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// What the blocks see: curves [1, 2·frames] and aligned text [1, hidden, frames].
    pub fn conditions(&self, text: &Tensor, f0: &Tensor, energy: &Tensor) -> Result<Conditions> {
        Ok(Conditions {
            f0: self.f0.forward(f0)?,
            energy: self.energy.forward(energy)?,
            residual: self.residual.forward(text)?,
        })
    }

    /// The first block: [1, hidden, frames] aligned text to [1, decoder_hidden, frames].
    pub fn encode(&self, text: &Tensor, conditions: &Conditions, style: &Tensor) -> Result<Tensor> {
        self.encode.forward(&Tensor::cat(&[text, &conditions.f0, &conditions.energy], 1)?, style)
    }

    /// Block `index` behind it; the last doubles the rate.
    pub fn decode(
        &self,
        index: usize,
        x: &Tensor,
        conditions: &Conditions,
        style: &Tensor,
    ) -> Result<Tensor> {
        let Conditions { f0, energy, residual } = conditions;
        self.decode[index].forward(&Tensor::cat(&[x, residual, f0, energy], 1)?, style)
    }

    /// Everything up to the vocoder: [1, decoder_out, 2·frames].
    pub fn features(&self, text: &Tensor, f0: &Tensor, energy: &Tensor, style: &Tensor) -> Result<Tensor> {
        let conditions = self.conditions(text, f0, energy)?;
        let mut x = self.encode(text, &conditions, style)?;
        for index in 0..self.decode.len() {
            x = self.decode(index, &x, &conditions, style)?;
        }
        Ok(x)
    }
}
