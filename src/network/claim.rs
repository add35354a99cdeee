//! How long a claim on a piece of work holds. Pure but for the shared clock that writers look at.
//!
//! The queue does not fence: it takes the word of a node that has lost its claim. So a node counts itself, from the moment
//! when it asked (never from when an answer came), by a clock that also runs while the machine sleeps, and looks at it right
//! before each write.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock;

/// The share of AckWait after which a claim without confirmed progress is over.
const SHARE: f64 = 0.8;
/// Progress is told so often within that time: two may be lost.
const TOLD: u32 = 3;

/// A claim: until when it holds. Times are since the machine was started, its sleep included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    holds_until: Duration,
    lasts: Duration,
}

impl Claim {
    /// That a pull brought which was sent at `sent`; the queue gives the work to another node `ack_wait` after it delivered
    /// it, which was later.
    pub fn pulled(sent: Duration, ack_wait: Duration) -> Self {
        let lasts = ack_wait.mul_f64(SHARE);
        Self { holds_until: sent.saturating_add(lasts), lasts }
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, now: Duration) -> bool {
        now < self.holds_until
    }

    /// For how long it holds from `now` on.
    pub fn left(&self, now: Duration) -> Duration {
        self.holds_until.saturating_sub(now)
    }

    /// Progress that was sent at `sent` is confirmed at `now`: it holds on from when that was sent. A claim that is over
    /// stays over: the queue confirms the progress of whoever held it before, too.
    #[must_use]
    pub fn confirmed(self, sent: Duration, now: Duration) -> Self {
        if !self.holds(now) {
            return self;
        }
        Self { holds_until: self.holds_until.max(sent.saturating_add(self.lasts)), ..self }
    }

    /// How long from `now` on until progress is to be told: a third of the time before the claim would be over but for two
    /// that are lost, and at once where waiting for the work has taken much of it.
    pub fn pause(&self, now: Duration) -> Duration {
        self.left(now).saturating_sub(self.lasts - self.lasts / TOLD)
    }
}

/// A claim as all who write for it see it; clones are handles to the same.
#[derive(Clone, Debug)]
pub struct ClaimClock(Arc<Mutex<Claim>>);

impl ClaimClock {
    /// Of `claim`.
    pub fn new(claim: Claim) -> Self {
        Self(Arc::new(Mutex::new(claim)))
    }

    /// Whether it holds now; to be asked right before each write.
    pub fn holds(&self) -> bool {
        self.0.lock().holds(clock::since_boot())
    }

    /// For how long it holds from now on.
    pub fn left(&self) -> Duration {
        self.0.lock().left(clock::since_boot())
    }

    /// Progress that was sent at `sent` is confirmed.
    pub fn confirmed(&self, sent: Duration) {
        let mut claim = self.0.lock();
        *claim = claim.confirmed(sent, clock::since_boot());
    }

    /// How long until progress is to be told.
    pub fn pause(&self) -> Duration {
        self.0.lock().pause(clock::since_boot())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACK_WAIT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_holds_eight_tenths_from_the_pull_and_from_each_progress_that_was_confirmed_in_time() {
        let claim = Claim::pulled(at(100), ACK_WAIT);
        assert!(claim.holds(at(107)) && !claim.holds(at(108)));
        let claim = claim.confirmed(at(104), at(107));
        assert_eq!(claim.left(at(107)), at(5));
        assert_eq!(claim.confirmed(at(110), at(112)), claim, "over stays over, whenever it was sent");
        assert_eq!(claim.confirmed(at(101), at(105)), claim, "an older one shortens nothing");
        let thirds = Duration::from_secs(8) / 3;
        assert_eq!(claim.pause(at(104)), thirds);
        assert_eq!(claim.pause(at(108)), Duration::ZERO);
    }

    proptest! {
        /// Whatever is confirmed when: nobody holds a claim longer than the queue keeps the work from others.
        #[test]
        fn it_ends_before_the_queue_gives_the_work_away(
            steps in prop::collection::vec((0u64..20_000, 0u64..20_000), 0..30),
        ) {
            let mut claim = Claim::pulled(Duration::ZERO, ACK_WAIT);
            // The server's own time to redeliver, which counts from when a message reached it, so never before it was sent.
            let (mut redelivered_at, mut now) = (ACK_WAIT, Duration::ZERO);
            for (pause, travels) in steps {
                let sent = now + Duration::from_millis(pause);
                // A node sends nothing for a claim that is over; what it sent before may arrive at any time after.
                if !claim.holds(sent) { break }
                let arrived = sent + Duration::from_millis(travels / 2);
                now = sent + Duration::from_millis(travels);
                if arrived < redelivered_at { redelivered_at = redelivered_at.max(arrived + ACK_WAIT) }
                claim = claim.confirmed(sent, now);
                prop_assert!(!claim.holds(redelivered_at));
            }
        }
    }
}
