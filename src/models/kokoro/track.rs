//! The finished sound: utterances one after the other, what is said when, and the cut or the silence at the end.
//!
//! Pure: knows no network and no text.

use crate::contract::ModelError;
use crate::types::{Pcm, Phoneme, SAMPLE_RATE, Timeline};

use super::text::is_sound;

/// How long a cut fades: ten milliseconds, long enough not to click and too short to hear.
const FADE: usize = SAMPLE_RATE as usize / 100;

/// What silence and word gaps are called in a timeline.
const SILENCE: &str = " ";

/// Sound and timeline so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    samples: Vec<f32>,
    phonemes: Vec<Phoneme>,
}

/// A finished sound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finished {
    /// Of the length asked for.
    pub pcm: Pcm,
    /// As long as the sound.
    pub timeline: Timeline,
    /// Where it was cut, in samples, if it was.
    pub cut: Option<u64>,
}

impl Track {
    /// Samples so far.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Adds an utterance: its symbols, how many frames each of them lasts with the start before and the end behind
    /// them, and its sound.
    ///
    /// Stresses belong to the sound behind them, length marks to the one before; punctuation is silence.
    pub(crate) fn push(
        &mut self,
        symbols: &[char],
        frames: &[usize],
        sound: &[f32],
    ) -> Result<(), ModelError> {
        let total: usize = frames.iter().sum();
        if frames.len() != symbols.len() + 2 || total == 0 || !sound.len().is_multiple_of(total) {
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
        let per_frame = (sound.len() / total) as u64;
        let mut at = self.samples.len() as u64;
        let mut stress = None;
        let ends = [None];
        let tokens = ends.into_iter().chain(symbols.iter().copied().map(Some)).chain(ends);
        for (symbol, frames) in tokens.zip(frames) {
            let end = at + *frames as u64 * per_frame;
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
            at = end;
        }
        self.samples.extend_from_slice(sound);
        Ok(())
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

    /// The sound at exactly `total` samples: cut at the last word's end that fits, or padded with silence; clamped to
    /// [−1, 1]. `unfinished` tells that there would have been more to say.
    pub(crate) fn finish(mut self, total: usize, unfinished: bool) -> Result<Finished, ModelError> {
        let mut cut = None;
        if self.samples.len() > total || unfinished {
            let at = self.cut_at(total.min(self.samples.len()));
            cut = Some(at as u64);
            self.phonemes.retain_mut(|phoneme| {
                phoneme.end = phoneme.end.min(at as u64);
                phoneme.start < phoneme.end
            });
            // Behind a word's end the fade takes what still sounds of it; a cut inside a word fades before its end.
            let fade = FADE.min(total.min(self.samples.len()) - at);
            let (from, len) = if fade > 0 { (at, fade) } else { (at.saturating_sub(FADE), FADE.min(at)) };
            self.samples.truncate(from + len);
            let tail = &mut self.samples[from..];
            tail.iter_mut().enumerate().for_each(|(n, sample)| *sample *= 1.0 - (n + 1) as f32 / len as f32);
        }
        self.samples.resize(total, 0.0);
        self.samples.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        let end = self.phonemes.last().map_or(0, |last| last.end);
        self.silence(end, total as u64);
        let timeline = Timeline::new(SAMPLE_RATE, total as u64, self.phonemes)
            .map_err(|error| ModelError::own("the predicted durations make no timeline").because(error))?;
        Ok(Finished { pcm: Pcm { sample_rate: SAMPLE_RATE, samples: self.samples }, timeline, cut })
    }

    /// The last end of a word at or before `limit`; `limit` itself where the first word is longer.
    fn cut_at(&self, limit: usize) -> usize {
        let mut ends = self.phonemes.windows(2).filter_map(|pair| match pair {
            [sound, gap] if sound.symbol != SILENCE && gap.symbol == SILENCE => Some(sound.end as usize),
            _ => None,
        });
        ends.rfind(|end| *end <= limit).unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests;
