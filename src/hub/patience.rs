//! What is tried again, and after which pause: a count of failures, and no clock of its own.

use std::time::Duration;

use super::error::HubError;

/// How long to put up with a bad line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Failures in a row without a single new byte before giving up.
    pub(crate) retries: u32,
    /// The first pause between two tries; doubles with each failure.
    pub(crate) pause: Duration,
    /// The longest of these pauses.
    pub(crate) most: Duration,
    /// A pause that the hub asks for is kept up to this: twice the five minutes over which the public hub counts requests.
    pub(crate) longest: Duration,
    /// How long a connection may be silent: longer than any stall of a hub's storage seen in practice.
    pub(crate) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 5,
            pause: Duration::from_millis(200),
            most: Duration::from_secs(60),
            longest: Duration::from_secs(600),
            silence: Duration::from_secs(60),
        }
    }
}

/// The failures of one file so far.
#[derive(Debug)]
pub(super) struct Tries {
    patience: Patience,
    failures: u32,
    /// The most bytes that were there after a failure.
    best: u64,
}

impl Tries {
    /// None failed; `reached` bytes are there from before.
    pub(super) fn new(patience: Patience, reached: u64) -> Self {
        Self { patience, failures: 0, best: reached }
    }

    /// What was there is of no use: the next try begins from nothing.
    pub(super) fn start_over(&mut self) {
        self.best = 0;
    }

    /// The pause before the next try after `error`, with `reached` bytes there; none where there should be no other try.
    pub(super) fn after(&mut self, error: &HubError, reached: u64) -> Option<Duration> {
        let has_grown = reached > self.best;
        self.failures = if has_grown { 1 } else { self.failures + 1 };
        self.best = self.best.max(reached);
        if !error.passes() || (self.failures > self.patience.retries && !has_grown) {
            return None;
        }
        // Twenty doublings of the shortest pause are longer than any that is kept.
        let own =
            self.patience.pause.saturating_mul(1 << (self.failures - 1).min(20)).min(self.patience.most);
        match error {
            HubError::Busy { after: Some(after), .. } => {
                (*after <= self.patience.longest).then(|| own.max(*after))
            }
            _ => Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(retries: u32) -> Patience {
        Patience { retries, ..Patience::default() }
    }

    fn broken() -> HubError {
        HubError::Passing("the line broke".to_owned())
    }

    fn busy(seconds: u64) -> HubError {
        HubError::Busy { told: String::new(), after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_end_with_the_retries() {
        let mut tries = Tries::new(patience(11), 0);
        let pauses: Vec<u128> =
            std::iter::from_fn(|| tries.after(&broken(), 0)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    }

    #[test]
    fn new_bytes_give_all_patience_back_and_old_ones_none() {
        let mut tries = Tries::new(patience(2), 100);
        for reached in [50, 100] {
            assert!(tries.after(&broken(), reached).is_some());
        }
        assert_eq!(tries.after(&broken(), 101), Some(Duration::from_millis(200)));
        assert!(tries.after(&broken(), 101).is_some());
        assert_eq!(tries.after(&broken(), 101), None);
        // Even without retries a transfer that moves goes on.
        let mut tries = Tries::new(patience(0), 0);
        assert!(tries.after(&broken(), 1).is_some());
        assert_eq!(tries.after(&broken(), 1), None);
    }

    #[test]
    fn the_hubs_own_pause_is_kept_unless_it_is_too_long() {
        let mut tries = Tries::new(patience(5), 0);
        assert_eq!(tries.after(&busy(300), 0), Some(Duration::from_secs(300)));
        assert_eq!(tries.after(&busy(0), 0), Some(Duration::from_millis(400)));
        assert_eq!(tries.after(&busy(601), 0), None);
        assert_eq!(Tries::new(patience(0), 0).after(&busy(1), 0), None);
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        for error in [
            HubError::Refused("no".to_owned()),
            HubError::File("disk full".to_owned()),
            HubError::Wrong("address".to_owned()),
        ] {
            assert_eq!(Tries::new(patience(5), 0).after(&error, 9), None);
        }
    }
}
