//! All ways of carrying out a 3×3 convolution, and everything that may follow it, against the definition in f64.

use proptest::prelude::*;

use super::super::banded::Banded;
use super::super::enlarged::Enlarged;
use super::super::finish::Finish as Epilogue;
use super::super::tiles::{Source, Volume};
use super::super::transform::Three;
use super::super::winograd::Winograd;
use crate::models::noise::Noise;

/// One convolution: which sizes, and which end (plain, residual, pooled, modulated, modulated at twice the size).
#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    inputs: usize,
    outputs: usize,
    taps: usize,
    volume: [usize; 3],
    factor: usize,
    end: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let side = prop_oneof![4 => 1..12usize, 1 => 60..72usize];
    let channels = prop_oneof![3 => 1..4usize, 1 => 4..10usize];
    (1..3usize, channels.clone(), channels, 0..2usize, (1..4usize, 1..12usize, side), 1..5usize, 0..5usize)
        .prop_map(|(batch, inputs, outputs, taps, (depth, height, width), factor, end)| {
            let (outputs, depth) = if end >= 3 { (2 * outputs, 1) } else { (outputs, depth) };
            // What is enlarged has sides that are multiples.
            let step = if end == 4 { factor.max(2) * (1 + factor % 2) } else { factor };
            let size = |side: usize| side.max(2).next_multiple_of(step.max(1));
            let volume = [depth, size(height), size(width)];
            Case { batch, inputs, outputs, taps: 2 * taps + 1, volume, factor, end }
        })
}

/// The sums, `[batch, outputs, depth, height, width]`.
fn sums(case: &Case, x: &[f32], weights: &[f32]) -> Vec<f64> {
    let [depth, height, width] = case.volume;
    let margin = case.taps / 2;
    let mut out = Vec::new();
    for place in 0..case.batch * case.outputs * depth * height * width {
        let (column, row) = (place % width, place / width % height);
        let (z, plane) = (place / width / height % depth, place / width / height / depth);
        let (output, batch) = (plane % case.outputs, plane / case.outputs);
        let mut sum = 0.0;
        for input in 0..case.inputs {
            for tap in 0..9 * case.taps {
                let at = [z + tap / 9, row + tap / 3 % 3, column + tap % 3];
                let [Some(z), Some(y), Some(x_at)] =
                    [at[0].checked_sub(margin), at[1].checked_sub(1), at[2].checked_sub(1)]
                else {
                    continue;
                };
                if z >= depth || y >= height || x_at >= width {
                    continue;
                }
                let line =
                    ((batch * case.inputs + input) * depth + z) * (height / case.factor) + y / case.factor;
                let value = x[line * (width / case.factor) + x_at / case.factor];
                let weight = weights[(output * case.inputs + input) * 9 * case.taps + tap];
                sum += f64::from(value) * f64::from(weight);
            }
        }
        out.push(sum);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_size_and_end_is_the_definition(case in cases(), seed in any::<u64>()) {
        let Case { batch, inputs, outputs, taps, volume: [depth, height, width], factor, end } = case;
        let mut stream = 0;
        let mut noise = |count: usize| {
            stream += 1;
            Noise::new(seed, stream).normals(count)
        };
        let area = depth * height * width;
        let x = noise(batch * inputs * area / (factor * factor));
        let (weights, bias) = (noise(outputs * inputs * 9 * taps), noise(outputs));
        let (residual, mean, scale) = (noise(batch * outputs * area), noise(batch * outputs), noise(batch * outputs));
        let enlarged = if end == 4 { 2 } else { 1 };
        let normed = noise(batch * outputs / 2 * area / (enlarged * enlarged));
        let slope = 0.2;
        let finish = match end {
            0 => Epilogue::Plain { bias: &bias, slope, residual: None, pool: false },
            1 => Epilogue::Plain { bias: &bias, slope, residual: Some(&residual), pool: false },
            2 => Epilogue::Plain { bias: &bias, slope, residual: None, pool: true },
            _ => Epilogue::Modulate { bias: &bias, slope, x: &normed, factor: enlarged, mean: &mean, scale: &scale },
        };
        let exact = sums(&case, &x, &weights);
        let leaky = |x: f64| if x > 0.0 { x } else { x * f64::from(slope) };
        let at = |b: usize, channel: usize, z: usize, y: usize, x: usize| {
            ((((b * outputs) + channel) * depth + z) * height + y) * width + x
        };
        let ended = |b: usize, channel: usize, z: usize, y: usize, x: usize| {
            let place = at(b, channel, z, y, x);
            let sum = exact[place] + f64::from(bias[channel]);
            match end {
                1 => leaky(sum + f64::from(residual[place])),
                0 | 2 => leaky(sum),
                _ => {
                    let half = outputs / 2;
                    let beta = exact[at(b, channel + half, z, y, x)] + f64::from(bias[channel + half]);
                    let index = b * half + channel;
                    let line = (index * (height / enlarged) + y / enlarged) * (width / enlarged);
                    let value = f64::from(normed[line + x / enlarged] - mean[index]) * f64::from(scale[index]);
                    leaky(value * (1.0 + sum) + beta)
                }
            }
        };
        let channels = finish.channels(outputs);
        let mut expected = Vec::new();
        for plane in 0..batch * channels * depth {
            let (b, channel, z) = (plane / depth / channels, plane / depth % channels, plane % depth);
            if end == 2 {
                for place in 0..(height / 2) * (width / 2) {
                    let (y, x) = (2 * (place / (width / 2)), 2 * (place % (width / 2)));
                    let window = [(0, 0), (0, 1), (1, 0), (1, 1)];
                    expected.push(window.map(|(i, j)| ended(b, channel, z, y + i, x + j)).iter().sum::<f64>() / 4.0);
                }
            } else {
                expected.extend((0..height * width).map(|place| ended(b, channel, z, place / width, place % width)));
            }
        }
        let source = Source { data: &x, total: inputs, first: 0, factor };
        let volume = Volume { batch, depth, height, width };
        let mut ours = [(); 3].map(|()| vec![f32::NAN; expected.len()]);
        let banded = Banded::<Three>::prepare(&weights, outputs, inputs, [taps, 3]);
        banded.run(source, volume, &finish, &mut ours[0]);
        Winograd::prepare(&weights, outputs, inputs, taps).run(source, volume, &finish, &mut ours[1]).unwrap();
        // Of volumes, and of inputs as they are, there is no third way; SPADE's γ and β never come of enlarged ones.
        let ways = if taps == 1 && factor > 1 && !finish.is_paired() { 3 } else { 2 };
        if ways == 3 {
            Enlarged::prepare(&weights, outputs, inputs).run(source, volume, &finish, &mut ours[2]);
        }
        for (way, ours) in ["banded", "staged", "enlarged"].into_iter().zip(ours).take(ways) {
            for (place, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
                let error = (f64::from(*ours) - expected).abs();
                prop_assert!(error < 2e-4 * (1.0 + expected.abs()), "{way} at {place}: {ours} for {expected}");
            }
        }
    }
}
