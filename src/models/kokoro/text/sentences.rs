//! Where a sentence ends, and where a full stop is an abbreviation's instead.

/// Titles, whose stop never ends a sentence, without it, in lower case.
const TITLES: [&str; 45] = [
    "mr", "mrs", "ms", "mx", "dr", "prof", "rev", "hon", "gen", "col", "maj", "capt", "cpt", "cmdr", "lt",
    "sgt", "cpl", "adm", "gov", "sen", "rep", "pres", "supt", "st", "mt", "ft", "messrs", "mme", "vs", "e.g",
    "i.e", "cf", "vol", "fig", "figs", "pp", "eds", "approx", "dept", "univ", "assn", "bros", "viz", "al",
    "attn",
];
/// Abbreviations that may stand at the end of a sentence or before a name.
const BEFORE_NAMES: [&str; 12] =
    ["inc", "ltd", "corp", "co", "jr", "sr", "esq", "ed", "ch", "est", "univ", "plc"];
/// Words behind which a capital is a label and no initial: "plan B."
const LABELLED: [&str; 30] = [
    "a",
    "an",
    "the",
    "plan",
    "group",
    "vitamin",
    "grade",
    "part",
    "section",
    "type",
    "class",
    "appendix",
    "option",
    "team",
    "hepatitis",
    "point",
    "letter",
    "exhibit",
    "size",
    "side",
    "block",
    "gate",
    "row",
    "line",
    "level",
    "variable",
    "column",
    "answer",
    "drive",
    "generation",
];
/// What belongs to a time of day before it, besides the names of days and months.
const BEHIND_TIMES: [&str; 44] = [
    "et",
    "pt",
    "ct",
    "mt",
    "est",
    "edt",
    "cst",
    "cdt",
    "mst",
    "mdt",
    "pst",
    "pdt",
    "gmt",
    "utc",
    "bst",
    "cet",
    "cest",
    "ist",
    "jst",
    "aest",
    "eastern",
    "pacific",
    "central",
    "mountain",
    "greenwich",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "london",
];
/// Words that sentences begin with and names do not.
const BEGINNERS: [&str; 176] = [
    "a",
    "about",
    "above",
    "according",
    "after",
    "again",
    "all",
    "also",
    "although",
    "always",
    "among",
    "an",
    "and",
    "another",
    "any",
    "anyone",
    "are",
    "as",
    "at",
    "be",
    "because",
    "before",
    "behind",
    "between",
    "both",
    "but",
    "by",
    "can",
    "come",
    "could",
    "despite",
    "did",
    "do",
    "does",
    "don",
    "down",
    "during",
    "each",
    "either",
    "even",
    "every",
    "everyone",
    "everything",
    "few",
    "finally",
    "first",
    "for",
    "from",
    "get",
    "go",
    "had",
    "half",
    "has",
    "have",
    "he",
    "hello",
    "her",
    "here",
    "hers",
    "hi",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "indeed",
    "instead",
    "into",
    "is",
    "it",
    "its",
    "just",
    "last",
    "later",
    "let",
    "like",
    "look",
    "many",
    "maybe",
    "me",
    "meanwhile",
    "more",
    "most",
    "much",
    "my",
    "neither",
    "never",
    "next",
    "no",
    "nobody",
    "none",
    "not",
    "nothing",
    "now",
    "of",
    "often",
    "oh",
    "on",
    "once",
    "one",
    "only",
    "or",
    "other",
    "others",
    "our",
    "out",
    "over",
    "perhaps",
    "please",
    "rather",
    "see",
    "several",
    "she",
    "should",
    "since",
    "so",
    "some",
    "somebody",
    "someone",
    "something",
    "sometimes",
    "soon",
    "still",
    "such",
    "suddenly",
    "take",
    "than",
    "thank",
    "thanks",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "therefore",
    "these",
    "they",
    "this",
    "those",
    "though",
    "through",
    "thus",
    "to",
    "together",
    "tomorrow",
    "too",
    "two",
    "under",
    "unless",
    "unlike",
    "until",
    "up",
    "very",
    "was",
    "we",
    "well",
    "were",
    "what",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "whose",
    "why",
    "with",
    "within",
    "without",
    "would",
    "yes",
    "yet",
    "you",
    "your",
];
const OPENING: [char; 6] = ['"', '\'', '“', '‘', '(', '['];
const CLOSING: [char; 7] = ['"', '\'', '”', '’', ')', ']', '»'];

/// The sentences of a text, trimmed; none is empty. Line breaks end a sentence, as headings and verses have no stops.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        for (at, _) in line.match_indices(char::is_whitespace) {
            if at > start && ends(&line[start..at], line[at..].trim_start()) {
                sentences.push(line[start..at].trim().to_owned());
                start = at;
            }
        }
        sentences.push(line[start..].trim().to_owned());
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// Whether a sentence begins with `next`, the token behind an abbreviation's stop. A capital alone does not tell, as
/// names follow abbreviations: "the U.S. Government", "Apple Inc. CEO".
pub(super) fn begins(next: &str) -> bool {
    let word = first_word(next);
    next.is_empty()
        || (word.starts_with(char::is_uppercase) && BEGINNERS.contains(&word.to_lowercase().as_str()))
}

/// Whether `next` belongs to the time of day before it: "5 p.m. Monday".
pub(super) fn belongs_to_time(next: &str) -> bool {
    BEHIND_TIMES.contains(&first_word(next).to_lowercase().as_str())
}

/// Whether the sentence ends at the stop of its last word.
pub(super) fn has_stop(sentence: &str) -> bool {
    sentence.trim_end_matches(CLOSING).ends_with('.')
}

/// Whether a sentence may end with this token.
pub(super) fn is_ended(token: &str) -> bool {
    token.trim_end_matches(CLOSING).ends_with(['.', '!', '?'])
}

fn first_word(text: &str) -> &str {
    let word = text.trim_start_matches(OPENING);
    &word[..word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len())]
}

/// Whether a sentence ends between `before` and `after`, where white space lies.
fn ends(before: &str, after: &str) -> bool {
    let closed = before.trim_end_matches(CLOSING);
    let Some(mark) = closed.chars().next_back() else { return false };
    // What goes on in lower case is the same sentence: "Stop!" he cried.
    let goes_on = after.trim_start_matches(OPENING).starts_with(char::is_lowercase);
    match mark {
        '!' | '?' | '…' => !goes_on,
        '.' => !goes_on && ends_at_stop(closed.trim_end_matches('.'), after),
        _ => false,
    }
}

/// Whether the full stop behind `before` ends a sentence, and is not only its last word's.
fn ends_at_stop(before: &str, after: &str) -> bool {
    let mut words = before.rsplit(|c: char| c.is_whitespace() || OPENING.contains(&c) || c == '—');
    let word = words.next().unwrap_or_default();
    let lower = word.to_lowercase();
    if TITLES.contains(&lower.as_str()) {
        return false;
    }
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_uppercase() && letter != 'I' => {
            let label = words.find(|word| !word.is_empty()).unwrap_or_default().to_lowercase();
            begins(after) || LABELLED.contains(&label.as_str())
        }
        _ if matches!(lower.as_str(), "a.m" | "p.m") => !belongs_to_time(after),
        _ if is_dotted(word) || BEFORE_NAMES.contains(&lower.as_str()) => begins(after),
        _ => true,
    }
}

/// `U.S`, `Ph.D`, `J.R.R`: letters with stops between them.
fn is_dotted(word: &str) -> bool {
    word.contains('.')
        && word
            .split('.')
            .all(|part| (1..=3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphabetic()))
}
