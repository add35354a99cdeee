use super::*;

fn utterance(words: &[(&str, bool)]) -> Utterance {
    let word = |(phonemes, space): &(&str, bool)| Word {
        text: (*phonemes).to_owned(),
        phonemes: (*phonemes).to_owned(),
        space: *space,
    };
    Utterance { words: words.iter().map(word).collect() }
}

fn parts(utterances: &[Utterance]) -> Vec<String> {
    utterances.iter().map(Utterance::symbols).collect()
}

#[test]
fn sentences_end_at_stops_but_not_at_abbreviations() {
    let text = "Mr. Smith left. \"Stop!\" he cried. Dr. J. K. Rowling came at 5 p.m. today… Then? No (never.) It rained\nTitle";
    let expected = [
        "Mr. Smith left.",
        "\"Stop!\" he cried.",
        "Dr. J. K. Rowling came at 5 p.m. today…",
        "Then?",
        "No (never.)",
        "It rained",
        "Title",
    ];
    assert_eq!(sentences::split(text), expected);
    assert!(sentences::split(" \n ").is_empty());
}

#[test]
fn symbols_have_single_gaps_and_none_at_the_ends() {
    let spoken = utterance(&[("hi", true), ("", true), ("jO", false), (".", true)]);
    assert_eq!(spoken.symbols(), "hi jO.");
    assert!(spoken.is_spoken() && !utterance(&[(".", true), ("ˈ", false)]).is_spoken());
}

#[test]
fn what_exceeds_the_context_is_cut_behind_the_best_mark() {
    let long = || {
        utterance(&[
            ("aa", false),
            (",", true),
            ("bb", true),
            ("cc", false),
            (";", true),
            ("dd", true),
            ("ee", false),
            (".", false),
        ])
    };
    assert_eq!(parts(&at_context(long(), 100)), ["aa, bb cc; dd ee."]);
    // The semicolon is better than the comma and the gap.
    assert_eq!(parts(&at_context(long(), 13)), ["aa, bb cc;", "dd ee."]);
    assert_eq!(parts(&at_context(long(), 7)), ["aa,", "bb cc;", "dd ee."]);
    assert_eq!(
        parts(&at_context(utterance(&[("aa", true), ("bb", true), ("cc", false)]), 6)),
        ["aa bb", "cc"]
    );
    assert_eq!(parts(&at_context(utterance(&[("abcdefgh", false)]), 3)), ["abc", "def", "gh"]);
}

#[test]
fn halves_meet_near_the_middle_at_a_mark_if_there_is_one() {
    let halves = |words: &[(&str, bool)]| in_two(&utterance(words)).map(|both| parts(&both));
    let words = [("aaaa", true), ("bb", false), (",", true), ("cccc", true), ("d", false)];
    assert_eq!(halves(&words).unwrap(), ["aaaa bb,", "cccc d"]);
    // A mark far from the middle is not worth it.
    let words = [("a", false), (",", true), ("bbbbbb", true), ("cccccccc", true), ("d", false)];
    assert_eq!(halves(&words).unwrap(), ["a, bbbbbb", "cccccccc d"]);
    assert_eq!(halves(&[("abcd", false)]).unwrap(), ["ab", "cd"]);
    assert_eq!(halves(&[("a", false)]), None);
}

proptest::proptest! {
    #[test]
    fn cutting_loses_no_sound_and_keeps_the_limit(
        words in proptest::collection::vec(("[a-c]{0,9}[,.;]?", proptest::bool::ANY), 1..20), limit in 1usize..30,
    ) {
        let words: Vec<(&str, bool)> = words.iter().map(|(word, space)| (word.as_str(), *space)).collect();
        let whole = utterance(&words);
        let sounds = |text: &str| text.chars().filter(|c| is_sound(*c)).collect::<String>();
        let cut = at_context(whole.clone(), limit);
        proptest::prop_assert!(cut.iter().all(|part| part.symbols().chars().count() <= limit));
        proptest::prop_assert_eq!(sounds(&parts(&cut).concat()), sounds(&whole.symbols()));
        if let Some(both) = in_two(&whole) {
            proptest::prop_assert_eq!(sounds(&parts(&both).concat()), sounds(&whole.symbols()));
        }
    }
}

#[test]
fn odd_text_is_read_or_refused_and_never_panics() {
    let phonemiser = Phonemiser::new(Accent::American);
    let odd = [
        "1..2 ... 3.. .5 5. -- -1 1,,2 ,1 1, $ £ $.50 $1.2.3 1/0 0/0 :30 3: 25:99",
        "'''' \"\"\" ((( ]]] [a](b) [](x) [x]() [hello](/xyz/) [y](#z#)",
        "a\u{301} \u{1F600} \u{0} \u{202e}abc ﬁ Ⅷ ½ ² 100º １２３ ٣",
        "-",
        "_",
        "'",
        "\u{feff}",
        "Ω",
        "ǅ",
        "日in' 日本in’ O'日 D'é日's Mc日 'em日 x日's",
        "2nd-3rd--4th",
        "x-",
        "-x-",
        "o'o'o'",
        "I'I'",
        "...a...b...",
        "999999999999999999 1000000000000000000000 0000 00.00 1e10 1E-5 0x1F",
    ];
    for text in odd {
        match phonemiser.script(text) {
            Ok(script) => assert!(!script.utterances.is_empty()),
            Err(error) => assert!(
                error.to_string().contains("spoken") || error.to_string().contains("empty"),
                "{error}"
            ),
        }
    }
}
