//! How fast what no lease stands for grows. Pure, of fixed size; no allocation.
//!
//! A point a minute, over the last hour, fitted by least squares: looks a second apart say nothing new of each other, and
//! would make any slope look certain. While a lease is out that is not all allocated, use hides in it, so that a minute
//! counts by its settled looks where there were any, else by the most that was seen.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::fit::Fit;
use crate::types::Bytes;

/// Between two points.
const EVERY: Duration = Duration::from_secs(60);
/// Points that are fitted.
const POINTS: usize = 60;
/// Minutes in an hour: what slopes are told by.
const HOUR: f64 = 60.0;

/// A slope with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slope {
    /// Bytes an hour; negative where it shrinks.
    pub per_hour: i64,
    /// Its standard error, in bytes an hour.
    pub standard_error: u64,
}

/// What was seen in one minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    settled: f64,
    looks: f64,
    most: f64,
}

impl Minute {
    fn value(&self) -> f64 {
        if self.looks > 0.0 { self.settled / self.looks } else { self.most }
    }
}

/// The last hour.
#[derive(Clone, Copy, Debug)]
pub struct Trend {
    began: Option<Instant>,
    minute: u64,
    now: Minute,
    /// Minutes since the beginning, and bytes; the oldest at `next` once all are there.
    points: [(f64, f64); POINTS],
    count: usize,
    next: usize,
    slope: Option<Slope>,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            began: None,
            minute: 0,
            now: Minute::default(),
            points: [(0.0, 0.0); POINTS],
            count: 0,
            next: 0,
            slope: None,
        }
    }
}

impl Trend {
    /// Takes in what was seen `at` this moment; `settled` says whether all that leases promise is allocated.
    pub fn observe(&mut self, seen: Bytes, settled: bool, at: Instant) {
        let began = *self.began.get_or_insert(at);
        let minute = at.saturating_duration_since(began).as_secs() / EVERY.as_secs();
        if minute != self.minute {
            self.close();
            self.minute = minute;
        }
        let now = &mut self.now;
        now.most = now.most.max(seen.as_f64());
        if settled {
            now.settled += seen.as_f64();
            now.looks += 1.0;
        }
    }

    /// The slope over the last hour; none before there are three minutes to fit.
    pub fn slope(&self) -> Option<Slope> {
        self.slope
    }

    fn close(&mut self) {
        let minute = std::mem::take(&mut self.now);
        self.points[self.next] = (self.minute as f64, minute.value());
        self.next = (self.next + 1) % POINTS;
        self.count = (self.count + 1).min(POINTS);
        let mut fit = Fit::default();
        self.points[..self.count].iter().for_each(|(minute, bytes)| fit.add(minute / HOUR, *bytes));
        let (slope, error) = fit.slope();
        self.slope =
            (self.count > 2).then_some(Slope { per_hour: slope as i64, standard_error: error as u64 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slope after so many minutes of four looks each, `of` which are so many megabytes in that minute.
    fn after(minutes: u64, of: impl Fn(u64) -> f64) -> Option<Slope> {
        let (start, mut trend) = (crate::clock::now(), Trend::default());
        for look in 0..=minutes * 4 {
            let seen = Bytes::new((of(look / 4) * 1e6) as u64);
            trend.observe(seen, true, start + Duration::from_secs(look * 15));
        }
        trend.slope()
    }

    #[test]
    fn a_steady_growth_is_told_by_the_hour_and_without_an_error() {
        assert_eq!(after(2, |_| 500.0), None);
        assert_eq!(after(3, |_| 500.0), Some(Slope { per_hour: 0, standard_error: 0 }));
        let grows = after(30, |minute| 500.0 + minute as f64).unwrap();
        assert!((grows.per_hour - 60_000_000).abs() <= 1 && grows.standard_error < 100, "{grows:?}");
        let shrinks = after(30, |minute| 500.0 - minute as f64).unwrap();
        assert!((shrinks.per_hour + 60_000_000).abs() <= 1, "{shrinks:?}");
    }

    #[test]
    fn what_only_jumps_about_has_an_error_larger_than_its_slope() {
        let noise = after(60, |minute| 500.0 + f64::from(minute as u32 * 7919 % 13)).unwrap();
        assert!(noise.per_hour.unsigned_abs() < 2 * noise.standard_error, "{noise:?}");
        // Three points: 0, 6, 3 at 0, 1, 2 minutes. Slope 1.5 MB a minute; residuals -1.5, 3, -1.5: error √(13.5/1/2).
        let three = after(3, |minute| [500.0, 506.0, 503.0][minute.min(2) as usize]).unwrap();
        assert_eq!(three.per_hour, 90_000_000);
        assert!((three.standard_error as f64 - 6.75f64.sqrt() * 60e6).abs() < 1e3, "{three:?}");
    }

    #[test]
    fn only_the_last_hour_counts() {
        let level = |minute: u64| if minute < 100 { 10.0 * minute as f64 } else { 1000.0 };
        assert!(after(100, level).unwrap().per_hour > 500_000_000);
        assert_eq!(after(161, level), Some(Slope { per_hour: 0, standard_error: 0 }));
    }

    #[test]
    fn use_that_hides_in_leases_is_not_taken_for_a_change() {
        let (start, mut trend) = (crate::clock::now(), Trend::default());
        for minute in 0..=10u64 {
            let at = |second| start + Duration::from_secs(minute * 60 + second);
            let settled = minute % 2 == 0;
            trend.observe(Bytes::mb(500), settled, at(0));
            // A workspace is promised, and not yet taken; or freed, and not yet back.
            trend.observe(Bytes::mb(100 * (minute % 3)), false, at(30));
            trend.observe(Bytes::mb(if settled { 900 } else { 400 }), false, at(40));
        }
        assert_eq!(trend.slope(), Some(Slope { per_hour: 0, standard_error: 0 }));
        // Never a settled look: growth shows all the same.
        let mut busy = Trend::default();
        for minute in 0..=10u64 {
            busy.observe(Bytes::mb(500 + minute), false, start + Duration::from_secs(minute * 60));
        }
        let slope = busy.slope().unwrap();
        assert!((slope.per_hour - 60_000_000).abs() <= 1, "{slope:?}");
    }
}
