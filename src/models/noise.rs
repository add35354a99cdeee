//! Seeded noise, the same bits on every processor and device.
//!
//! ChaCha8 for the bits, Box–Muller (1958) in f64 for the bell, and `libm` instead of the platform's logarithm and
//! cosine, which differ in the last bit from one C library to the next.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// An endless source of noise; the same seed and stream give the same numbers everywhere and for ever.
#[derive(Clone, Debug)]
pub struct Noise {
    rng: ChaCha8Rng,
    spare: Option<f32>,
}

impl Noise {
    /// Stream number `stream` of `seed`: independent streams for independent uses of one seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, spare: None }
    }

    /// Uniform in [0, 1), on a grid of 2^−53.
    pub fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal with mean 0 and variance 1.
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 − u lies in (0, 1], so the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some((radius * libm::sin(angle)) as f32);
        (radius * libm::cos(angle)) as f32
    }

    /// `count` normal numbers.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_a_seed_repeat_and_differ() {
        let take = |seed, stream| Noise::new(seed, stream).normals(64);
        assert_eq!(take(1, 0), take(1, 0));
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
    }

    #[test]
    fn the_bell_has_its_moments() {
        let values = Noise::new(7, 0).normals(200_000);
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|v| f64::from(*v).powi(power)).sum::<f64>() / n;
        // Five standard errors of each moment of 200,000 normal numbers.
        assert!(moment(1).abs() < 0.0112, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.0159, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.11, "fourth moment {}", moment(4));
    }
}
