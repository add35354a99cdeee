//! A timeline to mouth shapes per frame: exact closures, soft everything else.

use crate::types::Timeline;

use super::viseme::{MouthShape, Viseme, viseme};

/// Frames over which shapes are averaged: the origin's 3, centred.
const SMOOTHING: usize = 3;
/// The mouth begins to form a shape up to this many frames before its sound.
const LOOK_AHEAD: usize = 2;

/// The mouth through a whole video.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mouth {
    /// One shape a frame.
    pub shapes: Vec<MouthShape>,
    /// Whether the lips are pressed together in that frame.
    pub closed: Vec<bool>,
    /// Symbols that no table knows, each once; they leave the mouth at rest.
    pub unknown: Vec<String>,
}

/// One spoken stretch, in samples.
struct Sound {
    start: u64,
    end: u64,
    shape: MouthShape,
    closure: bool,
}

/// The mouth in each of `frames` frames at `fps` that says `timeline`.
///
/// Frame i shows the moment (i + ½)/fps. Every closure presses the lips together in at least the frame nearest to its
/// middle, however short it is.
pub(crate) fn mouth(timeline: &Timeline, fps: u32, frames: usize) -> Mouth {
    let (sounds, unknown) = sounds(timeline);
    let rate = f64::from(timeline.sample_rate());
    let sample_of = |frame: f64| (frame * rate / f64::from(fps)) as u64;
    let shape_at = |frame: usize| {
        let sample = sample_of(frame as f64 + 0.5);
        let found = sounds.partition_point(|sound| sound.end <= sample);
        sounds.get(found).filter(|sound| sound.start <= sample).map_or(MouthShape::REST, |sound| sound.shape)
    };

    let raw: Vec<MouthShape> = (0..frames + LOOK_AHEAD).map(shape_at).collect();
    let led: Vec<MouthShape> = (0..frames).map(|frame| lead(&raw, frame)).collect();
    let mut shapes: Vec<MouthShape> = (0..frames).map(|frame| smooth(&led, frame)).collect();
    let mut closed = vec![false; frames];
    for sound in sounds.iter().filter(|sound| sound.closure) {
        let frame_of = |sample: u64| sample as f64 * f64::from(fps) / rate;
        let middle = frame_of(sound.start + (sound.end - sound.start) / 2) as usize;
        // Frames whose moment lies inside, and always the one nearest to the middle.
        let first = (frame_of(sound.start) - 0.5).ceil().max(0.0) as usize;
        let last = (frame_of(sound.end) - 0.5).ceil().max(0.0) as usize;
        for frame in (first..last).chain([middle]).filter(|frame| *frame < frames) {
            shapes[frame] = sound.shape;
            closed[frame] = true;
        }
    }
    Mouth { shapes, closed, unknown }
}

/// Stress marks lend their time to what follows, length marks to what went before.
fn sounds(timeline: &Timeline) -> (Vec<Sound>, Vec<String>) {
    let mut sounds: Vec<Sound> = Vec::with_capacity(timeline.phonemes().len());
    let mut unknown: Vec<String> = Vec::new();
    let mut onset = None;
    for phoneme in timeline.phonemes() {
        let begun = onset.take().unwrap_or(phoneme.start);
        let (shape, closure) = match viseme(&phoneme.symbol) {
            Viseme::Shape(shape) => (shape, false),
            Viseme::Closure(shape) => (shape, true),
            Viseme::Onset => {
                onset = Some(begun);
                continue;
            }
            Viseme::Hold => match sounds.last_mut().filter(|last| last.end == phoneme.start) {
                Some(last) => {
                    last.end = phoneme.end;
                    continue;
                }
                None => (MouthShape::REST, false),
            },
            Viseme::Silence => (MouthShape::REST, false),
            Viseme::Unknown => {
                if !unknown.contains(&phoneme.symbol) {
                    unknown.push(phoneme.symbol.clone());
                }
                (MouthShape::REST, false)
            }
        };
        // A stressed closure closes at its own time: the mark before it belongs to the vowel in the ear, not the lips.
        let start = if closure { phoneme.start } else { begun };
        sounds.push(Sound { start, end: phoneme.end, shape, closure });
    }
    (sounds, unknown)
}

/// The shape of `frame`, drawn towards what comes in the next frames: half as much for each frame further.
fn lead(raw: &[MouthShape], frame: usize) -> MouthShape {
    (1..=LOOK_AHEAD).fold(raw[frame], |shape, ahead| shape.towards(raw[frame + ahead], 0.25 / ahead as f32))
}

/// The mean over the frames around `frame`.
fn smooth(shapes: &[MouthShape], frame: usize) -> MouthShape {
    let first = frame.saturating_sub(SMOOTHING / 2);
    let around = &shapes[first..(frame + SMOOTHING / 2 + 1).min(shapes.len())];
    // A running mean: the k-th shape is mixed in with a share of 1/k.
    around.iter().enumerate().fold(around[0], |mean, (k, shape)| mean.towards(*shape, 1.0 / (k as f32 + 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Phoneme, SAMPLE_RATE};

    /// Phonemes of the given lengths in milliseconds, one after the other.
    fn timeline(said: &[(&str, u64)]) -> Timeline {
        let mut at = 0;
        let phonemes = said.iter().map(|(symbol, millis)| {
            let start = at;
            at += millis * u64::from(SAMPLE_RATE) / 1000;
            Phoneme { symbol: (*symbol).into(), start, end: at }
        });
        let phonemes: Vec<_> = phonemes.collect();
        Timeline::new(SAMPLE_RATE, at, phonemes).unwrap()
    }

    #[test]
    fn ba_ma_pa_closes_the_lips_within_a_frame_of_each_closure() {
        let said = [
            (" ", 500),
            ("b", 60),
            ("ɑ", 240),
            (" ", 100),
            ("m", 80),
            ("ɑ", 300),
            (" ", 90),
            ("p", 50),
            ("ɑ", 250),
            (" ", 400),
        ];
        let middles = [530.0, 940.0, 1395.0];
        let mouth = mouth(&timeline(&said), 24, 49);
        for middle in middles {
            let wanted = (middle / 1000.0 * 24.0) as usize;
            let window = wanted - 3..=wanted + 3;
            let lowest =
                window.clone().min_by(|a, b| mouth.shapes[*a].jaw.total_cmp(&mouth.shapes[*b].jaw)).unwrap();
            assert!(
                lowest.abs_diff(wanted) <= 1,
                "closure at {middle} ms: lowest in frame {lowest}, wanted {wanted}"
            );
            assert!(mouth.closed[lowest] && mouth.shapes[lowest].jaw <= 0.1);
            let open = mouth.shapes[wanted + 1..wanted + 8].iter().map(|shape| shape.jaw).fold(0.0, f32::max);
            assert!(open > 0.7, "after the closure at {middle} ms the jaw only opens to {open}");
        }
    }

    #[test]
    fn a_closure_shorter_than_a_frame_is_seen() {
        let mouth = mouth(&timeline(&[("ɑ", 205), ("m", 4), ("ɑ", 205)]), 10, 4);
        assert_eq!(mouth.closed, [false, false, true, false]);
    }

    #[test]
    fn the_mouth_moves_before_its_sound_and_rests_after_it() {
        let mouth = mouth(&timeline(&[(" ", 500), ("ɑ", 500), (" ", 500)]), 24, 60);
        assert!(mouth.shapes[11].jaw > MouthShape::REST.jaw, "no look-ahead");
        assert_eq!(mouth.shapes[5], MouthShape::REST);
        assert_eq!(mouth.shapes[59], MouthShape::REST, "past the sound's end the mouth rests");
    }

    #[test]
    fn marks_lend_their_time_to_their_sounds() {
        let marked = mouth(&timeline(&[("ˈ", 200), ("ɑ", 100), ("ː", 200)]), 24, 12);
        let plain = mouth(&timeline(&[("ɑ", 500)]), 24, 12);
        assert_eq!(marked, plain);
    }

    #[test]
    fn unknown_symbols_are_named_once() {
        let mouth = mouth(&timeline(&[("Ж", 100), ("a", 100), ("Ж", 100)]), 24, 7);
        assert_eq!(mouth.unknown, ["Ж"]);
    }
}
