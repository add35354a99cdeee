//! Where an utterance that is too long is cut: at the best border of a phrase there is, else between words, else inside one.

use super::{Utterance, Word};

/// What lies behind a word, the best to cut at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Border {
    /// A full stop, or what ends a sentence like one.
    Stop,
    /// A colon or semicolon.
    Colon,
    /// A comma or dash.
    Comma,
    /// A word follows that begins a clause.
    Clause,
    /// A word follows that begins a phrase.
    Phrase,
    /// White space.
    Gap,
}

/// Borders that a mark makes.
const MARKS: [(Border, &[char]); 3] =
    [(Border::Stop, &['.', '!', '?', '…']), (Border::Colon, &[':', ';']), (Border::Comma, &[',', '—'])];
/// Words that begin a clause: conjunctions, relative pronouns and the like.
const CLAUSES: [&str; 27] = [
    "and", "but", "or", "nor", "yet", "because", "although", "though", "while", "whereas", "when",
    "whenever", "where", "wherever", "if", "unless", "until", "since", "before", "after", "as", "than",
    "that", "which", "who", "whose", "so",
];
/// Prepositions that begin a phrase. Not "of" and "to", which belong to the word before as often as not.
const PHRASES: [&str; 29] = [
    "about", "across", "against", "along", "among", "around", "at", "behind", "below", "beneath", "beside",
    "between", "beyond", "by", "during", "for", "from", "in", "inside", "into", "near", "on", "over",
    "through", "toward", "towards", "under", "with", "without",
];

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
                // The first quarter is too short to stand alone.
                let lengthy = |count: &usize| 4 * length(&rest.words[..*count]) >= limit;
                let best = (1..=most)
                    .rev()
                    .filter(lengthy)
                    .filter_map(|count| Some((border(&rest.words, count)?, count)));
                // Of equally good ones the last.
                let best = best.min_by_key(|(border, count)| (*border, most - count));
                rest.words.drain(..best.map_or(most, |(_, count)| count)).collect()
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
/// A border of a phrase is worth going a quarter of the length away from the middle for.
pub fn in_two(utterance: &Utterance) -> Option<[Utterance; 2]> {
    let mut first = utterance.clone();
    let whole = utterance.symbols().chars().count();
    let off = |count: usize| (2 * length(&utterance.words[..count])).abs_diff(whole);
    let spoken = |count: usize| {
        let (head, tail) = utterance.words.split_at(count);
        let both = [head, tail].map(|words| Utterance { words: words.to_vec() });
        both.iter().all(Utterance::is_spoken).then_some(both)
    };
    let rank = |count: usize| match border(&utterance.words, count) {
        Some(border) if border < Border::Gap && 2 * off(count) <= whole => (0, Some(border), off(count)),
        Some(_) => (1, None, off(count)),
        None => (2, None, off(count)),
    };
    let place =
        (1..utterance.words.len()).filter(|count| spoken(*count).is_some()).min_by_key(|count| rank(*count));
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

/// What lies behind the first `count` words; none inside a group without white space.
fn border(words: &[Word], count: usize) -> Option<Border> {
    let (last, next) = (words.get(count.checked_sub(1)?)?, words.get(count)?);
    let said = last.phonemes.trim_end_matches(['”', ')', '"']);
    let mark = MARKS.iter().find(|(_, marks)| said.ends_with(*marks)).map(|(border, _)| *border);
    let follows = || {
        let next = next.text.to_lowercase();
        let next = next.as_str();
        if CLAUSES.contains(&next) {
            Border::Clause
        } else if PHRASES.contains(&next) {
            Border::Phrase
        } else {
            Border::Gap
        }
    };
    mark.or_else(|| last.space.then(follows))
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

#[cfg(test)]
mod tests;
