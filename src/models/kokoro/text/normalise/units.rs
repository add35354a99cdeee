//! Units of measure: behind a number with or without a space, in ranges, in heights by feet and inches, in angles.

mod lengths;
mod table;

pub(super) use self::lengths::height;
use self::lengths::{angle, feet_inches};
use self::table::{LOOSE, PER, TIGHT, UNITS, Unit};
use super::amounts::{Amount, amount, digits};
use super::attributive::is_attributive;
use super::{Place, Reading, bare};

fn find(units: &[Unit], sign: &str) -> Option<(&'static str, &'static str)> {
    units.iter().find(|(known, ..)| *known == sign).map(|(_, one, many)| (*one, *many))
}

/// The words of a unit behind a space, if `sign` is one there.
pub(super) fn behind(sign: &str, next: &str) -> Option<(&'static str, &'static str)> {
    if matches!(sign, "in" | "ins") {
        // Else the preposition.
        let is_inches =
            matches!(bare(next).1, "tall" | "wide" | "long" | "high" | "deep" | "thick" | "by" | "x" | "×");
        return is_inches.then_some(("inch", "inches"));
    }
    find(&UNITS, sign).or_else(|| find(&LOOSE, sign))
}

/// The singular of a unit that is part of an adjective, as in `5-kg`, or of what a price is per.
pub(super) fn singular(sign: &str) -> Option<&'static str> {
    match sign {
        "in" => None,
        "sq" => Some("square"),
        "mo" => Some("month"),
        _ => measure(sign).map(|(one, _)| one),
    }
}

/// The words of a unit that may stand in a rate: `mg`, `m2`, `m/s^2`.
fn measure(sign: &str) -> Option<(&'static str, &'static str)> {
    find(&UNITS, sign).or_else(|| {
        // An exponent as it is typed: "m2", "km^2".
        let (base, raised) = match (sign.strip_suffix('2'), sign.strip_suffix('3')) {
            (Some(base), _) => (base, "²"),
            (_, Some(base)) => (base, "³"),
            _ => return None,
        };
        let base = base.strip_suffix('^').unwrap_or(base);
        find(&UNITS, &format!("{base}{raised}"))
    })
}

/// `per kilogram`, of what stands behind a stroke.
pub(super) fn per(sign: &str) -> Option<String> {
    let sign = sign.trim_end_matches('.');
    let (figures, sign) = sign.split_at(sign.find(|c: char| !c.is_ascii_digit()).unwrap_or(sign.len()));
    let unit = singular(sign).or_else(|| PER.into_iter().find(|word| *word == sign)).or(match sign {
        "d" => Some("day"),
        "s" => Some("second"),
        _ => None,
    })?;
    let count = if figures.is_empty() { String::new() } else { format!("{figures} ") };
    let unit = if figures.is_empty() { unit } else { measure(sign).map_or(unit, |(_, many)| many) };
    Some(format!("per {count}{unit}"))
}

/// `50%`, `5kg`, `20°C`, `2GB`, `5x`, `100m2`, `5mg/kg`, `3x/week`.
pub(super) fn attached(core: &str) -> Option<String> {
    if let Some(length) = angle(core).or_else(|| feet_inches(core)).or_else(|| duration(core)) {
        return Some(length);
    }
    let (measured, rate) = match core.split_once('/') {
        Some((measured, rate)) if measure(&core[figures_of(core)..]).is_none() => (measured, per(rate)),
        _ => (core, None),
    };
    if measured != core && rate.is_none() {
        return None;
    }
    let (figures, unit) = measured.split_at(figures_of(measured));
    let number = amount(figures)?;
    // "9.58s": whole seconds would be a decade or several of a kind.
    let seconds = (unit == "s" && number.decimals.is_some()).then_some(("second", "seconds"));
    let (one, many) = measure(unit).or_else(|| find(&TIGHT, unit)).or(seconds)?;
    let words = format!("{} {}", number.counted(), if number.is_one() { one } else { many });
    Some(rate.map_or(words.clone(), |rate| format!("{words} {rate}")))
}

/// Where the number ends that `text` begins with.
fn figures_of(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')).unwrap_or(text.len());
    text[..end].trim_end_matches(['.', ',']).len()
}

/// `2h30m`, `1hr20min`: at least two units of time, each smaller than the one before.
fn duration(core: &str) -> Option<String> {
    let (mut rest, mut words, mut rank, mut count) = (core, String::new(), 0, 0);
    while !rest.is_empty() {
        let (figures, behind) = rest.split_at(figures_of(rest));
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (place, unit) = match &behind[..end] {
            "d" => (1, "day"),
            "h" | "hr" | "hrs" => (2, "hour"),
            "m" | "min" | "mins" => (3, "minute"),
            "s" | "sec" | "secs" => (4, "second"),
            _ => return None,
        };
        if !digits(figures) || place <= rank {
            return None;
        }
        words.push_str(&format!(" {figures} {unit}{}", if figures == "1" { "" } else { "s" }));
        (rank, count, rest) = (place, count + 1, &behind[end..]);
    }
    (count > 1).then(|| words.trim_start().to_owned())
}

/// `2h 30m`, `5m 30s`: a duration in several tokens.
fn durations(place: &Place<'_>) -> Option<Reading> {
    let begins = place.core.starts_with(|c: char| c.is_ascii_digit());
    if !begins || !place.tail.is_empty() || !place.core.ends_with(['d', 'h', 'm', 's', 'r', 'n']) {
        return None;
    }
    let mut whole = place.core.to_owned();
    let mut takes = 0;
    let mut last = None;
    for ahead in 1..4 {
        let (head, next, tail) = bare(place.ahead(ahead));
        if !head.is_empty() || duration(&format!("{whole}{next}")).is_none() {
            break;
        }
        whole.push_str(next);
        (takes, last) = (ahead, duration(&whole));
        if !tail.is_empty() {
            break;
        }
    }
    last.map(|words| Reading { takes, ..Reading::words(words) })
}

/// A number with its unit among its neighbours: `5 kg`, `40-60 °C`, `5 ft 10 in`, `10 sq ft`, `a 5km run`, `350F oven`.
pub(super) fn loose(place: &Place<'_>) -> Option<Reading> {
    if let Some(reading) = durations(place).or_else(|| degrees(place)).or_else(|| pressure(place)) {
        return Some(reading);
    }
    if !place.tail.is_empty() {
        return None;
    }
    if !place.core.ends_with(|c: char| c.is_ascii_digit()) {
        return adjective(place);
    }
    let number = amount(place.core);
    let words = match &number {
        Some(number) => number.counted(),
        None => super::numbers::token(place.core)?,
    };
    let is_one = number.as_ref().is_some_and(Amount::is_one) || words.starts_with("one ");
    let (head, sign, tail) = bare(place.ahead(1));
    if !head.is_empty() || sign.is_empty() {
        return None;
    }
    let (takes, (one, many), tail) = unit_ahead(place, sign, tail)?;
    let after = place.ahead(takes + 1);
    let is_single = is_one || (tail.is_empty() && is_attributive(place, after));
    // "5 m" is a length, "5 A" and "I have 5 g of it" as well; a name in capitals is none.
    let is_more = one == "foot" && after.starts_with(|c: char| c.is_ascii_digit());
    // Units stand before no names: a capital begins a sentence.
    let goes_on = after.starts_with(|c: char| !c.is_uppercase());
    let own_stop = tail.starts_with('.') && (tail.len() > 1 || is_more || goes_on);
    let words = format!("{words} {}", if is_single { one } else { many });
    Some(Reading { takes, stop_is_its_own: own_stop, ..Reading::words(words) })
}

/// The unit in the tokens ahead: how many they are, its words, and what stands behind the last.
fn unit_ahead<'a>(
    place: &Place<'a>,
    sign: &str,
    tail: &'a str,
) -> Option<(usize, (String, String), &'a str)> {
    let after = bare(place.ahead(2));
    let owned = |(one, many): (&str, &str)| (one.to_owned(), many.to_owned());
    if sign == "fl" && after.1 == "oz" {
        return Some((2, owned(("fluid ounce", "fluid ounces")), after.2));
    }
    if matches!(sign, "sq" | "cu")
        && let Some((one, many)) = find(&UNITS, after.1)
    {
        let power = if sign == "cu" { "cubic" } else { "square" };
        return Some((2, (format!("{power} {one}"), format!("{power} {many}")), after.2));
    }
    if sign == "y.o" {
        return Some((1, owned(("year old", "years old")), tail));
    }
    // "1 c. sugar"
    if sign == "c" && tail == "." && after.1.starts_with(char::is_lowercase) {
        return Some((1, owned(("cup", "cups")), tail));
    }
    if let Some((measured, rate)) = sign.split_once('/')
        && measure(sign).is_none()
    {
        let rate = per(rate)?;
        let (one, many) = measure(measured).map(owned).or_else(|| {
            // "60 beats/min"
            let is_word = measured.len() > 2 && measured.chars().all(|c| c.is_ascii_lowercase());
            is_word.then(|| (measured.to_owned(), measured.to_owned()))
        })?;
        return Some((1, (format!("{one} {rate}"), format!("{many} {rate}")), tail));
    }
    // "5 in." is inches as well, where the sentence does not go on from there.
    let inches = matches!(sign, "in" | "ins")
        && (after_feet(place)
            || (tail.is_empty() && place.ahead(2).is_empty())
            || (tail.starts_with(['.', ',', ';', ')']) && !tail.is_empty()));
    if inches {
        return Some((1, owned(("inch", "inches")), tail));
    }
    behind(sign, place.ahead(2)).or_else(|| measure(sign)).map(|unit| (1, owned(unit), tail))
}

/// `a 5km run`, `a 20% discount`, `5m people` apart: the unit is the token's own.
fn adjective(place: &Place<'_>) -> Option<Reading> {
    let (figures, unit) = place.core.split_at(figures_of(place.core));
    let (one, _) = measure(unit).filter(|_| !figures.is_empty() && is_attributive(place, place.ahead(1)))?;
    Some(Reading::words(format!("{} {one}", amount(figures)?.counted())))
}

/// `20° C`, `350F oven`, `at 20C`: degrees whose sign is missing or apart.
fn degrees(place: &Place<'_>) -> Option<Reading> {
    let scale = |letter: &str| match letter {
        "C" => Some("Celsius"),
        "F" => Some("Fahrenheit"),
        _ => None,
    };
    let next = bare(place.ahead(1));
    if let (Some(figures), Some(scale), true) =
        (place.core.strip_suffix('°'), scale(next.1), place.tail.is_empty() && next.0.is_empty())
    {
        let figures = super::numbers::spoken(figures)?;
        return Some(Reading { takes: 1, ..Reading::words(format!("{figures} degrees {scale}")) });
    }
    let end = figures_of(place.core);
    let (figures, letter) = place.core.split_at(end);
    let scale = scale(letter)?;
    let is_told = matches!(next.1, "oven" | "fan" | "weather" | "heat")
        || matches!(
            place.behind(1),
            "to" | "at" | "is" | "was" | "below" | "above" | "around" | "about" | "reach" | "reached" | "hit"
        );
    let value: u32 = figures.parse().ok()?;
    let degrees = if is_attributive(place, place.ahead(1)) { "degree" } else { "degrees" };
    (is_told && (10..600).contains(&value)).then(|| Reading::words(format!("{figures} {degrees} {scale}")))
}

/// `120/80`, of blood.
fn pressure(place: &Place<'_>) -> Option<Reading> {
    let (over, under) = place.core.split_once('/')?;
    let is_told = bare(place.ahead(1)).1 == "mmHg"
        || (1..5)
            .any(|back| matches!(bare(place.behind(back)).1, "pressure" | "BP" | "readings" | "reading"));
    if !is_told || !digits(over) || !digits(under) {
        return None;
    }
    let words = format!("{over} over {under}");
    Some(match bare(place.ahead(1)).1 {
        "mmHg" => Reading { takes: 1, ..Reading::words(format!("{words} millimeters of mercury")) },
        _ => Reading::words(words),
    })
}

/// Whether the number stands behind feet, as in "5 ft 10 in".
fn after_feet(place: &Place<'_>) -> bool {
    matches!(bare(place.behind(1)).1, "ft" | "feet" | "foot" | "'")
}
