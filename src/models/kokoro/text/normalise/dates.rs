//! Dates, and months and weekdays by their abbreviations.

use super::Accent;
use super::amounts::{digits, ordinal};
use super::{Place, Reading, bare, times};

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

/// The month that a whole name or an abbreviation means.
fn any_month(core: &str) -> Option<&'static str> {
    month(core).or_else(|| MONTHS.into_iter().find(|name| *name == core))
}

/// Days by their whole name, which need a day of the month beside them to be rewritten.
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Whether it is the name of a month or a day.
pub(super) fn is_named(core: &str) -> bool {
    any_month(core).is_some() || weekday(core).is_some() || DAYS.contains(&core)
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
        let words = times::decade(place.core).unwrap_or_else(|| place.core.to_owned());
        return Some(Reading::whole("", &words, place.tail));
    }
    times::with_half(place).or_else(|| named(place)).or_else(|| of_week(place))
}

/// An abbreviated month with the day beside it; alone only where a preposition says that it is one.
fn named(place: &Place<'_>) -> Option<Reading> {
    let (day_before, month_after) = (day(place.core), bare(place.ahead(1)));
    if let (Some(value), Some(name), true) = (day_before, any_month(month_after.1), place.tail.is_empty()) {
        // A day behind it belongs to it rather: "No. 5 Jan. 6".
        let is_year = !place.ahead(2).starts_with(|c: char| c.is_ascii_digit())
            || digits(bare(place.ahead(2)).1) && bare(place.ahead(2)).1.len() == 4;
        if is_year && month_after.0.is_empty() {
            let the = if place.behind(1).eq_ignore_ascii_case("the") { "" } else { "the " };
            let words = format!("{the}{} of {name}", ordinal(value));
            return Some(Reading {
                takes: 1,
                stop_is_its_own: month(month_after.1).is_some()
                    && (month_after.2.len() > 1 || goes_on(place.ahead(2))),
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
    // `mid-Oct.`
    if let Some((part @ ("mid" | "Mid" | "early" | "late"), name)) = place.core.split_once('-')
        && let Some(name) = month(name)
    {
        let own = place.tail.starts_with('.') && goes_on(place.ahead(1));
        return Some(Reading { stop_is_its_own: own, ..Reading::words(format!("{part} {name}")) });
    }
    if let Some(reading) = whole_month(place) {
        return Some(reading);
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

/// `January 5`, `May 3–5`: the day is an ordinal.
fn whole_month(place: &Place<'_>) -> Option<Reading> {
    let name = MONTHS.into_iter().find(|name| *name == place.core).filter(|_| place.tail.is_empty())?;
    let (head, next, tail) = bare(place.ahead(1));
    let behind = place.ahead(2);
    // "In March 5 people" counts people.
    let counts = tail.is_empty() && (behind == "people" || (behind.ends_with('s') && behind.len() > 3));
    if !head.is_empty() || counts {
        return None;
    }
    let words = match next.split_once(['-', '–']) {
        None if digits(next) => ordinal(day(next)?),
        Some((from, to)) if digits(from) => format!("{} to {}", ordinal(day(from)?), ordinal(day(to)?)),
        _ => return None,
    };
    Some(Reading { takes: 1, ..Reading::words(format!("{name} {words}")) })
}

/// An abbreviated weekday before a date, or with the stop of an abbreviation inside a sentence.
fn of_week(place: &Place<'_>) -> Option<Reading> {
    let (core, tail, next) = (place.core, place.tail, place.ahead(1));
    let own = tail.starts_with('.') && (tail.len() > 1 || goes_on(next));
    // `Mon–Fri`, `Mon/Wed/Fri`
    if core.contains(['-', '–', '/']) {
        let days: Option<Vec<&str>> =
            core.split(['-', '–', '/']).map(|day| weekday(day.trim_end_matches('.'))).collect();
        let words = days?.join(if core.contains('/') { ", " } else { " to " });
        return Some(Reading { stop_is_its_own: own, ..Reading::words(words) });
    }
    let name = weekday(core)?;
    let next_core = bare(next).1;
    let before_date = any_month(next_core).is_some()
        || day(next_core).is_some()
        || weekday(next_core).is_some()
        || DAYS.contains(&next_core);
    let is_date = before_date && matches!(tail, "" | "." | "," | ".,");
    if is_date || tail == ".," {
        return Some(Reading { stop_is_its_own: true, ..Reading::words(name.to_owned()) });
    }
    // "on Thurs.", "every Tues": told by the word before it, or by its stop inside a sentence.
    let before = place.behind(1).to_lowercase();
    let told = matches!(
        before.as_str(),
        "on" | "every"
            | "each"
            | "next"
            | "last"
            | "this"
            | "by"
            | "until"
            | "till"
            | "from"
            | "to"
            | "and"
            | "since"
    );
    let is_clear = !matches!(core, "Sun" | "Sat" | "Wed" | "Mon");
    let inside = tail.starts_with('.') && goes_on(next);
    (told && (is_clear || tail.starts_with('.')) || (inside && is_clear))
        .then(|| Reading { stop_is_its_own: own, ..Reading::words(name.to_owned()) })
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
        return Some(format!("{} at {}", numeric(date, accent)?, times::time(clock)?));
    }
    if let Some(words) = with_name(core, accent) {
        return Some(words);
    }
    // `2024-05`; a month of one figure more could be another year.
    if let Some((year @ ("19" | "20"), rest)) = core.split_at_checked(2)
        && let Some((rest, month)) = rest.split_once('-')
        && month.starts_with('0')
        && rest.len() == 2
        && digits(rest)
        && let Some(name) = month.parse::<usize>().ok().and_then(|at| MONTHS.get(at.checked_sub(1)?))
    {
        return Some(format!("{name} {year}{rest}"));
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
