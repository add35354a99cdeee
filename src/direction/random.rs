//! Seeded randomness of the direction: one independent stream a use, the same everywhere.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// What the numbers are for; each use has its own stream of the seed, so that one more blink moves no nod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Blinks = 1,
    Motion = 2,
    Gaze = 3,
}

/// Numbers from a seed.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    /// Uniform in [from, to).
    pub(super) fn between(&mut self, from: f32, to: f32) -> f32 {
        let unit = (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
        from + (to - from) * unit
    }
}
