//! Chance that repeats exactly: the same seed draws the same on every machine and in every version of this crate.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::types::Bytes;

/// Draws of one seed.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The sequence that belongs to `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform below `end`; zero where that is zero. The bias of the remainder is far below anything noticed here.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.next_u64() % end }
    }

    /// Uniform from `least` to `most`.
    pub(super) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// True this often in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(super) fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        const { assert!(N > 0, "nothing to draw from") };
        all[self.below(N as u64) as usize]
    }

    /// Whole milliseconds from `least` to `most`, half of the time whole seconds: what happens at the same moment as
    /// something else is worth as much as what happens in between.
    pub(super) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let millis = |time: Duration| time.as_millis() as u64;
        let drawn = self.within(millis(least), millis(most));
        let whole = if self.chance(50) { drawn.div_ceil(1000) * 1000 } else { drawn };
        Duration::from_millis(whole.min(millis(most).max(millis(least))))
    }

    /// From `least` to `most` seconds.
    pub(super) fn seconds(&mut self, least: u64, most: u64) -> Duration {
        self.time(Duration::from_secs(least), Duration::from_secs(most))
    }

    /// Whole megabytes from `least` to `most`, each order of magnitude as likely as the next.
    pub(super) fn megabytes(&mut self, least: u64, most: u64) -> Bytes {
        let least = least.max(1);
        let doublings = (most / least).max(1).ilog2();
        let scale = least << self.below(u64::from(doublings) + 1);
        Bytes::mb(self.within(scale, (scale * 2).min(most).max(scale)))
    }
}
