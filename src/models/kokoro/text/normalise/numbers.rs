//! Numbers: how one is written, and the figures that are more than one number: fractions, ranges, ratios, signs.

use super::amounts::{amount, digits, spaced};
use super::{Place, Reading, dates, money, units};

/// What is more than one number: signs, fractions, ranges, ratios, powers, compounds.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    if !place.core.chars().any(|c| c.is_ascii_digit()) {
        return None;
    }
    mixed(place).or_else(|| between(place)).or_else(|| token(place.core).map(Reading::words))
}

/// A single token with figures; `None` where Misaki reads it itself.
pub(super) fn token(core: &str) -> Option<String> {
    if !core.chars().any(|c| c.is_ascii_digit()) {
        return None;
    }
    signed(core)
        .or_else(|| dates::time(core))
        .or_else(|| hyphenated(core))
        .or_else(|| range(core))
        .or_else(|| fraction(core))
        .or_else(|| dates::decade(core))
        .or_else(|| units::attached(core))
        .or_else(|| product(core))
        .or_else(|| power(core))
        .or_else(|| compound(core))
        .or_else(|| rewritten(core))
}

/// A token as it is read, whoever reads it.
pub(super) fn spoken(core: &str) -> Option<String> {
    money::token(core).or_else(|| token(core)).or_else(|| amount(core).map(|amount| amount.figures))
}

/// `-5`, `+3`, `±2`, `#7`, `~10`, `<5`: Misaki keeps the figure and loses the sign.
fn signed(core: &str) -> Option<String> {
    const SIGNS: [(&str, &str); 14] = [
        ("+/-", "plus or minus"),
        ("±", "plus or minus"),
        ("-", "minus"),
        ("+", "plus"),
        ("#", "number"),
        ("~", "about"),
        ("≈", "about"),
        (">=", "at least"),
        ("<=", "at most"),
        ("≥", "at least"),
        ("≤", "at most"),
        (">", "more than"),
        ("<", "less than"),
        ("§", "section"),
    ];
    let (sign, word) = SIGNS.into_iter().find(|(sign, _)| core.starts_with(sign))?;
    let rest = &core[sign.len()..];
    let is_number =
        rest.trim_start_matches(['.', '$', '€', '£', '¥', '₹']).starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| format!("{word} {}", spoken(rest).unwrap_or_else(|| rest.to_owned())))
}

/// `10-20`, `1914–1918`, `40-60°C`, `9am–5pm`, `$10-$20`.
pub(super) fn range(core: &str) -> Option<String> {
    let at = core.char_indices().skip(1).find(|(_, c)| matches!(c, '-' | '–' | '—'))?.0;
    let (from, rest) = core.split_at(at);
    let to = &rest[rest.chars().next()?.len_utf8()..];
    if digits(from) && digits(to) {
        return Some(format!("{from} to {to}"));
    }
    let number = |text: &str| text.chars().any(|c| c.is_ascii_digit()) && !text.contains('-');
    if !number(from) || !number(to) {
        return None;
    }
    let end = units::attached(to)
        .or_else(|| dates::time(to))
        .or_else(|| dates::decade(to))
        .or_else(|| plain(to))?;
    let begin = plain(from)
        .or_else(|| units::attached(from))
        .or_else(|| dates::time(from))
        .or_else(|| dates::decade(from))?;
    Some(format!("{begin} to {end}"))
}

/// `1-1/2`, `mid-1990s`: a hyphen that parts no range.
fn hyphenated(core: &str) -> Option<String> {
    let (before, behind) = core.split_once('-')?;
    if digits(before) && behind.is_empty() {
        return Some(before.to_owned());
    }
    if digits(before) {
        let (over, under) = behind.split_once('/')?;
        let is_part = over.parse::<u32>().ok()? < under.parse::<u32>().ok()?;
        return Some(format!("{before} and {}", fraction(behind).filter(|_| is_part)?));
    }
    if let (Some(decades), true) = (dates::decade(before), behind.chars().all(char::is_alphabetic)) {
        return Some(format!("{decades} {behind}"));
    }
    let is_word = before.len() > 1 && before.chars().all(|c| c.is_ascii_lowercase());
    let decades = dates::decade(behind).filter(|_| is_word)?;
    Some(format!("{before} {decades}"))
}

fn plain(text: &str) -> Option<String> {
    fraction(text).or_else(|| amount(text).map(|amount| amount.figures))
}

/// `1/2`, `3/4`, `2/3rds`.
pub(super) fn fraction(core: &str) -> Option<String> {
    let core = core.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let (over, under) = core.split_once('/')?;
    let (count, parts) = (over.parse::<u32>().ok()?, under.parse::<u32>().ok()?);
    if !digits(over) || !digits(under) {
        return None;
    }
    let part = match parts {
        2 => "half",
        3 => "third",
        4 => "quarter",
        5 => "fifth",
        6 if count < parts => "sixth",
        7 if count < parts => "seventh",
        8 => "eighth",
        9 if count < parts => "ninth",
        10 if count == parts => return Some(format!("{over} out of {under}")),
        10 => "tenth",
        12 if count < parts => "twelfth",
        16 if count < parts => "sixteenth",
        32 if count < parts => "thirty-second",
        64 if count < parts => "sixty-fourth",
        100 if count < parts => "hundredth",
        _ => return None,
    };
    Some(match (count, part) {
        (1, _) => format!("one {part}"),
        (_, "half") => format!("{over} halves"),
        _ => format!("{over} {part}s"),
    })
}

/// `1 1/2`: a whole number and a fraction of the next.
fn mixed(place: &Place<'_>) -> Option<Reading> {
    let next = place.ahead(1);
    if !digits(place.core) || !place.tail.is_empty() || !next.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (_, core, _) = super::bare(next);
    let (fraction_part, unit) = core.split_once('-').map_or((core, ""), |(fraction, unit)| (fraction, unit));
    let (over, under) = fraction_part.split_once('/')?;
    let is_part = over.parse::<u32>().ok()? < under.parse::<u32>().ok()?;
    let words = format!("{} and {}", place.core, fraction(fraction_part).filter(|_| is_part)?);
    if !unit.is_empty() {
        let unit = units::singular(unit).map_or_else(|| unit.replace('-', " "), str::to_owned);
        return Some(Reading { takes: 1, ..Reading::words(format!("{words} {unit}")) });
    }
    // The unit behind it, if there is one, is one of several.
    let unit = super::bare(place.ahead(2)).1;
    match units::behind(unit, place.ahead(3)) {
        Some((_, many)) if super::bare(next).2.is_empty() => {
            Some(Reading { takes: 2, ..Reading::words(format!("{words} {many}")) })
        }
        _ => Some(Reading { takes: 1, ..Reading::words(words) }),
    }
}

/// `5 × 3`, `10 / 2`, `40 – 60 °C`: a sign between two numbers.
fn between(place: &Place<'_>) -> Option<Reading> {
    let (sign, to) = (place.ahead(1), super::bare(place.ahead(2)).1);
    let word = match sign {
        "/" | "÷" => "divided by",
        "×" | "*" | "⋅" | "·" => "times",
        "x" | "X" => "by",
        "–" => "to",
        "±" | "+/-" => "plus or minus",
        _ => return None,
    };
    let is_number =
        |text: &str| text.trim_start_matches(['$', '€', '£', '-']).starts_with(|c: char| c.is_ascii_digit());
    if !place.tail.is_empty() || !is_number(place.core) || !is_number(to) {
        return None;
    }
    let from = spoken(place.core)?;
    Some(Reading { takes: 1, tail: Some(String::new()), ..Reading::words(format!("{from} {word}")) })
}

/// `1920x1080`, `2×4`, `16:9`, `2*3`, `3+4=7`.
fn product(core: &str) -> Option<String> {
    for (sign, word) in [
        ("x", "by"),
        ("×", "by"),
        ("*", "times"),
        (":", "to"),
        ("=", "equals"),
        ("+", "plus"),
        ("÷", "divided by"),
    ] {
        if let Some((from, to)) = core.split_once(sign)
            && let (Some(from), Some(_)) = (amount(from), to.chars().next().filter(char::is_ascii_digit))
        {
            let to = spoken(to)?;
            return Some(format!("{} {word} {to}", from.figures));
        }
    }
    // `18+`
    let open = core.strip_suffix('+')?;
    Some(format!("{} plus", spoken(open)?))
}

/// `10²`, `10³`, `10⁶`, `2^10`, `1.5e-3`.
fn power(core: &str) -> Option<String> {
    let base = core.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit());
    if let Some(base) = base.strip_suffix('^').and_then(amount) {
        return Some(format!("{} to the power of {}", base.figures, exponent(core.rsplit('^').next()?)?));
    }
    if let Some((mantissa, power)) = core.split_once(['e', 'E'])
        && let (Some(mantissa), Some(power)) = (amount(mantissa), exponent(power.trim_start_matches('+')))
    {
        return Some(format!("{} times 10 to the power of {power}", mantissa.figures));
    }
    let (base, word) = core
        .strip_suffix('²')
        .map(|base| (base, "squared"))
        .or_else(|| Some((core.strip_suffix('³')?, "cubed")))?;
    Some(format!("{} {word}", amount(base)?.figures))
}

fn exponent(text: &str) -> Option<String> {
    let (sign, figures) = text.strip_prefix('-').map_or(("", text), |figures| ("minus ", figures));
    (digits(figures) && figures.len() < 4).then(|| format!("{sign}{figures}"))
}

/// `5-year-old`, `10-12-year-old`, `3-day`, `5-kg`: a number that is part of an adjective.
fn compound(core: &str) -> Option<String> {
    let letters = core.find(|c: char| c.is_alphabetic())?;
    let (figures, rest) = core.split_at(letters);
    let figures = figures.strip_suffix(['-', '–'])?;
    if !rest.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '/' | '\'' | '’' | '²' | '³'))
        || rest.contains("/-")
    {
        return None;
    }
    let number = spoken(figures)?;
    let (unit, more) = rest.split_once('-').unwrap_or((rest, ""));
    let unit = units::singular(unit).unwrap_or(unit);
    let words = format!("{number} {unit} {}", more.replace('-', " "));
    Some(words.trim_end().to_owned())
}

/// A number that Misaki would misread: with a decimal comma, or of too many figures; lists without spaces.
fn rewritten(core: &str) -> Option<String> {
    if let Some(amount) = amount(core) {
        let is_long = amount.decimals.is_none() && amount.whole.len() > 15;
        return if is_long {
            Some(spaced(&amount.whole))
        } else {
            (amount.figures != core).then_some(amount.figures)
        };
    }
    let parts: Vec<&str> = core.split(',').collect();
    (parts.len() > 2 && parts.iter().all(|part| digits(part))).then(|| parts.join(", "))
}
