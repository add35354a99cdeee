//! From how long tokens last to how long a script does, and how long tokens last where no network is there to say it.
//!
//! Pure.

use std::time::Duration;

use super::text::is_sound;
use super::track::wanted;
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

/// How many frames of each sentence come into the sound, by their tokens alone: of the last, up to the end of its last sound.
pub(super) fn frames(spoken: &[Spoken]) -> Vec<usize> {
    let of = |(place, sentence): (usize, &Spoken)| {
        let wanted = wanted(&sentence.symbols, &sentence.frames, place == 0);
        if place + 1 < spoken.len() {
            return wanted.len();
        }
        let silent = sentence.symbols.iter().rev().take_while(|symbol| !sounds(**symbol)).count();
        // The end is a token too.
        let silence: usize = sentence.frames.iter().rev().take(silent + 1).sum();
        let all: usize = sentence.frames.iter().sum();
        all.saturating_sub(silence).saturating_sub(wanted.start)
    };
    spoken.iter().enumerate().map(of).collect()
}

/// Whether something is heard while a symbol lasts; a length mark goes on with the sound before it.
fn sounds(symbol: char) -> bool {
    is_sound(symbol) || symbol == 'ː'
}

/// Samples of a frame of the published release.
pub(super) const TABLE_FRAME: usize = 600;

/// How many frames the tokens of a sentence last at `speed`, the start and the end included; their sum is that of the table.
pub(super) fn by_table(symbols: &[char], speed: f32) -> Vec<usize> {
    // Whoever says little says it slowly.
    let pace = 0.85 + 5.9 / symbols.len().max(1) as f32;
    let inner = symbols.iter().map(|symbol| pace * mean(*symbol));
    let tokens = std::iter::once(START).chain(inner).chain(std::iter::once(END));
    let (mut exact, mut whole) = (0.0, 0);
    let frames = tokens.map(|frames| {
        exact += frames / speed;
        let until = exact.round() as usize;
        until - std::mem::replace(&mut whole, until)
    });
    frames.collect()
}

fn mean(symbol: char) -> f32 {
    let row = TABLE.binary_search_by_key(&symbol, |(symbol, _)| *symbol);
    row.map_or(OTHER, |row| TABLE[row].1)
}

/// Of the start and of the end.
const START: f32 = 14.9;
const END: f32 = 1.9;
/// Of a symbol that the table lacks: the mean of all.
const OTHER: f32 = 2.8;
/// The mean length of each symbol in frames, over nine published voices (five women, four men; US and UK) and 466 sentences
/// of 2 to 130 symbols, three voices each, as the published network predicts it. README.md tells how far it is off.
#[expect(clippy::approx_constant, reason = "measured; none of it is pi")]
const TABLE: [(char, f32); 58] = [
    (' ', 2.23),
    ('!', 4.33),
    ('(', 1.71),
    (')', 3.14),
    (',', 1.86),
    ('.', 6.75),
    (':', 2.90),
    (';', 2.90),
    ('?', 6.72),
    ('A', 4.13),
    ('I', 3.06),
    ('O', 4.18),
    ('T', 2.54),
    ('W', 3.71),
    ('Y', 3.50),
    ('b', 2.07),
    ('d', 2.87),
    ('f', 1.98),
    ('h', 1.39),
    ('i', 3.70),
    ('j', 1.62),
    ('k', 2.81),
    ('l', 2.70),
    ('m', 3.02),
    ('n', 2.69),
    ('p', 2.36),
    ('s', 3.81),
    ('t', 3.14),
    ('u', 3.76),
    ('v', 2.98),
    ('w', 1.43),
    ('z', 4.55),
    ('æ', 1.94),
    ('ð', 1.20),
    ('ŋ', 6.87),
    ('ɐ', 1.61),
    ('ɑ', 2.45),
    ('ɔ', 2.55),
    ('ə', 2.23),
    ('ɛ', 2.10),
    ('ɜ', 2.10),
    ('ɡ', 2.43),
    ('ɪ', 2.16),
    ('ɹ', 3.20),
    ('ʃ', 2.68),
    ('ʊ', 2.41),
    ('ʌ', 2.01),
    ('ʒ', 2.36),
    ('ʤ', 2.46),
    ('ʧ', 3.73),
    ('ˈ', 2.82),
    ('ˌ', 2.10),
    ('θ', 2.96),
    ('ᵊ', 2.03),
    ('ᵻ', 2.89),
    ('—', 1.77),
    ('“', 2.69),
    ('”', 3.16),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str, speed: f32) -> f64 {
        let symbols: Vec<char> = text.chars().collect();
        let frames = by_table(&symbols, speed);
        of_frames(frames.iter().sum(), TABLE_FRAME).as_secs_f64()
    }

    #[test]
    fn the_table_is_in_order_and_knows_every_sound_of_a_sentence() {
        assert!(TABLE.is_sorted_by_key(|(symbol, _)| *symbol));
        for symbol in "hˈI ðə wˈɔɹ.".chars() {
            assert!(TABLE.iter().any(|(known, _)| *known == symbol), "{symbol:?}");
        }
    }

    #[test]
    fn durations_by_the_table_add_up_and_follow_the_speed() {
        // The published network says 2.05 to 2.45 s for these nine voices.
        let text = "ðə bˈʌʤət ɡɹˈu bI ə bˈɪljən.";
        let whole = seconds(text, 1.0);
        assert!((2.0..2.7).contains(&whole), "{whole}");
        assert!((seconds(text, 0.8) - whole / 0.8).abs() < 0.05);
        let symbols: Vec<char> = text.chars().collect();
        assert_eq!(by_table(&symbols, 1.0).len(), symbols.len() + 2);
        let twice = seconds(&format!("{text} {text}"), 1.0);
        assert!(twice < 2.0 * whole, "one start, and less slowly");
    }
}
