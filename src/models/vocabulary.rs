//! The words that a bundle's image model knows, for bundles that know only some: which words of a prompt lie outside.
//!
//! A hint for people, by plain comparison of words: it understands no sentence and refuses nothing.

use std::collections::HashSet;

use serde_json::Value;

use super::bundle::Bundle;
use crate::contract::ModelError;

/// English words that carry no picture of their own; every vocabulary has them.
const FUNCTION_WORDS: [&str; 43] = [
    "a", "an", "and", "are", "as", "at", "be", "behind", "beside", "but", "by", "for", "from", "has", "have",
    "her", "his", "in", "into", "is", "it", "its", "of", "on", "one", "or", "over", "she", "he", "some",
    "that", "the", "their", "they", "this", "to", "under", "very", "who", "whose", "which", "with",
    "without",
];

/// A set of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    words: HashSet<String>,
}

impl Vocabulary {
    /// That of `bundle`; `None` where it names none.
    pub(crate) fn of_bundle(bundle: &Bundle) -> Result<Option<Self>, ModelError> {
        let Some(file) = &bundle.image.vocabulary else { return Ok(None) };
        let path = bundle.folder.join(&file.path);
        let failed = |what: String| ModelError::own(format!("the vocabulary {} {what}", path.display()));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| failed("cannot be read".to_owned()).because(error))?;
        Self::parse(&text).map(Some).map_err(failed)
    }

    /// Of JSON: a list of words, or a table of such lists by any names. Texts that stand directly in a table are
    /// remarks. An entry of several words stands for each of them.
    ///
    /// # Errors
    /// What else stands there, or that no word does.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let mut words = HashSet::new();
        collect(&value, "", &mut words)?;
        if words.is_empty() {
            return Err(format!("holds no word; expected {ACCEPTED}"));
        }
        Ok(Self { words })
    }

    /// The words of `prompt` that are not known, as they are written there, each once, in order. Case does not count, nor
    /// punctuation, nor a plural's s.
    pub(crate) fn unknown_words(&self, prompt: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        split(prompt)
            .filter(|word| !self.knows(word) && seen.insert(word.to_lowercase()))
            .map(str::to_owned)
            .collect()
    }

    fn knows(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let known = |word: &str| {
            self.words.contains(word)
                || FUNCTION_WORDS.contains(&word)
                // Figures count things; which things, other words say.
                || word.chars().all(|c| c.is_ascii_digit())
        };
        let singular = |ending| word.strip_suffix(ending).is_some_and(known);
        known(&word) || singular("s") || singular("es") || self.words.contains(&format!("{word}s"))
    }
}

const ACCEPTED: &str = "a list of words, or a table of such lists";

fn collect(value: &Value, key: &str, words: &mut HashSet<String>) -> Result<(), String> {
    match value {
        Value::Array(entries) => entries.iter().try_for_each(|entry| match entry {
            Value::String(text) => {
                words.extend(split(text).map(str::to_lowercase));
                Ok(())
            }
            other => Err(format!("has {other} in the list {key:?}; expected words")),
        }),
        Value::Object(tables) => tables
            .iter()
            .filter(|(_, value)| !value.is_string())
            .try_for_each(|(name, value)| collect(value, name, words)),
        other => Err(format!("has {other} at {key:?}; expected {ACCEPTED}")),
    }
}

/// Its words: runs of letters and digits, with the apostrophes inside them ("o'clock"), without a possessive's.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '\'' || c == '’';
    text.split(move |c| !is_word(c))
        .map(|word| word.trim_matches(['\'', '’']))
        .map(|word| word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let text = r#"{"about": "portraits", "kinds": ["robot", "alien"], "looks": {"hats": ["top hat", "glasses"],
                       "colours": ["blue", "light green"]}}"#;
        Vocabulary::parse(text).unwrap()
    }

    #[test]
    fn known_words_are_known_however_they_are_written() {
        for prompt in [
            "a Robot, with a BLUE top-hat!",
            "the robots' glasses",
            "the alien's hats and 3 light-green glasses",
            "",
        ] {
            assert_eq!(vocabulary().unknown_words(prompt), Vec::<String>::new(), "{prompt}");
        }
    }

    #[test]
    fn unknown_words_come_once_and_as_written() {
        let found = vocabulary().unknown_words("A Dragon and a robot: dragon, Castles (blue)");
        assert_eq!(found, ["Dragon", "Castles"]);
        assert_eq!(vocabulary().unknown_words("portraits"), ["portraits"], "a remark is no word");
    }

    #[test]
    fn what_is_no_list_of_words_is_refused() {
        for (text, expected) in [
            ("", "is not JSON"),
            ("3", "expected a list of words"),
            ("{}", "holds no word"),
            (r#"{"hats": [1]}"#, "has 1 in the list \"hats\""),
            (r#"{"hats": true}"#, "has true at \"hats\""),
        ] {
            let error = Vocabulary::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
