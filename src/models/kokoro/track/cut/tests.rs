use super::*;

/// The words of sentences, each half a second long and ended by the mark that it carries.
fn words(script: &str) -> Vec<Word> {
    let mut sentence = 0;
    let mut words = Vec::new();
    for (place, written) in script.split(' ').enumerate() {
        let text = written.trim_end_matches(['.', ',']);
        let marked = text.len() < written.len();
        let ending = if marked { Ending::Mark } else { Ending::Gap };
        let end = Some((place as u64 + 1) * 12_000);
        words.push(Word { text: text.to_owned(), space: !marked, is_sound: true, sentence, end, ending });
        if marked {
            let mark = written[text.len()..].to_owned();
            words.push(Word {
                text: mark,
                space: !written.ends_with('.'),
                is_sound: false,
                sentence,
                end: None,
                ending: Ending::None,
            });
        }
        sentence += usize::from(written.ends_with('.'));
    }
    words
}

/// What is lost of a script in a slot for so many words, and how many words are heard.
fn lost(script: &str, room: u64) -> (u64, Lost) {
    let cut = cut(&words(script), room * 12_000 + 6000);
    (cut.at / 12_000, cut.lost.unwrap())
}

const SCRIPT: &str = "The river rose quickly. It carried the old bridge away, and nobody saw it go.";

#[test]
fn the_last_word_that_fits_is_the_last() {
    let (heard, lost) = lost(SCRIPT, 6);
    assert_eq!(heard, 6);
    assert_eq!((lost.at, lost.sentence, lost.whole, lost.words), (72_000, (2, 2), false, 9));
    assert_eq!(lost.text, "the old bridge away, and nobody saw it go.");
}

#[test]
fn words_that_say_nothing_alone_are_not_begun_with() {
    // "It carried the" ends behind "carried"; "away, and" behind "away".
    assert_eq!(lost(SCRIPT, 7).0, 6);
    assert_eq!(lost(SCRIPT, 11).0, 10);
}

#[test]
fn a_sentence_of_which_no_sense_would_be_heard_is_not_begun() {
    let (heard, lost) = lost(SCRIPT, 5);
    assert_eq!((heard, lost.whole, lost.sentence), (4, true, (1, 2)));
    assert_eq!(lost.text, "It carried the old bridge away, and nobody saw it go.");
    assert_eq!(lost.words, 11);
}

#[test]
fn a_small_word_before_a_mark_stays() {
    assert_eq!(lost("The storm came in, and the boats left.", 6).0, 4);
}

#[test]
fn a_group_of_parts_is_one_word() {
    let mut all = words("The dog s bowl broke.");
    all[1].ending = Ending::None;
    all[2].text = "'s".to_owned();
    assert_eq!(cut(&all, 40_000).at, 36_000, "\"dog's\" has sense though \"'s\" has none");
    let mut all = words("We swam but did n't go far.");
    all[3].ending = Ending::None;
    all[4].text = "n't".to_owned();
    assert_eq!(cut(&all, 61_000).at, 24_000, "\"didn't\" has none");
    // In the middle of a group nothing ends.
    assert_eq!(cut(&all, 49_000).at, 24_000);
}

#[test]
fn where_nothing_of_sense_fits_any_word_is_better_than_none() {
    assert_eq!(lost("It is the only bridge.", 2).0, 2);
}

#[test]
fn a_first_word_longer_than_the_slot_is_cut_inside() {
    let cut = cut(&words(SCRIPT), 5000);
    assert_eq!(cut.at, 5000);
    let lost = cut.lost.unwrap();
    assert_eq!((lost.words, lost.sentence, lost.whole), (15, (1, 2), false));
    assert_eq!(lost.text, SCRIPT);
}

#[test]
fn a_last_word_that_fits_loses_nothing() {
    let words = words("The river rose.");
    assert_eq!(cut(&words, 36_000), Cut { at: 36_000, lost: None });
}

#[test]
fn words_that_were_never_reached_are_lost_too() {
    let mut all = words(SCRIPT);
    all.iter_mut().filter(|word| word.sentence == 1).for_each(|word| word.end = None);
    let cut = cut(&all, 48_000);
    assert_eq!((cut.at, cut.lost.unwrap().words), (48_000, 11));
}

#[test]
fn of_very_many_words_the_first_and_the_last_are_named() {
    let script = (0..200).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ") + ".";
    let lost = lost(&script, 10).1;
    assert_eq!(lost.words, 190);
    assert!(
        lost.text.starts_with("word10 word11 ") && lost.text.ends_with(" word198 word199."),
        "{}",
        lost.text
    );
    assert!(lost.text.contains(" … ") && lost.text.len() < 600);
}
