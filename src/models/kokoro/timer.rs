//! How long a script takes to speak, told without its sound: the networks in front of the vocoder, which take a hundredth of
//! its time.
//!
//! Owns those networks where they are loaded alone; a loaded model tells the same of itself.

use std::time::Duration;

use candle_core::{DType, Device};

use super::KokoroFiles;
use super::config::KokoroConfig;
use super::length::{self, Spoken};
use super::net::Durations;
use super::readers::Readers;
use super::speaking::Timed;
use super::text::{self, Phonemiser, Script, Utterance};
use super::voices::Voices;
use crate::contract::{ModelError, Run, Speak, Warning};
use crate::models::catalog;
use crate::models::error::Context;
use crate::models::kernels::Kernels;
use crate::models::weights::{self, Options};

/// What a job will say.
#[derive(Clone, Debug)]
pub struct Saying {
    /// In order.
    pub sentences: Vec<Sentence>,
    /// From its beginning to the end of the last sound.
    pub length: Duration,
    /// Words that no dictionary has, said as their spelling suggests.
    pub guessed: Vec<String>,
    /// Words that are said letter by letter.
    pub spelled: Vec<String>,
    /// `word_guessed`, `word_spelled`, `text_skipped`, …
    pub warnings: Vec<Warning>,
}

/// A sentence of it, or the part of one that fits the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// As it is read, figures and abbreviations written out.
    pub text: String,
    /// In Kokoro's alphabet.
    pub phonemes: String,
    /// With the pauses that lie before and behind it; behind the last there is none.
    pub length: Duration,
}

/// Kokoro without its sound.
#[derive(Debug)]
pub struct Timer {
    durations: Durations,
    config: KokoroConfig,
    voices: Voices,
    readers: Readers,
}

impl Timer {
    /// Reads what decides durations: of the weights about a quarter.
    pub fn load(files: &KokoroFiles, device: &Device, run: &Run) -> Result<Self, ModelError> {
        let (config, stored) = files.opened()?;
        let weights = catalog::kokoro(&config)?.sound_weights(stored)?;
        let voices = Voices::read(&files.voices, 2 * config.style_dim)?;
        let options = Options::new(DType::F32, device);
        let kernels = Kernels::of(device);
        let (durations, _) =
            weights::load(&weights, &options, run, |vb| Durations::new(&config, &vb, kernels))?;
        Ok(Self { durations, readers: Readers::of(voices.names()), voices, config })
    }

    /// What `job` will say; its duration and its seed decide nothing of that.
    pub fn saying(&self, job: &Speak) -> Result<Saying, ModelError> {
        let Self { durations, config, voices, readers } = self;
        saying(durations, config, voices, readers, job)
    }
}

/// The same of the parts of a loaded model.
pub(super) fn saying(
    durations: &Durations,
    config: &KokoroConfig,
    voices: &Voices,
    readers: &Readers,
    job: &Speak,
) -> Result<Saying, ModelError> {
    voices.check(&job.voice)?;
    let mut script = readers.script(config, &job.text, &job.voice)?;
    let context = config.context();
    script.utterances =
        script.utterances.into_iter().flat_map(|utterance| text::at_context(utterance, context)).collect();
    let frames = |utterance: &Utterance| {
        let Timed { symbols, timing, .. } = timed(durations, config, voices, utterance, job)?;
        Ok(Spoken { symbols, frames: timing.frames })
    };
    let spoken = script.utterances.iter().map(frames).collect::<Result<Vec<_>, ModelError>>()?;
    Ok(told(script, &spoken, config.samples_per_frame()))
}

/// How a sentence of `job` is given to the network, and how long its tokens last.
pub(super) fn timed(
    durations: &Durations,
    config: &KokoroConfig,
    voices: &Voices,
    utterance: &Utterance,
    job: &Speak,
) -> Result<Timed, ModelError> {
    let symbols: Vec<char> = utterance.symbols().chars().collect();
    let (ids, style) = (config.tokens(&symbols), voices.style(&job.voice, symbols.len())?);
    let speed = job.speed.get() * job.emotion.prosody().tempo;
    let timed = || {
        let style = durations.style(&style)?;
        let timing = durations.timing(&durations.ids(&ids)?, &style, speed)?;
        Ok::<_, candle_core::Error>((style, timing))
    };
    let (style, timing) = timed().context(|| format!("timing a sentence of {} symbols", symbols.len()))?;
    Ok(Timed { symbols, ids, style, timing })
}

/// What `job` will say where no network is there to time it: by a table of what published voices take, whoever speaks.
pub fn without_weights(phonemiser: &Phonemiser, job: &Speak) -> Result<Saying, ModelError> {
    let script = phonemiser.script(&job.text)?;
    let speed = job.speed.get() * job.emotion.prosody().tempo;
    let timed = |utterance: &Utterance| {
        let symbols: Vec<char> = utterance.symbols().chars().collect();
        Spoken { frames: length::by_table(&symbols, speed), symbols }
    };
    let spoken: Vec<Spoken> = script.utterances.iter().map(timed).collect();
    Ok(told(script, &spoken, length::TABLE_FRAME))
}

/// What there is to tell of a script whose tokens last so long.
fn told(script: Script, spoken: &[Spoken], samples_per_frame: usize) -> Saying {
    let frames = length::frames(spoken);
    let sentence = |(utterance, frames): (&Utterance, &usize)| Sentence {
        text: utterance.text(),
        phonemes: utterance.symbols(),
        length: length::of_frames(*frames, samples_per_frame),
    };
    Saying {
        sentences: script.utterances.iter().zip(&frames).map(sentence).collect(),
        length: length::of_frames(frames.iter().sum(), samples_per_frame),
        guessed: script.guessed,
        spelled: script.spelled,
        warnings: script.warnings,
    }
}
