//! Dates, months and weekdays by their abbreviations, times of day, decades.

use super::Accent;
use super::amounts::{digits, ordinal};
use super::{Place, Reading, bare};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The month that an abbreviation means.
fn month(core: &str) -> Option<&'static str> {
    let place = match core {
        "Jan" | "JAN" => 0,
        "Feb" | "FEB" | "Febr" => 1,
        "Mar" | "MAR" => 2,
        "Apr" | "APR" => 3,
        "Jun" | "JUN" => 5,
        "Jul" | "JUL" => 6,
        "Aug" | "AUG" => 7,
        "Sep" | "SEP" | "Sept" | "SEPT" => 8,
        "Oct" | "OCT" => 9,
        "Nov" | "NOV" => 10,
        "Dec" | "DEC" => 11,
        _ => return None,
    };
    MONTHS.get(place).copied()
}

fn weekday(core: &str) -> Option<&'static str> {
    Some(match core {
        "Mon" => "Monday",
        "Tue" | "Tues" => "Tuesday",
        "Wed" => "Wednesday",
        "Thu" | "Thur" | "Thurs" => "Thursday",
        "Fri" => "Friday",
        "Sat" => "Saturday",
        "Sun" => "Sunday",
        _ => return None,
    })
}

/// `2024-01-15`, `01/15/2024`, `15.01.2024`, `2024-01-15T14:30`; `Jan. 5`, `5 Jan 2024`, `Mon., Feb. 3rd`.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    if let Some(words) = numeric(place.core, place.accent) {
        return Some(Reading::words(words));
    }
    // `'90s`, the class of `'24`: the mark stands for the century and opens no quotation.
    let short = place
        .raw
        .strip_prefix(['\'', '‘', '’'])
        .filter(|short| short.starts_with(place.core) && !place.tail.contains(['\'', '’']));
    if short.is_some()
        && place.core.len() < 4
        && place.core.trim_end_matches('s').len() == 2
        && digits(place.core.trim_end_matches('s'))
    {
        let words = decade(place.core).unwrap_or_else(|| place.core.to_owned());
        return Some(Reading::whole("", &words, place.tail));
    }
    with_half(place).or_else(|| named(place)).or_else(|| of_week(place))
}

/// `9:00 am`, `10:00–11:30 PM`: a time and the half of the day behind it.
fn with_half(place: &Place<'_>) -> Option<Reading> {
    let half = match bare(place.ahead(1)).1 {
        "am" | "AM" | "Am" | "a.m" | "A.M" => "am",
        "pm" | "PM" | "Pm" | "p.m" | "P.M" => "pm",
        _ => return None,
    };
    if !place.core.contains(':') || !place.tail.is_empty() {
        return None;
    }
    let words = time(&format!("{}{half}", place.core))?;
    let words = words.replace(" o'clock to", " to");
    Some(Reading { takes: 1, ..Reading::words(words) })
}

/// An abbreviated month with the day beside it; alone only where a preposition says that it is one.
fn named(place: &Place<'_>) -> Option<Reading> {
    let (day_before, month_after) = (day(place.core), bare(place.ahead(1)));
    if let (Some(value), Some(name), true) = (day_before, month(month_after.1), place.tail.is_empty()) {
        // A day behind it belongs to it rather: "No. 5 Jan. 6".
        let is_year = !place.ahead(2).starts_with(|c: char| c.is_ascii_digit())
            || digits(bare(place.ahead(2)).1) && bare(place.ahead(2)).1.len() == 4;
        if is_year && month_after.0.is_empty() {
            let the = if place.behind(1).eq_ignore_ascii_case("the") { "" } else { "the " };
            let words = format!("{the}{} of {name}", ordinal(value));
            return Some(Reading {
                takes: 1,
                stop_is_its_own: month_after.2.len() > 1 || goes_on(place.ahead(2)),
                ..Reading::words(words)
            });
        }
    }
    // `Jan.-Mar.`
    if let Some((from, to)) = place.core.split_once(['-', '–'])
        && let (Some(from), Some(to)) = (month(from.trim_end_matches('.')), month(to))
    {
        let own = place.tail.starts_with('.') && (place.tail.len() > 1 || goes_on(place.ahead(1)));
        return Some(Reading { stop_is_its_own: own, ..Reading::words(format!("{from} to {to}")) });
    }
    let name = month(place.core)?;
    let (head, next, _) = bare(place.ahead(1));
    let stop = matches!(place.tail, "" | ".");
    if stop
        && head.is_empty()
        && let Some(value) = day(next)
    {
        return Some(Reading { takes: 1, ..Reading::words(format!("{name} {}", ordinal(value))) });
    }
    if stop
        && head.is_empty()
        && let Some((from, to)) = next.split_once(['-', '–'])
        && let (Some(from), Some(to)) = (day(from), day(to))
    {
        let words = format!("{name} {} to {}", ordinal(from), ordinal(to));
        return Some(Reading { takes: 1, ..Reading::words(words) });
    }
    // `Oct. 31–Nov. 2`
    if stop
        && let Some((from, to)) = next.split_once(['-', '–'])
        && let (Some(from), Some(other), Some(to)) =
            (day(from), month(to.trim_end_matches('.')), day(bare(place.ahead(2)).1))
    {
        let words = format!("{name} {} to {other} {}", ordinal(from), ordinal(to));
        return Some(Reading { takes: 2, ..Reading::words(words) });
    }
    let is_year = stop && next.len() == 4 && digits(next);
    let before = place.behind(1).trim_end_matches(',').to_lowercase();
    let after_preposition = [
        "in", "of", "since", "by", "until", "till", "from", "last", "next", "this", "early", "late", "mid",
        "every", "and", "to",
    ]
    .contains(&before.as_str())
        && place.core.len() > 2
        && (place.tail.starts_with('.') || before == "in" || before == "since");
    if !(is_year || after_preposition) || place.core == "MAR" {
        return None;
    }
    let own = place.tail.starts_with('.') && (is_year || goes_on(place.ahead(1)));
    Some(Reading { stop_is_its_own: own, ..Reading::words(name.to_owned()) })
}

/// An abbreviated weekday before a date, or with the stop of an abbreviation inside a sentence.
fn of_week(place: &Place<'_>) -> Option<Reading> {
    let name = weekday(place.core)?;
    let next = bare(place.ahead(1)).1;
    let before_date =
        month(next).is_some() || MONTHS.contains(&next) || day(next).is_some() || weekday(next).is_some();
    let is_date = before_date && matches!(place.tail, "" | "." | "," | ".,");
    (is_date || place.tail == ".,")
        .then(|| Reading { stop_is_its_own: true, ..Reading::words(name.to_owned()) })
}

/// Whether what follows an abbreviation's stop is the same sentence.
fn goes_on(next: &str) -> bool {
    !next.is_empty() && !next.starts_with(char::is_uppercase)
}

fn day(core: &str) -> Option<u32> {
    let figures =
        ["st", "nd", "rd", "th"].into_iter().find_map(|suffix| core.strip_suffix(suffix)).unwrap_or(core);
    (digits(figures) && figures.len() < 3)
        .then(|| figures.parse().ok())
        .flatten()
        .filter(|day| (1..=31).contains(day))
}

/// A date in figures. Where either could be the day, Americans begin with the month.
fn numeric(core: &str, accent: Accent) -> Option<String> {
    if let Some((date, time_of_day)) = core.split_once('T') {
        let clock = time_of_day.trim_end_matches('Z').split(['+', '-', '.']).next()?;
        return Some(format!("{} at {}", numeric(date, accent)?, time(clock)?));
    }
    if let Some(words) = with_name(core, accent) {
        return Some(words);
    }
    let sign = core.chars().find(|c| !c.is_ascii_digit()).filter(|sign| matches!(sign, '-' | '/' | '.'))?;
    let parts: Vec<&str> = core.split(sign).collect();
    let [first, second, third] = parts[..] else { return None };
    if !parts.iter().all(|part| digits(part) && part.len() <= 4) {
        return None;
    }
    let (year, month, day) = match (first.len(), second.len(), third.len()) {
        (4, 1..=2, 1..=2) => (first.to_owned(), second, third),
        (1..=2, 1..=2, 4) | (1..=2, 1..=2, 2) => {
            // Two figures for the year could be a version or a sum.
            if third.len() == 2 && sign != '/' {
                return None;
            }
            let day_first = match (first.parse::<u32>().ok()?, second.parse::<u32>().ok()?) {
                (13.., _) => true,
                (_, 13..) => false,
                _ => sign == '.' || accent == Accent::British,
            };
            let (month, day) = if day_first { (second, first) } else { (first, second) };
            (full_year(third)?, month, day)
        }
        _ => return None,
    };
    let name = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day = day.parse::<u32>().ok().filter(|day| (1..=31).contains(day))?;
    Some(said(name, day, &year, accent))
}

/// `15-Jan-2024`, `Jan-15-2024`.
fn with_name(core: &str, accent: Accent) -> Option<String> {
    let parts: Vec<&str> = core.split('-').collect();
    let [first, second, third] = parts[..] else { return None };
    let named = |text: &str| month(text).or_else(|| MONTHS.into_iter().find(|name| *name == text));
    let (name, date) = match (named(first), named(second)) {
        (Some(name), _) => (name, day(second)?),
        (None, Some(name)) => (name, day(first)?),
        _ => return None,
    };
    let year = full_year(third).filter(|year| digits(year) && year.len() == 4)?;
    Some(said(name, date, &year, accent))
}

fn said(month: &str, day: u32, year: &str, accent: Accent) -> String {
    match accent {
        Accent::American => format!("{month} {}, {year}", ordinal(day)),
        Accent::British => format!("the {} of {month}, {year}", ordinal(day)),
    }
}

/// `24` is 2024, `85` is 1985.
fn full_year(figures: &str) -> Option<String> {
    if figures.len() == 4 {
        return Some(figures.to_owned());
    }
    let short: u32 = figures.parse().ok()?;
    Some(format!("{}", if short < 50 { 2000 + short } else { 1900 + short }))
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
    let parts: Vec<&str> = figures.split(':').collect();
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
        time(text).or_else(|| super::units::attached(text)).or_else(|| digits(text).then(|| text.to_owned()))
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
