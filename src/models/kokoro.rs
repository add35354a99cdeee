//! Kokoro-82M: text to speech with the exact time of every phoneme (hexgrad/Kokoro-82M, after StyleTTS 2, Li et al.
//! 2023).
//!
//! Owns the resident model and how a job is spoken: sentence by sentence, in pieces whose memory is bounded, until the
//! slot is full. What is said how is [`text`]'s, the networks are [`net`]'s, the finished sound is [`track`]'s.
//!
//! [benches]: crate::benchmarks#kokoro
//!
#![doc = include_str!("kokoro/README.md")]

mod adain;
pub mod config;
pub(crate) mod decoder;
pub(crate) mod generator;
pub mod net;
pub(crate) mod plbert;
pub(crate) mod predictor;
pub mod source;
pub mod text;
pub(crate) mod text_encoder;
pub(crate) mod track;
pub(crate) mod voices;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use candle_core::{DType, Device};

use self::config::KokoroConfig;
use self::net::Net;
use self::source::NoiseOf;
use self::text::{Accent, Phonemiser, Script, Utterance};
use self::track::Track;
use self::voices::Voices;
use crate::contract::{Model, ModelError, Progress, Run, Speak, Speech, Unit, Warning};
use crate::models::catalog;
use crate::models::device;
use crate::models::error::Context;
use crate::models::kernels::Kernels;
use crate::models::weights::{self, Options, Weights};
use crate::profile::timed;
use crate::types::{Bytes, Emotion, SAMPLE_RATE, VoiceBlend};

/// Where a bundle keeps Kokoro.
#[derive(Clone, Debug, Default)]
pub struct KokoroFiles {
    /// The published `config.json`.
    pub config: PathBuf,
    /// `kokoro-v1_0` as safetensors, with the published names.
    pub weights: PathBuf,
    /// Voice packs as safetensors, each named after its voice.
    pub voices: Vec<PathBuf>,
}

/// The resident model.
#[derive(Debug)]
pub struct KokoroModel {
    net: Net,
    config: KokoroConfig,
    voices: Voices,
    american: Option<Phonemiser>,
    british: Option<Phonemiser>,
    resident: Bytes,
}

/// What one piece of speech may take beside the weights. With what lies around it a run stays below 100 MB.
const PIECE: usize = 80_000_000;
/// The longest piece in any case.
const LONGEST_PIECE: Duration = Duration::from_secs(10);

/// What is spoken to learn whether the model works: vowels, stops, fricatives and nasals.
const CANARY: &str = "The node is ready to speak.";

impl KokoroFiles {
    /// The configuration and the mapped weights, whose shapes complete it.
    fn opened(&self) -> Result<(KokoroConfig, Weights), ModelError> {
        let name = self.config.display().to_string();
        let text = std::fs::read_to_string(&self.config)
            .map_err(|error| ModelError::own(format!("cannot read {name}")).because(error))?;
        let mut config = KokoroConfig::parse(&text, &name)?;
        let weights = Weights::open([&self.weights])?;
        config.take_widths(|name| weights.shape_as(name));
        Ok((config, weights))
    }

    /// What a job of `duration` would take beyond the weights: reads the configuration and the weights' header only.
    pub fn workspace(&self, duration: Duration) -> Result<Bytes, ModelError> {
        Ok(workspace(&self.opened()?.0, duration))
    }
}

/// An upper estimate of what speaking for `duration` takes beyond the weights.
fn workspace(config: &KokoroConfig, duration: Duration) -> Bytes {
    // A piece, an eighth more for what lies around its widest stage, and the finished sound.
    let piece = longest_piece(config) * frame_size(config);
    Bytes::new((piece + piece / 8 + 4 * samples_of(duration).min(1 << 40)) as u64)
}

/// The longest piece that is spoken at once, in frames.
fn longest_piece(config: &KokoroConfig) -> usize {
    let by_memory = PIECE / frame_size(config);
    let by_time = LONGEST_PIECE.as_secs() as usize * SAMPLE_RATE as usize / config.samples_per_frame();
    by_memory.min(by_time).max(1)
}

/// Bytes that the vocoder's widest stage takes for one frame: four signals.
fn frame_size(config: &KokoroConfig) -> usize {
    let vocoder = &config.istftnet;
    let mut samples = 2;
    let stages = vocoder.upsample_rates.iter().enumerate().map(|(stage, rate)| {
        samples *= rate;
        (vocoder.upsample_initial_channel >> (stage + 1)) * samples
    });
    4 * 4 * stages.max().unwrap_or(1)
}

impl KokoroModel {
    /// Reads configuration, weights, voices and dictionaries; the network is checked against the configuration tensor
    /// by tensor.
    pub fn load(files: &KokoroFiles, device: &Device, run: &Run) -> Result<Self, ModelError> {
        let (config, stored) = files.opened()?;
        let weights = catalog::kokoro(&config)?.sound_weights(stored)?;
        let voices = Voices::read(&files.voices, 2 * config.style_dim)?;
        let kernels = Kernels::of(device);
        let options = Options::new(DType::F32, device);
        let (net, loaded) = weights::load(&weights, &options, run, |vb| Net::new(&config, &vb, kernels))?;
        let accents: BTreeSet<bool> = voices.names().map(is_british).collect();
        let phonemiser = |british, accent| accents.contains(&british).then(|| Phonemiser::new(accent));
        Ok(Self {
            net,
            american: phonemiser(false, Accent::American),
            british: phonemiser(true, Accent::British),
            resident: loaded.bytes.saturating_add(Bytes::of::<f32>(voices.values())),
            voices,
            config,
        })
    }

    /// The voices that can speak, in alphabetical order.
    pub fn voices(&self) -> impl Iterator<Item = &str> {
        self.voices.names()
    }

    /// The script of a job, and what to warn of.
    fn script(&self, text: &str, voice: &VoiceBlend) -> Result<Script, ModelError> {
        // The heaviest part of a blend decides whose English it is.
        let heaviest = voice.parts().iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let name = heaviest.map_or("", |(name, _)| name.as_str());
        let phonemiser = if is_british(name) { &self.british } else { &self.american };
        let phonemiser = phonemiser
            .as_ref()
            .ok_or_else(|| ModelError::own(format!("no dictionary was loaded for the voice {name:?}")))?;
        let mut script = phonemiser.script(text)?;
        if Accent::of(name).is_none() {
            let message =
                format!("the voice {name:?} is not made for English; it speaks with an American's phonemes");
            script.warnings.push(Warning::new("voice_language", message));
        }
        let unknown: BTreeSet<char> = script
            .utterances
            .iter()
            .flat_map(|utterance| utterance.symbols().chars().collect::<Vec<_>>())
            .filter(|symbol| !self.config.vocab.contains_key(symbol))
            .collect();
        if !unknown.is_empty() {
            let list: Vec<String> =
                unknown.iter().map(|symbol| format!("{symbol:?} (U+{:04X})", *symbol as u32)).collect();
            return Err(ModelError::own(format!(
                "the vocabulary of config.json lacks symbols that this text is spoken with: {}; it has {} symbols, the \
                 published one has 114",
                list.join(", "),
                self.config.vocab.len()
            )));
        }
        let context = self.config.context();
        script.utterances = script
            .utterances
            .into_iter()
            .flat_map(|utterance| text::at_context(utterance, context))
            .collect();
        Ok(script)
    }

    /// Speaks the next utterance, or hands back its halves where it is too long for one piece.
    fn utterance(&self, utterance: &Utterance, job: &Speak, number: u32) -> Result<Piece, ModelError> {
        let symbols: Vec<char> = utterance.symbols().chars().collect();
        let inner = symbols.iter().filter_map(|symbol| self.config.vocab.get(symbol).copied());
        let ids: Vec<u32> = std::iter::once(0).chain(inner).chain(std::iter::once(0)).collect();
        let style = self.voices.style(&job.voice, symbols.len())?;
        let prosody = job.emotion.prosody();
        let speed = job.speed.get() * prosody.tempo;
        let noise = NoiseOf::Seed { seed: job.seed, utterance: number };
        let said = self.on_pool(|| -> candle_core::Result<_> {
            let (ids, style) = (self.net.ids(&ids)?, self.net.style(&style)?);
            let timing = self.net.timing(&ids, &style, speed)?;
            if timing.total() > longest_piece(&self.config)
                && let Some(halves) = text::in_two(utterance)
            {
                return Ok(Piece::TooLong(halves));
            }
            let sound = self.net.speak(&ids, &style, &timing, prosody, noise)?;
            Ok(Piece::Said { symbols, frames: timing.frames, sound })
        });
        said.context(|| format!("speaking sentence {}", number + 1))
    }

    /// On the CPU inside the thread pool, which spares every operator the way into it.
    fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if self.net.device().is_cpu() { rayon::scope(|_| work()) } else { work() }
    }

    fn speak(&mut self, job: &Speak, run: &Run) -> Result<Speech, ModelError> {
        let total = samples_of(job.duration);
        if total == 0 {
            return Err(ModelError::own(format!("a duration of {:?} holds no sample", job.duration)));
        }
        self.voices.check(&job.voice)?;
        let Script { utterances, mut warnings } = self.script(&job.text, &job.voice)?;
        let mut count = utterances.len();
        let mut queue = VecDeque::from(utterances);
        let mut track = Track::default();
        let mut number = 0u32;
        while track.len() < total {
            let Some(utterance) = queue.pop_front() else { break };
            run.step(Progress::new(Unit::Sentences, number, count as u32))?;
            match self.utterance(&utterance, job, number)? {
                Piece::Said { symbols, frames, sound } => {
                    track.push(&symbols, &frames, &sound)?;
                    number += 1;
                }
                Piece::TooLong([first, second]) => {
                    queue.push_front(second);
                    queue.push_front(first);
                    count += 1;
                }
            }
        }
        let finished = track.finish(total, !queue.is_empty())?;
        if let Some(cut) = finished.cut {
            let message = format!(
                "the script does not fit into {:?}: cut at {:.2} s, in sentence {number} of {count}",
                job.duration,
                cut as f64 / f64::from(SAMPLE_RATE)
            );
            warnings.push(Warning::new("script_cut", message));
        }
        run.step(Progress::new(Unit::Sentences, number, count as u32))?;
        Ok(Speech { pcm: finished.pcm, timeline: finished.timeline, warnings })
    }
}

/// What became of an utterance.
enum Piece {
    Said { symbols: Vec<char>, frames: Vec<usize>, sound: Vec<f32> },
    TooLong([Utterance; 2]),
}

fn is_british(voice: &str) -> bool {
    Accent::of(voice) == Some(Accent::British)
}

/// Samples of a duration, to the nearest.
fn samples_of(duration: Duration) -> usize {
    let rate = u64::from(SAMPLE_RATE);
    let fraction = (u64::from(duration.subsec_nanos()) * rate + 500_000_000) / 1_000_000_000;
    usize::try_from(duration.as_secs().saturating_mul(rate).saturating_add(fraction)).unwrap_or(usize::MAX)
}

impl Model for KokoroModel {
    type Job = Speak;
    type Output = Speech;

    fn resident(&self) -> Bytes {
        self.resident
    }

    fn workspace(&self, job: &Speak) -> Bytes {
        workspace(&self.config, job.duration)
    }

    fn run(&mut self, job: Speak, run: &Run) -> Result<Speech, ModelError> {
        timed!("kokoro");
        let result = self.speak(&job, run);
        device::settled(self.net.device(), result)
    }

    fn canary(&mut self, run: &Run) -> Result<(), ModelError> {
        let name = self.voices.names().next().unwrap_or_default().to_owned();
        let voice: VoiceBlend = name.parse().map_err(|error| {
            ModelError::own(format!("the voice pack {name:?} has no usable name")).because(error)
        })?;
        let failed = |why: String| ModelError::own(format!("the canary {CANARY:?} failed: {why}"));
        let script = self.script(CANARY, &voice)?;
        let job = Speak {
            text: CANARY.to_owned(),
            voice,
            speed: crate::types::SpeechSpeed::NORMAL,
            emotion: Emotion::Neutral,
            duration: LONGEST_PIECE,
            seed: 0,
        };
        run.step(Progress::new(Unit::Sentences, 0, 1))?;
        let Some(utterance) = script.utterances.first() else {
            return Err(failed("nothing is said".to_owned()));
        };
        let Piece::Said { symbols, frames, sound } = self.utterance(utterance, &job, 0)? else {
            return Err(failed(format!("it lasts longer than {LONGEST_PIECE:?}")));
        };
        let (longest, mean) = (frames.iter().max(), frames.iter().sum::<usize>() / frames.len());
        if longest == Some(&1) || 10 * mean > 9 * self.config.max_dur {
            return Err(failed(format!("its durations are not speech's: {frames:?} frames")));
        }
        let loudness = (sound.iter().map(|x| f64::from(x.clamp(-1.0, 1.0)).powi(2)).sum::<f64>()
            / sound.len() as f64)
            .sqrt();
        let clipped = sound.iter().filter(|sample| sample.abs() > 1.0).count();
        // Speech lies around 0.05; a silent network at 0, a broken one beyond what can be written, or not a number.
        if !(1e-4..=0.9).contains(&loudness) || 4 * clipped > sound.len() {
            let share = clipped as f64 / sound.len() as f64;
            return Err(failed(format!(
                "its sound has a level of {loudness:.2e}, {:.0} % of it clipped",
                100.0 * share
            )));
        }
        let mut track = Track::default();
        track.push(&symbols, &frames, &sound)
    }

    fn trim(&mut self) -> Bytes {
        // Nothing is kept between jobs: every buffer belongs to one utterance.
        device::trim(self.net.device())
    }
}
