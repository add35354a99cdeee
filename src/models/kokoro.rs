//! Kokoro-82M: text to speech with the exact time of every phoneme (hexgrad/Kokoro-82M, after StyleTTS 2, Li et al.
//! 2023).
//!
//! Owns the resident model and what a job may take. How a job is spoken, sentence by sentence until the slot is full, is
//! [`speaking`]'s; what is said how is [`text`]'s, the networks are [`net`]'s, the finished sound is [`track`]'s.
//!
//! [benches]: crate::benchmarks#kokoro
//!
#![doc = include_str!("kokoro/README.md")]

mod adain;
pub mod config;
pub(crate) mod decoder;
pub(crate) mod generator;
mod length;
pub mod loudness;
pub mod net;
pub mod norms;
pub(crate) mod plbert;
pub(crate) mod predictor;
mod readers;
pub mod source;
mod speaking;
pub mod text;
pub(crate) mod text_encoder;
pub mod timer;
pub(crate) mod track;
pub(crate) mod voices;
mod windows;

pub use self::readers::{Readers, speaker};

use std::path::PathBuf;
use std::time::Duration;

use candle_core::{DType, Device};

use self::config::KokoroConfig;
use self::net::Net;
use self::norms::Norms;
use self::source::NoiseOf;
use self::speaking::Speaking;
use self::text::Script;
use self::timer::Saying;
use self::track::{Said, Track};
use self::voices::Voices;
use crate::contract::{Model, ModelError, Progress, Run, Speak, Speech, Unit};
use crate::models::catalog;
use crate::models::device;
use crate::models::error::Context;
use crate::models::kernels::{Kernels, conv1d};
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
    readers: Readers,
    resident: Bytes,
    /// The last job, where its run was broken off.
    unfinished: Option<Speaking>,
}

/// What the vocoder may take at once beside the weights: 8.1 s of speech at the published size. With what lies around it a
/// run stays below 100 MB, and convolutions on the processor keep some more while it lasts.
const PIECE: usize = 80_000_000;
/// The longest that the vocoder is given at once in any case.
const LONGEST_PIECE: Duration = Duration::from_secs(10);
/// The longest sentence that is spoken as one, in windows of such pieces. What lies in front of the vocoder sees all of it,
/// which takes half a piece's memory then; nobody speaks longer in one breath.
const LONGEST_SENTENCE: Duration = Duration::from_secs(30);

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
    pub fn workspace(&self, duration: Duration, device: &Device) -> Result<Bytes, ModelError> {
        Ok(workspace(&self.opened()?.0, duration, device))
    }
}

/// An upper estimate of what speaking for `duration` takes beyond the weights.
fn workspace(config: &KokoroConfig, duration: Duration, device: &Device) -> Bytes {
    // A piece, an eighth more for what lies around its widest stage; or a sentence's decoder, which is done before.
    let piece = longest_piece(config) * frame_size(config);
    let sentence = longest_sentence(config);
    let widths = &config.widths;
    let decoder = sentence * DECODER_SIGNALS * 4 * (widths.decoder_hidden + 2 + widths.asr_res);
    // What the decoder hands over for the whole sentence, two values a frame, and the finished sound.
    let features = sentence * 2 * 4 * config.decoder_out();
    let vocoder = &config.istftnet;
    let farthest = vocoder.resblock_dilation_sizes.iter().flatten().max().copied().unwrap_or(1);
    let scratch = match device.is_cpu() {
        true => {
            let channels = vocoder.upsample_initial_channel / 2;
            conv1d::most_scratch(widths.decoder_hidden.max(channels), channels, farthest)
        }
        false => 0,
    };
    let sound = 4 * samples_of(duration).min(1 << 40);
    Bytes::new(((piece + piece / 8).max(decoder) + features + scratch + sound) as u64)
}

/// Signals of the decoder's width and the frame rate that it has in memory at a time, most in the block that doubles the rate.
const DECODER_SIGNALS: usize = 9;

/// The longest piece that the vocoder is given at once, in frames.
fn longest_piece(config: &KokoroConfig) -> usize {
    let by_memory = PIECE / frame_size(config);
    by_memory.min(frames_of(LONGEST_PIECE, config)).max(1)
}

/// The longest sentence that is spoken as one, in frames.
fn longest_sentence(config: &KokoroConfig) -> usize {
    frames_of(LONGEST_SENTENCE, config).max(1)
}

fn frames_of(duration: Duration, config: &KokoroConfig) -> usize {
    duration.as_secs() as usize * SAMPLE_RATE as usize / config.samples_per_frame()
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
        Ok(Self {
            net,
            readers: Readers::of(voices.names()),
            resident: loaded.bytes.saturating_add(Bytes::of::<f32>(voices.values())),
            voices,
            config,
            unfinished: None,
        })
    }

    /// The voices that can speak, in alphabetical order.
    pub fn voices(&self) -> impl Iterator<Item = &str> {
        self.voices.names()
    }

    /// What `job` will say and how long that takes, without its sound; its duration and its seed decide nothing of that.
    pub fn saying(&self, job: &Speak) -> Result<Saying, ModelError> {
        let Self { net, config, voices, readers, .. } = self;
        self.on_pool(|| timer::saying(net.durations(), config, voices, readers, job))
    }

    /// The script of a job, and what to warn of.
    fn script(&self, text: &str, voice: &VoiceBlend) -> Result<Script, ModelError> {
        self.readers.script(&self.config, text, voice)
    }

    /// On the CPU inside the thread pool, which spares every operator the way into it.
    fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if self.net.device().is_cpu() { rayon::scope(|_| work()) } else { work() }
    }

    fn speak(&mut self, job: Speak, run: &Run) -> Result<Speech, ModelError> {
        let kept = self.unfinished.take().filter(|unfinished| unfinished.is_of(&job));
        let mut speaking = match kept {
            Some(unfinished) => unfinished,
            None => self.begun(job)?,
        };
        if let Err(error) = speaking.go_on(self, run) {
            self.unfinished = Some(speaking).filter(Speaking::is_keepable);
            return Err(error);
        }
        speaking.finish()
    }

    /// A job at its beginning, checked.
    fn begun(&self, job: Speak) -> Result<Speaking, ModelError> {
        if samples_of(job.duration) == 0 {
            return Err(ModelError::own(format!("a duration of {:?} holds no sample", job.duration)));
        }
        self.voices.check(&job.voice)?;
        let script = self.script(&job.text, &job.voice)?;
        Ok(Speaking::new(job, script))
    }
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
        workspace(&self.config, job.duration, self.net.device())
    }

    fn run(&mut self, job: Speak, run: &Run) -> Result<Speech, ModelError> {
        timed!("kokoro");
        let result = self.speak(job, run);
        // What convolutions keep belongs to the job, as its memory does.
        self.on_pool(conv1d::release_scratch);
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
        let timed = self.timed(utterance, &job)?;
        let frames = &timed.timing.frames;
        if timed.timing.total() > longest_piece(&self.config) {
            return Err(failed(format!("it lasts longer than {LONGEST_PIECE:?}")));
        }
        let voiced = self.voiced(&timed, &job).context(|| format!("speaking {CANARY:?}"))?;
        let noise = NoiseOf::Seed { seed: job.seed, utterance: 0 };
        let all = 0..timed.timing.total();
        let sound =
            self.on_pool(|| self.net.sound(&self.net.vocoded(&voiced, all, noise, &mut Norms::own())?));
        self.on_pool(conv1d::release_scratch);
        let sound = sound.context(|| format!("speaking {CANARY:?}"))?;
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
        let said = Said {
            symbols: &timed.symbols,
            frames,
            sound: &sound,
            per_frame: self.config.samples_per_frame(),
            continues: false,
        };
        Track::default().push(utterance, said)
    }

    fn trim(&mut self) -> Bytes {
        // Buffers belong to one sentence each. What a run that was broken off has spoken is kept: it is small, and the try that
        // it is for is often the one that follows a trim.
        let scratch = self.on_pool(conv1d::release_scratch);
        Bytes::new(scratch as u64).saturating_add(device::trim(self.net.device()))
    }
}
