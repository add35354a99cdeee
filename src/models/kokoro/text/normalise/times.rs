//! Times of day and decades.

use super::amounts::digits;
use super::{Place, Reading, bare, units};

/// `9:00 am`, `10:00–11:30 PM`: a time and the half of the day behind it.
pub(super) fn with_half(place: &Place<'_>) -> Option<Reading> {
    let next = bare(place.ahead(1)).1;
    if next.starts_with("o'clock") && place.tail.is_empty() && place.core.contains(':') {
        return time(place.core)
            .filter(|words| words.ends_with("o'clock"))
            .map(|words| Reading { takes: 1, ..Reading::words(words) });
    }
    let half = match next {
        "am" | "AM" | "Am" | "a.m" | "A.M" => "am",
        "pm" | "PM" | "Pm" | "p.m" | "P.M" => "pm",
        _ => return None,
    };
    if !place.core.contains([':', '.']) || !place.tail.is_empty() {
        return None;
    }
    let words = time(&format!("{}{half}", place.core))?;
    let words = words.replace(" o'clock to", " to");
    Some(Reading { takes: 1, ..Reading::words(words) })
}

/// `3:45`, `10:05`, `9:00pm`, `14:30:15`.
pub(super) fn time(token: &str) -> Option<String> {
    if let Some((from, to)) = token.split_once(['-', '–']) {
        return range_of_times(from, to);
    }
    let figures = token.trim_end_matches(|c: char| !c.is_ascii_digit());
    let half = match token[figures.len()..].to_ascii_lowercase().as_str() {
        "" => "",
        "am" | "a.m" => " a.m.",
        "pm" | "p.m" => " p.m.",
        _ => return None,
    };
    // "7.30 pm", as the British write it; "15h30", as the French do.
    let is_dotted =
        !half.is_empty() && figures.split_once('.').is_some_and(|(_, minutes)| minutes.len() == 2);
    let is_french = half.is_empty() && figures.split_once('h').is_some_and(|(_, minutes)| minutes.len() == 2);
    let parts: Vec<&str> = match (is_dotted, is_french) {
        (true, _) => figures.split('.').collect(),
        (_, true) => figures.split('h').collect(),
        _ => figures.split(':').collect(),
    };
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (hour, minute, ""),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    // Parts of a second are not said.
    let second = second.split('.').next().unwrap_or_default();
    let is_sixtieth =
        |text: &str| text.len() == 2 && digits(text) && text.parse::<u32>().is_ok_and(|value| value < 60);
    let fits = digits(hour) && hour.len() < 3 && hour.parse::<u32>().is_ok_and(|hour| hour < 25);
    if !fits || !is_sixtieth(minute) || !(second.is_empty() || is_sixtieth(second)) {
        return None;
    }
    let hour = hour.trim_start_matches('0');
    let hour = if hour.is_empty() { "zero" } else { hour };
    let seconds = match second.trim_start_matches('0') {
        "" => String::new(),
        "1" => " and 1 second".to_owned(),
        seconds => format!(" and {seconds} seconds"),
    };
    Some(match (minute, half) {
        ("00", "") if seconds.is_empty() && matches!(hour, "zero" | "24") => "midnight".to_owned(),
        ("00", "") if seconds.is_empty() => format!("{hour} o'clock"),
        ("00", "") => format!("{hour} o'clock{seconds}"),
        ("00", half) => format!("{hour}{half}{seconds}"),
        (minute, half) => match minute.strip_prefix('0') {
            Some(minute) => format!("{hour} oh {minute}{seconds}{half}"),
            None => format!("{hour} {minute}{seconds}{half}"),
        },
    })
}

/// `9:00-17:30`, `9:00–11am`.
fn range_of_times(from: &str, to: &str) -> Option<String> {
    if !from.contains(':') && !to.contains(':') {
        return None;
    }
    let one = |text: &str| {
        time(text).or_else(|| units::attached(text)).or_else(|| digits(text).then(|| text.to_owned()))
    };
    Some(format!("{} to {}", one(from)?, one(to)?))
}

/// `1980s`, `’90s`, `1800's`.
pub(super) fn decade(token: &str) -> Option<String> {
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
        3 if year.ends_with("00") => Some(format!("{} hundreds", &year[..1])),
        4 if year.ends_with("000") => Some(format!("{} thousands", &year[..1])),
        4 if year.ends_with("00") => Some(format!("{} hundreds", &year[..2])),
        4 => Some(format!("{} {}", &year[..2], tens(&year[2..])?)),
        _ => None,
    }
}
