//! What is done to the sums of a 3×3 convolution while they are still in the first-level cache.
//!
//! Owns bias, residual, activation, 2×2 pooling and SPADE's modulation (Park et al. 2019); never a convolution.

use super::super::activation::leaky;
use super::transform::STEP;
use super::winograd::Volume;

/// Pixels of one row of a group of tiles.
const WIDTH: usize = 64;

/// Four rows of outputs.
pub(super) struct Rows(pub(super) [[f32; WIDTH]; STEP]);

impl Rows {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([[0.0; WIDTH]; STEP])
    }
}

/// Where the four rows belong.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    pub(super) batch: usize,
    pub(super) channel: usize,
    pub(super) depth: usize,
    pub(super) volume: Volume,
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) width: usize,
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
    /// Channels of the result, of a layer with so many.
    pub(super) fn channels(&self, outputs: usize) -> usize {
        match self {
            Self::Plain { .. } => outputs,
            Self::Modulate { .. } => outputs / 2,
        }
    }

    /// Pixels of one plane of the result.
    pub(super) fn plane(&self, height: usize, width: usize) -> usize {
        match self {
            Self::Plain { pool: true, .. } => (height / 2) * (width / 2),
            _ => height * width,
        }
    }

    /// The other channel that a result needs.
    #[inline(always)]
    pub(super) fn second(&self, channel: usize, outputs: usize) -> Option<usize> {
        match self {
            Self::Plain { .. } => None,
            Self::Modulate { .. } => Some(channel + outputs / 2),
        }
    }

    /// Finishes four rows and writes those that lie within the plane.
    #[inline(always)]
    pub(super) fn write(&self, place: Plane, rows: &mut Rows, other: &Rows, out: &mut [f32]) {
        let Volume { depth, height, width, .. } = place.volume;
        let count = STEP.min(height - place.y);
        match *self {
            Self::Plain { bias, slope, residual, pool } => {
                let bias = bias[place.channel];
                for (i, row) in rows.0.iter_mut().enumerate().take(count) {
                    let row = &mut row[..place.width];
                    row.iter_mut().for_each(|value| *value += bias);
                    if let Some(residual) = residual {
                        let channels = residual.len() / (place.volume.batch * depth * height * width);
                        let plane = (place.batch * channels + place.channel) * depth + place.depth;
                        let line =
                            &residual[(plane * height + place.y + i) * width + place.x..][..place.width];
                        row.iter_mut().zip(line).for_each(|(value, other)| *value += other);
                    }
                    row.iter_mut().for_each(|value| *value = leaky(*value, slope));
                }
                if pool {
                    average(place, rows, count, out);
                } else {
                    for (i, row) in rows.0.iter().enumerate().take(count) {
                        out[(place.y + i) * width + place.x..][..place.width]
                            .copy_from_slice(&row[..place.width]);
                    }
                }
            }
            Self::Modulate { bias, slope, x, factor, mean, scale } => {
                let channels = bias.len() / 2;
                let index = place.batch * channels + place.channel;
                let (gamma_bias, beta_bias) = (bias[place.channel] + 1.0, bias[channels + place.channel]);
                let (mean, scale) = (mean[index], scale[index]);
                let (h, w) = (height / factor, width / factor);
                for i in 0..count {
                    let y = place.y + i;
                    let line = &x[(index * h + y / factor) * w..][..w];
                    let out = &mut out[y * width + place.x..][..place.width];
                    let gamma = &rows.0[i][..place.width];
                    let beta = &other.0[i][..place.width];
                    if factor == 1 {
                        let line = &line[place.x..][..place.width];
                        for (((out, x), gamma), beta) in out.iter_mut().zip(line).zip(gamma).zip(beta) {
                            let value = (x - mean) * scale * (gamma_bias + gamma) + (beta_bias + beta);
                            *out = leaky(value, slope);
                        }
                    } else {
                        for (at, out) in out.iter_mut().enumerate() {
                            let x = line[(place.x + at) / factor];
                            let value =
                                (x - mean) * scale * (gamma_bias + gamma[at]) + (beta_bias + beta[at]);
                            *out = leaky(value, slope);
                        }
                    }
                }
            }
        }
    }
}

/// Means of whole 2×2 windows; an odd last row or column belongs to none.
#[inline(always)]
fn average(place: Plane, rows: &Rows, count: usize, out: &mut [f32]) {
    let width = place.volume.width / 2;
    for i in 0..count / 2 {
        let (upper, lower) = (&rows.0[2 * i], &rows.0[2 * i + 1]);
        let out = &mut out[(place.y / 2 + i) * width + place.x / 2..][..place.width / 2];
        for (x, out) in out.iter_mut().enumerate() {
            *out = 0.25 * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
        }
    }
}
