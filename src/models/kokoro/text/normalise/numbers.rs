//! Numbers: how one is written, and the figures that are more than one number: fractions, ranges, ratios, signs.

use super::amounts::{amount, digits, spaced};
use super::{Place, Reading, money, times, units};

/// What is more than one number: signs, fractions, ranges, ratios, powers, compounds.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    if !place.core.chars().any(|c| c.is_ascii_digit()) {
        return None;
    }
    mixed(place).or_else(|| between(place)).or_else(|| code(place).map(Reading::words)).or_else(|| {
        // "a 10-in. pan"
        let own =
            place.tail == "." && place.core.contains('-') && place.ahead(1).starts_with(char::is_lowercase);
        token(place.core).map(|words| Reading { stop_is_its_own: own, ..Reading::words(words) })
    })
}

/// `PIN 4821`, `ZIP 90210`, `dial 999`: figures that are no number, by the word before them.
fn code(place: &Place<'_>) -> Option<String> {
    let named = |back: usize| place.behind(back).trim_end_matches([':', ',']).to_lowercase();
    let (last, before) = (named(1), named(2));
    let said = if matches!(last.as_str(), "is" | "number") { before.as_str() } else { last.as_str() };
    let is_code = match said {
        "pin" | "code" | "passcode" | "password" | "otp" | "zip" => (4..=8).contains(&place.core.len()),
        "call" | "dial" | "called" | "dialed" | "dialled" | "phone" | "ring" => place.core.len() == 3,
        _ => false,
    };
    (is_code && digits(place.core)).then(|| spaced(place.core))
}

/// A single token with figures; `None` where Misaki reads it itself.
pub(super) fn token(core: &str) -> Option<String> {
    if !core.chars().any(|c| c.is_ascii_digit()) {
        return None;
    }
    signed(core)
        .or_else(|| times::time(core))
        .or_else(|| hyphenated(core))
        .or_else(|| range(core))
        .or_else(|| fraction(core))
        .or_else(|| times::decade(core))
        .or_else(|| units::attached(core))
        .or_else(|| product(core))
        .or_else(|| equation(core))
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
    const SIGNS: [(&str, &str); 17] = [
        ("+/-", "plus or minus"),
        ("√", "the square root of"),
        ("∛", "the cube root of"),
        ("∓", "minus or plus"),
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
        .or_else(|| times::time(to))
        .or_else(|| times::decade(to))
        .or_else(|| plain(to))?;
    let begin = plain(from)
        .or_else(|| units::attached(from))
        .or_else(|| times::time(from))
        .or_else(|| times::decade(from))?;
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
        return Some(format!("{before} and {}", added(behind).filter(|_| is_part)?));
    }
    if let (Some(decades), true) = (times::decade(before), behind.chars().all(char::is_alphabetic)) {
        return Some(format!("{decades} {behind}"));
    }
    let is_word = before.len() > 1 && before.chars().all(|c| c.is_ascii_lowercase());
    let decades = times::decade(behind).filter(|_| is_word)?;
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

/// A fraction behind a whole number: "a half", "an eighth", "3 quarters".
pub(super) fn added(core: &str) -> Option<String> {
    let words = fraction(core)?;
    Some(match words.strip_prefix("one ") {
        Some(part) if part.starts_with("eigh") => format!("an {part}"),
        Some(part) => format!("a {part}"),
        None => words,
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
    let words = format!("{} and {}", place.core, added(fraction_part).filter(|_| is_part)?);
    if !unit.is_empty() {
        let unit = units::singular(unit).map_or_else(|| unit.replace('-', " "), str::to_owned);
        return Some(Reading { takes: 1, ..Reading::words(format!("{words} {unit}")) });
    }
    // The unit behind it, if there is one, is one of several.
    let unit = super::bare(place.ahead(2)).1;
    match units::behind(unit, place.ahead(3)) {
        Some((_, many)) if super::bare(next).2.is_empty() => {
            let own = place.ahead(3).starts_with(|c: char| !c.is_uppercase());
            Some(Reading { takes: 2, stop_is_its_own: own, ..Reading::words(format!("{words} {many}")) })
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
        "-" if is_sum(place) => "minus",
        "-" => "to",
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

/// Whether a number and the hyphen behind it belong to a sum, and not to a range.
fn is_sum(place: &Place<'_>) -> bool {
    matches!(place.ahead(3), "=" | "+" | "-" | "×" | "*")
        || matches!(place.behind(1), "+" | "-" | "×" | "*" | "=")
}

/// `5-3=2`, `x^2+1`, `2^8=256`, `6/2=3`: numbers and single letters with signs between them.
fn equation(core: &str) -> Option<String> {
    if !core.contains(['=', '^', '+', '*', '×', '÷']) || core.len() > 40 {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    let mut rest = core;
    let (mut is_operand, mut signs) = (false, 0);
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')).unwrap_or(rest.len());
        if end > 0 {
            if is_operand {
                return None;
            }
            words.push(amount(&rest[..end])?.figures);
            (is_operand, rest) = (true, &rest[end..]);
            continue;
        }
        let word = match first {
            '=' => "equals",
            '+' => "plus",
            '-' if is_operand => "minus",
            '*' | '×' | '·' if is_operand => "times",
            '/' | '÷' if is_operand => "divided by",
            '^' if is_operand => "to the power of",
            '²' if is_operand => "squared",
            '³' if is_operand => "cubed",
            '(' | ')' => "",
            c if c.is_ascii_lowercase() && !is_operand => {
                words.push(c.to_string());
                (is_operand, rest) = (true, &rest[1..]);
                continue;
            }
            _ => return None,
        };
        // "==" is said once.
        if word == "equals" && words.last().is_some_and(|last| last == word) {
            rest = &rest[1..];
            continue;
        }
        if !word.is_empty() {
            words.push(word.to_owned());
            is_operand = matches!(first, '²' | '³');
            signs += 1;
        }
        rest = &rest[first.len_utf8()..];
    }
    (is_operand && signs > 0).then(|| words.join(" "))
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
        // "Psalm 23:4-6"
        if sign == ":"
            && let Some((chapter, verses)) = core.split_once(sign)
            && digits(chapter)
            && let Some(verses) = range(verses)
        {
            return Some(format!("{chapter} {verses}"));
        }
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
    let mut number = spoken(figures)?;
    if figures.contains('/') && number.ends_with('s') {
        number.pop();
    }
    let (unit, more) = rest.split_once('-').unwrap_or((rest, ""));
    let unit = units::singular(unit).unwrap_or(if unit == "in" && more.is_empty() { "inch" } else { unit });
    let words = format!("{number} {unit} {}", more.replace('-', " "));
    Some(words.trim_end().to_owned())
}

/// A number that Misaki would misread: with a decimal comma, or of too many figures; lists without spaces; figures
/// that begin with a zero, several of a kind.
fn rewritten(core: &str) -> Option<String> {
    if let Some(amount) = amount(core) {
        let is_long = amount.decimals.is_none() && amount.whole.len() > 15;
        let is_code = digits(core) && core.len() > 1 && core.starts_with('0');
        return if is_long || is_code {
            Some(spaced(&amount.whole))
        } else {
            (amount.figures != core).then_some(amount.figures)
        };
    }
    // "747s", as Misaki reads "747's".
    if let Some(kind) = core.strip_suffix('s').filter(|kind| digits(kind)) {
        return Some(format!("{kind}'s"));
    }
    // "1'000'000"
    if core.contains(['\'', '’']) {
        let grouped = core.replace(['\'', '’'], ",");
        let is_number = digits(&grouped.replace(',', ""));
        return amount(&grouped)
            .filter(|amount| is_number && amount.decimals.is_none())
            .map(|amount| amount.figures);
    }
    let parts: Vec<&str> = core.split(',').collect();
    (parts.len() > 2 && parts.iter().all(|part| digits(part))).then(|| parts.join(", "))
}
