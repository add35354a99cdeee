//! What Misaki would read wrongly or not at all, rewritten in words before it sees it.
//!
//! Misaki reads plain numbers, years, ordinals and decimals; times, dates, money, decades, ranges, units, fractions,
//! addresses and Roman numerals are words here. Pure text to text: markup goes first, then characters become plain ones,
//! then every token is read among its neighbours.

mod abbreviations;
mod addresses;
mod amounts;
mod attributive;
mod characters;
mod codes;
mod dates;
mod markup;
mod money;
mod numbers;
mod roman;
mod spacing;
mod times;
mod units;
mod words;

pub(super) use codes::in_pairs;

use super::{Accent, sentences};

/// `text` with markup and invisible characters gone, accents folded, and every run of white space but line breaks one
/// space.
pub(super) fn normalise(text: &str, accent: Accent) -> String {
    let unmarked = markup::strip(text);
    let plain = amounts::join_groups(&characters::plain(&unmarked.text));
    let lines = plain.lines().map(|text| line(text, accent)).filter(|line| !line.is_empty());
    markup::restore(&lines.collect::<Vec<_>>().join("\n"), &unmarked.marks)
}

/// Whether a word is nothing but pictures, which are not heard.
pub(super) fn is_picture(word: &str) -> bool {
    !word.is_empty() && word.chars().all(characters::is_pictograph)
}

/// A token, or several, in other words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    words: String,
    /// How many tokens behind it went into the words.
    takes: usize,
    /// Whether the full stop behind it was the abbreviation's and not the sentence's.
    stop_is_its_own: bool,
    /// What stands before the words, where it is not what stood before the token.
    head: Option<String>,
    /// What stands behind the words, where it is not what stood behind the last token.
    tail: Option<String>,
}

impl Reading {
    fn words(words: String) -> Self {
        Self { words, ..Self::default() }
    }

    /// Words between what was around them.
    fn whole(head: &str, words: &str, tail: &str) -> Self {
        Self { head: Some(head.to_owned()), tail: Some(tail.to_owned()), ..Self::words(words.to_owned()) }
    }
}

/// A token of a line among the others.
struct Place<'a> {
    tokens: &'a [&'a str],
    at: usize,
    /// The whole token.
    raw: &'a str,
    /// Without brackets, quotes and stops around it.
    core: &'a str,
    /// What stands behind the core.
    tail: &'a str,
    accent: Accent,
}

impl<'a> Place<'a> {
    /// The token so many behind this one in the line, this one for 0; empty beyond the end.
    fn ahead(&self, count: usize) -> &'a str {
        self.tokens.get(self.at + count).copied().unwrap_or_default()
    }

    /// The token so many before this one; empty beyond the beginning.
    fn behind(&self, count: usize) -> &'a str {
        self.at.checked_sub(count).and_then(|place| self.tokens.get(place)).copied().unwrap_or_default()
    }

    fn read(&self) -> Option<Reading> {
        units::height(self)
            .or_else(|| dates::read(self))
            .or_else(|| addresses::read(self))
            .or_else(|| money::read(self))
            .or_else(|| codes::read(self))
            .or_else(|| units::loose(self))
            .or_else(|| numbers::read(self))
            .or_else(|| abbreviations::read(self))
            .or_else(|| roman::read(self).map(Reading::words))
            .or_else(|| words::read(self))
    }
}

fn line(text: &str, accent: Accent) -> String {
    let text = spacing::parted(text);
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut spoken: Vec<String> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(raw) = tokens.get(at).copied() {
        // Brackets, quotes and stops around a token stay as they are.
        let (head, core, tail) = bare(raw);
        match (Place { tokens: &tokens, at, raw, core, tail, accent }).read() {
            None => spoken.push(raw.to_owned()),
            Some(reading) => {
                at += reading.takes;
                let head = reading.head.as_deref().unwrap_or(head);
                let last = tokens.get(at).copied().unwrap_or_default();
                // What stood around a token that went into the words stays.
                let tail = reading.tail.as_deref().unwrap_or(bare(last).2);
                let doubled = reading.stop_is_its_own || reading.words.ends_with('.');
                // A stop before another mark is an abbreviation's.
                let is_short = [".,", ".;", ".:"].iter().any(|marks| tail.starts_with(marks));
                let tail = if doubled || is_short { tail.strip_prefix('.').unwrap_or(tail) } else { tail };
                let begins = core.starts_with(char::is_uppercase)
                    && spoken.last().is_some_and(|before| sentences::is_ended(before));
                let words = if begins { capitalised(&reading.words) } else { reading.words };
                spoken.push(format!("{head}{words}{tail}"));
            }
        }
        at += 1;
    }
    spoken.join(" ")
}

/// `words` as they begin a sentence.
fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What stands around the word or figure in a token, and the word.
fn bare(token: &str) -> (&str, &str, &str) {
    const OPENING: [char; 9] = ['(', '[', '{', '"', '\'', '“', '‘', '«', '…'];
    const CLOSING: [char; 14] = [')', ']', '}', '"', '\'', '”', '’', '»', '.', ',', ';', ':', '!', '?'];
    let core = token.trim_start_matches(OPENING);
    let head = &token[..token.len() - core.len()];
    let inner = core.trim_end_matches(CLOSING).trim_end_matches('…');
    (head, inner, &core[inner.len()..])
}

#[cfg(test)]
mod tests;
