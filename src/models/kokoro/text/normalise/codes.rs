//! Names made of figures and letters: resolutions, ordinals in compounds, flights and rooms, plans by their number.

use super::amounts::digits;
use super::{Place, Reading, bare};

/// Behind these, three figures are read as one and two: "Flight 328".
const NUMBERED: [&str; 11] = [
    "Airbus",
    "Boeing",
    "Flight",
    "Highway",
    "Hwy",
    "Interstate",
    "Room",
    "Route",
    "Suite",
    "flight",
    "room",
];
/// Of what a lower-case k or a plural behind K is a resolution.
const PICTURES: [&str; 20] = [
    "camera",
    "cameras",
    "content",
    "display",
    "displays",
    "footage",
    "image",
    "images",
    "monitor",
    "monitors",
    "movie",
    "movies",
    "quality",
    "resolution",
    "screen",
    "screens",
    "tv",
    "tvs",
    "video",
    "videos",
];
/// What is counted by the million, before which an m is no metre.
const COUNTED: [&str; 24] = [
    "people",
    "users",
    "views",
    "viewers",
    "followers",
    "subscribers",
    "customers",
    "copies",
    "jobs",
    "homes",
    "visitors",
    "downloads",
    "barrels",
    "shares",
    "voters",
    "players",
    "workers",
    "members",
    "residents",
    "listeners",
    "streams",
    "plays",
    "likes",
    "euros",
];
/// Names that are said in a way of their own.
const NAMED: [(&str, &str); 8] = [
    ("401k", "4 oh 1 K"),
    ("401K", "4 oh 1 K"),
    ("401(k", "4 oh 1 K"),
    ("403(b", "4 oh 3 B"),
    ("501(c)(3", "5 oh 1 C 3"),
    ("911", "9 1 1"),
    ("9-1-1", "9 1 1"),
    ("50-50", "50 50"),
];

/// A token in words, by its neighbours.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    let core = place.core;
    if !core.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some((name, words)) = NAMED.iter().find(|(name, _)| *name == core)
        && place.behind(1) != "Porsche"
    {
        let tail = if name.contains('(') { place.tail.strip_prefix(')')? } else { place.tail };
        return Some(Reading { tail: Some(tail.to_owned()), ..Reading::words((*words).to_owned()) });
    }
    lines(core)
        .or_else(|| ordinals(core))
        .or_else(|| thousand(place))
        .or_else(|| numbered(place))
        .or_else(|| airliner(core))
        .or_else(|| wireless(core))
        .map(Reading::words)
}

/// `1080p`, `720p60`, `1080i`: the number of lines of a picture.
fn lines(core: &str) -> Option<String> {
    let at = core.find(['p', 'i'])?;
    let (figures, rest) = core.split_at(at);
    let known = ["144", "240", "360", "480", "576", "720", "1080", "1440", "2160", "4320"].contains(&figures);
    let rate = &rest[1..];
    if !known || !(rate.is_empty() || digits(rate)) {
        return None;
    }
    let words = format!("{} {}", in_pairs(figures), rest[..1].to_uppercase());
    Some(if rate.is_empty() { words } else { format!("{words} {rate}") })
}

/// Figures two by two, from the right: 328 is "3 28", 305 "3 oh 5"; whole hundreds stay.
pub(in super::super) fn in_pairs(figures: &str) -> String {
    let (first, last) = match figures.len() {
        3 | 4 if !figures.ends_with("00") => figures.split_at(figures.len() - 2),
        _ => return figures.to_owned(),
    };
    match last.strip_prefix('0') {
        Some(last) => format!("{first} oh {last}"),
        None => format!("{first} {last}"),
    }
}

/// `1st-class`, `21st-century`, `3rd-5th`.
fn ordinals(core: &str) -> Option<String> {
    let (first, rest) = core.split_once(['-', '–'])?;
    let is_ordinal = |text: &str| {
        ["st", "nd", "rd", "th"].iter().any(|ending| text.strip_suffix(ending).is_some_and(digits))
    };
    if !is_ordinal(first) {
        return None;
    }
    if is_ordinal(rest) {
        return Some(format!("{first} to {rest}"));
    }
    let is_word = rest.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’'));
    (is_word && !rest.is_empty()).then(|| format!("{first} {}", rest.replace('-', " ")))
}

/// `4K`: letters where it is a picture's or a race's, a thousand of what is counted; `5m people`.
fn thousand(place: &Place<'_>) -> Option<String> {
    let next = bare(place.ahead(1)).1;
    if let Some(figures) = place.core.strip_suffix('m') {
        let counts = super::amounts::amount(figures)?;
        return (COUNTED.contains(&next) && place.tail.is_empty())
            .then(|| format!("{} million", counts.figures));
    }
    let figures = place.core.strip_suffix(['K', 'k'])?;
    let is_picture = PICTURES.contains(&next.to_lowercase().as_str()) && place.tail.is_empty();
    let counted = next == "people" || (next.starts_with(char::is_lowercase) && next.ends_with('s'));
    let is_name = matches!(figures, "2" | "4" | "5" | "6" | "8" | "10" | "12" | "16");
    let is_letter = is_picture || (place.core.ends_with('K') && !(counted && place.tail.is_empty()));
    (is_name && is_letter).then(|| format!("{figures} K"))
}

/// `Flight 328`, `Boeing 747`.
fn numbered(place: &Place<'_>) -> Option<String> {
    let is_known = NUMBERED.contains(&place.behind(1)) && digits(place.core) && place.core.len() == 3;
    is_known.then(|| in_pairs(place.core)).filter(|words| words != place.core)
}

/// `747-400`: a type of airliner and which one of it.
fn airliner(core: &str) -> Option<String> {
    let (kind, model) = core.split_once('-')?;
    let is_boeing = kind.len() == 3 && kind.starts_with('7') && kind.ends_with('7') && digits(kind);
    (is_boeing && digits(model)).then(|| format!("{} {model}", in_pairs(kind)))
}

/// `802.11ac`
fn wireless(core: &str) -> Option<String> {
    let letters = core.strip_prefix("802.11")?;
    letters
        .chars()
        .all(|c| c.is_ascii_lowercase())
        .then(|| format!("8 oh 2 point 11 {}", letters.to_uppercase()).trim_end().to_owned())
}
