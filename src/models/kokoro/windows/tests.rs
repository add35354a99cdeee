use super::*;

/// Words of eight frames with gaps of two, a pause of six frames behind every fifth.
fn tokens(words: usize) -> Vec<(Place, usize)> {
    let mut tokens = vec![(Place::Pause, 10)];
    for word in 1..=words {
        tokens.push((Place::Sound, 8));
        tokens.push(if word % 5 == 0 { (Place::Pause, 6) } else { (Place::Gap, 2) });
    }
    tokens
}

fn total(tokens: &[(Place, usize)]) -> usize {
    tokens.iter().map(|(_, frames)| frames).sum()
}

fn place_at(tokens: &[(Place, usize)], frame: usize) -> Place {
    let mut end = 0;
    tokens.iter().find(|(_, frames)| (end += frames, end > frame).1).unwrap().0
}

#[test]
fn what_fits_is_one_window() {
    let tokens = tokens(10);
    let all = 0..total(&tokens);
    assert_eq!(windows(&tokens, all.len(), 6), [Window { run: all.clone(), heard: all }]);
}

#[test]
fn windows_overlap_by_the_reach_and_meet_in_pauses() {
    let tokens = tokens(60);
    let windows = windows(&tokens, 325, 6);
    assert_eq!(windows.len(), 3);
    for pair in windows.windows(2) {
        let seam = pair[0].heard.end - BLEND;
        assert_eq!(pair[1].heard.start + BLEND, seam);
        assert_eq!((pair[0].run.end, pair[1].run.start), (seam + 7, seam - 7));
        assert_eq!(place_at(&tokens, seam), Place::Pause);
    }
}

#[test]
fn without_a_pause_a_seam_lies_between_two_words() {
    let tokens: Vec<_> = tokens(60).into_iter().filter(|(place, _)| *place != Place::Pause).collect();
    let windows = windows(&tokens, 325, 6);
    assert!(windows.len() > 1);
    for window in &windows[1..] {
        assert_eq!(place_at(&tokens, window.heard.start + BLEND), Place::Gap);
    }
}

#[test]
fn the_blend_goes_from_one_window_to_the_other_and_the_rest_is_their_own() {
    let window = |run: Range<usize>, heard: Range<usize>| Window { run, heard };
    let mut sentence = Vec::new();
    join(&mut sentence, &window(0..8, 0..5), &[1.0; 16], 2);
    assert_eq!(sentence, [1.0; 10]);
    join(&mut sentence, &window(1..9, 3..9), &[2.0; 16], 2);
    assert_eq!(sentence.len(), 18);
    assert_eq!(sentence[..6], [1.0; 6]);
    assert!(sentence[5..11].windows(2).all(|pair| pair[0] < pair[1]), "{sentence:?}");
    assert_eq!(sentence[10..], [2.0; 8]);
}

#[test]
fn windows_of_the_same_signal_join_to_it() {
    let signal: Vec<f32> = (0..600).map(|n| (n as f32 * 0.37).sin()).collect();
    let tokens = tokens(20);
    let signal = &signal[..total(&tokens) * 2];
    let mut sentence = Vec::new();
    for window in windows(&tokens, 60, 6) {
        join(&mut sentence, &window, &signal[2 * window.run.start..2 * window.run.end], 2);
    }
    assert_eq!(sentence, signal);
}

proptest::proptest! {
    #[test]
    fn every_frame_is_heard_and_no_window_is_longer_than_it_may(
        tokens in proptest::collection::vec((0usize..3, 1usize..60), 1..80), longest in 20usize..400, reach in 0usize..9,
    ) {
        let kinds = [Place::Pause, Place::Gap, Place::Sound];
        let tokens: Vec<_> = tokens.into_iter().map(|(kind, frames)| (kinds[kind], frames)).collect();
        let all = windows(&tokens, longest, reach);
        proptest::prop_assert_eq!(all[0].heard.start, 0);
        proptest::prop_assert_eq!(all.last().unwrap().heard.end, total(&tokens));
        for window in &all {
            proptest::prop_assert!(window.run.len() <= longest, "{:?}", all);
            proptest::prop_assert!(window.run.start <= window.heard.start && window.heard.end <= window.run.end);
        }
        for pair in all.windows(2) {
            proptest::prop_assert!(pair[0].heard.start < pair[1].heard.start && pair[1].heard.start <= pair[0].heard.end);
        }
    }
}
