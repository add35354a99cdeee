use super::*;

/// Two words "hi yo" of known durations: 1 frame is 240 samples.
fn track() -> Track {
    let symbols: Vec<char> = "hˈi jˌO.".chars().collect();
    let frames = [2, 3, 1, 4, 2, 3, 1, 5, 6, 3];
    let mut track = Track::default();
    track.push(&symbols, &frames, &vec![0.5; 30 * 240]).unwrap();
    track
}

fn spans(timeline: &Timeline) -> Vec<(&str, u64, u64)> {
    timeline.phonemes().iter().map(|p| (p.symbol.as_str(), p.start / 240, p.end / 240)).collect()
}

#[test]
fn stresses_join_the_sound_behind_them_and_marks_are_silence() {
    let finished = track().finish(30 * 240, false).unwrap();
    let expected =
        [(" ", 0, 2), ("h", 2, 5), ("i", 5, 10), (" ", 10, 12), ("j", 12, 15), ("O", 15, 21), (" ", 21, 30)];
    assert_eq!(spans(&finished.timeline), expected);
    assert_eq!(finished.cut, None);
}

#[test]
fn length_marks_join_the_sound_before_them() {
    let mut track = Track::default();
    track.push(&['i', 'ː'], &[1, 2, 3, 1], &vec![0.0; 7 * 240]).unwrap();
    let finished = track.finish(7 * 240, false).unwrap();
    assert_eq!(spans(&finished.timeline), [(" ", 0, 1), ("i", 1, 6), (" ", 6, 7)]);
}

#[test]
fn utterances_follow_each_other_without_a_gap() {
    let mut both = track();
    both.push(&['a'], &[1, 1, 1], &vec![0.5; 3 * 240]).unwrap();
    let finished = both.finish(33 * 240, false).unwrap();
    let spans = spans(&finished.timeline);
    assert_eq!(spans[6..], [(" ", 21, 31), ("a", 31, 32), (" ", 32, 33)]);
    assert_eq!(finished.timeline.total(), finished.pcm.samples.len() as u64);
}

#[test]
fn what_is_too_short_is_padded_with_silence() {
    let finished = track().finish(40 * 240, false).unwrap();
    assert_eq!(finished.pcm.samples.len(), 40 * 240);
    assert!(finished.pcm.samples[30 * 240..].iter().all(|sample| *sample == 0.0));
    assert_eq!(spans(&finished.timeline).last(), Some(&(" ", 21, 40)));
    assert_eq!(finished.cut, None);
}

#[test]
fn what_is_too_long_is_cut_at_the_last_word_that_fits_and_fades() {
    for total in [12 * 240, 20 * 240] {
        let finished = track().finish(total, false).unwrap();
        assert_eq!(finished.cut, Some(10 * 240));
        assert_eq!(spans(&finished.timeline).last(), Some(&(" ", 10, total as u64 / 240)));
        let samples = &finished.pcm.samples;
        assert_eq!(samples.len(), total);
        assert!(samples[..10 * 240].iter().all(|sample| *sample == 0.5), "the word itself is whole");
        assert!(samples[10 * 240..11 * 240].windows(2).all(|pair| pair[1] < pair[0]), "it fades");
        assert!(samples[11 * 240..].iter().all(|sample| *sample == 0.0));
    }
}

#[test]
fn a_first_word_longer_than_the_slot_is_cut_inside_with_a_fade() {
    let finished = track().finish(7 * 240, false).unwrap();
    assert_eq!(finished.cut, Some(7 * 240));
    assert_eq!(spans(&finished.timeline), [(" ", 0, 2), ("h", 2, 5), ("i", 5, 7)]);
    assert_eq!(finished.pcm.samples[6 * 240 - 1], 0.5);
    assert_eq!(finished.pcm.samples[7 * 240 - 1], 0.0);
}

#[test]
fn unsaid_sentences_are_a_cut_even_where_the_sound_fits_exactly() {
    assert!(track().finish(30 * 240, true).unwrap().cut.is_some());
}

#[test]
fn sound_is_clamped_and_broken_sound_refused() {
    let mut loud = Track::default();
    loud.push(&['a'], &[1, 1, 1], &[3.0, -7.0, 0.5]).unwrap();
    assert_eq!(loud.finish(3, false).unwrap().pcm.samples, [1.0, -1.0, 0.5]);
    let error = Track::default().push(&['a'], &[1, 1, 1], &[0.0, f32::NAN, 0.0]).unwrap_err();
    assert!(error.to_string().contains("NaN at sample 1 of 3"), "{error}");
    let error = Track::default().push(&['a'], &[1, 1], &[0.0; 2]).unwrap_err();
    assert!(error.to_string().contains("do not fit together"), "{error}");
}
