//! Dates as messages and answers write them: RFC 3339 out, HTTP's own form in. Pure.

use std::time::Duration;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `since_epoch` as RFC 3339 writes it, in UTC, to the millisecond.
pub(super) fn rfc3339(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let (year, month, day) = civil(seconds / DAY);
    let of_day = seconds % DAY;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since_epoch.subsec_millis()
    )
}

/// What a `Retry-After` asks for: a number of seconds, or a date (RFC 9110, 10.2.3) counted from `now`.
pub(super) fn retry_after(value: &str, now: Duration) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    Some(http_date(value)?.saturating_sub(now))
}

/// "Sun, 06 Nov 1994 08:49:37 GMT", the one form that is still written.
fn http_date(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once(", ")?;
    let mut fields = rest.split(' ');
    let (day, month, year) = (fields.next()?, fields.next()?, fields.next()?);
    let (time, zone) = (fields.next()?, fields.next()?);
    if zone != "GMT" || fields.next().is_some() || year.len() != 4 {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let (day, year): (u8, u16) = (day.parse().ok()?, year.parse().ok()?);
    let mut clock = time.split(':').map(|field| field.parse::<u8>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    if clock.next().is_some() || !(1..=31).contains(&day) || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, i64::from(day));
    let total = days * DAY + i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    u64::try_from(total).ok().map(Duration::from_secs)
}

/// Year, month and day of a day counted from the epoch, by the Gregorian calendar. Years begin in March here, so that the
/// leap day is a year's last; an era is the 400 years after which the calendar repeats.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_are_written_and_read() {
        // RFC 9110's own example, and days around leap days; figures by `date -u +%s`.
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(784_111_777)));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(Duration::from_secs(1_709_251_199)));
        assert_eq!(rfc3339(Duration::from_millis(784_111_777_042)), "1994-11-06T08:49:37.042Z");
        assert_eq!(rfc3339(Duration::from_secs(1_709_251_199)), "2024-02-29T23:59:59.000Z");
        assert_eq!(rfc3339(Duration::from_secs(1_709_251_200)), "2024-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(Duration::from_secs(4_107_542_400)), "2100-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_nothing_else() {
        let now = Duration::from_secs(784_111_700);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(77)));
        assert_eq!(retry_after("Sun, 06 Nov 1983 08:49:37 GMT", now), Some(Duration::ZERO));
        for wrong in [
            "",
            "-1",
            "1.5",
            "soon",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "99999999999",
        ] {
            assert_eq!(retry_after(wrong, now), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn days_read_back(days in -1_000_000i64..10_000_000) {
            let (year, month, day) = civil(days);
            proptest::prop_assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
