//! Tokens with figures in them: money, times, decades, ranges, telephone numbers, units, fractions, per cent.

use super::Reading;

/// An amount of money in words, with the token behind it where that is its scale (`million`).
pub(super) fn money(token: &str, next: &str) -> Option<Reading> {
    let sign = token.chars().next()?;
    let (one, many, part, parts) = match sign {
        '$' => ("dollar", "dollars", "cent", "cents"),
        '€' => ("euro", "euros", "cent", "cents"),
        '£' => ("pound", "pounds", "penny", "pence"),
        '¥' => ("yen", "yen", "", ""),
        _ => return None,
    };
    let rest = &token[sign.len_utf8()..];
    let figures = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (whole, fraction) = amount(figures)?;
    let scale = match &rest[figures.len()..] {
        "" => None,
        "k" | "K" => Some("thousand"),
        "m" | "M" | "mn" => Some("million"),
        "b" | "B" | "bn" => Some("billion"),
        "tn" | "T" => Some("trillion"),
        _ => return None,
    };
    if let Some(scale) = scale {
        return Some(Reading::words(format!("{figures} {scale} {many}")));
    }
    let bare: &str = next.trim_end_matches(|c: char| !c.is_alphanumeric());
    if matches!(bare, "thousand" | "million" | "billion" | "trillion") {
        return Some(Reading { takes_next: true, ..Reading::words(format!("{figures} {bare} {many}")) });
    }
    let unit = if whole == "1" { one } else { many };
    let words = match fraction {
        None | Some("00") => format!("{} {unit}", cardinal(&whole)),
        Some(cents) if cents.len() == 2 => {
            let count = cents.trim_start_matches('0');
            let small = format!("{count} {}", if count == "1" { part } else { parts });
            if whole == "0" { small } else { format!("{} {unit} and {small}", cardinal(&whole)) }
        }
        Some(_) => format!("{figures} {many}"),
    };
    Some(Reading::words(words))
}

/// Any other token with figures in words; `None` where Misaki reads it itself.
pub(super) fn read(token: &str) -> Option<String> {
    if !token.chars().any(|c| c.is_ascii_digit()) {
        return None;
    }
    signed(token)
        .or_else(|| time(token))
        .or_else(|| telephone(token))
        .or_else(|| range(token))
        .or_else(|| fraction(token))
        .or_else(|| decade(token))
        .or_else(|| with_unit(token))
}

/// `-5`, `+3`, `#7`, `~10`: Misaki keeps the figure and loses the sign.
fn signed(token: &str) -> Option<String> {
    let (word, rest) = match token.chars().next()? {
        '-' => ("minus", &token[1..]),
        '+' => ("plus", &token[1..]),
        '#' => ("number", &token[1..]),
        '~' => ("about", &token[1..]),
        _ => return None,
    };
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then(|| format!("{word} {}", read(rest).unwrap_or_else(|| rest.to_owned())))
}

/// `3:45`, `10:05`, `9:00pm`.
fn time(token: &str) -> Option<String> {
    let (hour, rest) = token.split_once(':')?;
    let minute = rest.get(..2)?;
    let half = match rest.get(2..)?.to_ascii_lowercase().as_str() {
        "" => "",
        "am" | "a.m" => " a.m.",
        "pm" | "p.m" => " p.m.",
        _ => return None,
    };
    if !(digits(hour) && digits(minute) && hour.parse::<u32>().ok()? < 25 && minute.parse::<u32>().ok()? < 60)
    {
        return None;
    }
    let hour = hour.trim_start_matches('0');
    let hour = if hour.is_empty() { "zero" } else { hour };
    Some(match (minute, half) {
        ("00", "") => format!("{hour} o'clock"),
        ("00", half) => format!("{hour}{half}"),
        (minute, half) => match minute.strip_prefix('0') {
            Some(minute) => format!("{hour} oh {minute}{half}"),
            None => format!("{hour} {minute}{half}"),
        },
    })
}

/// `555-0199`, `1-800-555-0199`: figure by figure, with a pause between groups.
fn telephone(token: &str) -> Option<String> {
    let groups: Vec<&str> = token.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let known = matches!(lengths[..], [3, 4] | [3, 3, 4] | [1, 3, 3, 4]);
    if !known || !groups.iter().all(|group| digits(group)) {
        return None;
    }
    let spelled = groups.iter().map(|group| spaced(group));
    Some(spelled.collect::<Vec<_>>().join(", "))
}

/// `10-20`, `1914–1918`.
fn range(token: &str) -> Option<String> {
    let (from, to) = token.split_once(['-', '–'])?;
    (digits(from) && digits(to)).then(|| format!("{from} to {to}"))
}

/// `1/2`, `3/4`, `2/3`.
fn fraction(token: &str) -> Option<String> {
    let (over, under) = token.split_once('/')?;
    let (count, parts) = (over.parse::<u32>().ok()?, under.parse::<u32>().ok()?);
    let part = match parts {
        2 => "half",
        3 => "third",
        4 => "quarter",
        5 => "fifth",
        8 => "eighth",
        10 => "tenth",
        _ => return None,
    };
    let word = if count == 1 { "one" } else { over };
    let plural = if part == "half" { "halves" } else { "" };
    Some(match (count, plural) {
        (1, _) => format!("{word} {part}"),
        (_, "") => format!("{word} {part}s"),
        (_, plural) => format!("{word} {plural}"),
    })
}

/// `1980s`, `’90s`.
fn decade(token: &str) -> Option<String> {
    let year = token.trim_start_matches(['\'', '’']).strip_suffix('s')?.trim_end_matches(['\'', '’']);
    if !digits(year) || !year.ends_with('0') {
        return None;
    }
    let tens = |two: &str| {
        Some(match two {
            "10" => "tens",
            "20" => "twenties",
            "30" => "thirties",
            "40" => "forties",
            "50" => "fifties",
            "60" => "sixties",
            "70" => "seventies",
            "80" => "eighties",
            "90" => "nineties",
            _ => return None,
        })
    };
    match year.len() {
        2 => tens(year).map(str::to_owned),
        4 if year.ends_with("000") => Some(format!("{} thousands", &year[..1])),
        4 if year.ends_with("00") => Some(format!("{} hundreds", &year[..2])),
        4 => Some(format!("{} {}", &year[..2], tens(&year[2..])?)),
        _ => None,
    }
}

/// `50%`, `5kg`, `20°C`, `2GB`, `5x`; and figures too long to be a number, one by one.
fn with_unit(token: &str) -> Option<String> {
    let figures = token.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &token[figures.len()..];
    let (whole, _) = amount(figures)?;
    if unit.is_empty() {
        return (whole.len() > 15).then(|| spaced(&whole));
    }
    let (one, many) = match unit {
        "%" => ("percent", "percent"),
        "x" | "×" => ("times", "times"),
        "°" => ("degree", "degrees"),
        "°C" => ("degree Celsius", "degrees Celsius"),
        "°F" => ("degree Fahrenheit", "degrees Fahrenheit"),
        "kg" => ("kilogram", "kilograms"),
        "g" => ("gram", "grams"),
        "mg" => ("milligram", "milligrams"),
        "km" => ("kilometer", "kilometers"),
        "m" => ("meter", "meters"),
        "cm" => ("centimeter", "centimeters"),
        "mm" => ("millimeter", "millimeters"),
        "km/h" => ("kilometer per hour", "kilometers per hour"),
        "mph" => ("mile per hour", "miles per hour"),
        "ft" => ("foot", "feet"),
        "lb" | "lbs" => ("pound", "pounds"),
        "oz" => ("ounce", "ounces"),
        "ml" => ("milliliter", "milliliters"),
        "l" | "L" => ("liter", "liters"),
        "s" => return None,
        "ms" => ("millisecond", "milliseconds"),
        "h" | "hr" | "hrs" => ("hour", "hours"),
        "min" | "mins" => ("minute", "minutes"),
        "KB" | "kB" => ("kilobyte", "kilobytes"),
        "MB" => ("megabyte", "megabytes"),
        "GB" => ("gigabyte", "gigabytes"),
        "TB" => ("terabyte", "terabytes"),
        "Hz" => ("hertz", "hertz"),
        "kHz" => ("kilohertz", "kilohertz"),
        "GHz" => ("gigahertz", "gigahertz"),
        "W" => ("watt", "watts"),
        "kW" => ("kilowatt", "kilowatts"),
        "V" => ("volt", "volts"),
        "k" | "K" => ("thousand", "thousand"),
        "am" | "AM" => ("a.m.", "a.m."),
        "pm" | "PM" => ("p.m.", "p.m."),
        _ => return None,
    };
    Some(format!("{figures} {}", if figures == "1" { one } else { many }))
}

/// The whole part without commas, and the decimals, of `1,250.75`; `None` where it is no such number.
fn amount(figures: &str) -> Option<(String, Option<&str>)> {
    let (whole, fraction) = match figures.split_once('.') {
        None => (figures, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let plain = whole.replace(',', "");
    (digits(&plain) && fraction.is_none_or(digits)).then_some((plain, fraction))
}

/// A number that Misaki does not take for a year: four figures alone would be one.
fn cardinal(whole: &str) -> String {
    match whole.len() {
        4 => format!("{},{}", &whole[..1], &whole[1..]),
        _ => whole.to_owned(),
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn spaced(figures: &str) -> String {
    figures.chars().map(String::from).collect::<Vec<_>>().join(" ")
}
