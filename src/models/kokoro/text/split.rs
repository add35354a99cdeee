//! Where an utterance that is too long is cut: at the best mark there is, else between words, else inside one.

use super::{Utterance, Word};

/// Marks to cut behind, the best first.
const MARKS: [&[char]; 3] = [&['.', '!', '?', '…'], &[':', ';'], &[',', '—']];

/// The utterance in parts of at most `limit` symbols.
pub fn at_context(utterance: Utterance, limit: usize) -> Vec<Utterance> {
    let mut parts = Vec::new();
    let mut rest = utterance;
    while rest.symbols().chars().count() > limit {
        // The largest number of words that fit; where not even one does, that one is cut.
        let fits = |count: &usize| length(&rest.words[..*count]) <= limit;
        let most = (1..rest.words.len()).rev().find(fits);
        let head = match most {
            None => cut_word(&mut rest, limit),
            Some(most) => {
                let best = MARKS.iter().find_map(|marks| {
                    (1..=most).rev().find(|count| ends_with(&rest.words[count - 1], marks))
                });
                rest.words.drain(..best.unwrap_or_else(|| before_gap(&rest.words, most))).collect()
            }
        };
        parts.push(Utterance { words: head });
    }
    parts.push(rest);
    parts.retain(Utterance::is_spoken);
    parts
}

/// The utterance in two parts of about the same length; `None` where it is a single symbol.
///
/// A mark is worth going a quarter of the length away from the middle for.
pub fn in_two(utterance: &Utterance) -> Option<[Utterance; 2]> {
    let mut first = utterance.clone();
    let whole = utterance.symbols().chars().count();
    let off = |count: usize| (2 * length(&utterance.words[..count])).abs_diff(whole);
    let spoken = |count: usize| {
        let (head, tail) = utterance.words.split_at(count);
        let both = [head, tail].map(|words| Utterance { words: words.to_vec() });
        both.iter().all(Utterance::is_spoken).then_some(both)
    };
    let nearest = |good: &dyn Fn(usize) -> bool| {
        let counts = (1..utterance.words.len()).filter(|count| good(*count) && spoken(*count).is_some());
        counts.min_by_key(|count| off(*count))
    };
    let marked = |marks: &[char]| {
        nearest(&|count| ends_with(&utterance.words[count - 1], marks))
            .filter(|count| 2 * off(*count) <= whole)
    };
    let place = MARKS
        .iter()
        .find_map(|marks| marked(marks))
        .or_else(|| nearest(&|count| utterance.words[count - 1].space))
        .or_else(|| nearest(&|_| true));
    if let Some(both) = place.and_then(spoken) {
        return Some(both);
    }
    if whole < 2 {
        return None;
    }
    let head = Utterance { words: cut_word(&mut first, whole / 2) };
    (head.is_spoken() && first.is_spoken()).then_some([head, first])
}

fn length(words: &[Word]) -> usize {
    Utterance { words: words.to_vec() }.symbols().chars().count()
}

fn ends_with(word: &Word, marks: &[char]) -> bool {
    word.phonemes.trim_end_matches(['”', ')', '"']).ends_with(marks)
}

/// At most `most` words, ending at a gap where there is one.
fn before_gap(words: &[Word], most: usize) -> usize {
    (1..=most).rev().find(|count| words[count - 1].space).unwrap_or(most)
}

/// Takes `limit` symbols off the front, cutting inside the first words.
fn cut_word(rest: &mut Utterance, limit: usize) -> Vec<Word> {
    let mut head = Vec::new();
    let mut left = limit.max(1);
    while left > 0 && !rest.words.is_empty() {
        let word = &mut rest.words[0];
        let symbols = word.phonemes.chars().count() + usize::from(word.space);
        if symbols <= left {
            left -= symbols;
            head.push(rest.words.remove(0));
        } else {
            let phonemes: String = word.phonemes.chars().take(left).collect();
            word.phonemes = word.phonemes.chars().skip(left).collect();
            head.push(Word { text: word.text.clone(), phonemes, space: false });
            left = 0;
        }
    }
    head
}
