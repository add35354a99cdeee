//! How loud speech is, and what brings every voice to the same loudness.
//!
//! The measure is ITU-R BS.1770's of one channel (K-weighting, blocks of 400 ms, both gates), target and ceiling are EBU
//! R 128's. Pure and of one thread: the same bits everywhere.

use std::f64::consts::PI;

use crate::types::SAMPLE_RATE;

/// What neutral speech is brought to, in LUFS: EBU R 128's own level, so that whoever mixes or levels what comes out of here
/// finds what they expect. Speech peaks 15 to 20 dB above its loudness: even the loudest emotion, 3.5 dB above neutral, hardly
/// ever comes to the [`CEILING`], which it often would at the −16 LUFS of podcasts.
pub const TARGET: f64 = -23.0;
/// Where no true peak may lie, in dBTP: R 128's, which leaves lossy codecs their overshoot.
pub const CEILING: f64 = -1.0;
/// The most that a sound is raised, in dB. Voices lie within 5 dB of the target, whispers within 12; what is quieter is no
/// speech, and its noise would be heard.
const MOST: f64 = 20.0;

/// A block of the measure, in steps.
const BLOCK: usize = 4;
/// Steps a second: blocks of 400 ms overlap by three quarters.
const STEPS: u32 = 10;
/// Loudness below which a block is silence, in LUFS.
const ABSOLUTE_GATE: f64 = -70.0;
/// How far below the mean of the others a block is a pause, in LU.
const RELATIVE_GATE: f64 = -10.0;
/// What BS.1770 adds to a mean square in dB: the K-weighting's gain at 1 kHz, taken off.
const OFFSET: f64 = -0.691;

/// Brings speech to the target and from there louder by the factor `emotion`; peaks above the ceiling are turned down.
///
/// What has no loudness (silence, and all that is quieter than −70 LUFS) keeps its level.
pub(super) fn level(speech: &mut [f32], emotion: f32) {
    let gain = levelling(speech) * f64::from(emotion);
    speech.iter_mut().for_each(|sample| *sample = (f64::from(*sample) * gain) as f32);
    limit(speech);
    speech.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
}

/// The factor that brings `speech` to the target.
fn levelling(speech: &[f32]) -> f64 {
    let gain = integrated(speech, SAMPLE_RATE).map_or(0.0, |loudness| (TARGET - loudness).min(MOST));
    libm::pow(10.0, gain / 20.0)
}

/// Loudness of a mean square after K-weighting, in LUFS.
fn loudness(mean_square: f64) -> f64 {
    OFFSET + 10.0 * libm::log10(mean_square)
}

/// Integrated loudness of one channel, in LUFS; none where no block passes the absolute gate. What is shorter than a block is
/// measured as if silence filled it up.
pub fn integrated(samples: &[f32], rate: u32) -> Option<f64> {
    let step = (rate / STEPS) as usize;
    let mut filter = Weighting::new(f64::from(rate));
    // The last step may be a part of one; it counts only where there is no whole block.
    let mut steps: Vec<f64> = samples
        .chunks(step)
        .filter(|chunk| chunk.len() == step || samples.len() < BLOCK * step)
        .map(|chunk| chunk.iter().map(|sample| filter.next(f64::from(*sample)).powi(2)).sum())
        .collect();
    steps.resize(steps.len().max(BLOCK), 0.0);
    let blocks: Vec<f64> =
        steps.windows(BLOCK).map(|steps| steps.iter().sum::<f64>() / (BLOCK * step) as f64).collect();
    let mean_above = |gate: f64| {
        let kept = || blocks.iter().filter(|block| loudness(**block) > gate);
        let count = kept().count();
        (count > 0).then(|| loudness(kept().sum::<f64>() / count as f64))
    };
    let ungated = mean_above(ABSOLUTE_GATE)?;
    mean_above(ABSOLUTE_GATE.max(ungated + RELATIVE_GATE))
}

/// BS.1770's K-weighting: a shelf for the head, then a high-pass.
struct Weighting {
    stages: [Biquad; 2],
}

impl Weighting {
    /// At `rate` samples a second.
    ///
    /// The recommendation prints the coefficients for 48 kHz alone. They are bilinear transforms of two analogue filters, whose
    /// frequencies, qualities and gain these are; at 48 kHz the printed ones come out.
    fn new(rate: f64) -> Self {
        let (frequency, quality, gain) =
            (1_681.974_450_955_533, 0.707_175_236_955_419_6, 3.999_843_853_973_347);
        let k = libm::tan(PI * frequency / rate);
        let high = libm::pow(10.0, gain / 20.0);
        // The shelf's middle term is nearly, not exactly, the root of its gain.
        let middle = libm::pow(high, 0.499_666_774_154_541_6);
        let norm = 1.0 + k / quality + k * k;
        let shelf = Biquad::new(
            [
                (high + middle * k / quality + k * k) / norm,
                2.0 * (k * k - high) / norm,
                (high - middle * k / quality + k * k) / norm,
            ],
            [2.0 * (k * k - 1.0) / norm, (1.0 - k / quality + k * k) / norm],
        );
        let (frequency, quality) = (38.135_470_876_024_44, 0.500_327_037_323_877_3);
        let norm_at = |rate: f64| {
            let k = libm::tan(PI * frequency / rate);
            (k, 1.0 + k / quality + k * k)
        };
        let (k, norm) = norm_at(rate);
        // The printed numerator is 1, −2, 1: a gain a little above 1, which other rates have to have too.
        let pass = norm_at(48_000.0).1 / norm;
        let high_pass = Biquad::new(
            [pass, -2.0 * pass, pass],
            [2.0 * (k * k - 1.0) / norm, (1.0 - k / quality + k * k) / norm],
        );
        Self { stages: [shelf, high_pass] }
    }

    fn next(&mut self, sample: f64) -> f64 {
        self.stages.iter_mut().fold(sample, |sample, stage| stage.next(sample))
    }
}

/// A recursive filter of second order, transposed direct form II.
struct Biquad {
    forward: [f64; 3],
    back: [f64; 2],
    state: [f64; 2],
}

impl Biquad {
    fn new(forward: [f64; 3], back: [f64; 2]) -> Self {
        Self { forward, back, state: [0.0; 2] }
    }

    fn next(&mut self, x: f64) -> f64 {
        let y = self.forward[0] * x + self.state[0];
        self.state[0] = self.forward[1] * x - self.back[0] * y + self.state[1];
        self.state[1] = self.forward[2] * x - self.back[1] * y;
        y
    }
}

/// Parts of a sample at which the true peak is looked for, and the taps that say what is there: BS.1770's annex 2 asks for four
/// at 48 kHz and has twelve taps. At half the rate eight are as dense.
const PHASES: usize = 8;
const TAPS: usize = 12;

/// Sees what lies between samples.
struct Peaks<'a> {
    samples: &'a [f32],
    filters: [[f64; TAPS]; PHASES - 1],
}

impl<'a> Peaks<'a> {
    fn of(samples: &'a [f32]) -> Self {
        Self { samples, filters: std::array::from_fn(|phase| interpolator(phase + 1)) }
    }

    /// The largest amplitude from sample `place` up to the next; 0 where it cannot be above `floor`.
    fn at(&self, place: usize, floor: f64) -> f64 {
        let window: [f64; TAPS] = std::array::from_fn(|tap| {
            let sample = (place + tap).checked_sub(TAPS / 2 - 1).and_then(|place| self.samples.get(place));
            sample.map_or(0.0, |sample| f64::from(*sample))
        });
        // Between samples no signal is twice as large as all of those around.
        if window.iter().all(|x| 2.0 * x.abs() <= floor) {
            return 0.0;
        }
        let between =
            |filter: &[f64; TAPS]| filter.iter().zip(&window).map(|(tap, x)| tap * x).sum::<f64>().abs();
        self.filters.iter().map(between).fold(window[TAPS / 2 - 1].abs(), f64::max)
    }
}

/// The largest amplitude of the sound, between its samples too.
pub fn true_peak(samples: &[f32]) -> f64 {
    let peaks = Peaks::of(samples);
    (0..samples.len()).fold(0.0, |peak, place| f64::max(peak, peaks.at(place, peak)))
}

/// How far around a peak the sound is turned down with it, in samples: 5 ms, too short to hear and long enough not to distort.
const AROUND: usize = SAMPLE_RATE as usize / 200;

/// Turns the sound down around every true peak above the ceiling, so that it lies there.
fn limit(samples: &mut [f32]) {
    let ceiling = libm::pow(10.0, CEILING / 20.0);
    let mut wanted = vec![1.0f64; samples.len()];
    let peaks = Peaks::of(samples);
    let mut is_above = false;
    for place in 0..samples.len() {
        let peak = peaks.at(place, ceiling);
        if peak > ceiling {
            is_above = true;
            let around = place.saturating_sub(AROUND)..(place + 1 + AROUND).min(samples.len());
            wanted[around].iter_mut().for_each(|gain| *gain = gain.min(ceiling / peak));
        }
    }
    if !is_above {
        return;
    }
    // The mean over as many samples as a peak's gain reaches is never above that gain where the peak is.
    let at = |place: usize| wanted[place.min(wanted.len() - 1)];
    let mut sum: f64 = (0..AROUND).map(|_| at(0)).sum::<f64>() + (0..=AROUND).map(at).sum::<f64>();
    for (place, sample) in samples.iter_mut().enumerate() {
        let gain = sum / (2 * AROUND + 1) as f64;
        *sample = (f64::from(*sample) * gain) as f32;
        sum += at(place + AROUND + 1) - at(place.saturating_sub(AROUND));
    }
}

/// Taps for the value `phase` eighths of a sample behind the window's middle: a sinc under a Hann window, whose taps add up
/// to 1.
fn interpolator(phase: usize) -> [f64; TAPS] {
    let taps: [f64; TAPS] = std::array::from_fn(|tap| {
        let x = tap as f64 - (TAPS / 2 - 1) as f64 - phase as f64 / PHASES as f64;
        let window = 0.5 + 0.5 * libm::cos(2.0 * PI * x / (TAPS + 1) as f64);
        window * libm::sin(PI * x) / (PI * x)
    });
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

#[cfg(test)]
mod tests;
