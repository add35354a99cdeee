//! Where a script that does not fit ends, and which words that costs.
//!
//! Behind the last word that fits; but articles, pronouns and the like in front of the cut say nothing without what would
//! have followed, so they go too. Where nothing else was said of a sentence, the cut lies behind the one before. Pure.

use super::Word;
use crate::models::kokoro::text::is_sound;

/// What follows a word's last sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Another sound: no place to end at.
    None,
    /// White space.
    Gap,
    /// A mark.
    Mark,
}

impl Ending {
    /// By the symbols behind the word.
    pub(super) fn of(rest: &[char]) -> Self {
        match rest.iter().find(|symbol| !matches!(symbol, 'ː' | '\u{303}' | 'ʰ' | 'ʲ' | '”' | '"' | ')'))
        {
            None => Self::Mark,
            Some(' ') => Self::Gap,
            Some(symbol) if is_sound(*symbol) || matches!(symbol, 'ˈ' | 'ˌ') => Self::None,
            Some(_) => Self::Mark,
        }
    }
}

/// Where to cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cut {
    /// In samples.
    pub(super) at: u64,
    /// None where only silence is cut off.
    pub(super) lost: Option<Lost>,
}

/// What of a script was not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Where the sound was cut, in samples.
    pub at: u64,
    /// The last sentence that is heard, counted from 1, and of how many.
    pub sentence: (usize, usize),
    /// Whether all of that sentence is heard.
    pub whole: bool,
    /// How many words are not heard, or not all of.
    pub words: usize,
    /// They themselves; of very many the first and the last.
    pub text: String,
}

/// Of more words than this, a warning names the first and the last.
const NAMED: usize = 60;
/// How many of the last then.
const LAST_NAMED: usize = 8;

/// Where `words`, all of a script's, end in a slot of `limit` samples.
pub(super) fn cut(words: &[Word], limit: u64) -> Cut {
    let fits = |word: &&Word| word.end.is_some_and(|end| end <= limit);
    let said = words.iter().take_while(|word| !word.is_sound || fits(word)).count();
    let heard = || (0..said).filter(|place| words[*place].is_sound);
    if !words[said..].iter().any(|word| word.is_sound) {
        return Cut { at: limit, lost: None };
    }
    let is_end = |place: &usize| words[*place].ending != Ending::None;
    let is_worth = |place: &usize| match words[*place].ending {
        Ending::Mark => true,
        Ending::Gap => {
            // The parts of a group, "did" and "n't", are one word.
            let parts =
                words[..*place].iter().rev().take_while(|word| word.is_sound && word.ending == Ending::None);
            parts.chain([&words[*place]]).any(|word| !is_function_word(&word.text))
        }
        Ending::None => false,
    };
    // Where nothing worth while fits, any word; where not even one does, a part of the first.
    let last = heard().rfind(is_worth).or_else(|| heard().rfind(is_end)).or_else(|| heard().next_back());
    let at = last.and_then(|last| words[last].end).unwrap_or(limit);
    let left: Vec<&Word> = words[last.map_or(0, |last| last + 1)..].iter().collect();
    let sentence = last.map_or(0, |last| words[last].sentence);
    let whole = !left.iter().any(|word| word.is_sound && word.sentence == sentence);
    let sentences = words.last().map_or(0, |word| word.sentence + 1);
    let lost = Lost {
        at,
        sentence: (sentence + 1, sentences),
        whole,
        words: left.iter().filter(|word| word.is_sound).count(),
        text: named(&left),
    };
    Cut { at, lost: Some(lost) }
}

/// The words as they are written, without the marks of what was said before them.
fn named(words: &[&Word]) -> String {
    let first = words.iter().position(|word| word.is_sound).unwrap_or(0);
    let words = &words[first..];
    let text = |words: &[&Word]| {
        let mut all = String::new();
        for (place, word) in words.iter().enumerate() {
            all.push_str(&word.text);
            let ends = words.get(place + 1).is_some_and(|next| next.sentence != word.sentence);
            all.push_str(if word.space || ends { " " } else { "" });
        }
        all.trim().to_owned()
    };
    if words.len() <= NAMED {
        return text(words);
    }
    format!("{} … {}", text(&words[..NAMED - LAST_NAMED]), text(&words[words.len() - LAST_NAMED..]))
}

/// Whether a word, or a part of one, carries no sense without those behind it.
fn is_function_word(word: &str) -> bool {
    let word = word.to_lowercase().replace('’', "'");
    // Contractions count like their first word: "it's", "they'll", "don't".
    let stem = word.strip_suffix("n't").or_else(|| word.split('\'').next()).unwrap_or_default();
    stem.is_empty() || FUNCTION_WORDS.contains(&stem)
}

/// Articles, pronouns, auxiliaries, conjunctions and prepositions of English.
const FUNCTION_WORDS: [&str; 119] = [
    "a", "an", "the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our", "their",
    "some", "any", "every", "each", "no", "i", "you", "he", "she", "it", "we", "they", "there", "who",
    "whom", "whose", "which", "what", "am", "is", "are", "was", "were", "be", "been", "being", "have", "has",
    "had", "having", "do", "does", "did", "will", "would", "wo", "ca", "can", "could", "shall", "should",
    "may", "might", "must", "not", "and", "or", "but", "nor", "so", "yet", "if", "because", "although",
    "though", "while", "when", "where", "as", "than", "then", "until", "unless", "since", "whether", "of",
    "to", "in", "on", "at", "by", "for", "from", "with", "without", "into", "onto", "over", "under",
    "between", "through", "during", "before", "after", "about", "against", "toward", "towards", "across",
    "behind", "near", "upon", "within", "among", "around", "very", "too", "quite", "just", "only", "even",
    "also", "such", "how", "why",
];

#[cfg(test)]
mod tests;
