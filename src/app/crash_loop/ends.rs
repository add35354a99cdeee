//! Ends with 71, one after the other: which of them still count, whether somebody is to be alerted, and how long the next
//! start waits. Pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::RestartProcess;
use crate::exit::Exit;

/// More than this count for nothing: the wait is at its longest long before.
const KEPT: usize = 16;

/// Of a cause: enough to know it again.
const CAUSE_CHARS: usize = 500;

/// One process that ended with 71.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// When: seconds since the Unix epoch.
    at: u64,
    /// Why.
    cause: String,
}

/// Processes that ended with 71, one after the other, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ends {
    ends: Vec<End>,
}

/// A node whose processes have ended with 71, and what follows from that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrashLoop {
    /// How many of them, within [`within`](Self::within).
    pub count: u32,
    /// Earlier ones do not count.
    pub within: Duration,
    /// Why the last one ended.
    pub cause: String,
    /// How long this process waits before it loads anything.
    pub delay: Duration,
    /// Whether somebody should look: starting again has not helped.
    pub alert: bool,
}

impl fmt::Display for CrashLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, within, cause, delay, .. } = self;
        match count {
            1 => write!(f, "the last process of this node ended with 71: {cause}")?,
            _ => write!(
                f,
                "{count} processes of this node in a row ended with 71 within {within:.0?}; the last: {cause}"
            )?,
        }
        if *delay > Duration::ZERO { write!(f, "; nothing is loaded for {delay:.0?}") } else { Ok(()) }
    }
}

impl Ends {
    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What follows for a process that starts at `now`, since the Unix epoch; none where no end counts any more.
    pub(super) fn standing(&self, settings: &RestartProcess, now: Duration) -> Option<CrashLoop> {
        let counts = |end: &&End| now.abs_diff(Duration::from_secs(end.at)) <= settings.window;
        let last = self.ends.iter().rfind(counts)?;
        let count = u32::try_from(self.ends.iter().filter(counts).count()).unwrap_or(u32::MAX);
        // After the first, whoever starts processes waits long enough.
        let delay = match count.checked_sub(2) {
            Some(doublings) => {
                let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
                settings.backoff.saturating_mul(factor).min(settings.backoff_max)
            }
            None => Duration::ZERO,
        };
        Some(CrashLoop {
            count,
            within: settings.window,
            cause: last.cause.clone(),
            delay,
            alert: count >= settings.alert_at.get(),
        })
    }

    /// A process ended at `now`, `lasted` after it had begun. One that ended otherwise than with 71 breaks the row; one
    /// that had run for long enough begins a new one.
    pub(super) fn ended(
        &mut self,
        exit: Exit,
        cause: &str,
        lasted: Duration,
        settings: &RestartProcess,
        now: Duration,
    ) {
        if exit != Exit::DeviceLost || lasted >= settings.clean_after {
            self.ends.clear();
        }
        if exit == Exit::DeviceLost {
            self.ends.push(End { at: now.as_secs(), cause: cause.chars().take(CAUSE_CHARS).collect() });
            let too_many = self.ends.len().saturating_sub(KEPT);
            self.ends.drain(..too_many);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const SETTINGS: RestartProcess = RestartProcess {
        window: Duration::from_secs(3600),
        alert_at: NonZeroU32::MIN.saturating_add(2),
        backoff: Duration::from_secs(10),
        backoff_max: Duration::from_secs(60),
        clean_after: Duration::from_secs(1800),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lost(ends: &mut Ends, lasted: u64, at: u64) {
        ends.ended(Exit::DeviceLost, &format!("at {at}"), seconds(lasted), &SETTINGS, seconds(at));
    }

    #[test]
    fn the_wait_grows_from_the_second_on_up_to_the_longest_and_the_third_alerts() {
        let mut ends = Ends::default();
        assert_eq!(ends.standing(&SETTINGS, seconds(0)), None);
        assert!(ends.is_empty());
        let told: Vec<(u32, u64, bool)> = (1..=6)
            .map(|nth| {
                lost(&mut ends, 30, 1000 + nth);
                let it = ends.standing(&SETTINGS, seconds(1010)).unwrap();
                assert_eq!((it.cause, it.within), (format!("at {}", 1000 + nth), seconds(3600)));
                (it.count, it.delay.as_secs(), it.alert)
            })
            .collect();
        let expected =
            [(1, 0, false), (2, 10, false), (3, 20, true), (4, 40, true), (5, 60, true), (6, 60, true)];
        assert_eq!(told, expected);
        assert!(!ends.is_empty());
        for nth in 0..100 {
            lost(&mut ends, 30, 1100 + nth);
        }
        let many = ends.standing(&SETTINGS, seconds(1200)).unwrap();
        assert_eq!((many.count, many.delay, ends.ends.len()), (16, seconds(60), 16), "kept within bounds");
    }

    #[test]
    fn another_end_or_a_long_run_makes_a_new_beginning() {
        for exit in [Exit::Success, Exit::Failure, Exit::BadInput, Exit::ModelGivenUp, Exit::Interrupted] {
            let mut ends = Ends::default();
            lost(&mut ends, 30, 1000);
            ends.ended(exit, "", seconds(30), &SETTINGS, seconds(1001));
            assert!(ends.is_empty(), "{exit:?}");
        }
        let mut ends = Ends::default();
        (0..4).for_each(|nth| lost(&mut ends, 1799, 1000 + nth));
        assert_eq!(ends.standing(&SETTINGS, seconds(1010)).unwrap().count, 4);
        lost(&mut ends, 1800, 1010);
        assert_eq!(ends.standing(&SETTINGS, seconds(1010)).unwrap().count, 1);
    }

    #[test]
    fn what_earlier_processes_left_is_said_in_one_line() {
        let mut ends = Ends::default();
        lost(&mut ends, 30, 1000);
        let told = ends.standing(&SETTINGS, seconds(1001)).unwrap().to_string();
        assert_eq!(told, "the last process of this node ended with 71: at 1000");
        lost(&mut ends, 30, 1001);
        let told = ends.standing(&SETTINGS, seconds(1002)).unwrap().to_string();
        let expected = "2 processes of this node in a row ended with 71 within 3600s; the last: at 1001; nothing is \
                        loaded for 10s";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_lies_outside_the_window_does_not_count_whichever_way_the_clock_went() {
        let mut ends = Ends::default();
        [10_000, 12_000, 13_600].into_iter().for_each(|at| lost(&mut ends, 30, at));
        let count = |now| ends.standing(&SETTINGS, seconds(now)).map(|it| it.count);
        assert_eq!(count(13_600), Some(3));
        assert_eq!(count(13_601), Some(2));
        assert_eq!(count(17_200), Some(1));
        assert_eq!(count(17_201), None);
        assert_eq!(count(12_000), Some(3), "set back a little: they count as just now");
        assert_eq!(count(100), None, "set back far: nothing of it can be believed");
    }

    #[test]
    fn a_cause_is_kept_within_bounds_and_reads_back() {
        let mut ends = Ends::default();
        ends.ended(Exit::DeviceLost, &"ü".repeat(10_000), seconds(1), &SETTINGS, seconds(5));
        let text = serde_json::to_string(&ends).unwrap();
        assert!(text.len() < 1100, "{}", text.len());
        assert_eq!(serde_json::from_str::<Ends>(&text).unwrap(), ends);
    }
}
