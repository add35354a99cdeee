//! What Kokoro's text front end says, against what pronunciation dictionaries say.

use vortex_node::models::kokoro::text::{Accent, Phonemiser};

/// Words and phonemes of all sentences that have to agree; what differs is printed by the test. Most of it is where
/// dictionaries differ among themselves: the weak vowel of "planted" and "dishes", written ɪ or ə.
const WORDS: f64 = 0.90;
const PHONEMES: f64 = 0.97;
/// Words where ɪ and ə count as the same.
const WORDS_BUT_FOR_WEAK_VOWELS: f64 = 0.95;

struct Sentence {
    accent: Accent,
    text: String,
    expected: Vec<String>,
}

fn sentences() -> Vec<Sentence> {
    let lines = include_str!("kokoro_sentences.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split(" | ");
            let accent = match parts.next().unwrap() {
                "us" => Accent::American,
                "gb" => Accent::British,
                other => panic!("{other:?} is no accent: {line}"),
            };
            let text = parts.next().unwrap().to_owned();
            let expected = parts.next().unwrap().split_whitespace().map(str::to_owned).collect();
            Sentence { accent, text, expected }
        })
        .collect()
}

/// Without stress and marks; a flapped t is a t, and the weak vowels are one.
fn plain(symbols: &str) -> Vec<String> {
    let symbols: String = symbols
        .chars()
        .filter_map(|symbol| match symbol {
            'ˈ' | 'ˌ' => None,
            'T' => Some('t'),
            'ɐ' | 'ᵊ' => Some('ə'),
            'ᵻ' => Some('ɪ'),
            symbol if symbol.is_alphabetic() || symbol == 'ː' => Some(symbol),
            _ => Some(' '),
        })
        .collect();
    symbols.split_whitespace().map(str::to_owned).collect()
}

/// Insertions, deletions and replacements from one to the other (Levenshtein).
fn edits<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = before + usize::from(x != y);
            before = row[j + 1];
            row[j + 1] = replaced.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[test]
fn two_hundred_sentences_are_said_as_dictionaries_say_them() {
    let (american, british) = (Phonemiser::new(Accent::American), Phonemiser::new(Accent::British));
    let all = sentences();
    assert_eq!(all.len(), 200);
    let (mut words, mut wrong_words, mut wrong_even_so, mut phonemes, mut wrong_phonemes, mut identical) =
        (0, 0, 0, 0, 0, 0);
    for Sentence { accent, text, expected } in &all {
        let phonemiser = if *accent == Accent::American { &american } else { &british };
        let script = phonemiser.script(text).unwrap();
        let said: Vec<String> =
            script.utterances.iter().flat_map(|utterance| plain(&utterance.symbols())).collect();
        let differing = edits(&said, expected);
        let letters = |words: &[String]| words.concat().chars().collect::<Vec<_>>();
        words += expected.len();
        wrong_words += differing;
        let merged = |words: &[String]| words.iter().map(|word| word.replace('ɪ', "ə")).collect::<Vec<_>>();
        wrong_even_so += edits(&merged(&said), &merged(expected));
        phonemes += letters(expected).len();
        wrong_phonemes += edits(&letters(&said), &letters(expected));
        identical += usize::from(differing == 0);
        if differing > 0 {
            println!("{text}\n  said     {}\n  expected {}", said.join(" "), expected.join(" "));
        }
        script.warnings.iter().for_each(|warning| println!("  {text}: {}", warning.message));
    }
    let agreement = |wrong: usize, of: usize| 1.0 - wrong as f64 / of as f64;
    let even_so = agreement(wrong_even_so, words);
    assert!(even_so >= WORDS_BUT_FOR_WEAK_VOWELS, "{even_so} of the words but for weak vowels");
    let (by_word, by_phoneme) = (agreement(wrong_words, words), agreement(wrong_phonemes, phonemes));
    println!(
        "{identical} of 200 sentences, {:.1} % of {words} words ({:.1} % but for weak vowels), {:.1} % of {phonemes} phonemes",
        100.0 * by_word,
        100.0 * even_so,
        100.0 * by_phoneme
    );
    assert!(
        by_word >= WORDS && by_phoneme >= PHONEMES,
        "{by_word} of the words, {by_phoneme} of the phonemes"
    );
}

#[test]
fn a_heteronym_is_said_by_its_place_in_the_sentence() {
    let phonemiser = Phonemiser::new(Accent::American);
    let said = |text: &str| phonemiser.script(text).unwrap().utterances[0].symbols();
    assert!(said("They record it.").contains("ɹəkˈɔɹd"));
    assert!(said("He broke the record.").contains("ɹˈɛkəɹd"));
    assert!(said("I object.").contains("əbʤˈɛkt"));
    assert!(said("A strange object.").contains("ˈɑbʤ"));
}
