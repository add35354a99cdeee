//! What is done to the sums of a 3×3 convolution while they are still in the first-level cache.
//!
//! Owns bias, residual, activation, 2×2 pooling and SPADE's modulation (Park et al. 2019); never a convolution.

use pulp::Simd;

use super::super::activation::leaky;
use super::tiles::{MOST, Volume, repeat};
use super::transform::STEP;

/// Pixels of one row of a vector of tiles.
const WIDTH: usize = STEP * MOST;

/// Four rows of outputs, on whole cache lines.
#[repr(C, align(64))]
pub(super) struct Rows([[f32; WIDTH]; STEP]);

impl Rows {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([[0.0; WIDTH]; STEP])
    }

    /// The pixels of a vector of tiles, given by row and column of a tile. `shuffled`: in the order of tiles in which
    /// rows are read by shuffles.
    #[inline(always)]
    pub(super) fn set<S: Simd>(&mut self, simd: S, tiles: [[S::f32s; STEP]; STEP], shuffled: bool) {
        for (row, columns) in self.0.iter_mut().zip(tiles) {
            if shuffled {
                let pixels = simd.interleave_shfl_f32s(columns);
                S::as_mut_simd_f32s(row).0[..STEP].copy_from_slice(&pixels);
            } else {
                let mut single = [0.0; MOST];
                for (j, column) in columns.into_iter().enumerate() {
                    if let Some(first) = S::as_mut_simd_f32s(&mut single).0.first_mut() {
                        *first = column;
                    }
                    for (tile, value) in single.iter().enumerate() {
                        row[STEP * tile + j] = *value;
                    }
                }
            }
        }
    }
}

/// Where the four rows belong.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) batch: usize,
    pub(super) channel: usize,
    pub(super) depth: usize,
    pub(super) volume: Volume,
    pub(super) y: usize,
    pub(super) x: usize,
    /// Pixels that belong there, and the first of them in the rows.
    pub(super) width: usize,
    pub(super) from: usize,
    /// The row of the picture that the result begins with.
    pub(super) top: usize,
}

/// The work after the sum.
pub(super) enum Finish<'a> {
    /// sum + bias + residual, activated, and averaged over 2×2 where `pool` says so.
    Plain { bias: &'a [f32], slope: f32, residual: Option<&'a [f32]>, pool: bool },
    /// The sums are γ (first half of the channels) and β: (x − mean) · scale · (1 + γ) + β, activated.
    ///
    /// `x` is `[batch, channels, height / factor, width / factor]`, `mean` and `scale` one per batch and channel.
    Modulate { bias: &'a [f32], slope: f32, x: &'a [f32], factor: usize, mean: &'a [f32], scale: &'a [f32] },
}

impl Finish<'_> {
    /// Whether a result takes two channels of sums.
    pub(super) fn is_paired(&self) -> bool {
        matches!(self, Self::Modulate { .. })
    }

    /// Channels of the result, of a layer with so many.
    pub(super) fn channels(&self, outputs: usize) -> usize {
        if self.is_paired() { outputs / 2 } else { outputs }
    }

    /// Pixels of one plane of the result.
    pub(super) fn plane(&self, height: usize, width: usize) -> usize {
        match self {
            Self::Plain { pool: true, .. } => (height / 2) * (width / 2),
            _ => height * width,
        }
    }

    /// Finishes four rows and writes those that lie within the plane; `other` has the second channel's.
    #[inline(always)]
    pub(super) fn write(&self, place: Place, rows: &Rows, other: &Rows, out: &mut [f32]) {
        let Volume { batch, depth, height, width } = place.volume;
        let count = STEP.min(height - place.y);
        match *self {
            Self::Plain { bias, slope, residual, pool } => {
                let bias = bias[place.channel];
                let line = |i: usize| {
                    let residual = residual?;
                    let channels = residual.len() / (batch * depth * height * width);
                    let plane = (place.batch * channels + place.channel) * depth + place.depth;
                    Some(&residual[(plane * height + place.y + i) * width + place.x..][..place.width])
                };
                if pool {
                    let mut done = [[0.0; WIDTH]; STEP];
                    for (i, done) in done.iter_mut().enumerate().take(count) {
                        end(&rows.0[i][place.from..], bias, slope, line(i), &mut done[..place.width]);
                    }
                    average(place, &done, count, out);
                } else {
                    for i in 0..count {
                        let start = (place.y - place.top + i) * width + place.x;
                        let out = &mut out[start..][..place.width];
                        end(&rows.0[i][place.from..], bias, slope, line(i), out);
                    }
                }
            }
            Self::Modulate { bias, slope, x, factor, mean, scale } => {
                let channels = bias.len() / 2;
                let index = place.batch * channels + place.channel;
                let (gamma_bias, beta_bias) = (bias[place.channel] + 1.0, bias[channels + place.channel]);
                let (mean, scale) = (mean[index], scale[index]);
                let (h, w) = (height / factor, width / factor);
                let mut large = [0.0; WIDTH];
                for i in 0..count {
                    let y = place.y + i;
                    let line = &x[(index * h + y / factor) * w..][..w];
                    let line = if factor == 1 {
                        &line[place.x..][..place.width]
                    } else {
                        enlarge(line, factor, place.x, &mut large[..place.width]);
                        &large[..place.width]
                    };
                    let out = &mut out[(y - place.top) * width + place.x..][..place.width];
                    let gamma = &rows.0[i][place.from..][..place.width];
                    let beta = &other.0[i][place.from..][..place.width];
                    for (((out, x), gamma), beta) in out.iter_mut().zip(line).zip(gamma).zip(beta) {
                        let value = (x - mean) * scale * (gamma_bias + gamma) + (beta_bias + beta);
                        *out = leaky(value, slope);
                    }
                }
            }
        }
    }
}

/// sum + bias + residual, activated.
#[inline(always)]
fn end(sums: &[f32], bias: f32, slope: f32, residual: Option<&[f32]>, out: &mut [f32]) {
    match residual {
        None => out.iter_mut().zip(sums).for_each(|(out, sum)| *out = leaky(sum + bias, slope)),
        Some(residual) => {
            for ((out, sum), residual) in out.iter_mut().zip(sums).zip(residual) {
                *out = leaky(sum + bias + residual, slope);
            }
        }
    }
}

/// Pixels of `line`, enlarged, from `first` on.
#[inline(always)]
fn enlarge(line: &[f32], factor: usize, first: usize, out: &mut [f32]) {
    if factor == 2 && first.is_multiple_of(2) {
        return repeat::<2>(out, &line[first / 2..]);
    }
    for (at, out) in out.iter_mut().enumerate() {
        *out = line[(first + at) / factor];
    }
}

/// Means of whole 2×2 windows; an odd last row or column belongs to none.
#[inline(always)]
fn average(place: Place, rows: &[[f32; WIDTH]; STEP], count: usize, out: &mut [f32]) {
    let width = place.volume.width / 2;
    for i in 0..count / 2 {
        let (upper, lower) = (&rows[2 * i], &rows[2 * i + 1]);
        let out = &mut out[((place.y - place.top) / 2 + i) * width + place.x / 2..][..place.width / 2];
        for (x, out) in out.iter_mut().enumerate() {
            *out = 0.25 * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
        }
    }
}
