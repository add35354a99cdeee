//! From when to when a certificate is valid: the two dates, read out of its DER.
//!
//! Follows RFC 5280, section 4.1, only as far as `validity`; everything else about a certificate is the TLS library's.
//! What does not fit is no validity, never a panic.

use std::time::Duration;

/// A certificate's two dates, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    begins: i64,
    ends: i64,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version, which the oldest certificates leave out.
const VERSION: u8 = 0xa0;

impl Validity {
    /// Of a certificate in DER.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = take(certificate, SEQUENCE)?;
        let (body, _) = take(certificate, SEQUENCE)?;
        let body = take(body, VERSION).map_or(body, |(_, rest)| rest);
        // Serial number, signature algorithm, issuer.
        let body =
            [INTEGER, SEQUENCE, SEQUENCE].into_iter().try_fold(body, |body, tag| Some(take(body, tag)?.1))?;
        let (dates, _) = take(body, SEQUENCE)?;
        let (begins, rest) = time(dates)?;
        let (ends, _) = time(rest)?;
        Some(Self { begins, ends })
    }

    /// What an operator should know at `now` (since the Unix epoch), as a predicate.
    pub(super) fn warning(&self, now: Duration, soon: Duration) -> Option<String> {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let (now, soon) = (seconds(now), seconds(soon));
        let days = |seconds: i64| seconds / 86_400;
        if now < self.begins {
            Some(format!(
                "is not valid before {} days from now: is the clock right?",
                days(self.begins - now) + 1
            ))
        } else if now > self.ends {
            Some(format!("expired {} days ago: clients will refuse it", days(now - self.ends)))
        } else if self.ends - now < soon {
            Some(format!("expires in {} days", days(self.ends - now)))
        } else {
            None
        }
    }
}

/// The content of the element with `tag` at the start of `der`, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Up to four bytes of length; a certificate is smaller by far.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

/// A time, in one of its two forms, and what follows it.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    let (year_digits, (text, rest)) = match *der.first()? {
        UTC_TIME => (2, take(der, UTC_TIME)?),
        GENERALIZED_TIME => (4, take(der, GENERALIZED_TIME)?),
        _ => return None,
    };
    // RFC 5280 wants seconds and `Z` in both.
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, others) = digits.split_at(year_digits);
    let year = match number(year) {
        // The years of the short form are 1950 to 2049.
        year if year_digits == 2 && year < 50 => year + 2000,
        year if year_digits == 2 => year + 1900,
        year => year,
    };
    let (pairs, _) = others.as_chunks::<2>();
    let [month, day, hour, minute, second] =
        <[i64; 5]>::try_from(pairs.iter().map(|pair| number(pair)).collect::<Vec<_>>()).ok()?;
    Some((days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second, rest))
}

/// Days since 1 January 1970 in the proleptic Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn dates_are_those_of_other_programs() {
        // `date -u -d DATE +%s`.
        for ((year, month, day), seconds) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 951_782_400),
            ((2024, 12, 31), 1_735_603_200),
            ((2100, 3, 1), 4_107_542_400),
            ((1950, 1, 1), -631_152_000),
        ] {
            assert_eq!(days_since_epoch(year, month, day) * 86_400, seconds, "{year}-{month}-{day}");
        }
        let utc = |text: &[u8]| time(&[&[UTC_TIME, 13][..], text].concat()).map(|(time, _)| time);
        assert_eq!(utc(b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(utc(b"500101000000Z"), Some(-631_152_000));
        assert_eq!(utc(b"49123123595 Z"), None);
        assert_eq!(utc(b"4912312359590"), None);
        let general = [&[GENERALIZED_TIME, 15][..], b"20500101000000Z"].concat();
        assert_eq!(time(&general).map(|(time, _)| time), Some(2_524_608_000));
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        for wrong in [
            &[][..],
            &[0x30],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x80, 0, 0],
            &[0x30, 2, 0x30, 9],
        ] {
            assert_eq!(Validity::of(wrong), None);
        }
    }

    #[test]
    fn an_operator_is_warned_before_and_after_the_end() {
        let at = |day: i64| Duration::from_secs(86_400 * day.unsigned_abs());
        let validity = Validity { begins: 100 * 86_400, ends: 200 * 86_400 };
        let said = |day| validity.warning(at(day), 14 * DAY);
        assert!(said(99).unwrap().contains("not valid before 2 days"));
        assert_eq!(said(100), None);
        assert_eq!(said(186), None);
        assert_eq!(said(190).unwrap(), "expires in 10 days");
        assert!(said(203).unwrap().contains("expired 3 days ago"));
    }
}
