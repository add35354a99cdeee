//! Units of measure: behind a number with or without a space, in ranges, in heights by feet and inches, in angles.

use super::amounts::{Amount, amount, digits};
use super::{Place, Reading, bare};

/// Sign, singular, plural.
type Unit = (&'static str, &'static str, &'static str);

/// Signs that mean a unit whether a space stands before them or not.
const UNITS: [Unit; 108] = [
    ("%", "percent", "percent"),
    ("‰", "per mille", "per mille"),
    ("°", "degree", "degrees"),
    ("°C", "degree Celsius", "degrees Celsius"),
    ("°F", "degree Fahrenheit", "degrees Fahrenheit"),
    ("°K", "kelvin", "kelvins"),
    ("kg", "kilogram", "kilograms"),
    ("kgs", "kilogram", "kilograms"),
    ("Kg", "kilogram", "kilograms"),
    ("KG", "kilogram", "kilograms"),
    ("g", "gram", "grams"),
    ("mg", "milligram", "milligrams"),
    ("μg", "microgram", "micrograms"),
    ("mcg", "microgram", "micrograms"),
    ("km", "kilometer", "kilometers"),
    ("Km", "kilometer", "kilometers"),
    ("KM", "kilometer", "kilometers"),
    ("m", "meter", "meters"),
    ("cm", "centimeter", "centimeters"),
    ("mm", "millimeter", "millimeters"),
    ("μm", "micrometer", "micrometers"),
    ("nm", "nanometer", "nanometers"),
    ("km/h", "kilometer per hour", "kilometers per hour"),
    ("kmh", "kilometer per hour", "kilometers per hour"),
    ("kph", "kilometer per hour", "kilometers per hour"),
    ("km/s", "kilometer per second", "kilometers per second"),
    ("m/s", "meter per second", "meters per second"),
    ("m/s²", "meter per second squared", "meters per second squared"),
    ("mph", "mile per hour", "miles per hour"),
    ("mpg", "mile per gallon", "miles per gallon"),
    ("m²", "square meter", "square meters"),
    ("m³", "cubic meter", "cubic meters"),
    ("cm²", "square centimeter", "square centimeters"),
    ("cm³", "cubic centimeter", "cubic centimeters"),
    ("km²", "square kilometer", "square kilometers"),
    ("ft²", "square foot", "square feet"),
    ("sqft", "square foot", "square feet"),
    ("ft", "foot", "feet"),
    ("yd", "yard", "yards"),
    ("yds", "yard", "yards"),
    ("mi", "mile", "miles"),
    ("lb", "pound", "pounds"),
    ("lbs", "pound", "pounds"),
    ("oz", "ounce", "ounces"),
    ("gal", "gallon", "gallons"),
    ("qt", "quart", "quarts"),
    ("tsp", "teaspoon", "teaspoons"),
    ("tbsp", "tablespoon", "tablespoons"),
    ("Tbsp", "tablespoon", "tablespoons"),
    ("ml", "milliliter", "milliliters"),
    ("mL", "milliliter", "milliliters"),
    ("cl", "centiliter", "centiliters"),
    ("dl", "deciliter", "deciliters"),
    ("l", "liter", "liters"),
    ("L", "liter", "liters"),
    ("ms", "millisecond", "milliseconds"),
    ("μs", "microsecond", "microseconds"),
    ("ns", "nanosecond", "nanoseconds"),
    ("sec", "second", "seconds"),
    ("secs", "second", "seconds"),
    ("min", "minute", "minutes"),
    ("mins", "minute", "minutes"),
    ("h", "hour", "hours"),
    ("hr", "hour", "hours"),
    ("hrs", "hour", "hours"),
    ("yr", "year", "years"),
    ("yrs", "year", "years"),
    ("KB", "kilobyte", "kilobytes"),
    ("kB", "kilobyte", "kilobytes"),
    ("MB", "megabyte", "megabytes"),
    ("GB", "gigabyte", "gigabytes"),
    ("TB", "terabyte", "terabytes"),
    ("PB", "petabyte", "petabytes"),
    ("GiB", "gibibyte", "gibibytes"),
    ("MiB", "mebibyte", "mebibytes"),
    ("kbps", "kilobit per second", "kilobits per second"),
    ("Mbps", "megabit per second", "megabits per second"),
    ("Gbps", "gigabit per second", "gigabits per second"),
    ("MB/s", "megabyte per second", "megabytes per second"),
    ("GB/s", "gigabyte per second", "gigabytes per second"),
    ("fps", "frame per second", "frames per second"),
    ("FPS", "frame per second", "frames per second"),
    ("rpm", "revolution per minute", "revolutions per minute"),
    ("bpm", "beat per minute", "beats per minute"),
    ("Hz", "hertz", "hertz"),
    ("kHz", "kilohertz", "kilohertz"),
    ("MHz", "megahertz", "megahertz"),
    ("GHz", "gigahertz", "gigahertz"),
    ("dB", "decibel", "decibels"),
    ("W", "watt", "watts"),
    ("kW", "kilowatt", "kilowatts"),
    ("kWh", "kilowatt hour", "kilowatt hours"),
    ("mAh", "milliamp hour", "milliamp hours"),
    ("V", "volt", "volts"),
    ("mV", "millivolt", "millivolts"),
    ("kV", "kilovolt", "kilovolts"),
    ("mA", "milliamp", "milliamps"),
    ("mW", "milliwatt", "milliwatts"),
    ("MW", "megawatt", "megawatts"),
    ("GW", "gigawatt", "gigawatts"),
    ("kJ", "kilojoule", "kilojoules"),
    ("kPa", "kilopascal", "kilopascals"),
    ("Ω", "ohm", "ohms"),
    ("kΩ", "kilo ohm", "kilo ohms"),
    ("Mb", "megabit", "megabits"),
    ("Gb", "gigabit", "gigabits"),
    ("px", "pixel", "pixels"),
    ("kcal", "kilocalorie", "kilocalories"),
];

/// Signs that mean a unit only where no space stands before them.
const TIGHT: [Unit; 12] = [
    ("x", "times", "times"),
    ("×", "times", "times"),
    ("k", "thousand", "thousand"),
    ("K", "thousand", "thousand"),
    ("M", "million", "million"),
    ("mn", "million", "million"),
    ("bn", "billion", "billion"),
    ("am", "a.m.", "a.m."),
    ("AM", "a.m.", "a.m."),
    ("pm", "p.m.", "p.m."),
    ("PM", "p.m.", "p.m."),
    ("in", "inch", "inches"),
];

/// Signs that mean a unit only behind a space: without one they are something else.
const LOOSE: [Unit; 4] = [
    ("s", "second", "seconds"),
    ("MP", "megapixel", "megapixels"),
    ("hp", "horsepower", "horsepower"),
    ("psi", "pound per square inch", "pounds per square inch"),
];

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

/// The singular of a unit that is part of an adjective, as in `5-kg`.
pub(super) fn singular(sign: &str) -> Option<&'static str> {
    find(&UNITS, sign).map(|(one, _)| one).or(match sign {
        "in" => None,
        "sq" => Some("square"),
        _ => None,
    })
}

/// `50%`, `5kg`, `20°C`, `2GB`, `5x`.
pub(super) fn attached(core: &str) -> Option<String> {
    if let Some(length) = angle(core).or_else(|| feet_inches(core)) {
        return Some(length);
    }
    let end = core.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (figures, unit) = core.split_at(end);
    let number = amount(figures)?;
    let (one, many) = find(&UNITS, unit).or_else(|| find(&TIGHT, unit))?;
    Some(format!("{} {}", number.counted(), if number.is_one() { one } else { many }))
}

/// A number and the unit behind it, in two tokens or more: `5 kg`, `40-60 °C`, `5 ft 10 in`, `10 sq ft`.
pub(super) fn loose(place: &Place<'_>) -> Option<Reading> {
    if !place.tail.is_empty() || !place.core.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
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
    let after = place.ahead(2);
    if sign == "fl" && bare(after).1 == "oz" {
        return Some(Reading {
            takes: 2,
            ..Reading::words(format!("{words} fluid {}", if is_one { "ounce" } else { "ounces" }))
        });
    }
    let squared = matches!(sign, "sq" | "sq." | "cu")
        .then(|| (find(&UNITS, bare(after).1), if sign == "cu" { "cubic" } else { "square" }));
    if let Some((Some((one, many)), power)) = squared {
        let unit = if is_one { one } else { many };
        return Some(Reading { takes: 2, ..Reading::words(format!("{words} {power} {unit}")) });
    }
    // "5 in." is inches as well, where the sentence does not go on from there.
    let inches = matches!(sign, "in" | "ins")
        && (after_feet(place) || (tail.starts_with(['.', ',', ';', ')']) && !tail.is_empty()));
    let (one, many) = if inches { ("inch", "inches") } else { behind(sign, after)? };
    // "5 m" is a length, "5 A" and "I have 5 g of it" as well; a name in capitals is none.
    let is_more = after.starts_with(char::is_lowercase)
        || (one == "foot" && after.starts_with(|c: char| c.is_ascii_digit()));
    let own_stop = tail.starts_with('.') && is_more;
    let words = format!("{words} {}", if is_one { one } else { many });
    Some(Reading { takes: 1, stop_is_its_own: own_stop, ..Reading::words(words) })
}

/// Whether the number stands behind feet, as in "5 ft 10 in".
fn after_feet(place: &Place<'_>) -> bool {
    matches!(bare(place.behind(1)).1, "ft" | "feet" | "foot" | "'")
}

/// Feet and inches: `6'2"`, `5' 10"`, `6'`, `12"`.
pub(super) fn height(place: &Place<'_>) -> Option<Reading> {
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
        && let Some(fraction) = super::numbers::fraction(over)
    {
        let words = format!("{} {inches} and {fraction} inches", feet_of(feet));
        return Some(Reading { takes: 1, ..Reading::whole(&head, &words, tail) });
    }
    let (words, tail) = length(rest)?;
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
    let number =
        |text: &str| super::numbers::fraction(text).or_else(|| amount(text).map(|amount| amount.figures));
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
    (fits && first.len() < 4 && !tail.starts_with(char::is_alphanumeric))
        .then(|| Some((format!("{feet} {}", inches(second)?), tail)))?
}

/// `6ft2`, `5ft10in`
fn feet_inches(core: &str) -> Option<String> {
    let (feet, inches) = core.split_once("ft")?;
    let inches = inches.strip_suffix("in").unwrap_or(inches);
    let fits = digits(feet) && digits(inches) && inches.len() < 3;
    fits.then(|| format!("{} {inches} {}", feet_of(feet), if inches == "1" { "inch" } else { "inches" }))
}

/// `40°26'46"N`: degrees, minutes and seconds of arc.
fn angle(core: &str) -> Option<String> {
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
