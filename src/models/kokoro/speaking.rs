//! A job under way: which sentences are spoken, which are still to be, and how it goes on where a run was broken off.
//!
//! Owns the order of things from script to finished speech. A run that ends early leaves it with its model, and the next run
//! of the same job goes on behind the last sentence, or the last window of a long one: the sound is the same to the bit.

use std::collections::VecDeque;

use super::net::{Style, Timing, Voiced};
use super::norms::Norms;
use super::source::NoiseOf;
use super::text::{self, Script, Utterance, is_sound};
use super::timer;
use super::track::{Lost, Said, Track};
use super::windows::{self, Place, Window};
use super::{KokoroModel, longest_piece, longest_sentence, loudness, samples_of};
use crate::contract::{ModelError, Progress, Run, Speak, Speech, Unit, Warning};
use crate::models::error::Context;
use crate::types::{Bytes, Pcm, SAMPLE_RATE};

/// More than this is not kept for another run: three minutes of sound.
const KEPT: Bytes = Bytes::new(16_000_000);

/// How far a job is.
#[derive(Debug)]
pub(super) struct Speaking {
    job: Speak,
    warnings: Vec<Warning>,
    queue: VecDeque<Part>,
    track: Track,
    said: u32,
    begun: Begun,
}

/// A sentence to speak, or a part of one.
#[derive(Clone, Debug)]
struct Part {
    utterance: Utterance,
    /// Whether its sentence goes on in the next part.
    continues: bool,
}

/// What there is of the sentence under way.
#[derive(Debug, Default)]
struct Begun {
    /// Windows over which its norms are gathered.
    gathered: usize,
    norms: Norms,
    /// Windows that are spoken.
    windows: usize,
    sound: Vec<f32>,
}

/// A sentence as the network takes it, and how long its tokens last.
pub(super) struct Timed {
    pub(super) symbols: Vec<char>,
    pub(super) ids: Vec<u32>,
    pub(super) style: Style,
    pub(super) timing: Timing,
}

impl Speaking {
    /// At its beginning.
    pub(super) fn new(job: Speak, script: Script) -> Self {
        let part = |utterance| Part { utterance, continues: false };
        Self {
            job,
            warnings: script.warnings,
            queue: script.utterances.into_iter().map(part).collect(),
            track: Track::default(),
            said: 0,
            begun: Begun::default(),
        }
    }

    /// Whether this is `job`.
    pub(super) fn is_of(&self, job: &Speak) -> bool {
        self.job == *job
    }

    /// Whether it is small enough to be kept for another run.
    pub(super) fn is_keepable(&self) -> bool {
        Bytes::of::<f32>(self.track.len() + self.begun.sound.len()) <= KEPT
    }

    /// Speaks until the slot is full or everything is said.
    pub(super) fn go_on(&mut self, model: &KokoroModel, run: &Run) -> Result<(), ModelError> {
        let total = samples_of(self.job.duration);
        while self.track.len() < total {
            let Some(part) = self.queue.front().cloned() else { break };
            if self.divide(&part, |whole| text::at_context(whole, model.config.context())) {
                continue;
            }
            self.step(run)?;
            let timed = model.timed(&part.utterance, &self.job)?;
            if timed.timing.total() > longest_sentence(&model.config)
                && self.divide(&part, |whole| text::in_two(&whole).map_or(vec![whole], Vec::from))
            {
                continue;
            }
            self.windows(model, &timed, run)?;
            let said = Said {
                symbols: &timed.symbols,
                frames: &timed.timing.frames,
                sound: &self.begun.sound,
                per_frame: model.config.samples_per_frame(),
                continues: part.continues,
            };
            let pushed = self.track.push(&part.utterance, said);
            // Broken sound is not worth keeping.
            self.begun = Begun::default();
            pushed?;
            self.queue.pop_front();
            self.said += 1;
        }
        self.step(run)
    }

    /// Puts the parts of the first sentence in its place; false where it has but one.
    fn divide(&mut self, part: &Part, into: impl FnOnce(Utterance) -> Vec<Utterance>) -> bool {
        let parts = into(part.utterance.clone());
        if parts.len() < 2 {
            return false;
        }
        self.queue.pop_front();
        for (place, utterance) in parts.into_iter().rev().enumerate() {
            self.queue.push_front(Part { utterance, continues: place > 0 || part.continues });
        }
        true
    }

    fn step(&self, run: &Run) -> Result<(), ModelError> {
        let count = u32::try_from(self.queue.len()).unwrap_or(u32::MAX).saturating_add(self.said);
        Ok(run.step(Progress::new(Unit::Sentences, self.said, count))?)
    }

    /// The sound of the first sentence, window by window, as far as the slot has room for it.
    fn windows(&mut self, model: &KokoroModel, timed: &Timed, run: &Run) -> Result<(), ModelError> {
        let (config, frames) = (&model.config, &timed.timing.frames);
        let per_frame = config.samples_per_frame();
        let room = samples_of(self.job.duration).saturating_sub(self.track.len());
        // The silence before the first sound may go.
        let heard = frames[0] + room.div_ceil(per_frame);
        let windows =
            windows::windows(&places(timed), longest_piece(config), model.net.decoder().generator().reach());
        let doing = |said: u32| move || format!("speaking sentence {}", said + 1);
        let windows: Vec<Window> = windows.into_iter().filter(|window| window.heard.start < heard).collect();
        let voiced = model.voiced(timed, &self.job).context(doing(self.said))?;
        let noise = NoiseOf::Seed { seed: self.job.seed, utterance: self.said };
        // One window has the whole's statistics; of several they are gathered first.
        if windows.len() > 1 {
            for (place, window) in windows.iter().enumerate().skip(self.begun.gathered) {
                if place == 0 {
                    self.begun.norms = Norms::gathering();
                } else {
                    self.step(run)?;
                }
                // A pass that fails has gathered a part only.
                let mut norms = self.begun.norms.clone();
                let pass =
                    model.on_pool(|| model.net.vocoded(&voiced, window.run.clone(), noise, &mut norms));
                pass.context(doing(self.said))?;
                self.begun = Begun { gathered: place + 1, norms, ..std::mem::take(&mut self.begun) };
            }
            self.begun.norms.gathered();
        }
        for (place, window) in windows.iter().enumerate().skip(self.begun.windows) {
            if windows.len() > 1 {
                self.step(run)?;
            }
            let norms = &mut self.begun.norms;
            let sound = model.on_pool(|| {
                model.net.sound(&model.net.vocoded(&voiced, window.run.clone(), noise, norms)?)
            });
            windows::join(&mut self.begun.sound, window, &sound.context(doing(self.said))?, per_frame);
            self.begun.windows = place + 1;
        }
        Ok(())
    }

    /// The finished speech: cut or filled up to the slot's length, levelled, as loud as its emotion.
    pub(super) fn finish(self) -> Result<Speech, ModelError> {
        let Self { job, mut warnings, queue, mut track, .. } = self;
        queue.iter().for_each(|part| track.leave_out(&part.utterance));
        drop(queue);
        let finished = track.finish(samples_of(job.duration))?;
        warnings.extend(finished.lost.map(|lost| cut_warning(&lost, &job)));
        let mut samples = finished.samples;
        loudness::level(&mut samples, job.emotion.prosody().energy);
        Ok(Speech { pcm: Pcm { sample_rate: SAMPLE_RATE, samples }, timeline: finished.timeline, warnings })
    }
}

fn cut_warning(lost: &Lost, job: &Speak) -> Warning {
    let (sentence, sentences) = lost.sentence;
    let message = format!(
        "the script does not fit into {:?}: cut at {:.2} s, {} sentence {sentence} of {sentences}; not said ({}): {}",
        job.duration,
        lost.at as f64 / f64::from(SAMPLE_RATE),
        if lost.whole { "behind" } else { "in" },
        if lost.words == 1 { "1 word".to_owned() } else { format!("{} words", lost.words) },
        lost.text
    );
    Warning::new("script_cut", message)
}

/// What each token, start and end included, is to a seam.
fn places(timed: &Timed) -> Vec<(Place, usize)> {
    let place = |symbol: &char| match symbol {
        ' ' => Place::Gap,
        symbol if is_sound(*symbol) || matches!(symbol, 'ˈ' | 'ˌ' | 'ː' | '\u{303}' | 'ʰ' | 'ʲ') => {
            Place::Sound
        }
        _ => Place::Pause,
    };
    let edge = [Place::Pause];
    let places = edge.into_iter().chain(timed.symbols.iter().map(place)).chain(edge);
    places.zip(timed.timing.frames.iter().copied()).collect()
}

impl KokoroModel {
    /// How a sentence of `job` is given to the network, and how long its tokens last.
    pub(super) fn timed(&self, utterance: &Utterance, job: &Speak) -> Result<Timed, ModelError> {
        self.on_pool(|| timer::timed(self.net.durations(), &self.config, &self.voices, utterance, job))
    }

    /// What the vocoder makes its sound of.
    pub(super) fn voiced(&self, timed: &Timed, job: &Speak) -> candle_core::Result<Voiced> {
        self.on_pool(|| {
            let ids = self.net.ids(&timed.ids)?;
            self.net.voiced(&ids, &timed.style, &timed.timing, job.emotion.prosody())
        })
    }
}
