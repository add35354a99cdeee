//! The finished sound: sentences one after the other, what is said when, and the cut or the silence at the end.
//!
//! Pure: knows no network. Which frames are left out between two sentences is [`pauses`]'s, which word is the last in a
//! slot too short is [`cut`]'s.

mod cut;
mod pauses;

use std::ops::Range;

use crate::contract::ModelError;
use crate::types::{Phoneme, SAMPLE_RATE, Timeline};

use self::cut::Ending;
use self::pauses::Edge;
use super::text::{Utterance, is_sound};

pub(crate) use self::cut::Lost;

/// How long a cut fades: ten milliseconds, long enough not to click and too short to hear. Where silence between sentences is
/// left out, what is left fades as long to each side.
const FADE: usize = SAMPLE_RATE as usize / 100;

/// What silence and word gaps are called in a timeline.
const SILENCE: &str = " ";

/// A sentence, or a part of one, as it was spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    /// Its symbols.
    pub symbols: &'a [char],
    /// How many frames each of them lasts, with the start before and the end behind them.
    pub frames: &'a [usize],
    /// Its sound; it may end early, where nobody will hear the rest.
    pub sound: &'a [f32],
    /// Samples of a frame.
    pub per_frame: usize,
    /// Whether it is a part whose sentence goes on in the next one.
    pub continues: bool,
}

/// Sound, timeline and words so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    samples: Vec<f32>,
    phonemes: Vec<Phoneme>,
    words: Vec<Word>,
    sentences: usize,
    /// Whether the last sentence goes on in what comes next.
    continues: bool,
}

/// A word that was spoken, or that would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// As it is written.
    text: String,
    /// Whether a gap follows.
    space: bool,
    /// Whether it is a sound and no mere mark.
    is_sound: bool,
    /// Which sentence it is of.
    sentence: usize,
    /// In samples; none of a word that was not reached.
    end: Option<u64>,
    /// What follows it.
    ending: Ending,
}

/// The frames of a sentence, the first of a script or not, that are heard where another follows, by its tokens alone.
pub(super) fn wanted(symbols: &[char], frames: &[usize], is_first: bool) -> Range<usize> {
    let opens = if is_first { Edge::Script } else { Edge::Sentence };
    pauses::wanted(symbols, frames, opens, Edge::Sentence)
}

/// A finished sound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finished {
    /// Of the length asked for, as the network made it: not levelled, not clamped.
    pub samples: Vec<f32>,
    /// As long as the sound.
    pub timeline: Timeline,
    /// What was not said, if anything.
    pub lost: Option<Lost>,
}

impl Track {
    /// Samples so far.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Adds a sentence.
    ///
    /// Stresses belong to the sound behind them, length marks to the one before; punctuation is silence.
    pub(crate) fn push(&mut self, utterance: &Utterance, said: Said<'_>) -> Result<(), ModelError> {
        let Said { symbols, frames, sound, per_frame, continues } = said;
        let total: usize = frames.iter().sum();
        let (spelled, places) = utterance.symbols_of_words();
        if frames.len() != symbols.len() + 2
            || spelled != symbols
            || total == 0
            || sound.len() > total * per_frame
        {
            return Err(ModelError::own(format!(
                "{} symbols, {} durations of {total} frames and {} samples do not fit together",
                symbols.len(),
                frames.len(),
                sound.len()
            )));
        }
        if let Some(place) = sound.iter().position(|sample| !sample.is_finite()) {
            return Err(ModelError::own(format!(
                "the network's sound is {} at sample {place} of {}: its weights are broken",
                sound[place],
                sound.len()
            )));
        }
        let opens = match (self.sentences, self.continues) {
            (0, _) => Edge::Script,
            (_, false) => Edge::Sentence,
            (_, true) => Edge::Inside,
        };
        let kept = pauses::kept(&said, opens, if continues { Edge::Inside } else { Edge::Sentence });
        let from = self.samples.len() as u64;
        // Where a frame of the sentence comes to lie.
        let place =
            |frame: usize| from + (frame.clamp(kept.start, kept.end) - kept.start) as u64 * per_frame as u64;
        let mut stress = None;
        let mut ends = Vec::with_capacity(frames.len());
        let mut frame = 0;
        let edges = [None];
        let tokens = edges.into_iter().chain(symbols.iter().copied().map(Some)).chain(edges);
        for (symbol, frames) in tokens.zip(frames) {
            let at = place(frame);
            frame += frames;
            let end = place(frame);
            ends.push(end);
            match symbol {
                Some('ˈ' | 'ˌ') => {
                    stress.get_or_insert(at);
                }
                Some('ː' | '\u{303}' | 'ʰ' | 'ʲ')
                    if self.phonemes.last().is_some_and(|last| last.end == at) =>
                {
                    self.extend(end);
                }
                Some(symbol) if is_sound(symbol) => {
                    let start = stress.take().unwrap_or(at);
                    self.phonemes.push(Phoneme { symbol: symbol.to_string(), start, end });
                }
                _ => self.silence(stress.take().unwrap_or(at), end),
            }
        }
        // The start is a token too.
        self.note(utterance, symbols, &places, |symbol| ends.get(symbol + 1).copied());
        self.append(sound, kept.start * per_frame..kept.end * per_frame, kept.end < total);
        self.sentences += 1;
        self.continues = continues;
        Ok(())
    }

    /// Notes a sentence that was not spoken, as the slot was full: its words are lost.
    pub(crate) fn leave_out(&mut self, utterance: &Utterance) {
        let (symbols, places) = utterance.symbols_of_words();
        self.note(utterance, &symbols, &places, |_| None);
        self.sentences += 1;
    }

    fn note(
        &mut self,
        utterance: &Utterance,
        symbols: &[char],
        places: &[Range<usize>],
        end_of: impl Fn(usize) -> Option<u64>,
    ) {
        let sentence = self.sentences;
        self.words.extend(utterance.words.iter().zip(places).map(|(word, place)| {
            let last = symbols[place.clone()].iter().rposition(|symbol| is_sound(*symbol) || *symbol == 'ː');
            Word {
                text: word.text.clone(),
                space: word.space,
                is_sound: last.is_some(),
                sentence,
                end: last.and_then(|last| end_of(place.start + last)),
                ending: last.map_or(Ending::None, |last| Ending::of(&symbols[place.start + last + 1..])),
            }
        }));
    }

    /// Adds the part `kept` of a sound, silence for what is missing of it; where some was left out, the edges fade.
    fn append(&mut self, sound: &[f32], kept: Range<usize>, shortened: bool) {
        let from = self.samples.len();
        let there = kept.start.min(sound.len())..kept.end.min(sound.len());
        self.samples.extend_from_slice(&sound[there]);
        self.samples.resize(from + kept.len(), 0.0);
        let added = &mut self.samples[from..];
        let fade = FADE.min(added.len());
        let ramp = |n: usize| (n + 1) as f32 / (fade + 1) as f32;
        if kept.start > 0 {
            added[..fade].iter_mut().enumerate().for_each(|(n, sample)| *sample *= ramp(n));
        }
        if shortened {
            added.iter_mut().rev().take(fade).enumerate().for_each(|(n, sample)| *sample *= ramp(n));
        }
    }

    fn extend(&mut self, end: u64) {
        if let Some(last) = self.phonemes.last_mut() {
            last.end = end;
        }
    }

    fn silence(&mut self, start: u64, end: u64) {
        match self.phonemes.last_mut() {
            Some(last) if last.symbol == SILENCE => last.end = end,
            _ if start < end => {
                self.phonemes.push(Phoneme { symbol: SILENCE.to_owned(), start, end });
            }
            _ => {}
        }
    }

    /// The sound at exactly `total` samples: cut behind a word that fits, or padded with silence.
    pub(crate) fn finish(mut self, total: usize) -> Result<Finished, ModelError> {
        let mut lost = None;
        if self.samples.len() > total || self.words.iter().any(|word| word.is_sound && word.end.is_none()) {
            let cut = cut::cut(&self.words, total.min(self.samples.len()) as u64);
            let at = cut.at as usize;
            self.phonemes.retain_mut(|phoneme| {
                phoneme.end = phoneme.end.min(cut.at);
                phoneme.start < phoneme.end
            });
            // Behind a word's end the fade takes what still sounds of it; a cut inside a word fades before its end.
            let fade = FADE.min(total.min(self.samples.len()) - at);
            let (from, len) = if fade > 0 { (at, fade) } else { (at.saturating_sub(FADE), FADE.min(at)) };
            self.samples.truncate(from + len);
            let tail = &mut self.samples[from..];
            tail.iter_mut().enumerate().for_each(|(n, sample)| *sample *= 1.0 - (n + 1) as f32 / len as f32);
            lost = cut.lost;
        }
        self.samples.resize(total, 0.0);
        let end = self.phonemes.last().map_or(0, |last| last.end);
        self.silence(end, total as u64);
        let timeline = Timeline::new(SAMPLE_RATE, total as u64, self.phonemes)
            .map_err(|error| ModelError::own("the predicted durations make no timeline").because(error))?;
        Ok(Finished { samples: self.samples, timeline, lost })
    }
}

#[cfg(test)]
mod tests;
