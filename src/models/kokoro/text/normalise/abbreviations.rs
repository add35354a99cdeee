//! Abbreviations in full: titles, companies, streets, American states, and what stands before numbers.
//!
//! Their full stop goes with them, unless the sentence ends at it.

mod tables;

use self::tables::{AMBIGUOUS, COUNTED, COUNTED_BARE, OLD_STATES, OTHERS, SAINTS, STATES, STREETS, TITLES};
use super::super::sentences;
use super::amounts::{digits, spaced};
use super::{Place, Reading, bare};

fn find(table: &[(&'static str, &'static str)], core: &str) -> Option<&'static str> {
    table.iter().find(|(short, _)| *short == core).map(|(_, long)| *long)
}

/// An abbreviation in full, by its neighbours.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    // A capital or nothing else is shorter than an abbreviation; most words are longer.
    if place.core.len() > 6 || !place.core.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    before_number(place)
        .or_else(|| street(place))
        .or_else(|| saint(place))
        .or_else(|| state(place))
        .or_else(|| compass(place))
        .or_else(|| with_stop(place))
}

fn whole(words: &str) -> Reading {
    Reading { stop_is_its_own: true, ..Reading::words(words.to_owned()) }
}

/// `words`, without the stop where the sentence goes on.
fn ending(place: &Place<'_>, words: &str) -> Reading {
    let own = place.tail.len() > 1 || !sentences::begins(place.ahead(1));
    Reading { stop_is_its_own: own, ..Reading::words(words.to_owned()) }
}

/// `No. 5`, `p. 12`, `ca. 1850`, `Apt. 4B`, `Op. 12`.
fn before_number(place: &Place<'_>) -> Option<Reading> {
    let (head, next, _) = bare(place.ahead(1));
    let is_label = next.starts_with(|c: char| c.is_ascii_digit())
        || (next.len() < 3 && next.starts_with(|c: char| c.is_ascii_uppercase()) && place.core == "Apt");
    if !is_label || !head.is_empty() {
        return None;
    }
    match place.tail {
        "." => find(&COUNTED, place.core).or_else(|| find(&COUNTED_BARE, place.core)).map(whole),
        "" => find(&COUNTED_BARE, place.core).map(whole),
        _ => None,
    }
}

/// Whether `token` may be the name of a street: a name, or a number as in "42nd".
fn is_name(token: &str) -> bool {
    let begins = token.trim_start_matches(['(', '"', '“', '\'']);
    let ordinal = begins.starts_with(|c: char| c.is_ascii_digit())
        && ["st", "nd", "rd", "th"].iter().any(|ending| begins.ends_with(ending));
    let is_capital = begins.starts_with(char::is_uppercase);
    let ends = token.ends_with(|c: char| c.is_alphanumeric());
    ends && (ordinal || (is_capital && !sentences::begins(token) && !PLACES_OF.contains(&begins)))
}

/// Capitalised words that are no street's name, beside those that begin sentences.
const PLACES_OF: [&str; 16] = [
    "Visit", "Near", "Around", "Dear", "Old", "Saint", "Mr", "Mrs", "Ms", "Dr", "Meet", "Ask", "Call",
    "Tell", "Hey", "Fort",
];

/// `Elm St.`, `5th Ave`, `Mulholland Dr.`
fn street(place: &Place<'_>) -> Option<Reading> {
    let name = find(&STREETS, place.core)?;
    let next = place.ahead(1);
    if !is_name(place.behind(1)) {
        // "on the Ave." is a street as well; others are not told by themselves.
        let alone = matches!(place.core, "Ave" | "Blvd" | "Rd" | "Pkwy") && place.tail.starts_with('.');
        return alone.then(|| ending(place, name));
    }
    // A name behind it makes it a doctor's or a saint's.
    let is_doctor = place.core == "Dr"
        && matches!(place.tail, "." | "")
        && next.starts_with(char::is_uppercase)
        && !sentences::begins(next)
        && !DIRECTIONS.iter().any(|(short, _)| *short == bare(next).1);
    let is_saint = place.core == "St" && SAINTS.contains(&saint_of(next)) && place.tail.len() < 2;
    if is_doctor || is_saint {
        return None;
    }
    let doubtful = matches!(place.core, "Pl" | "Ct" | "Sq" | "Ter" | "Av" | "Dr");
    match place.tail.starts_with('.') {
        true => Some(ending(place, name)),
        // Without a stop only behind a number or before a comma.
        false if doubtful => None,
        false => Some(Reading::words(name.to_owned())),
    }
}

/// The name that follows "St.", without its possessive.
fn saint_of(next: &str) -> &str {
    let name = bare(next).1;
    name.strip_suffix("'s").or_else(|| name.strip_suffix("’s")).unwrap_or(name)
}

/// `St. Louis`; without a stop only before a saint's name.
fn saint(place: &Place<'_>) -> Option<Reading> {
    if place.core != "St" {
        return None;
    }
    let next = place.ahead(1);
    match place.tail {
        "." if next.starts_with(char::is_uppercase) && !sentences::begins(next) => Some(whole("Saint")),
        "" if SAINTS.contains(&saint_of(next)) => Some(whole("Saint")),
        "" => None,
        _ => Some(ending(place, "Street")),
    }
}

/// `Austin, TX`, `Springfield, IL 62704`, `St. Paul, Minn.`
fn state(place: &Place<'_>) -> Option<Reading> {
    let behind_city = place.behind(1).ends_with(',') && place.behind(1).starts_with(char::is_uppercase);
    let next = bare(place.ahead(1)).1;
    let zip = next.split('-').next().unwrap_or_default();
    let has_zip = zip.len() == 5 && digits(zip) && place.tail.is_empty();
    if let Some(name) = find(&STATES, place.core) {
        if has_zip {
            let code = next.split('-').map(spaced).collect::<Vec<_>>().join(", ");
            return Some(Reading { takes: 1, ..Reading::words(format!("{name}, {code}")) });
        }
        let clear = behind_city && !AMBIGUOUS.contains(&place.core);
        return clear.then(|| Reading::words(name.to_owned()));
    }
    let preposition = matches!(place.behind(1), "in" | "In" | "from" | "of" | "near" | "to" | "across");
    let name = find(&OLD_STATES, place.core).filter(|_| place.tail.starts_with('.'))?;
    let clear = !matches!(place.core, "Del" | "Ill" | "Ind" | "Mass" | "Wash" | "Ga" | "Va" | "Kan" | "Ark");
    (behind_city || (preposition && clear)).then(|| ending(place, name))
}

const DIRECTIONS: [(&str, &str); 8] = [
    ("N", "North"),
    ("S", "South"),
    ("E", "East"),
    ("W", "West"),
    ("NE", "Northeast"),
    ("NW", "Northwest"),
    ("SE", "Southeast"),
    ("SW", "Southwest"),
];

/// `N. 3rd St.`, `W Elm Rd`, `Pennsylvania Ave NW`.
fn compass(place: &Place<'_>) -> Option<Reading> {
    let name = find(&DIRECTIONS, place.core)?;
    let kind =
        |token: &str| find(&STREETS, bare(token).1).is_some() || matches!(bare(token).1, "Street" | "Avenue");
    let before = matches!(place.tail, "" | ".") && is_name(bare(place.ahead(1)).1) && kind(place.ahead(2));
    if before {
        return Some(whole(name));
    }
    kind(place.behind(1)).then(|| ending(place, name))
}

fn with_stop(place: &Place<'_>) -> Option<Reading> {
    if !place.tail.starts_with('.') {
        return None;
    }
    let next = place.ahead(1);
    if let Some(title) = find(&TITLES, place.core) {
        let named = next.starts_with(|c: char| c.is_uppercase() || c == '"' || c == '“');
        return (named && place.tail == ".").then(|| whole(title));
    }
    // "Sr. Maria" is a sister, "min." behind a number minutes.
    if place.core == "Sr" && !is_name(place.behind(1)) && !place.behind(1).ends_with(',') {
        return next.starts_with(char::is_uppercase).then(|| whole("Sister"));
    }
    let behind_number = bare(place.behind(1)).1.ends_with(|c: char| c.is_ascii_digit());
    if matches!(place.core, "min" | "max" | "est" | "temp") && (behind_number || next.is_empty()) {
        return None;
    }
    // "etc." is the last word of what a capital follows.
    if matches!(place.core, "etc" | "Etc" | "ETC") {
        let own = place.tail.len() > 1 || next.starts_with(|c: char| !c.is_uppercase());
        return Some(Reading { stop_is_its_own: own, ..Reading::words("et cetera".to_owned()) });
    }
    Some(ending(place, find(&OTHERS, place.core)?))
}
