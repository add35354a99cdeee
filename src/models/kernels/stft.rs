//! Short-time Fourier transforms of tiny windows, as matrix products: torch's `stft` and `istft` with a Hann window.
//!
//! The forward one runs on the host in f64, since the vocoder takes the *phase* of nearly silent bins; the inverse one
//! runs where the network does.

use std::f64::consts::TAU;

use crate::profile::timed;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// Window and hop, both in samples.
#[derive(Clone, Debug)]
pub struct Stft {
    size: usize,
    hop: usize,
    window: Vec<f64>,
}

impl Stft {
    /// A periodic Hann window of `size` (even) every `hop` samples.
    pub fn new(size: usize, hop: usize) -> Self {
        let window = (0..size).map(|n| 0.5 - 0.5 * libm::cos(TAU * n as f64 / size as f64)).collect();
        Self { size, hop, window }
    }

    /// Samples of a window.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Samples between two windows.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Frequency bins, from DC to Nyquist.
    pub fn bins(&self) -> usize {
        self.size / 2 + 1
    }

    /// Frames of a signal of `len` samples.
    pub fn frames(&self, len: usize) -> usize {
        len / self.hop + 1
    }

    /// Magnitudes, then phases in (−π, π]: `2 · bins` rows of [`frames`](Self::frames); the ends are mirrored.
    ///
    /// The imaginary parts of DC and Nyquist are +0, so negative reals have the phase +π, as torch has it.
    pub fn transform(&self, signal: &[f32]) -> Vec<f32> {
        timed!("stft", samples = signal.len());
        let (bins, frames, half) = (self.bins(), self.frames(signal.len()), self.size / 2);
        let at = |position: usize| -> f64 {
            // Mirrored around the first and the last sample, neither of which is repeated.
            let last = signal.len() as isize - 1;
            let mut place = position as isize - half as isize;
            if place < 0 {
                place = -place;
            }
            if place > last {
                place = 2 * last - place;
            }
            signal.get(place.max(0) as usize).copied().map_or(0.0, f64::from)
        };
        let basis: Vec<(f64, f64)> = (0..bins * self.size)
            .map(|i| {
                let turn = TAU * ((i / self.size * (i % self.size)) % self.size) as f64 / self.size as f64;
                (libm::cos(turn), -libm::sin(turn))
            })
            .collect();
        let spectra: Vec<(f32, f32)> = (0..frames)
            .into_par_iter()
            .flat_map_iter(|frame| {
                let windowed: Vec<f64> =
                    self.window.iter().enumerate().map(|(n, w)| w * at(frame * self.hop + n)).collect();
                let basis = &basis;
                (0..bins).map(move |bin| {
                    let row = &basis[bin * self.size..(bin + 1) * self.size];
                    let sum = |part: fn(&(f64, f64)) -> f64| -> f64 {
                        row.iter().zip(&windowed).map(|(factor, value)| part(factor) * value).sum()
                    };
                    let real = sum(|factor| factor.0);
                    let imaginary =
                        if bin == 0 || 2 * bin == self.size { 0.0 } else { sum(|factor| factor.1) };
                    let magnitude = libm::sqrt(real * real + imaginary * imaginary);
                    (magnitude as f32, libm::atan2(imaginary, real) as f32)
                })
            })
            .collect();
        let mut rows = vec![0.0; 2 * bins * frames];
        let (magnitudes, phases) = rows.split_at_mut(bins * frames);
        let into = magnitudes.par_chunks_mut(frames).zip(phases.par_chunks_mut(frames)).enumerate();
        into.for_each(|(bin, (magnitudes, phases))| {
            let values = spectra[bin..].iter().step_by(bins);
            for (value, (magnitude, phase)) in values.zip(magnitudes.iter_mut().zip(phases)) {
                (*magnitude, *phase) = *value;
            }
        });
        rows
    }

    /// The signal of magnitudes and phases, each [1, bins, frames]: [(frames − 1) · hop].
    ///
    /// Overlapping windows are added and divided by the sum of their squares; half a window is cut off at both ends.
    pub fn inverse(&self, magnitudes: &Tensor, phases: &Tensor) -> Result<Tensor> {
        timed!("inverse stft", x = magnitudes.dims());
        let (_, bins, frames) = magnitudes.dims3()?;
        let (cos, sin) = ((magnitudes * phases.cos()?)?, (magnitudes * phases.sin()?)?);
        let spectra = Tensor::cat(&[cos, sin], 1)?.squeeze(0)?.t()?.contiguous()?;
        let windows = spectra.matmul(&self.inverse_basis(bins, magnitudes.device())?)?;
        // Each window is cut into pieces of a hop; piece p of frame f lands on hop f + p.
        let pieces = self.size.div_ceil(self.hop);
        let windows = windows.pad_with_zeros(1, 0, pieces * self.hop - self.size)?;
        let mut sum: Option<Tensor> = None;
        for piece in 0..pieces {
            let placed = windows.narrow(1, piece * self.hop, self.hop)?.pad_with_zeros(
                0,
                piece,
                pieces - 1 - piece,
            )?;
            sum = Some(match sum {
                None => placed,
                Some(sum) => (sum + placed)?,
            });
        }
        let Some(sum) = sum else { candle_core::bail!("an inverse STFT of a window of no samples") };
        let (half, len) = (self.size / 2, (frames - 1) * self.hop);
        let envelope = Tensor::from_vec(self.envelope(frames), sum.elem_count(), &Device::Cpu)?;
        let envelope = envelope.narrow(0, half, len)?.to_device(sum.device())?;
        sum.contiguous()?.flatten_all()?.narrow(0, half, len)?.div(&envelope)
    }

    /// From [cosines | sines] of the bins to the windowed samples: [2 · bins, size].
    fn inverse_basis(&self, bins: usize, device: &Device) -> Result<Tensor> {
        let size = self.size;
        let value = |row: usize, n: usize| {
            let bin = row % bins;
            let turn = TAU * ((bin * n) % size) as f64 / size as f64;
            // A real signal's bins between DC and Nyquist stand for two conjugates.
            let edge = bin == 0 || 2 * bin == size;
            let weight = self.window[n] / size as f64;
            let part = match (row < bins, edge) {
                (true, true) => libm::cos(turn),
                (true, false) => 2.0 * libm::cos(turn),
                (false, true) => 0.0,
                (false, false) => -2.0 * libm::sin(turn),
            };
            (weight * part) as f32
        };
        let values: Vec<f32> = (0..2 * bins * size).map(|i| value(i / size, i % size)).collect();
        Tensor::from_vec(values, (2 * bins, size), device)
    }

    /// Σ window² of all frames at each sample, padded to whole hops.
    fn envelope(&self, frames: usize) -> Vec<f32> {
        let mut sums = vec![0.0f32; (frames + self.size.div_ceil(self.hop) - 1) * self.hop];
        for frame in 0..frames {
            for (sum, window) in sums[frame * self.hop..].iter_mut().zip(&self.window) {
                *sum += (window * window) as f32;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, values};
    use super::*;
    use crate::models::noise::Noise;

    #[test]
    fn a_signal_comes_back_from_its_spectrum() {
        for (size, hop, len) in [(20, 5, 300), (16, 4, 64), (12, 5, 100)] {
            let signal = Noise::new(9, 0).normals(len);
            let stft = Stft::new(size, hop);
            let shape = (1, 2 * stft.bins(), stft.frames(len));
            let spectrum = Tensor::from_vec(stft.transform(&signal), shape, &Device::Cpu).unwrap();
            let (magnitudes, phases) = (
                spectrum.narrow(1, 0, stft.bins()).unwrap(),
                spectrum.narrow(1, stft.bins(), stft.bins()).unwrap(),
            );
            let back = values(&stft.inverse(&magnitudes, &phases).unwrap());
            assert_close(&back, &signal[..back.len()], 1e-5);
        }
    }

    #[test]
    fn dc_and_nyquist_of_a_negative_signal_have_the_phase_plus_pi() {
        let stft = Stft::new(20, 5);
        let rows = stft.transform(&[-1.0; 100]);
        let frames = stft.frames(100);
        let phases = &rows[stft.bins() * frames..];
        assert!(phases[..frames].iter().all(|phase| *phase == std::f32::consts::PI));
    }
}
