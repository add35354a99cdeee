use super::*;

const FRAME: usize = 600;

/// "hi." of known durations: a start of 14 frames, sounds of 10, marks and an end of 7.
fn frames() -> (Vec<char>, Vec<usize>) {
    ("hˈi.".chars().collect(), vec![14, 4, 1, 5, 6, 1])
}

/// Its sound, heard in these frames.
fn sound(heard: Range<usize>) -> Vec<f32> {
    (0..31 * FRAME).map(|n| if heard.contains(&(n / FRAME)) { 0.3 } else { 1e-4 }).collect()
}

fn keeps(heard: Range<usize>, opens: Edge, closes: Edge) -> Range<usize> {
    let (symbols, frames) = frames();
    let sound = sound(heard);
    let said = Said { symbols: &symbols, frames: &frames, sound: &sound, per_frame: FRAME, continues: false };
    kept(&said, opens, closes)
}

#[test]
fn silence_between_sentences_is_shortened_and_the_scripts_beginning_stays() {
    assert_eq!(keeps(13..22, Edge::Script, Edge::Sentence), 0..29);
    assert_eq!(keeps(13..22, Edge::Sentence, Edge::Sentence), 12..29);
    assert_eq!(keeps(13..22, Edge::Sentence, Edge::Inside), 12..27);
}

#[test]
fn the_tokens_alone_say_as_much() {
    let (symbols, frames) = frames();
    assert_eq!(wanted(&symbols, &frames, Edge::Sentence, Edge::Sentence), 12..29);
    assert_eq!(wanted(&symbols, &frames, Edge::Script, Edge::Inside), 0..27);
}

#[test]
fn what_is_heard_stays_though_its_token_would_have_it_silent() {
    assert_eq!(keeps(9..22, Edge::Sentence, Edge::Sentence), 9..29);
    assert_eq!(keeps(13..30, Edge::Sentence, Edge::Sentence), 12..30);
}

#[test]
fn a_sentence_in_which_nothing_is_heard_stays_as_it_is() {
    let (symbols, frames) = frames();
    let sound = vec![0.0; 31 * FRAME];
    let said = Said { symbols: &symbols, frames: &frames, sound: &sound, per_frame: FRAME, continues: false };
    assert_eq!(kept(&said, Edge::Sentence, Edge::Sentence), 0..31);
}

#[test]
fn of_a_sentence_that_was_not_spoken_to_its_end_no_end_goes() {
    let (symbols, frames) = frames();
    let sound = sound(13..22);
    let sound = &sound[..18 * FRAME];
    let said = Said { symbols: &symbols, frames: &frames, sound, per_frame: FRAME, continues: false };
    assert_eq!(kept(&said, Edge::Sentence, Edge::Sentence), 12..31);
}
