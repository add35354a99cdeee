//! Words that no dictionary has: said as their spelling suggests, or letter by letter.
//!
//! A group of several, such as `x86-64` or `VortexNode`, is left for the parts to be looked up.

use std::sync::Arc;

use misaki_rs::Fallback;
use misaki_rs::fallback::FallbackError;
use parking_lot::Mutex;

use super::guess::guess;
use super::{Accent, accents};

/// Which words no dictionary had, in order, each once; shared with the [`Speller`] inside the G2P.
#[derive(Clone, Debug, Default)]
pub(super) struct Unknown(Arc<Mutex<Words>>);

/// What became of unknown words.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Said as their spelling suggests.
    pub guessed: Vec<String>,
    /// Said letter by letter.
    pub spelled: Vec<String>,
}

impl Unknown {
    /// What came up since the last time.
    pub(super) fn take(&self) -> Words {
        std::mem::take(&mut *self.0.lock())
    }

    /// Notes a word that was said as its spelling suggests.
    pub(super) fn guessed(&self, word: &str) {
        self.note(word, |words| &mut words.guessed);
    }

    fn note(&self, word: &str, into: impl Fn(&mut Words) -> &mut Vec<String>) {
        let mut words = self.0.lock();
        let list = into(&mut words);
        if !list.iter().any(|noted| noted == word) {
            list.push(word.to_owned());
        }
    }
}

/// Misaki's way out for unknown words.
#[derive(Debug)]
pub(super) struct Speller {
    accent: Accent,
    unknown: Unknown,
}

impl Speller {
    /// Notes what it meets in `unknown`.
    pub(super) fn new(accent: Accent, unknown: Unknown) -> Self {
        Self { accent, unknown }
    }
}

/// What stands for the phonemes of a word whose parts are still to be looked up; no symbol of Kokoro's.
pub(super) const IN_PARTS: char = '\u{f8ff}';

/// The words, numbers and letters that an unknown group consists of: it is cut at marks, between letters and figures,
/// and where a capital follows a small letter. Signs that are said are words; what is no Latin letter is left out.
pub(super) fn parts(group: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut last = ' ';
    let mut chars = group.chars().peekable();
    while let Some(c) = chars.next() {
        let sign = match c {
            '&' => "and",
            '@' => "at",
            '+' => "plus",
            '=' => "equals",
            '%' => "percent",
            _ => "",
        };
        let joins = (is_letter(last) && is_letter(c) && !(last.is_lowercase() && c.is_uppercase()))
            || (last.is_ascii_digit() && c.is_ascii_digit())
            || (last.is_ascii_digit() && c == '.' && chars.peek().is_some_and(char::is_ascii_digit))
            || (last == '.' && c.is_ascii_digit() && parts.last().is_some_and(|part| part.ends_with('.')));
        match parts.last_mut() {
            Some(part) if joins => part.push(c),
            _ if is_letter(c) || c.is_ascii_digit() => parts.push(c.to_string()),
            _ if !sign.is_empty() && last.is_ascii_alphanumeric() => parts.push(sign.to_owned()),
            _ => {}
        }
        last = c;
    }
    parts
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || accents::is_latin(c)
}

/// Capitals of which there are several: `Ps`, `PhDs`.
pub(super) fn plural(part: &str) -> Option<&str> {
    let stem = part.strip_suffix('s')?;
    let last = stem.chars().next_back()?;
    (stem.len() < 6 && last.is_ascii_uppercase() && stem.starts_with(|c: char| c.is_ascii_uppercase()))
        .then_some(stem)
}

/// What follows an apostrophe in a word, as it is said there.
pub(super) fn contracted(part: &str) -> Option<&'static str> {
    Some(match part {
        "s" => "z",
        "d" => "d",
        "m" => "m",
        "t" => "t",
        "n" => "ən",
        "ll" => "əl",
        "re" => "əɹ",
        "ve" => "əv",
        "em" => "əm",
        "all" => "ɔl",
        _ => return None,
    })
}

impl Fallback for Speller {
    fn phonemize(&self, word: &str) -> Result<String, FallbackError> {
        let stem = ["'s", "’s"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
        let parts = parts(stem);
        let is_number = stem.starts_with(|c: char| c.is_ascii_digit()) && stem != word;
        if !parts.is_empty() && (parts != [stem] || is_number || plural(stem).is_some()) {
            return Ok(IN_PARTS.to_string());
        }
        if let Some(phonemes) = guess(word, self.accent) {
            self.unknown.note(word, |words| &mut words.guessed);
            return Ok(phonemes);
        }
        let names: Vec<&str> =
            word.chars().filter_map(|letter| name_of(letter.to_ascii_lowercase(), self.accent)).collect();
        if !names.is_empty() {
            self.unknown.note(word, |words| &mut words.spelled);
        }
        Ok(names.join(" "))
    }
}

/// The name of a letter or digit in Kokoro's alphabet.
pub(super) fn name_of(letter: char, accent: Accent) -> Option<&'static str> {
    let american = accent == Accent::American;
    Some(match letter {
        'a' => "ˈA",
        'b' => "bˈi",
        'c' => "sˈi",
        'd' => "dˈi",
        'e' => "ˈi",
        'f' => "ˈɛf",
        'g' => "ʤˈi",
        'h' => "ˈAʧ",
        'i' => "ˈI",
        'j' => "ʤˈA",
        'k' => "kˈA",
        'l' => "ˈɛl",
        'm' => "ˈɛm",
        'n' => "ˈɛn",
        'o' if american => "ˈO",
        'o' => "ˈQ",
        'p' => "pˈi",
        'q' => "kjˈu",
        'r' if american => "ˈɑɹ",
        'r' => "ˈɑː",
        's' => "ˈɛs",
        't' => "tˈi",
        'u' => "jˈu",
        'v' => "vˈi",
        'w' => "dˈʌbᵊlju",
        'x' => "ˈɛks",
        'y' => "wˈI",
        'z' if american => "zˈi",
        'z' => "zˈɛd",
        '0' if american => "zˈɪɹO",
        '0' => "zˈɪəɹQ",
        '1' => "wˈʌn",
        '2' => "tˈu",
        '3' => "θɹˈi",
        '4' if american => "fˈɔɹ",
        '4' => "fˈɔː",
        '5' => "fˈIv",
        '6' => "sˈɪks",
        '7' => "sˈɛvən",
        '8' => "ˈAt",
        '9' => "nˈIn",
        _ => return None,
    })
}
