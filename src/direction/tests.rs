use super::*;
use crate::types::{Phoneme, SAMPLE_RATE};

fn said(symbols: &[&str], seconds: f64) -> (Timeline, Pcm) {
    let total = (seconds * f64::from(SAMPLE_RATE)) as u64;
    let each = total / symbols.len() as u64;
    let phoneme = |(place, symbol): (usize, &&str)| Phoneme {
        symbol: (*symbol).into(),
        start: place as u64 * each,
        end: (place as u64 + 1) * each,
    };
    let timeline =
        Timeline::new(SAMPLE_RATE, total, symbols.iter().enumerate().map(phoneme).collect()).unwrap();
    let samples = (0..total).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    (timeline, Pcm { sample_rate: SAMPLE_RATE, samples })
}

fn direction<'a>(timeline: &'a Timeline, voice: &'a Pcm, seconds: f64) -> Direction<'a> {
    Direction {
        timeline,
        voice,
        duration: Duration::from_secs_f64(seconds),
        fps: 24,
        motion: Motion::Emphatic,
        expressions: &[Expression::Excited, Expression::Calm],
        camera: Camera::SlightZoomIn,
        seed: 5,
    }
}

#[test]
fn ba_ma_pa_presses_the_lips_within_a_frame_of_each_closure() {
    let (timeline, voice) = said(&[" ", "b", "ɑ", " ", "m", "ɑ", " ", "p", "ɑ", " "], 3.0);
    let directed = direct(&direction(&timeline, &voice, 3.0)).unwrap();
    for phoneme in
        timeline.phonemes().iter().filter(|phoneme| ["b", "m", "p"].contains(&phoneme.symbol.as_str()))
    {
        let middle = (phoneme.start + phoneme.end) / 2;
        let wanted = (middle * 24 / u64::from(SAMPLE_RATE)) as usize;
        let lips = |frame: &usize| directed.frames[*frame].face.lips;
        let around: Vec<usize> = (wanted - 5..wanted + 6).collect();
        let lowest = around.iter().map(lips).fold(f32::INFINITY, f32::min);
        let first = around.iter().find(|frame| lips(frame) == lowest).unwrap();
        let last = around.iter().rfind(|frame| lips(frame) == lowest).unwrap();
        assert_eq!(lowest, face::LIPS_PRESSED);
        // The minimum is as long as the closure: it must cover it, and reach no further than a frame beyond.
        let (start, end) =
            (phoneme.start * 24 / u64::from(SAMPLE_RATE), phoneme.end * 24 / u64::from(SAMPLE_RATE));
        assert!(
            *first + 1 >= start as usize && *last <= end as usize + 1,
            "{first}..{last} for {start}..{end}"
        );
        assert!((*first..=*last).contains(&wanted), "{}: {first}..{last}, wanted {wanted}", phoneme.symbol);
    }
}

#[test]
fn the_same_direction_gives_the_same_frames_and_another_seed_others() {
    let (timeline, voice) = said(&["h", "ɛ", "l", "O"], 2.0);
    let asked = direction(&timeline, &voice, 2.0);
    assert_eq!(direct(&asked).unwrap(), direct(&asked).unwrap());
    assert_ne!(direct(&asked).unwrap().frames, direct(&Direction { seed: 6, ..asked }).unwrap().frames);
}

#[test]
fn sound_of_another_length_is_shown_as_far_as_it_goes_and_said() {
    let (timeline, voice) = said(&["ɑ"], 2.0);
    let codes = |seconds| -> Vec<String> {
        let directed = direct(&direction(&timeline, &voice, seconds)).unwrap();
        directed.warnings.iter().map(|warning| warning.code.to_string()).collect()
    };
    assert_eq!(codes(1.0), ["audio_longer"]);
    assert_eq!(codes(3.0), ["audio_shorter"]);
    assert_eq!(codes(2.0), Vec::<String>::new());
    let longer = direct(&direction(&timeline, &voice, 3.0)).unwrap();
    assert_eq!(longer.frames.len(), 72);
    assert_eq!(longer.frames[71].face.lips, 0.0);
}

#[test]
fn no_frames_and_no_numbers_are_refused() {
    let (timeline, mut voice) = said(&["ɑ"], 1.0);
    for (seconds, fps) in [(0.0, 24), (0.001, 24), (1.0, 0), (1.0, 61)] {
        let asked = Direction { fps, ..direction(&timeline, &voice, seconds) };
        assert!(matches!(direct(&asked), Err(DirectionError::NoFrames { .. })), "{seconds} s at {fps}");
    }
    voice.samples[7] = f32::NAN;
    let error = direct(&direction(&timeline, &voice, 1.0)).unwrap_err().to_string();
    assert!(error.contains("sample 7") && error.contains("NaN"), "{error}");
}

#[test]
fn whole_frames_are_counted_exactly() {
    assert_eq!(frame_count(Duration::from_secs(45), 24), 1080);
    assert_eq!(frame_count(Duration::from_secs_f64(10.0 / 24.0), 24), 10);
    assert_eq!(frame_count(Duration::from_millis(1500), 25), 38);
}
