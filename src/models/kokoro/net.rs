//! The whole network: token ids, a style and a way of speaking to sound, in stages that can be run one by one.
//!
//! Knows nothing of text, voices or jobs.

use std::ops::Range;

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::config::KokoroConfig;
use super::decoder::Decoder;
use super::norms::Norms;
use super::plbert::Plbert;
use super::predictor::Predictor;
use super::source::{NoiseOf, VOICED};
use super::text_encoder::TextEncoder;
use crate::contract::ModelError;
use crate::models::error::Context;
use crate::models::kernels::{Kernels, Linear};
use crate::models::weights::spec::{TensorSpec, record};
use crate::profile::timed;
use crate::types::Prosody;

/// All of Kokoro's networks on one device.
#[derive(Debug)]
pub struct Net {
    durations: Durations,
    text_encoder: TextEncoder,
    decoder: Decoder,
    device: Device,
}

/// The networks that say how long each token lasts: what comes before any sound.
#[derive(Debug)]
pub struct Durations {
    bert: Plbert,
    bert_encoder: Linear,
    predictor: Predictor,
    style: usize,
    device: Device,
}

/// A voice's two halves for one length of text, each [1, style_dim].
#[derive(Clone, Debug)]
pub struct Style {
    /// Of decoder and vocoder.
    pub timbre: Tensor,
    /// Of the predictor.
    pub prosody: Tensor,
}

/// How long each token lasts, and what the curves are predicted from.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Frames of each token, start and end included; each at least 1.
    pub frames: Vec<usize>,
    /// The duration encoder's output, [1, tokens, hidden + style].
    pub encoded: Tensor,
}

impl Timing {
    /// Frames in all.
    pub fn total(&self) -> usize {
        self.frames.iter().sum()
    }
}

/// All that the vocoder makes a sentence's sound of.
#[derive(Clone, Debug)]
pub struct Voiced {
    /// The decoder's, [1, decoder_out, 2·frames].
    features: Tensor,
    /// In Hz, two values a frame.
    f0: Vec<f32>,
    timbre: Tensor,
}

/// Which tensors the network needs, under their published names; building it on nothing tells.
pub fn tensors(config: &KokoroConfig) -> std::result::Result<Vec<TensorSpec>, ModelError> {
    record(DType::F32, |vb| Net::new(config, &vb, Kernels::Listed))
        .context(|| "listing Kokoro's tensors".to_owned())
}

impl Durations {
    /// Loads them from the published names (`bert.module.…`, `bert_encoder.module.…`, `predictor.module.…`).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let (wide, hidden) = (config.plbert.hidden_size, config.hidden_dim);
        let projection = vb.pp("bert_encoder.module");
        let init = Init::Randn { mean: 0.0, stdev: 1.0 / (wide as f64).sqrt() };
        let weight = projection.get_with_hints((hidden, wide), "weight", init)?;
        let bias = projection.get_with_hints(hidden, "bias", Init::Const(0.0))?;
        Ok(Self {
            bert: Plbert::new(config, &vb.pp("bert.module"), kernels)?,
            bert_encoder: Linear::in_form(&weight, &bias, kernels)?,
            predictor: Predictor::new(config, &vb.pp("predictor.module"), kernels)?,
            style: config.style_dim,
            device: vb.device().clone(),
        })
    }

    /// A voice's style vector, [decoder | predictor], as the network takes it.
    pub fn style(&self, values: &[f32]) -> Result<Style> {
        let all = Tensor::from_slice(values, (1, 2 * self.style), &Device::Cpu)?.to_device(&self.device)?;
        let half = |from| all.narrow(1, from, self.style)?.contiguous();
        Ok(Style { timbre: half(0)?, prosody: half(self.style)? })
    }

    /// Token ids as the network takes them: [1, tokens].
    pub fn ids(&self, ids: &[u32]) -> Result<Tensor> {
        Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu)?.to_device(&self.device)
    }

    /// How long each token lasts at `speed`: predicted durations divided by it, rounded to even, at least one frame.
    pub fn timing(&self, ids: &Tensor, style: &Style, speed: f32) -> Result<Timing> {
        timed!("durations", tokens = ids.dims());
        let features = self.bert_encoder.forward(&self.bert.forward(ids)?)?;
        let encoded = self.predictor.encode(&features, &style.prosody)?;
        let logits = self.predictor.duration_logits(&self.predictor.lstm(&encoded)?)?;
        let durations = self.predictor.durations(&logits)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Timing {
            frames: durations.into_iter().map(|frames| frame_count(frames, speed)).collect(),
            encoded,
        })
    }
}

impl Net {
    /// Loads the networks from the published names (`bert.module.…`, `predictor.module.…`, …).
    pub fn new(config: &KokoroConfig, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        Ok(Self {
            durations: Durations::new(config, vb, kernels)?,
            text_encoder: TextEncoder::new(config, &vb.pp("text_encoder.module"), kernels)?,
            decoder: Decoder::new(config, &vb.pp("decoder.module"), kernels)?,
            device: vb.device().clone(),
        })
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The networks in front of all sound.
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    /// The predictor, for its stages.
    pub fn predictor(&self) -> &Predictor {
        &self.durations.predictor
    }

    /// The text encoder, for its stages.
    pub fn text_encoder(&self) -> &TextEncoder {
        &self.text_encoder
    }

    /// The decoder, for its stages.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// See [`Durations::style`].
    pub fn style(&self, values: &[f32]) -> Result<Style> {
        self.durations.style(values)
    }

    /// See [`Durations::ids`].
    pub fn ids(&self, ids: &[u32]) -> Result<Tensor> {
        self.durations.ids(ids)
    }

    /// Contextual features of the tokens: [1, tokens, hidden_size].
    pub fn contextual(&self, ids: &Tensor) -> Result<Tensor> {
        self.durations.bert.forward(ids)
    }

    /// The same, projected to [1, tokens, hidden].
    pub fn projected(&self, contextual: &Tensor) -> Result<Tensor> {
        self.durations.bert_encoder.forward(contextual)
    }

    /// See [`Durations::timing`].
    pub fn timing(&self, ids: &Tensor, style: &Style, speed: f32) -> Result<Timing> {
        self.durations.timing(ids, style, speed)
    }

    /// Each token's features for as many frames as it lasts: [1, channels, tokens] to [1, channels, frames].
    pub fn align(&self, features: &Tensor, frames: &[usize]) -> Result<Tensor> {
        let tokens =
            frames.iter().enumerate().flat_map(|(token, count)| std::iter::repeat_n(token as u32, *count));
        let tokens: Vec<u32> = tokens.collect();
        let count = tokens.len();
        let index = Tensor::from_vec(tokens, count, &Device::Cpu)?.to_device(&self.device)?;
        features.contiguous()?.index_select(&index, 2)
    }

    /// F0 in Hz and energy as a log-norm, each [1, 2·frames].
    pub fn curves(&self, timing: &Timing, style: &Style) -> Result<(Tensor, Tensor)> {
        timed!("pitch and energy");
        let aligned = self.align(&timing.encoded.transpose(1, 2)?, &timing.frames)?;
        let predictor = self.predictor();
        predictor.curves(&predictor.shared(&aligned)?, &style.prosody)
    }

    /// What the vocoder makes the sound of tokens so timed of.
    pub fn voiced(&self, ids: &Tensor, style: &Style, timing: &Timing, prosody: Prosody) -> Result<Voiced> {
        let (f0, energy) = self.curves(timing, style)?;
        let f0_values = shifted(f0.flatten_all()?.to_vec1()?, prosody);
        let f0 = Tensor::from_slice(&f0_values, f0.shape(), &Device::Cpu)?.to_device(&self.device)?;
        let text = self.align(&self.text_encoder.forward(ids)?, &timing.frames)?;
        let features = self.decoder.features(&text, &f0, &energy, &style.timbre)?;
        Ok(Voiced { features, f0: f0_values, timbre: style.timbre.clone() })
    }

    /// What the vocoder makes of these frames: the whole of them, or one of the windows that `norms` gathers over.
    pub fn vocoded(
        &self,
        voiced: &Voiced,
        frames: Range<usize>,
        noise: NoiseOf<'_>,
        norms: &mut Norms,
    ) -> Result<Tensor> {
        timed!("vocoder", frames = frames);
        let generator = self.decoder.generator();
        let part = 2 * frames.start..2 * frames.end;
        let features = voiced.features.narrow(2, part.start, part.len())?.contiguous()?;
        let har = generator.harmonics(&voiced.f0, part, noise, &self.device)?;
        generator.features_by(&features, &voiced.timbre, &har, norms)
    }

    /// The sound of that, not clamped: `samples_per_frame` samples for each frame.
    pub fn sound(&self, vocoded: &Tensor) -> Result<Vec<f32>> {
        self.decoder.generator().sound(vocoded)?.to_vec1()
    }

    /// The sound of tokens so timed in one piece.
    pub fn speak(
        &self,
        ids: &Tensor,
        style: &Style,
        timing: &Timing,
        prosody: Prosody,
        noise: NoiseOf<'_>,
    ) -> Result<Vec<f32>> {
        let voiced = self.voiced(ids, style, timing, prosody)?;
        self.sound(&self.vocoded(&voiced, 0..timing.total(), noise, &mut Norms::own())?)
    }
}

/// Frames that a predicted duration makes at a speed; a broken prediction makes one.
fn frame_count(duration: f32, speed: f32) -> usize {
    (duration / speed).round_ties_even().max(1.0) as usize
}

/// F0 shifted where it is voiced; what is unvoiced stays so, and what is voiced does too.
fn shifted(mut f0: Vec<f32>, prosody: Prosody) -> Vec<f32> {
    if prosody.pitch_shift_hz != 0.0 {
        let lowest = VOICED.next_up();
        f0.iter_mut()
            .filter(|f0| **f0 > VOICED)
            .for_each(|f0| *f0 = (*f0 + prosody.pitch_shift_hz).max(lowest));
    }
    f0
}

#[cfg(test)]
mod tests;
