//! Chance, from a seed: the same seed throws the same.

use std::f64::consts::TAU;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// At least 0 and less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of the places, with the weight that stands there.
    pub fn place(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (place, weight) in weights.iter().enumerate() {
            if left < *weight {
                return place;
            }
            left -= weight;
        }
        weights.len() - 1
    }

    /// With median 1; its logarithm is spread by `sigma` (Box and Muller).
    pub fn log_normal(&mut self, sigma: f64) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        ((-2.0 * radius.ln()).sqrt() * (TAU * angle).cos() * sigma).exp()
    }

    /// Until something happens that happens once in `mean`, whenever it happened last.
    pub fn until(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}
