//! How much of the silence before and behind a sentence is kept.
//!
//! A sentence that is spoken alone begins and ends with a pause, and both together make 0.7 to 1.1 s between two sentences;
//! the same network pauses for 0.46 to 0.68 s where it is given the whole text. What is left out are whole frames of the
//! marks, the start and the end, and only frames in which nothing is heard. Pure.

use std::ops::Range;

use super::Said;
use crate::models::kokoro::text::is_sound;
use crate::types::SAMPLE_RATE;

/// What lies beyond an end of what is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// The script's own beginning: all of the silence stays, as in the reference.
    Script,
    /// Another sentence.
    Sentence,
    /// The rest of the same sentence.
    Inside,
}

impl Edge {
    /// The share of the closing marks' time that is kept in front of it.
    fn share(self) -> f64 {
        match self {
            Self::Script => 1.0,
            // With [`ONSET`], 0.7 to 1.1 s become 0.4 to 0.65 s, and a slow voice still pauses longer than a quick one.
            Self::Sentence => 0.6,
            // As long as a comma's pause.
            Self::Inside => 0.3,
        }
    }
}

/// Frames of the start that stay between two sentences: the first sound begins up to 35 ms before its token.
const ONSET: usize = 2;
/// What is not heard: 40 dB below the loudest moment, beneath which voices only die away.
const SILENT: f64 = 1e-4;
/// Of what a level is taken: 5 ms, a period of a low voice.
const MOMENT: usize = SAMPLE_RATE as usize / 200;

/// The frames of a sentence that are heard between these edges, by its tokens alone.
pub(super) fn wanted(symbols: &[char], frames: &[usize], opens: Edge, closes: Edge) -> Range<usize> {
    let total: usize = frames.iter().sum();
    let lead = frames.first().copied().unwrap_or(0);
    let start = if opens == Edge::Script { 0 } else { lead.saturating_sub(ONSET) };
    // Behind the last sound and the start's token.
    let sounds =
        symbols.iter().rposition(|symbol| is_sound(*symbol) || *symbol == 'ː').map_or(0, |last| last + 2);
    let closing: usize = frames.iter().skip(sounds).sum();
    start..total - (closing - ((closing as f64 * closes.share()).ceil() as usize).min(closing))
}

/// The same, but for frames in which something is heard: those stay.
pub(super) fn kept(said: &Said<'_>, opens: Edge, closes: Edge) -> Range<usize> {
    let total: usize = said.frames.iter().sum();
    let wanted = wanted(said.symbols, said.frames, opens, closes);
    let Some(heard) = heard(said.sound) else { return 0..total };
    let start = wanted.start.min(heard.start / said.per_frame);
    // An end that was not spoken is not heard by anybody either.
    let is_whole = said.sound.len() == total * said.per_frame;
    let end = if is_whole { wanted.end.max(heard.end.div_ceil(said.per_frame)) } else { total };
    start..end.max(start)
}

/// From the first to the last moment at which anything is heard.
fn heard(sound: &[f32]) -> Option<Range<usize>> {
    let power =
        |moment: &[f32]| moment.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / moment.len() as f64;
    let powers: Vec<f64> = sound.chunks(MOMENT).map(power).collect();
    let least = SILENT * powers.iter().copied().fold(0.0, f64::max);
    let first = powers.iter().position(|power| *power > least)?;
    let last = powers.iter().rposition(|power| *power > least)?;
    Some(first * MOMENT..((last + 1) * MOMENT).min(sound.len()))
}

#[cfg(test)]
mod tests;
