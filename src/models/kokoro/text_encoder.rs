//! The text encoder: token ids to the features that the decoder speaks.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Embedding, Init, VarBuilder};

use super::config::KokoroConfig;
use crate::models::kernels::conv1d::{Conv1d, ConvShape};
use crate::models::kernels::{Activation, BiLstm, Kernels, LayerNorm};
use crate::profile::timed;

/// Slope of its activations.
const SLOPE: f32 = 0.2;

/// Embedding, convolutions with layer norm over channels, and a bidirectional LSTM.
#[derive(Debug)]
pub struct TextEncoder {
    embedding: Embedding,
    convolutions: Vec<(Conv1d, LayerNorm)>,
    lstm: BiLstm,
}

impl TextEncoder {
    /// The network under `vb` (`text_encoder.module`).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let size = config.hidden_dim;
        let shape =
            ConvShape { inputs: size, outputs: size, taps: config.text_encoder_kernel_size, dilation: 1 };
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        let embedding = vb.get_with_hints((config.n_token, size), "embedding.weight", init)?;
        let convolutions = (0..config.n_layer).map(|index| {
            let norm = vb.pp(format!("cnn.{index}.1"));
            let gamma = norm.get_with_hints(size, "gamma", Init::Const(1.0))?;
            let beta = norm.get_with_hints(size, "beta", Init::Const(0.0))?;
            let conv = Conv1d::normed(shape, true, &vb.pp(format!("cnn.{index}.0")), kernels)?;
            Ok((conv, LayerNorm::new(gamma, beta, 1e-5)?))
        });
        Ok(Self {
            embedding: Embedding::new(embedding, size),
            convolutions: convolutions.collect::<Result<_>>()?,
            lstm: BiLstm::new(size, size / 2, &vb.pp("lstm"), kernels)?,
        })
    }

    /// [1, tokens] ids to [1, hidden, tokens].
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embedding.forward(ids)?.transpose(1, 2)?.contiguous()
    }

    /// Convolution `index`, its norm and its activation: [1, hidden, tokens] to the same.
    pub fn convolve(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        let (conv, norm) = &self.convolutions[index];
        let y = norm.forward(&conv.forward(x)?.transpose(1, 2)?.contiguous()?)?;
        Activation::Leaky(SLOPE).forward(&y)?.transpose(1, 2)?.contiguous()
    }

    /// [1, tokens] ids to [1, hidden, tokens].
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        timed!("text encoder");
        let mut x = self.embed(ids)?;
        for index in 0..self.convolutions.len() {
            x = self.convolve(index, &x)?;
        }
        self.lstm.forward(&x.transpose(1, 2)?.contiguous()?)?.transpose(1, 2)?.contiguous()
    }
}
