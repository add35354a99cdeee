//! What is done to the sums of a 3×3 convolution while they are still in the first-level cache.
//!
//! Owns bias, residual, activation, 2×2 pooling and SPADE's modulation (Park et al. 2019); never a convolution.

use pulp::Simd;

use super::super::activation::leaky;
use super::tiles::{MOST, Volume, repeat};
use super::transform::{STEP, vector};

/// Pixels of one row of a vector of tiles, and the most that are finished at a time.
pub(super) const WIDTH: usize = STEP * MOST;

/// Four rows of outputs, on whole cache lines.
#[repr(C, align(64))]
pub(super) struct Rows([[f32; WIDTH]; STEP]);

impl Rows {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([[0.0; WIDTH]; STEP])
    }

    #[inline(always)]
    pub(super) fn sums(&self) -> Sums<'_> {
        Sums { values: self.0.as_flattened(), pitch: WIDTH }
    }

    /// The pixels of a vector of tiles, given by row and column of a tile. `shuffled`: in the order of tiles in which
    /// rows are read by shuffles.
    #[inline(always)]
    pub(super) fn set<S: Simd>(&mut self, simd: S, tiles: &[[S::f32s; STEP]; STEP], shuffled: bool) {
        let [a, b, c, d] = &mut self.0;
        let [tiles_a, tiles_b, tiles_c, tiles_d] = tiles;
        if shuffled {
            put(simd, a, tiles_a);
            put(simd, b, tiles_b);
            put(simd, c, tiles_c);
            put(simd, d, tiles_d);
            return;
        }
        for (row, columns) in self.0.iter_mut().zip(tiles) {
            let mut single = [0.0; MOST];
            for (j, column) in columns.iter().enumerate() {
                if let Some(first) = S::as_mut_simd_f32s(&mut single).0.first_mut() {
                    *first = *column;
                }
                for (tile, value) in single.iter().enumerate() {
                    row[STEP * tile + j] = *value;
                }
            }
        }
    }
}

/// Rows of sums of one channel, `pitch` values apart.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    pub(super) values: &'a [f32],
    pub(super) pitch: usize,
}

impl<'a> Sums<'a> {
    #[inline(always)]
    fn row(self, i: usize, from: usize) -> &'a [f32] {
        &self.values[i * self.pitch + from..]
    }
}

/// One row of shuffled tiles.
#[inline(always)]
fn put<S: Simd>(simd: S, row: &mut [f32; WIDTH], columns: &[S::f32s; STEP]) {
    let pixels = simd.interleave_shfl_f32s(*columns);
    if let [a, b, c, d, ..] = S::as_mut_simd_f32s(row).0 {
        (*a, *b, *c, *d) = (pixels[0], pixels[1], pixels[2], pixels[3]);
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
    /// Pixels that belong there, at most [`WIDTH`], and the first of them in the rows.
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
    pub(super) fn write<S: Simd>(
        &self,
        simd: S,
        place: Place,
        rows: Sums<'_>,
        other: Sums<'_>,
        out: &mut [f32],
    ) {
        let Volume { batch, depth, height, width } = place.volume;
        let count = STEP.min(height - place.y);
        match *self {
            Self::Plain { bias, slope, residual, pool } => {
                let ends = End { bias: bias[place.channel], slope };
                let plane = |channels: usize| {
                    ((place.batch * channels + place.channel) * depth + place.depth) * height * width
                };
                let residual = residual
                    .map(|all| &all[plane(all.len() / (batch * depth * height * width))..][..height * width]);
                let line = |i: usize| residual.map(|plane| &plane[(place.y + i) * width + place.x..]);
                if pool {
                    let mut done = [[0.0; WIDTH]; STEP];
                    for (i, done) in done.iter_mut().enumerate().take(count) {
                        ends.write(simd, rows.row(i, place.from), line(i), &mut done[..place.width]);
                    }
                    average(place, &done, count, out);
                } else {
                    for i in 0..count {
                        let start = (place.y - place.top + i) * width + place.x;
                        let out = &mut out[start..][..place.width];
                        ends.write(simd, rows.row(i, place.from), line(i), out);
                    }
                }
            }
            Self::Modulate { bias, slope, x, factor, mean, scale } => {
                let channels = bias.len() / 2;
                let index = place.batch * channels + place.channel;
                let modulation = Modulation {
                    gamma: bias[place.channel] + 1.0,
                    beta: bias[channels + place.channel],
                    mean: mean[index],
                    scale: scale[index],
                    slope,
                };
                let (h, w) = (height / factor, width / factor);
                let mut large = [0.0; WIDTH];
                for i in 0..count {
                    let y = place.y + i;
                    let line = &x[(index * h + y / factor) * w..][..w];
                    // Rows that enlarge the same one share it; tiles begin with a new one or carry on.
                    if factor > 1 && (i == 0 || y.is_multiple_of(factor)) {
                        enlarge(line, factor, place.x, &mut large[..place.width]);
                    }
                    let line =
                        if factor == 1 { &line[place.x..][..place.width] } else { &large[..place.width] };
                    let out = &mut out[(y - place.top) * width + place.x..][..place.width];
                    let sums = [rows.row(i, place.from), other.row(i, place.from)];
                    modulation.write(simd, line, sums, out);
                }
            }
        }
    }
}

/// [`leaky`] of slopes up to one. Where `slope · x` is no number the second of the two is taken.
#[inline(always)]
fn activated<S: Simd>(simd: S, x: S::f32s, slope: f32) -> S::f32s {
    simd.max_f32s(simd.mul_f32s(x, simd.splat_f32s(slope)), x)
}

/// Writes a whole vector to the beginning of `out`.
#[inline(always)]
fn store<S: Simd>(out: &mut [f32], value: S::f32s) {
    if let [first, ..] = S::as_mut_simd_f32s(out).0 {
        *first = value;
    }
}

/// sum + bias + residual, activated.
#[derive(Clone, Copy)]
struct End {
    bias: f32,
    slope: f32,
}

impl End {
    #[inline(always)]
    fn write<S: Simd>(self, simd: S, sums: &[f32], residual: Option<&[f32]>, out: &mut [f32]) {
        let Self { bias, slope } = self;
        let whole = out.len() - out.len() % S::F32_LANES;
        for at in (0..whole).step_by(S::F32_LANES) {
            let mut value = simd.add_f32s(vector(simd, &sums[at..]), simd.splat_f32s(bias));
            if let Some(residual) = residual {
                value = simd.add_f32s(value, vector(simd, &residual[at..]));
            }
            store::<S>(&mut out[at..], activated(simd, value, slope));
        }
        for ((out, sum), at) in out[whole..].iter_mut().zip(&sums[whole..]).zip(whole..) {
            let value = sum + bias;
            *out = leaky(residual.map_or(value, |residual| value + residual[at]), slope);
        }
    }
}

/// SPADE's modulation of one channel; its γ and β lack those of the sums.
#[derive(Clone, Copy)]
struct Modulation {
    gamma: f32,
    beta: f32,
    mean: f32,
    scale: f32,
    slope: f32,
}

impl Modulation {
    #[inline(always)]
    fn write<S: Simd>(self, simd: S, x: &[f32], [gammas, betas]: [&[f32]; 2], out: &mut [f32]) {
        let Self { gamma, beta, mean, scale, slope } = self;
        let whole = out.len() - out.len() % S::F32_LANES;
        for at in (0..whole).step_by(S::F32_LANES) {
            let normal = simd.sub_f32s(vector(simd, &x[at..]), simd.splat_f32s(mean));
            let normal = simd.mul_f32s(normal, simd.splat_f32s(scale));
            let gamma = simd.add_f32s(simd.splat_f32s(gamma), vector(simd, &gammas[at..]));
            let beta = simd.add_f32s(simd.splat_f32s(beta), vector(simd, &betas[at..]));
            let value = simd.add_f32s(simd.mul_f32s(normal, gamma), beta);
            store::<S>(&mut out[at..], activated(simd, value, slope));
        }
        let sums = gammas[whole..].iter().zip(&betas[whole..]);
        for ((out, x), (gammas, betas)) in out[whole..].iter_mut().zip(&x[whole..]).zip(sums) {
            *out = leaky((x - mean) * scale * (gamma + gammas) + (beta + betas), slope);
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
