//! Bicubic resizing exactly as Pillow does it, since CLIP was trained on pictures that went through it.
//!
//! Owns the filter (Catmull–Rom's a = −0.5, widened when shrinking), its fixed-point weights, and the rounding to u8
//! between the two passes, without which results differ by up to 13 grey levels. Only the window that is asked for is
//! computed. Source of the rule: Pillow's `Resample.c`.

use rayon::prelude::*;

/// Fraction bits of a weight: 32, less 8 for the pixel and 2 for the sum's overshoot.
const FRACTION: u32 = 22;

/// A run of source pixels and their weights, for each pixel of the output.
struct Weights {
    runs: Vec<(usize, Vec<i32>)>,
}

impl Weights {
    /// For output pixels `window` of a side that shrinks or grows from `from` to `to`.
    fn new(from: usize, to: usize, window: std::ops::Range<usize>) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = 2.0 * stretch;
        let run = |index: usize| {
            let centre = (index as f64 + 0.5) * scale;
            // Truncation after adding a half, both clamped to the picture.
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let values: Vec<f64> =
                (first..end).map(|x| bicubic((x as f64 - centre + 0.5) * (1.0 / stretch))).collect();
            let total: f64 = values.iter().sum();
            let fixed = |value: f64| (value / total * f64::from(1u32 << FRACTION)).round() as i32;
            (first, values.into_iter().map(fixed).collect())
        };
        Self { runs: window.map(run).collect() }
    }
}

/// The cubic convolution kernel with a = −0.5 (Keys 1981).
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Rounds a fixed-point sum, which starts at one half, to a grey level.
fn to_level(sum: i64) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// A rectangle of a resized picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// The `window` of `data`, `from` = (width, height) in u8 RGB, resized to `to`. The window must lie inside.
pub(super) fn resize(data: &[u8], from: (usize, usize), to: (usize, usize), window: Window) -> Vec<u8> {
    let columns = Weights::new(from.0, to.0, window.left..window.left + window.width);
    let rows = Weights::new(from.1, to.1, window.top..window.top + window.height);
    // A side that keeps its length is not filtered: its weights are 0 1 0 0.
    let first = rows.runs.iter().map(|(first, _)| *first).min().unwrap_or(0);
    let end = rows.runs.iter().map(|(first, weights)| first + weights.len()).max().unwrap_or(0);
    let stride = 3 * window.width;
    let mut narrow = vec![0u8; stride * (end - first)];
    narrow.par_chunks_mut(stride.max(1)).zip(first..end).for_each(|(out, row)| {
        let source = &data[row * 3 * from.0..][..3 * from.0];
        for (out, (start, weights)) in out.chunks_exact_mut(3).zip(&columns.runs) {
            let mut sums = [1i64 << (FRACTION - 1); 3];
            for (pixel, weight) in source[3 * start..].chunks_exact(3).zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i64::from(*value) * i64::from(*weight);
                }
            }
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = to_level(sum));
        }
    });
    let mut out = vec![0u8; stride * window.height];
    out.par_chunks_mut(stride.max(1)).zip(&rows.runs).for_each(|(out, (start, weights))| {
        let source = &narrow[(start - first) * stride..];
        let mut sums = vec![1i64 << (FRACTION - 1); stride];
        for (row, weight) in source.chunks_exact(stride).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += i64::from(*value) * i64::from(*weight));
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = to_level(sum));
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(width: usize, height: usize) -> Window {
        Window { left: 0, top: 0, width, height }
    }

    #[test]
    fn a_picture_of_the_right_size_stays_as_it_is() {
        let data: Vec<u8> = (0..3 * 7 * 5).map(|i| (i * 37 % 256) as u8).collect();
        assert_eq!(resize(&data, (7, 5), (7, 5), whole(7, 5)), data);
    }

    #[test]
    fn one_colour_stays_one_colour() {
        for to in [(3, 50), (200, 2), (1, 1)] {
            let out = resize(&[7, 200, 255].repeat(31 * 17), (31, 17), to, whole(to.0, to.1));
            assert_eq!(out, [7, 200, 255].repeat(to.0 * to.1));
        }
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let data: Vec<u8> = (0..3 * 40 * 30).map(|i| (i * i % 251) as u8).collect();
        let all = resize(&data, (40, 30), (23, 51), whole(23, 51));
        let part = resize(&data, (40, 30), (23, 51), Window { left: 4, top: 9, width: 11, height: 20 });
        for (row, part) in part.chunks(33).enumerate() {
            assert_eq!(part, &all[((row + 9) * 23 + 4) * 3..][..33]);
        }
    }

    #[test]
    fn bright_edges_are_clamped_after_each_pass() {
        let data: Vec<u8> = (0..8).flat_map(|x| [if x < 4 { 0 } else { 255 }; 3]).collect();
        let out = resize(&data, (8, 1), (32, 1), whole(32, 1));
        assert!(out.iter().all(|v| *v == 0 || *v == 255 || (1..255).contains(v)));
        assert_eq!((out[0], out[95]), (0, 255), "overshoot must not wrap around");
    }
}
