//! A measure before what it measures is in the singular: "a 5 kilometer run", "a 20 dollar bill".

use super::Place;

/// Words that end what an article before a measure began: no noun follows it.
const PARTICLES: [&str; 95] = [
    "a", "above", "across", "after", "again", "ago", "all", "an", "and", "apart", "are", "around", "as",
    "at", "away", "back", "be", "because", "been", "before", "below", "but", "by", "could", "did", "do",
    "does", "down", "each", "earlier", "every", "extra", "for", "from", "had", "has", "have", "he", "her",
    "his", "i", "if", "in", "into", "is", "it", "its", "just", "later", "less", "may", "might", "more", "my",
    "not", "of", "off", "on", "only", "or", "our", "out", "over", "per", "plus", "she", "should", "since",
    "so", "than", "that", "the", "their", "them", "then", "there", "they", "this", "through", "to", "today",
    "total", "under", "until", "up", "was", "we", "were", "when", "which", "while", "who", "will", "with",
    "you",
];
const ARTICLES: [&str; 14] =
    ["a", "an", "another", "each", "every", "her", "his", "its", "my", "our", "that", "the", "their", "this"];

/// Whether a measure at `place` that ends before `after` describes the noun behind it.
pub(super) fn is_attributive(place: &Place<'_>, after: &str) -> bool {
    let article = place.behind(1).trim_start_matches(['(', '"', '“', '\'']);
    let is_article =
        ARTICLES.contains(&article.to_lowercase().as_str()) && !matches!(article, "every" | "Every");
    let noun = after.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '"', '”']);
    is_article
        && noun.starts_with(|c: char| c.is_alphabetic())
        && noun.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’'))
        && !PARTICLES.contains(&noun.to_lowercase().as_str())
}
