//! From how long tokens last to how long a script does, and how long tokens last where no network is there to say it.
//!
//! Pure.

use std::time::Duration;

use super::text::is_sound;
use crate::types::SAMPLE_RATE;

/// A sentence's symbols and how many frames each token lasts: the start, every symbol, the end.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    pub(super) symbols: Vec<char>,
    pub(super) frames: Vec<usize>,
}

/// The time of so many frames.
pub(super) fn of_frames(frames: usize, samples_per_frame: usize) -> Duration {
    Duration::from_secs_f64((frames * samples_per_frame) as f64 / f64::from(SAMPLE_RATE))
}

/// Frames from the beginning of a script to the end of its last sound.
pub(super) fn frames(spoken: &[Spoken]) -> usize {
    let all: usize = spoken.iter().flat_map(|sentence| &sentence.frames).sum();
    let silence = spoken.last().map_or(0, |sentence| {
        let behind = sentence.symbols.iter().rev().take_while(|symbol| !sounds(**symbol)).count();
        sentence.frames.iter().rev().take(behind + 1).sum()
    });
    all.saturating_sub(silence)
}

/// Whether something is heard while a symbol lasts; a length mark goes on with the sound before it.
fn sounds(symbol: char) -> bool {
    is_sound(symbol) || symbol == 'ː'
}

/// Samples of a frame of the published release.
pub(super) const TABLE_FRAME: usize = 600;

/// How many frames the tokens of a sentence last at `speed`, the start and the end included; their sum is that of the table.
pub(super) fn by_table(symbols: &[char], speed: f32) -> Vec<usize> {
    let tokens = std::iter::once(START).chain(symbols.iter().copied().map(mean)).chain(std::iter::once(END));
    let (mut exact, mut whole) = (0.0, 0);
    let frames = tokens.map(|frames| {
        exact += frames / speed;
        let until = exact.round() as usize;
        until - std::mem::replace(&mut whole, until)
    });
    frames.collect()
}

const START: f32 = 10.0;
const END: f32 = 10.0;

fn mean(symbol: char) -> f32 {
    if is_sound(symbol) { 3.0 } else { 1.0 }
}
