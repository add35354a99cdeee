//! When a delivery that failed is tried again, and when it is given up. Pure.

use std::time::Duration;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Waits after each failed try, the first of which comes at once: short while a receiver may only be restarting, then
/// longer, so that one that is gone costs little. Together just under [`WINDOW`]; the last try falls on its end.
const WAITS: [Duration; 12] = [
    seconds(5),
    seconds(30),
    seconds(120),
    seconds(600),
    seconds(1800),
    seconds(3600),
    seconds(7200),
    seconds(10_800),
    seconds(14_400),
    seconds(14_400),
    seconds(14_400),
    seconds(14_400),
];

/// How long a delivery is tried.
const WINDOW: Duration = seconds(24 * 3600);

/// Tries that each delivery gets, however old it is: a clock that jumps, or a node that was down for two days, costs nobody
/// the tries of the first two hours.
const LEAST: u32 = 7;

/// Tries after which it is given up even if the clock says that no time went by: more than a day of [`WAITS`] has.
const MOST: u32 = 20;

/// How far each wait is stretched or shortened at most, so that deliveries that failed together do not return together.
const SPREAD: f64 = 0.1;

/// No delivery waits longer between two tries, whatever its receiver asks for: a row that is due later than this was written
/// before the clock was set back.
pub const LONGEST_WAIT: Duration = seconds(5 * 3600);

/// What comes after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another, after this wait.
    Again(Duration),
    /// None.
    GiveUp,
}

/// What comes after `tries` tries, of a delivery that has been there for `age`; `random` is between 0 and 1.
pub(super) fn after(tries: u32, age: Duration, retry_after: Option<Duration>, random: f64) -> Next {
    let over = age >= WINDOW;
    if tries >= MOST || (over && tries >= LEAST) {
        return Next::GiveUp;
    }
    let step = (tries.max(1) as usize - 1).min(WAITS.len() - 1);
    let wait = WAITS[step].mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random.clamp(0.0, 1.0));
    // Past the window the receiver's wish counts no more: the tries left are few and soon over.
    let wished = retry_after.unwrap_or_default().min(LONGEST_WAIT);
    Next::Again(if over { wait } else { wait.max(wished).min(WINDOW - age) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the tries fall, counted from the first.
    fn tries(random: f64, retry_after: Option<Duration>) -> Vec<Duration> {
        let mut times = vec![Duration::ZERO];
        let mut age = Duration::ZERO;
        while let Next::Again(wait) = after(times.len() as u32, age, retry_after, random) {
            age += wait;
            times.push(age);
        }
        times
    }

    #[test]
    fn tries_go_on_for_a_day_and_the_last_falls_on_its_end() {
        let exact = tries(0.5, None);
        assert_eq!(exact[..5], [0, 5, 35, 155, 755].map(Duration::from_secs));
        for random in [0.0, 0.3, 0.5, 1.0] {
            let times = tries(random, None);
            assert_eq!(times.last(), Some(&WINDOW));
            assert!((12..=16).contains(&times.len()), "{}", times.len());
        }
        assert_eq!(tries(0.0, None)[1], Duration::from_millis(4500));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_more_than_the_day() {
        let Next::Again(wait) = after(1, Duration::ZERO, Some(seconds(900)), 0.5) else { panic!() };
        assert_eq!(wait, seconds(900));
        let Next::Again(wait) = after(5, seconds(755), Some(seconds(1)), 0.5) else { panic!() };
        assert_eq!(wait, seconds(1800));
        let greedy = tries(0.5, Some(Duration::from_secs(u32::MAX.into())));
        assert!(greedy.len() <= 8 && greedy.iter().all(|at| *at < seconds(26 * 3600)), "{greedy:?}");
        let Next::Again(wait) = after(1, Duration::ZERO, Some(seconds(u64::MAX)), 0.5) else { panic!() };
        assert_eq!(wait, LONGEST_WAIT);
        assert!(WAITS.iter().all(|wait| wait.mul_f64(1.0 + SPREAD) < LONGEST_WAIT));
    }

    #[test]
    fn clocks_that_jump_neither_end_it_early_nor_keep_it_for_ever() {
        let years = seconds(10 * 365 * 86_400);
        for tries in 1..LEAST {
            assert!(matches!(after(tries, years, None, 0.5), Next::Again(wait) if wait <= seconds(3960)));
        }
        assert_eq!(after(LEAST, years, None, 0.5), Next::GiveUp);
        assert_eq!(after(MOST, Duration::ZERO, None, 0.5), Next::GiveUp);
    }
}
