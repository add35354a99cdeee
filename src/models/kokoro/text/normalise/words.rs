//! Tokens of letters that are read as other words: abbreviations, Roman numerals, signs.

use super::Accent;
use super::{Place, Reading, bare, dates};

/// A token in words, by its neighbours; `None` where it is read as it stands.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    let (previous, core, tail, next) = (place.behind(1), place.core, place.tail, place.ahead(1));
    if let Some(words) = half_of_day(place) {
        return Some(Reading::words(words));
    }
    if core == "PO" && matches!(bare(next).1, "Box" | "box" | "BOX") {
        return Some(Reading::words("P.O.".to_owned()));
    }
    if core == "Mc" && tail.is_empty() && next.starts_with(char::is_uppercase) {
        return Some(Reading { takes: 1, ..Reading::words(format!("Mc{}", bare(next).1)) });
    }
    plain(previous, core, next).map(Reading::words)
}

/// The half of the day behind a number; "Am" elsewhere is a name's and no abbreviation.
fn half_of_day(place: &Place<'_>) -> Option<String> {
    let before = bare(place.behind(1));
    let is_time = before.1.ends_with(|c: char| c.is_ascii_digit()) && before.2.is_empty();
    match place.core {
        "am" | "AM" | "Am" if is_time => Some("a.m.".to_owned()),
        "pm" | "PM" | "Pm" if is_time => Some("p.m.".to_owned()),
        "am" if before.1.starts_with(char::is_uppercase) && before.1 != "I" && before.2.is_empty() => {
            Some(verb(place.accent))
        }
        "Am" if !before.1.is_empty() && !before.2.contains(['.', '!', '?', ':']) => Some(verb(place.accent)),
        _ => None,
    }
}

fn plain(previous: &str, core: &str, next: &str) -> Option<String> {
    if core.contains('_') && core.chars().any(char::is_alphanumeric) {
        return Some(core.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
    }
    // "mc²", "α-helix"
    for (sign, power) in [('²', "squared"), ('³', "cubed")] {
        if let Some(base) = core.strip_suffix(sign).filter(|base| base.ends_with(char::is_alphanumeric)) {
            return Some(format!("{base} {power}"));
        }
    }
    if let Some((letter, rest)) = core.split_once('-')
        && let Some(name) = greek(letter)
    {
        return Some(format!("{name} {rest}"));
    }
    if let Some(words) = sign(previous, core, next) {
        return Some(words.to_owned());
    }
    // "18+", "C++", "C#"
    let language = core.strip_suffix("++").map(|name| (name, "plus plus"));
    let language = language
        .or_else(|| core.strip_suffix('#').filter(|name| name.len() == 1).map(|name| (name, "sharp")));
    let language = language.or_else(|| core.strip_suffix('+').map(|name| (name, "plus")));
    if let Some((name, sign)) = language
        && !name.is_empty()
        && name.chars().all(char::is_alphanumeric)
    {
        return Some(format!("{name} {sign}"));
    }
    Some(
        match core {
            "&" => "and",
            "@" => "at",
            "+" => "plus",
            "=" => "equals",
            "%" => "percent",
            "°C" => "degrees Celsius",
            "°F" => "degrees Fahrenheit",
            "km/h" => "kilometers per hour",
            "mph" => "miles per hour",
            "w/" => "with",
            "w/o" => "without",
            "vs" => "versus",
            "-" | "–" if is_span(previous, next) => "to",
            "-" if !next.is_empty() && !previous.is_empty() => "—",
            "btw" | "BTW" => "by the way",
            _ => return None,
        }
        .to_owned(),
    )
}

/// Whether a dash parts two ends of a span of time or numbers: "9 a.m. – 5 p.m.", "Aug. 3 - Sept. 5".
fn is_span(previous: &str, next: &str) -> bool {
    let (before, behind) = (bare(previous), bare(next).1);
    let ended = before.1.ends_with(|c: char| c.is_ascii_digit() || c == '%') && before.2.is_empty()
        || matches!(before.1, "a.m" | "p.m" | "am" | "pm" | "AM" | "PM");
    ended
        && (behind.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '€' | '£'))
            || dates::is_named(behind))
}

/// "am" as it is said where it is no half of the day. Misaki says the words that it knows its own way, whatever phonemes
/// stand beside them, so it is given another one.
fn verb(accent: Accent) -> String {
    match accent {
        Accent::American => "[Amm](/ˈæm/)",
        Accent::British => "[Amm](/ˈam/)",
    }
    .to_owned()
}

/// A sign that stands alone.
fn sign(previous: &str, core: &str, next: &str) -> Option<&'static str> {
    let number = |token: &str| bare(token).1.chars().any(|c| c.is_ascii_digit());
    let beside_number = number(previous) || number(next);
    Some(match core {
        "∈" => "in",
        "∪" => "union",
        "∩" => "intersection",
        "⊂" | "⊆" => "is a subset of",
        "∴" => "therefore",
        "∀" => "for all",
        "∃" => "there is",
        "¬" => "not",
        "∂" => "partial",
        "∫" => "the integral of",
        "∇" => "nabla",
        "∝" => "is proportional to",
        "≡" => "is identical to",
        "⇒" => "implies",
        "↔" | "⇔" => "if and only if",
        "∓" => "minus or plus",
        ">" if beside_number => "is greater than",
        "<" if beside_number => "is less than",
        "≥" | ">=" => "is at least",
        "≤" | "<=" => "is at most",
        "≠" | "!=" => "is not equal to",
        "≈" => "is about",
        "~" if beside_number => "is about",
        "±" | "+/-" => "plus or minus",
        // Between lengths it parts the sides of something.
        "×" if bare(previous).1.ends_with(char::is_alphabetic) && number(next) => "by",
        "×" => "times",
        "÷" => "divided by",
        "→" => "to",
        "∞" => "infinity",
        "√" => "the root of",
        _ => return greek(core),
    })
}

/// The name of a Greek letter that stands for something.
fn greek(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "α" => "alpha",
        "β" => "beta",
        "γ" => "gamma",
        "δ" | "Δ" => "delta",
        "ε" => "epsilon",
        "θ" => "theta",
        "λ" => "lambda",
        "μ" => "mu",
        "π" => "pi",
        "σ" | "Σ" => "sigma",
        "φ" => "phi",
        "ω" | "Ω" => "omega",
        _ => return None,
    })
}
