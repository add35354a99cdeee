//! Times, counts and a server's texts in words for people.

use std::time::Duration;

pub(in crate::cli) use crate::client::plain;

/// A length of time in at most two units: `8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(in crate::cli) fn length(span: Duration) -> String {
    let total = span.as_secs_f64().round() as u64;
    let two = |(first, many): (&str, u64), (second, few): (&str, u64)| {
        if few == 0 { format!("{many} {first}") } else { format!("{many} {first} {few} {second}") }
    };
    match total {
        0..60 => format!("{total} s"),
        60..3_600 => two(("min", total / 60), ("s", total % 60)),
        3_600..86_400 => two(("h", total / 3_600), ("min", total % 3_600 / 60)),
        _ => two(("d", total / 86_400), ("h", total % 86_400 / 3_600)),
    }
}

/// As [`length`], of seconds as a server gives them; what is no length of time is none.
pub(in crate::cli) fn seconds(value: f64) -> String {
    length(duration(value))
}

/// Seconds as a server gives them; nonsense is zero, and more than a clock can count is the most that it can.
pub(in crate::cli) fn duration(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(if value > 0.0 { Duration::MAX } else { Duration::ZERO })
}

/// How long before `now` (since the Unix epoch) `at` was, in seconds since the Unix epoch.
pub(in crate::cli) fn age(at: f64, now: Duration) -> Duration {
    now.saturating_sub(duration(at))
}

/// The same in words.
pub(in crate::cli) fn ago(at: f64, now: Duration) -> String {
    format!("{} ago", length(age(at, now)))
}

/// `1 file`, `2 files`.
pub(in crate::cli) fn count(many: usize, what: &str) -> String {
    let plural = if many == 1 { "" } else { "s" };
    format!("{many} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_at_most_two_units() {
        for (span, told) in [
            (0.2, "0 s"),
            (59.4, "59 s"),
            (60.0, "1 min"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 5 min"),
            (86_400.0 * 3.0 + 3_600.0 * 4.0, "3 d 4 h"),
            (-5.0, "0 s"),
            (f64::NAN, "0 s"),
        ] {
            assert_eq!(seconds(span), told, "{span}");
        }
        assert!(seconds(f64::INFINITY).ends_with(" h"));
    }
}
