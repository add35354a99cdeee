//! The harmonic source: sines at multiples of F0 where a voice sounds, seeded noise everywhere (Wang et al. 2019).
//!
//! Runs on the host in f64: a phase that has turned ten thousand radians leaves f32 nothing of its fraction. The noise
//! is the same on every machine.

use std::ops::Range;

use rayon::prelude::*;

use crate::models::noise::Noise;
use crate::types::SAMPLE_RATE;

/// Amplitude of each sine.
const SINE: f32 = 0.1;
/// Standard deviation of the noise under a voice; without one it is a third of the sines' amplitude.
const NOISE: f32 = 0.003;
/// F0 in Hz from which a frame is voiced.
pub const VOICED: f32 = 10.0;

/// Where the source's noise comes from.
#[derive(Clone, Copy, Debug)]
pub enum NoiseOf<'a> {
    /// Drawn from this seed, independently for each of these utterances.
    Seed {
        /// The job's.
        seed: u64,
        /// Which utterance of the job.
        utterance: u32,
    },
    /// Given: `[sample][harmonic]`.
    Given(&'a [f32]),
}

/// Merges the harmonics into one excitation: tanh of a weighted sum.
#[derive(Clone, Debug)]
pub struct Source {
    weights: Vec<f32>,
    bias: f32,
    samples_per_f0: usize,
}

impl Source {
    /// A weight for each harmonic, the fundamental first; `samples_per_f0` samples for each value of F0.
    pub fn new(weights: Vec<f32>, bias: f32, samples_per_f0: usize) -> Self {
        Self { weights, bias, samples_per_f0 }
    }

    /// Harmonics, the fundamental included.
    pub fn harmonics(&self) -> usize {
        self.weights.len()
    }

    /// Samples for each value of F0.
    pub fn samples_per_f0(&self) -> usize {
        self.samples_per_f0
    }

    /// The excitation of the values `part` of `f0` (Hz): `samples_per_f0` samples for each of them, the same ones that the
    /// whole has there.
    pub fn excite(&self, f0: &[f32], part: Range<usize>, noise: NoiseOf<'_>) -> Vec<f32> {
        self.sines(f0, part, noise)
            .par_chunks_exact(self.harmonics())
            .map(|sines| {
                let sum: f32 = sines.iter().zip(&self.weights).map(|(sine, weight)| sine * weight).sum();
                libm::tanhf(sum + self.bias)
            })
            .collect()
    }

    /// Sines and noise of a part before they are merged: `[sample][harmonic]`.
    pub fn sines(&self, f0: &[f32], part: Range<usize>, noise: NoiseOf<'_>) -> Vec<f32> {
        let (harmonics, per) = (self.harmonics(), self.samples_per_f0);
        // Turns up to each value of F0, for each harmonic, in units of `per` turns; the fraction of a step is taken
        // before summing, as the reference does, since whole turns a sample are no phase at all.
        let mut turns = vec![0.0f64; f0.len() * harmonics];
        let mut sums = vec![0.0f64; harmonics];
        for (f0, turns) in f0.iter().zip(turns.chunks_exact_mut(harmonics)) {
            for (harmonic, (sum, turn)) in sums.iter_mut().zip(turns).enumerate() {
                let frequency = f0 * (harmonic + 1) as f32;
                *sum += f64::from((frequency / SAMPLE_RATE as f32).rem_euclid(1.0));
                *turn = *sum;
            }
        }
        let mut samples = vec![0.0f32; part.len() * per * harmonics];
        samples.par_chunks_mut(per * harmonics).enumerate().for_each(|(place, samples)| {
            let frame = part.start + place;
            let voiced = f0[frame] > VOICED;
            let amplitude = if voiced { NOISE } else { SINE / 3.0 };
            let mut drawn = match noise {
                // One stream a frame: the frames can be drawn in any order, by any number of threads.
                NoiseOf::Seed { seed, utterance } => {
                    Some(Noise::new(seed, u64::from(utterance) << 32 | frame as u64))
                }
                NoiseOf::Given(_) => None,
            };
            for (n, sample) in samples.chunks_exact_mut(harmonics).enumerate() {
                let (from, to, share) = between(frame, n, per, f0.len());
                for (harmonic, value) in sample.iter_mut().enumerate() {
                    let noise = match (&mut drawn, noise) {
                        (Some(drawn), _) => drawn.normal(),
                        (None, NoiseOf::Given(given)) => {
                            given.get((frame * per + n) * harmonics + harmonic).copied().unwrap_or(0.0)
                        }
                        (None, NoiseOf::Seed { .. }) => 0.0,
                    };
                    let mut sine = 0.0;
                    if voiced {
                        let (from, to) =
                            (turns[from * harmonics + harmonic], turns[to * harmonics + harmonic]);
                        let turn = (from + (to - from) * share) * per as f64;
                        sine = SINE * libm::sin((turn - turn.floor()) * std::f64::consts::TAU) as f32;
                    }
                    *value = sine + amplitude * noise;
                }
            }
        });
        samples
    }
}

/// Between which values of F0 sample `n` of value `frame` lies, and how far: the values sit at their plateaus' centres,
/// and the ends hold.
fn between(frame: usize, n: usize, per: usize, frames: usize) -> (usize, usize, f64) {
    let place = (frame * per + n) as f64 + 0.5;
    let place = (place / per as f64 - 0.5).clamp(0.0, (frames - 1) as f64);
    let from = place as usize;
    (from, (from + 1).min(frames - 1), place - from as f64)
}
