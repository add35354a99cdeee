//! How the vocoder's work on a long sentence is divided, so that its memory is bounded: windows that overlap by what its
//! convolutions reach, and seams between them, in pauses where there are any.
//!
//! Durations, curves and the decoder in front of the vocoder see the whole sentence, the excitation runs through it, and its
//! norms are gathered over all windows ([`super::norms`]): a seam changes neither prosody nor phase nor level. Pure.

use std::ops::Range;

/// Which part of a sentence a window speaks, in frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// What the vocoder is run on.
    pub(super) run: Range<usize>,
    /// What is heard of it, with half of the blend at each seam.
    pub(super) heard: Range<usize>,
}

/// What a token is to a seam, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A mark: nothing sounds.
    Pause,
    /// Between two words.
    Gap,
    /// Inside a word.
    Sound,
}

/// Windows over tokens of so many frames each, none run on more than `longest` frames, overlapping by `reach` frames to each
/// side of a seam, across which [`BLEND`] frames are blended.
///
/// They are about equally long: statistics of a short one would be far from the others'.
pub(super) fn windows(tokens: &[(Place, usize)], longest: usize, reach: usize) -> Vec<Window> {
    let total: usize = tokens.iter().map(|(_, frames)| frames).sum();
    let margin = reach + BLEND;
    // What a window may add between its seams, whatever the reach.
    let most = longest.saturating_sub(2 * margin).max(1);
    if total <= longest {
        return vec![Window { run: 0..total, heard: 0..total }];
    }
    let count = total.div_ceil(most);
    let mut seams = vec![0];
    for done in 1..count {
        let from = seams[done - 1];
        let left = count - done;
        let ideal = from + (total - from) / (left + 1);
        // Far enough that the rest fits, and no farther than this window goes.
        let lowest = total.saturating_sub(left * most).max(from + 1).max(ideal.saturating_sub(most / STRAY));
        let highest = (from + most).min(ideal + most / STRAY).max(lowest);
        seams.push(seam(tokens, lowest..=highest, ideal));
    }
    seams.push(total);
    let within = |frame: usize, before: usize, behind: usize| {
        frame.saturating_sub(before)..(frame + behind).min(total)
    };
    seams
        .windows(2)
        .map(|pair| {
            let widened = |by: usize| within(pair[0], by, 0).start..within(pair[1], 0, by).end;
            Window { run: widened(margin), heard: widened(BLEND) }
        })
        .collect()
}

/// Frames that are blended to each side of a seam: 25 ms, short enough to lie inside a comma's pause, long enough that a
/// difference of level is no click.
pub(super) const BLEND: usize = 1;
/// A seam may lie this part of a window from where it would divide evenly.
const STRAY: usize = 4;

/// The best place for a seam: the middle of the longest-reaching kind of token there is in `range`, the nearest to `ideal`.
fn seam(tokens: &[(Place, usize)], range: std::ops::RangeInclusive<usize>, ideal: usize) -> usize {
    let mut at = 0;
    let middles = tokens.iter().map(|(place, frames)| {
        let middle = at + frames / 2;
        at += frames;
        (*place, middle)
    });
    middles
        .filter(|(_, middle)| range.contains(middle))
        .min_by_key(|(place, middle)| (*place, middle.abs_diff(ideal)))
        .map_or(ideal.clamp(*range.start(), *range.end()), |(_, middle)| middle)
}

/// Adds a window's sound, `heard` of a sentence, onto what was spoken before it: across the seam one fades into the other.
pub(super) fn join(sentence: &mut Vec<f32>, window: &Window, sound: &[f32], samples_per_frame: usize) {
    let samples = |frames: usize| frames * samples_per_frame;
    let from = samples(window.heard.start);
    let heard = &sound[samples(window.heard.start - window.run.start)..];
    let heard = &heard[..samples(window.heard.len()).min(heard.len())];
    let blended = sentence.len().saturating_sub(from).min(heard.len());
    for (n, (before, new)) in sentence[from..].iter_mut().zip(&heard[..blended]).enumerate() {
        let share = (n + 1) as f32 / (blended + 1) as f32;
        *before += (new - *before) * share;
    }
    sentence.extend_from_slice(&heard[blended..]);
}

#[cfg(test)]
mod tests;
