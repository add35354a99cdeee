//! Where a sentence ends.

/// Abbreviations that a full stop belongs to, without it, in lower case. After these a capital begins no sentence.
const ABBREVIATIONS: [&str; 46] = [
    "mr", "mrs", "ms", "mx", "dr", "prof", "rev", "fr", "hon", "gen", "col", "maj", "capt", "cpt", "lt",
    "sgt", "cpl", "adm", "gov", "sen", "rep", "pres", "st", "mt", "ft", "messrs", "mme", "vs", "e.g", "i.e",
    "cf", "no", "nos", "vol", "fig", "figs", "ch", "pp", "ed", "eds", "approx", "dept", "univ", "assn",
    "bros", "est",
];

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

/// Whether a sentence ends between `before` and `after`, where white space lies.
fn ends(before: &str, after: &str) -> bool {
    let closed = before.trim_end_matches(['"', '\'', '”', '’', ')', ']', '»']);
    let Some(mark) = closed.chars().next_back() else { return false };
    // What goes on in lower case is the same sentence: "Stop!" he cried.
    let goes_on = after.trim_start_matches(['"', '\'', '“', '‘', '(', '[']).starts_with(char::is_lowercase);
    match mark {
        '!' | '?' | '…' => !goes_on,
        '.' => !goes_on && !is_abbreviation(closed.trim_end_matches('.')),
        _ => false,
    }
}

/// Whether the last word is an abbreviation or an initial.
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || "([\"“‘'".contains(c)).next().unwrap_or_default();
    let mut letters = word.chars();
    let initial = matches!((letters.next(), letters.next()), (Some(c), None) if c.is_uppercase() && c != 'I');
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}
