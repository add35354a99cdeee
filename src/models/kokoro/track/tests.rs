use super::super::text::Word;
use super::*;

/// Sentences as text has them: words, spoken as they are written here, with their marks.
fn utterance(text: &str) -> Utterance {
    let words =
        text.split(' ').map(|word| Word { text: word.to_owned(), phonemes: word.to_owned(), space: true });
    Utterance { words: words.collect() }
}

fn push(track: &mut Track, text: &str, frames: &[usize], sound: &[f32]) -> Result<(), ModelError> {
    let utterance = utterance(text);
    let symbols: Vec<char> = utterance.symbols().chars().collect();
    track.push(&utterance, Said { symbols: &symbols, frames, sound, per_frame: 240, continues: false })
}

/// Two words "hi yo" of known durations, heard from beginning to end: 1 frame is 240 samples.
fn track() -> Track {
    let mut track = Track::default();
    push(&mut track, "hˈi jˌO.", &[2, 3, 1, 4, 2, 3, 1, 5, 6, 3], &[0.5; 30 * 240]).unwrap();
    track
}

fn spans(timeline: &Timeline) -> Vec<(&str, u64, u64)> {
    timeline.phonemes().iter().map(|p| (p.symbol.as_str(), p.start / 240, p.end / 240)).collect()
}

#[test]
fn stresses_join_the_sound_behind_them_and_marks_are_silence() {
    let finished = track().finish(30 * 240).unwrap();
    let expected =
        [(" ", 0, 2), ("h", 2, 5), ("i", 5, 10), (" ", 10, 12), ("j", 12, 15), ("O", 15, 21), (" ", 21, 30)];
    assert_eq!(spans(&finished.timeline), expected);
    assert_eq!(finished.lost, None);
}

#[test]
fn length_marks_join_the_sound_before_them() {
    let mut track = Track::default();
    push(&mut track, "iː", &[1, 2, 3, 1], &[0.5; 7 * 240]).unwrap();
    let finished = track.finish(7 * 240).unwrap();
    assert_eq!(spans(&finished.timeline), [(" ", 0, 1), ("i", 1, 6), (" ", 6, 7)]);
}

#[test]
fn sentences_follow_each_other_with_less_silence_than_each_has_alone() {
    let mut both = track();
    // 12 frames of start, of which the last is heard, and 5 behind the sound.
    let sound: Vec<f32> =
        (0..27 * 240).map(|n| if (11..21).contains(&(n / 240)) { 0.5 } else { 0.0 }).collect();
    push(&mut both, "a.", &[12, 10, 4, 1], &sound).unwrap();
    let finished = both.finish(45 * 240).unwrap();
    let spans = spans(&finished.timeline);
    assert_eq!(spans[6..], [(" ", 21, 32), ("a", 32, 42), (" ", 42, 45)]);
    assert_eq!(finished.timeline.total(), finished.samples.len() as u64);
    // Where silence went, sound and timeline went together: the sound begins a frame before its token.
    assert!(finished.samples[31 * 240..41 * 240].iter().all(|sample| *sample == 0.5));
    assert!(finished.samples[41 * 240..].iter().all(|sample| *sample == 0.0));
}

#[test]
fn what_is_too_short_is_padded_with_silence() {
    let finished = track().finish(40 * 240).unwrap();
    assert_eq!(finished.samples.len(), 40 * 240);
    assert!(finished.samples[30 * 240..].iter().all(|sample| *sample == 0.0));
    assert_eq!(spans(&finished.timeline).last(), Some(&(" ", 21, 40)));
    assert_eq!(finished.lost, None);
}

#[test]
fn what_is_too_long_is_cut_at_the_last_word_that_fits_and_fades() {
    for total in [12 * 240, 20 * 240] {
        let finished = track().finish(total).unwrap();
        let lost = finished.lost.unwrap();
        assert_eq!((lost.at, lost.words, lost.text.as_str()), (10 * 240, 1, "jˌO."));
        assert_eq!(spans(&finished.timeline).last(), Some(&(" ", 10, total as u64 / 240)));
        let samples = &finished.samples;
        assert_eq!(samples.len(), total);
        assert!(samples[..10 * 240].iter().all(|sample| *sample == 0.5), "the word itself is whole");
        assert!(samples[10 * 240..11 * 240].windows(2).all(|pair| pair[1] < pair[0]), "it fades");
        assert!(samples[11 * 240..].iter().all(|sample| *sample == 0.0));
    }
}

#[test]
fn silence_that_does_not_fit_is_no_loss() {
    let finished = track().finish(25 * 240).unwrap();
    assert_eq!(finished.lost, None);
    assert_eq!(spans(&finished.timeline).last(), Some(&(" ", 21, 25)));
    assert_eq!(finished.samples.last(), Some(&0.0), "it fades");
}

#[test]
fn a_first_word_longer_than_the_slot_is_cut_inside_with_a_fade() {
    let finished = track().finish(7 * 240).unwrap();
    assert_eq!(finished.lost.unwrap().at, 7 * 240);
    assert_eq!(spans(&finished.timeline), [(" ", 0, 2), ("h", 2, 5), ("i", 5, 7)]);
    assert_eq!(finished.samples[6 * 240 - 1], 0.5);
    assert_eq!(finished.samples[7 * 240 - 1], 0.0);
}

#[test]
fn sentences_that_were_not_spoken_are_lost_even_where_the_sound_fits_exactly() {
    let mut track = track();
    track.leave_out(&utterance("wˈi ɡˈO."));
    let lost = track.finish(30 * 240).unwrap().lost.unwrap();
    assert_eq!((lost.at, lost.words, lost.sentence, lost.whole), (21 * 240, 2, (1, 2), true));
}

#[test]
fn a_sound_that_ends_where_the_slot_does_is_enough() {
    let mut track = Track::default();
    push(&mut track, "hˈi jˌO.", &[2, 3, 1, 4, 2, 3, 1, 5, 6, 3], &[0.5; 15 * 240]).unwrap();
    assert_eq!(track.len(), 30 * 240);
    assert_eq!(track.finish(14 * 240).unwrap().samples[..10 * 240], [0.5; 10 * 240]);
}

#[test]
fn broken_sound_is_refused() {
    let mut track = Track::default();
    let error = push(&mut track, "a", &[1, 1, 1], &[f32::NAN; 720]).unwrap_err();
    assert!(error.to_string().contains("NaN at sample 0 of 720"), "{error}");
    for (frames, samples) in [(&[1, 1][..], 480), (&[1, 1, 1], 721), (&[0, 0, 0], 0)] {
        let error = push(&mut track, "a", frames, &vec![0.0; samples]).unwrap_err();
        assert!(error.to_string().contains("do not fit together"), "{error}");
    }
    assert_eq!(track.len(), 0);
}
