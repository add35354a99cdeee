//! When pressure by others may be over. Pure, of fixed size; no allocation.
//!
//! Where their use falls, when it will be below what clears the level; where not, in as long as it has lasted: nothing else
//! is known of it, and whoever asks again then asks a few times only, however long it lasts.

use std::time::{Duration, Instant};

use super::fit::Fit;
use crate::types::Bytes;

/// Since the beginning of this stretch of pressure.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    began: Instant,
    fit: Fit,
}

/// What is known of others' use while it keeps a level up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relief {
    stretch: Option<Stretch>,
}

/// A slope counts where it is this many standard errors below zero.
const CERTAIN: f64 = 5.0;
/// Whoever is refused asks again after this at the latest: an estimate is no more than that.
const LONGEST: Duration = Duration::from_secs(600);

impl Relief {
    /// Others' use at a look.
    pub fn observe(&mut self, others: Bytes, now: Instant) {
        let stretch = self.stretch.get_or_insert(Stretch { began: now, fit: Fit::default() });
        let seconds = now.saturating_duration_since(stretch.began).as_secs_f64();
        stretch.fit.add(seconds, others.as_f64());
    }

    /// It is not others that keep a level up, or not any more.
    pub fn over(&mut self) {
        self.stretch = None;
    }

    /// In how long the level may have cleared: `above` is what use has still to fall by, `dwell` how long it has to stay
    /// there. None where nothing was observed.
    pub fn expected(&self, above: Bytes, dwell: Duration, now: Instant) -> Option<Duration> {
        let Stretch { began, fit } = self.stretch?;
        let lasted = now.saturating_duration_since(began);
        let (slope, error) = fit.slope();
        let until_below = if above == Bytes::ZERO {
            Duration::ZERO
        } else if slope < 0.0 && -slope > CERTAIN * error {
            Duration::try_from_secs_f64(above.as_f64() / -slope).unwrap_or(LONGEST)
        } else {
            lasted
        };
        Some(until_below.saturating_add(dwell).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DWELL: Duration = Duration::from_secs(2);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What is expected after so many seconds, with one look each, `above` the floor.
    fn after(count: u64, others: impl Fn(u64) -> u64, above: u64) -> Option<Duration> {
        let (start, mut relief) = (crate::clock::now(), Relief::default());
        for second in 0..=count {
            relief.observe(Bytes::mb(others(second)), start + seconds(second));
        }
        relief.expected(Bytes::mb(above), DWELL, start + seconds(count))
    }

    #[test]
    fn use_that_falls_is_followed_to_the_floor() {
        assert_eq!(
            after(30, |second| 5000 - 50 * second, 1000),
            Some(seconds(22)),
            "1000 MB at 50 MB a second"
        );
        assert_eq!(after(30, |second| 5000 - 50 * second, 0), Some(DWELL), "below already");
        assert_eq!(after(30, |second| 5000 - second, 1_000_000), Some(LONGEST));
    }

    #[test]
    fn use_that_stays_or_grows_or_jumps_may_last_as_long_again() {
        assert_eq!(after(0, |_| 5000, 1000), Some(DWELL));
        assert_eq!(after(40, |_| 5000, 1000), Some(seconds(42)));
        assert_eq!(after(40, |second| 4000 + second, 1000), Some(seconds(42)));
        assert_eq!(after(40, |second| 5000 - second * 7919 % 13, 1000), Some(seconds(42)));
        assert_eq!(after(4000, |_| 5000, 1000), Some(LONGEST));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (start, mut relief) = (crate::clock::now(), Relief::default());
        assert_eq!(relief.expected(Bytes::mb(1), DWELL, start), None);
        relief.observe(Bytes::gb(5), start);
        relief.over();
        assert_eq!(relief.expected(Bytes::mb(1), DWELL, start + seconds(50)), None);
        relief.observe(Bytes::gb(5), start + seconds(50));
        assert_eq!(relief.expected(Bytes::mb(1), DWELL, start + seconds(60)), Some(seconds(12)));
    }
}
