//! Lengths by feet and inches, and angles, by their marks.

use super::super::amounts::{amount, digits};
use super::super::attributive::is_attributive;
use super::super::{Place, Reading};

/// Feet and inches: `6'2"`, `5' 10"`, `6'`, `12"`.
pub(in super::super) fn height(place: &Place<'_>) -> Option<Reading> {
    let raw = place.raw;
    let start = raw.find(|c: char| c.is_ascii_digit())?;
    if !raw[..start].chars().all(|c| matches!(c, '(' | '[' | '"' | '“' | '~' | '—')) {
        return None;
    }
    let head = raw[..start].replace('~', "about ");
    let rest = &raw[start..];
    // A range or a size of several: `5'-6'`, `8"x10"`.
    for (sign, word) in [("-", "to"), ("–", "to"), ("x", "by"), ("×", "by")] {
        if let Some((from, to)) = rest.split_once(sign)
            && let (Some((from, "")), Some((to, tail))) = (length(from), length(to))
        {
            return Some(Reading::whole(&head, &format!("{from} {word} {to}"), tail));
        }
    }
    // `5'10 1/2"`: the fraction stands in a token of its own.
    if let Some((feet, inches)) = rest.split_once(['\'', '’'])
        && digits(feet)
        && digits(inches)
        && let Some((over, tail)) = place.ahead(1).split_once(['"', '”'])
        && let Some(fraction) = super::super::numbers::added(over)
    {
        let words = format!("{} {inches} and {fraction} inches", feet_of(feet));
        return Some(Reading { takes: 1, ..Reading::whole(&head, &words, tail) });
    }
    let (mut words, tail) = length(rest)?;
    // "a 12-inch pizza"
    if tail.is_empty() && is_attributive(place, place.ahead(1)) {
        for (many, one) in [("inches", "inch"), ("feet", "foot")] {
            words = words.strip_suffix(many).map_or(words.clone(), |number| format!("{number}{one}"));
        }
    }
    let sign = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '/'));
    // One mark alone may close a quotation.
    let is_single = rest.matches(['\'', '’', '"', '”']).count() == 1;
    let closes = is_single
        && ((sign.starts_with(['"', '”']) && is_quoted(place, &raw[..start], ['"', '“', '”']))
            || (sign.starts_with(['\'', '’']) && is_quoted(place, &raw[..start], ['\'', '‘', '’'])));
    if closes {
        return None;
    }
    let (next, behind) = (place.ahead(1), place.ahead(2));
    // `4' x 6'`
    if tail.is_empty()
        && matches!(next, "x" | "X" | "×" | "by")
        && let Some((other, tail)) = length(behind)
    {
        return Some(Reading { takes: 2, ..Reading::whole(&head, &format!("{words} by {other}"), tail) });
    }
    // `5' 10"` in two tokens.
    if tail.is_empty()
        && (words.ends_with("feet") || words.ends_with("foot"))
        && let Some((inches, tail)) = length(next)
        && inches.contains("inch")
    {
        return Some(Reading { takes: 1, ..Reading::whole(&head, &format!("{words} {inches}"), tail) });
    }
    Some(Reading::whole(&head, &words, tail))
}

/// Whether a quotation by these marks is open before the place or in its `head`. A mark behind figures is a length's.
fn is_quoted(place: &Place<'_>, head: &str, marks: [char; 3]) -> bool {
    let before = &place.tokens[..place.at];
    let opens = |token: &str| token.trim_start_matches(['(', '[']).starts_with(marks);
    let closes = |token: &str| {
        let word = token.trim_end_matches(['.', ',', '!', '?', ';', ':', ')']);
        word.strip_suffix(marks).is_some_and(|word| !word.ends_with(|c: char| c.is_ascii_digit()))
    };
    let opened = before.iter().copied().filter(|token| opens(token)).count() + usize::from(opens(head));
    opened > before.iter().copied().filter(|token| closes(token)).count()
}

fn feet_of(figures: &str) -> String {
    format!("{figures} {}", if figures == "1" { "foot" } else { "feet" })
}

/// The length that `text` begins with, in words, and what follows it: `6'2"`, `6'`, `5.5"`.
fn length(text: &str) -> Option<(String, &str)> {
    let figures = |text: &str| {
        text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '/')).unwrap_or(text.len())
    };
    let (first, rest) = text.split_at(figures(text));
    let number = |text: &str| {
        super::super::numbers::fraction(text).or_else(|| amount(text).map(|amount| amount.figures))
    };
    let inches = |figures: &str| {
        Some(format!("{} {}", number(figures)?, if figures == "1" { "inch" } else { "inches" }))
    };
    let double = |text: &str| -> Option<usize> {
        ["''", "’’", "\"", "”", "“"].into_iter().find(|mark| text.starts_with(mark)).map(str::len)
    };
    if let Some(mark) = double(rest) {
        let tail = &rest[mark..];
        return (!tail.starts_with(char::is_alphanumeric)).then(|| Some((inches(first)?, tail)))?;
    }
    let behind = rest.strip_prefix(['\'', '’', '‘'])?;
    let feet = format!("{} {}", number(first)?, if first == "1" { "foot" } else { "feet" });
    let (second, tail) = behind.split_at(figures(behind));
    let second = second.trim_end_matches('.');
    if second.is_empty() {
        return (!behind.starts_with(char::is_alphanumeric)).then_some((feet, behind));
    }
    // Twelve inches are a foot; more than two figures are something else.
    let fits = second
        .split(['.', '/'])
        .next()
        .and_then(|whole| whole.parse::<u32>().ok())
        .is_some_and(|whole| whole < 12);
    let tail = if tail.is_empty() { &behind[second.len()..] } else { tail };
    let tail = double(tail).map_or(tail, |mark| &tail[mark..]);
    (fits
        && first.len() < 4
        && second.len() < 5
        && !second.starts_with("00")
        && !tail.starts_with(char::is_alphanumeric))
    .then(|| Some((format!("{feet} {}", inches(second)?), tail)))?
}

/// `6ft2`, `5ft10in`
pub(super) fn feet_inches(core: &str) -> Option<String> {
    let (feet, inches) = core.split_once("ft")?;
    let inches = inches.strip_suffix("in").unwrap_or(inches);
    let fits = digits(feet) && digits(inches) && inches.len() < 3;
    fits.then(|| format!("{} {inches} {}", feet_of(feet), if inches == "1" { "inch" } else { "inches" }))
}

/// `40°26'46"N`: degrees, minutes and seconds of arc.
pub(super) fn angle(core: &str) -> Option<String> {
    let (degrees, rest) = core.split_once('°')?;
    let (minutes, rest) = rest.split_once(['\'', '’'])?;
    let (seconds, rest) = rest.split_once(['"', '”']).unwrap_or(("", rest));
    let direction = match rest {
        "" => "",
        "N" => " north",
        "S" => " south",
        "E" => " east",
        "W" => " west",
        _ => return None,
    };
    amount(degrees)?;
    amount(minutes)?;
    let seconds =
        if seconds.is_empty() { String::new() } else { format!(" {} seconds", amount(seconds)?.figures) };
    Some(format!("{degrees} degrees {minutes} minutes{seconds}{direction}"))
}
