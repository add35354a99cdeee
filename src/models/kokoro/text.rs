//! From a script to what Kokoro speaks: sentences, and in each the phonemes of every word.
//!
//! The pronunciations are Misaki's, Kokoro's own G2P (`misaki-rs`); this module owns what lies around it: sentences,
//! what Misaki leaves unread, unknown words, and cutting to the model's context. Knows nothing of networks.

mod accents;
mod fallback;
mod guess;
mod informal;
mod names;
mod normalise;
mod sentences;
mod split;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use misaki_rs::lexicon::PhonemeEntry;
use misaki_rs::{G2P, Language, Lexicon};

pub use split::{at_context, in_two};

use self::fallback::{IN_PARTS, Speller, Unknown};
use self::informal::Informal;
use self::names::NAMES;
use crate::contract::{ModelError, Warning};

/// Whose English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accent {
    /// General American.
    American,
    /// Received Pronunciation.
    British,
}

impl Accent {
    /// Of a voice, by the first letter of its name; `None` for a voice made for another language.
    pub fn of(voice: &str) -> Option<Self> {
        match voice.as_bytes() {
            [b'a', _, b'_', ..] => Some(Self::American),
            [b'b', _, b'_', ..] => Some(Self::British),
            _ => None,
        }
    }
}

/// One word, number or mark, as it is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it is written.
    pub text: String,
    /// As it is spoken, in Kokoro's alphabet; empty where nothing is heard of it.
    pub phonemes: String,
    /// Whether a gap follows.
    pub space: bool,
}

/// What is spoken in one breath: one sentence, or the part of one that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utterance {
    /// In order.
    pub words: Vec<Word>,
}

/// A script in phonemes.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Sentences, in order; none is silent.
    pub utterances: Vec<Utterance>,
    /// `word_guessed`, `word_spelled`, `text_skipped`.
    pub warnings: Vec<Warning>,
    /// Words that no dictionary has, said as their spelling suggests.
    pub guessed: Vec<String>,
    /// Words that are said letter by letter.
    pub spelled: Vec<String>,
}

impl Utterance {
    /// Its symbols, with a space where there is a gap, without any at the ends.
    pub fn symbols(&self) -> String {
        self.symbols_of_words().0.into_iter().collect()
    }

    /// The same, and which of them each word is made of.
    pub(super) fn symbols_of_words(&self) -> (Vec<char>, Vec<Range<usize>>) {
        let mut symbols: Vec<char> = Vec::new();
        let mut places = Vec::with_capacity(self.words.len());
        for word in &self.words {
            let from = symbols.len();
            // Nothing begins with a gap.
            symbols.extend(word.phonemes.chars().skip_while(|symbol| from == 0 && symbol.is_whitespace()));
            places.push(from..symbols.len());
            if word.space && symbols.last().is_some_and(|last| *last != ' ') {
                symbols.push(' ');
            }
        }
        while symbols.last().is_some_and(|last| last.is_whitespace()) {
            symbols.pop();
        }
        let end = symbols.len();
        places.iter_mut().for_each(|place| *place = place.start.min(end)..place.end.min(end));
        (symbols, places)
    }

    /// As it is written, figures and abbreviations written out.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for word in &self.words {
            text.push_str(&word.text);
            text.push_str(if word.space { " " } else { "" });
        }
        text.trim().to_owned()
    }

    /// Whether anything is heard of it but pauses.
    pub fn is_spoken(&self) -> bool {
        self.words.iter().any(|word| word.phonemes.chars().any(is_sound))
    }
}

/// Whether a symbol is a sound, and not a mark, a gap or a stress.
pub fn is_sound(symbol: char) -> bool {
    symbol.is_alphabetic() && !matches!(symbol, 'ˈ' | 'ˌ' | 'ː')
}

/// Refuses a text of which nothing can be spoken, without the dictionaries that say how: it has no letter, figure or
/// sign that stands for a word once markup is gone.
pub fn check_speakable(text: &str) -> Result<(), ModelError> {
    let words = normalise::normalise(text, Accent::American);
    if words.chars().any(|c| c.is_ascii_alphanumeric()) { Ok(()) } else { Err(unspeakable(text)) }
}

fn unspeakable(text: &str) -> ModelError {
    ModelError::own(format!(
        "nothing in the text {} can be spoken: it has no letters or digits of English",
        quoted(text)
    ))
}

/// The G2P of one accent.
pub struct Phonemiser {
    g2p: G2P,
    unknown: Unknown,
    accent: Accent,
}

impl std::fmt::Debug for Phonemiser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phonemiser").field("language", &self.g2p.lexicon.lang).finish_non_exhaustive()
    }
}

impl Phonemiser {
    /// Reads the built-in dictionaries: most of a second and some tens of megabytes of host memory.
    pub fn new(accent: Accent) -> Self {
        let language = match accent {
            Accent::American => Language::EnglishUS,
            Accent::British => Language::EnglishGB,
        };
        let unknown = Unknown::default();
        let mut g2p = G2P::with_fallback(language, Some(Box::new(Speller::new(accent, unknown.clone()))));
        // What even the fallback cannot spell is silent, not a symbol outside the vocabulary.
        g2p.unk = String::new();
        // Misaki has the Hebrew letter here ("bet"); the name is far commoner.
        g2p.lexicon.golds.insert("Beth".to_owned(), PhonemeEntry::Simple("bˈɛθ".to_owned()));
        let known = |lexicon: &Lexicon, name: &str| {
            lexicon.golds.contains_key(name) || lexicon.silvers.contains_key(name)
        };
        let names = NAMES.into_iter().chain(accents::ACCENTED);
        for (name, phonemes) in names.filter(|(name, _)| !known(&g2p.lexicon, name)).collect::<Vec<_>>() {
            let phonemes = match accent {
                Accent::American => phonemes.to_owned(),
                Accent::British => guess::british(phonemes),
            };
            g2p.lexicon.golds.insert(name.to_owned(), PhonemeEntry::Simple(phonemes));
        }
        Self { g2p, unknown, accent }
    }

    /// The phonemes of `text`, sentence by sentence; an error where nothing of it can be spoken.
    pub fn script(&self, text: &str) -> Result<Script, ModelError> {
        if text.trim().is_empty() {
            return Err(ModelError::own("the text to speak is empty; write at least one word"));
        }
        let mut script = Script::default();
        let mut skipped = Vec::new();
        for sentence in sentences::split(&normalise::normalise(text, self.accent)) {
            let informal =
                Informal { lexicon: &self.g2p.lexicon, unknown: &self.unknown, accent: self.accent };
            let utterance = self.utterance(&informal.rewrite(&sentence))?;
            skipped.extend(utterance.words.iter().filter(|word| is_lost(word)).map(|word| word.text.clone()));
            if utterance.is_spoken() {
                script.utterances.push(utterance);
            }
        }
        let unknown = self.unknown.take();
        if script.utterances.is_empty() {
            return Err(unspeakable(text));
        }
        script.guessed.clone_from(&unknown.guessed);
        script.spelled.clone_from(&unknown.spelled);
        let notes = [
            ("word_guessed", "not in the dictionary, so said as the spelling suggests", unknown.guessed),
            ("word_spelled", "not in the dictionary, so spelled letter by letter", unknown.spelled),
        ];
        for (code, what, words) in notes {
            if !words.is_empty() {
                script.warnings.push(Warning::new(code, format!("{what}: {}", words.join(", "))));
            }
        }
        if !skipped.is_empty() {
            skipped.dedup();
            let message = format!("left out, since it cannot be spoken: {}", skipped.join(" "));
            script.warnings.push(Warning::new("text_skipped", message));
        }
        Ok(script)
    }

    /// The words of one sentence.
    fn utterance(&self, sentence: &str) -> Result<Utterance, ModelError> {
        let mut words = self.words(sentence)?;
        for word in words.iter_mut().filter(|word| word.phonemes.contains(IN_PARTS)) {
            word.phonemes = self.in_parts(&word.text)?;
        }
        // The stop of an abbreviation at the end is the sentence's as well: it is heard.
        if sentences::has_stop(sentence)
            && let Some(last) = words.iter().rposition(is_heard)
        {
            let is_marked = |word: &Word| word.phonemes.contains(['.', '!', '?', '…']);
            if !words[last..].iter().any(is_marked) {
                words[last].phonemes.push('.');
            }
        }
        Ok(Utterance { words })
    }

    /// The phonemes of a group that no dictionary has as a whole, from those of its parts.
    fn in_parts(&self, group: &str) -> Result<String, ModelError> {
        let mut said = String::new();
        let (group, endings) = self.contractions(group);
        if !endings.is_empty() && !group.contains(['\'', '’']) || self.is_known(group) {
            said.push_str(&self.plain_words(group)?);
        } else {
            self.pieces(group, &mut said)?;
        }
        said.push_str(&endings);
        let marks: String = group.chars().rev().take_while(|c| !c.is_alphanumeric()).collect();
        said.extend(
            marks.chars().rev().filter(|c| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '…' | '—')),
        );
        Ok(said)
    }

    /// A group without the contractions at its end, and these as they are said: `shouldn't've`, `y'all'd`.
    fn contractions<'a>(&self, group: &'a str) -> (&'a str, String) {
        let (mut stem, mut said) = (group, String::new());
        while let Some((before, ending)) = stem.rsplit_once(['\'', '’'])
            && before.contains(['\'', '’'])
            && let Some(phonemes) = fallback::contracted(ending)
        {
            said.insert_str(0, phonemes);
            stem = before;
            if self.is_known(stem) {
                break;
            }
        }
        if self.is_known(stem) { (stem, said) } else { (group, String::new()) }
    }

    fn is_known(&self, word: &str) -> bool {
        let word = word.replace('’', "'");
        !word.is_empty() && self.g2p.lexicon.is_known(&word, "NN")
    }

    fn plain_words(&self, text: &str) -> Result<String, ModelError> {
        Ok(Utterance { words: self.words(text)? }.symbols().replace(IN_PARTS, ""))
    }

    /// Appends the phonemes of a group's words, numbers and letters, with gaps between them.
    fn pieces(&self, group: &str, said: &mut String) -> Result<(), ModelError> {
        for piece in group.split(['\'', '’']) {
            // Behind an apostrophe stands the rest of a word.
            let rest = fallback::contracted(piece).filter(|_| !said.is_empty());
            if let Some(phonemes) = rest {
                said.push_str(phonemes);
                continue;
            }
            let mut last = String::new();
            // "PhDs" is several of one part.
            let stem =
                fallback::plural(piece).filter(|stem| fallback::parts(stem).len() == 1 || piece.len() > 3);
            for part in fallback::parts(stem.unwrap_or(piece)) {
                if !said.is_empty() {
                    said.push(' ');
                }
                said.push_str(&self.part(&part, &last)?);
                last = part;
            }
            if stem.is_some() {
                *said = self.g2p.lexicon.append_s(said);
            }
        }
        Ok(())
    }

    /// The phonemes of a word, number or letter behind `last` in a group.
    fn part(&self, part: &str, last: &str) -> Result<String, ModelError> {
        let name = |c: char| fallback::name_of(c.to_ascii_lowercase(), self.accent);
        let single = part.chars().next().filter(|_| part.len() == 1);
        if let Some(name) = single.and_then(name) {
            return Ok(name.to_owned());
        }
        let spelled = |part: &str| part.chars().filter_map(name).collect::<Vec<_>>().join(" ");
        if let Some(stem) = fallback::plural(part).filter(|_| !last.is_empty()) {
            return Ok(self.g2p.lexicon.append_s(&spelled(stem)));
        }
        let is_figures = part.chars().all(|c| c.is_ascii_digit());
        let is_initials = part.len() < 4 && part.chars().all(|c| c.is_ascii_uppercase());
        let is_long = is_figures && (part.len() > 4 || (part.len() > 1 && part.starts_with('0')));
        if is_initials || is_long {
            return Ok(spelled(part));
        }
        // "A320" is three twenty.
        let behind_letters = is_figures && last.ends_with(|c: char| c.is_ascii_alphabetic());
        let text =
            if behind_letters && part.len() == 3 { normalise::in_pairs(part) } else { part.to_owned() };
        self.plain_words(&text)
    }

    /// What Misaki makes of a text.
    fn words(&self, sentence: &str) -> Result<Vec<Word>, ModelError> {
        // The crate slices strings by rules that some input may break; a panic there is the text's fault, not ours.
        let tokens = catch_unwind(AssertUnwindSafe(|| self.g2p.g2p(sentence)));
        let (_, tokens) = tokens
            .map_err(|_| {
                ModelError::own(format!("no pronunciation could be found for {}", quoted(sentence)))
            })?
            .map_err(|error| {
                ModelError::own(format!("no pronunciation could be found for {}", quoted(sentence)))
                    .because(error.to_string())
            })?;
        let mut words: Vec<Word> = Vec::with_capacity(tokens.len());
        for token in tokens {
            // Misaki takes some pictures for brackets, and some hyphens and figures.
            let phonemes = token.phonemes.filter(|_| !normalise::is_picture(&token.text)).unwrap_or_default();
            let is_misheard = phonemes.contains(['(', ')']) && !token.text.contains(['(', ')']);
            let has_sound = token.text.chars().any(char::is_alphanumeric);
            let phonemes = match (is_misheard, has_sound) {
                (true, true) => IN_PARTS.to_string(),
                (true, false) => {
                    if let Some(before) = words.last_mut() {
                        before.space = true;
                    }
                    String::new()
                }
                (false, _) => phonemes.split_whitespace().collect::<Vec<_>>().join(" "),
            };
            words.push(Word { phonemes, space: !token.whitespace.is_empty(), text: token.text });
        }
        Ok(words)
    }
}

fn is_heard(word: &Word) -> bool {
    word.phonemes.chars().any(is_sound)
}

/// A word of which something is not heard: all of it though it is more than a mark, or letters that are not Latin.
fn is_lost(word: &Word) -> bool {
    let is_foreign = |c: char| c.is_alphabetic() && !c.is_ascii() && !accents::is_latin(c);
    if word.text.chars().any(is_foreign) && word.text.chars().any(|c| c.is_ascii_alphanumeric()) {
        return true;
    }
    word.phonemes.is_empty()
        && word
            .text
            .chars()
            .any(|c| c.is_alphanumeric() || (!c.is_ascii() && !c.is_whitespace() && !is_mark(c)))
}

fn is_mark(c: char) -> bool {
    matches!(c, '‘' | '’' | '“' | '”' | '—' | '–' | '…' | '«' | '»')
}

/// A text in an error: at most sixty characters of it.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod everyday;
#[cfg(test)]
mod spoken;
#[cfg(test)]
mod tests;
