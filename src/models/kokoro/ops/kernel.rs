//! The inner loops on the CPU, vectorised for whatever the processor has (AVX-512, AVX2, NEON).
//!
//! Owns registers' blocking and nothing else: no allocation, no threads. The order of every sum is fixed, so results do
//! not depend on how many threads there are.

use pulp::{Simd, WithSimd};

use crate::simd::vectorised;

/// Output channels computed together; weights are laid out in panels of as many.
pub const PANEL: usize = 8;

/// A dilated convolution of prepared rows with one panel of weights, onto `PANEL` or fewer rows of output.
pub struct ConvPanel<'a> {
    /// Input rows, zero-padded, `stride` apart; row `c` at `t` is what tap 0 of output `t` sees.
    pub input: &'a [f32],
    /// Distance between input rows.
    pub stride: usize,
    /// Taps.
    pub taps: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// `[input channel][tap][PANEL]`.
    pub weights: &'a [f32],
    /// One for each row of the panel, added to every output.
    pub bias: &'a [f32; PANEL],
    /// The rows of output, `row` apart; as many as fit are written.
    pub output: &'a mut [f32],
    /// Distance between output rows.
    pub row: usize,
    /// First output sample of this block.
    pub at: usize,
    /// Output samples in this block.
    pub len: usize,
    /// Whether outputs are added to what is there.
    pub add: bool,
}

impl ConvPanel<'_> {
    /// Runs it.
    pub fn run(self) {
        vectorised(self);
    }

    /// `ROWS` rows from `first` and `VECTORS` vectors from `t`, all in registers.
    #[expect(clippy::needless_range_loop, reason = "r numbers rows of weights, bias and output as well")]
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, simd: S, first: usize, t: usize) {
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        let channels = self.weights.chunks_exact(self.taps * PANEL);
        for (row, weights) in self.input.chunks_exact(self.stride).zip(channels) {
            for (tap, weights) in weights.chunks_exact(PANEL).enumerate() {
                let from = t + tap * self.dilation;
                let (values, _) = S::as_simd_f32s(&row[from..from + VECTORS * lanes]);
                for r in 0..ROWS {
                    let weight = simd.splat_f32s(weights[first + r]);
                    for v in 0..VECTORS {
                        sums[r][v] = simd.mul_add_e_f32s(weight, values[v], sums[r][v]);
                    }
                }
            }
        }
        let rows = self.output.len().div_ceil(self.row);
        let width = (VECTORS * lanes).min(self.len - t);
        for r in 0..ROWS {
            if first + r >= rows {
                break;
            }
            let bias = simd.splat_f32s(self.bias[first + r]);
            let start = (first + r) * self.row + self.at + t;
            let mut out = &mut self.output[start..start + width];
            for sum in sums[r] {
                let (here, rest) = out.split_at_mut(lanes.min(out.len()));
                let mut value = simd.add_f32s(sum, bias);
                if self.add {
                    value = simd.add_f32s(value, simd.partial_load_f32s(here));
                }
                simd.partial_store_f32s(here, value);
                out = rest;
            }
        }
    }

    #[inline(always)]
    fn sweep<S: Simd, const ROWS: usize>(&mut self, simd: S, first: usize) {
        let lanes = S::F32_LANES;
        let mut t = 0;
        while t < self.len {
            let left = self.len - t;
            if left > 2 * lanes {
                self.tile::<S, ROWS, 3>(simd, first, t);
                t += 3 * lanes;
            } else if left > lanes {
                self.tile::<S, ROWS, 2>(simd, first, t);
                t += 2 * lanes;
            } else {
                self.tile::<S, ROWS, 1>(simd, first, t);
                t += lanes;
            }
        }
    }
}

impl WithSimd for ConvPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // 24 sums fit into AVX-512's 32 registers beside the inputs; 16 registers hold 12.
        if S::F32_LANES >= 16 {
            self.sweep::<S, PANEL>(simd, 0);
        } else {
            self.sweep::<S, { PANEL / 2 }>(simd, 0);
            self.sweep::<S, { PANEL / 2 }>(simd, PANEL / 2);
        }
    }
}

/// Slack that prepared rows need behind their last sample: a tile may read to the end of its last vector.
pub const SLACK: usize = 3 * 16;

/// `sums[i] += Σ_j values[j] · matrix[j][i]` for a matrix in panels of [`COLUMNS`] columns: `[panel][j][COLUMNS]`.
pub struct MatVec<'a> {
    /// The panels.
    pub matrix: &'a [f32],
    /// One for each row of the matrix.
    pub values: &'a [f32],
    /// One for each column; a multiple of [`COLUMNS`].
    pub sums: &'a mut [f32],
}

/// Columns of a panel of [`MatVec`].
pub const COLUMNS: usize = 64;

impl MatVec<'_> {
    /// Runs it.
    pub fn run(self) {
        vectorised(self);
    }
}

impl WithSimd for MatVec<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Four vectors of AVX-512 a panel: enough sums to hide the latency of a fused multiply-add.
        const VECTORS: usize = 4;
        let width = VECTORS * S::F32_LANES;
        let panels = self.matrix.chunks_exact(self.values.len() * COLUMNS);
        for (panel, sums) in panels.zip(self.sums.chunks_exact_mut(COLUMNS)) {
            let (mut at, mut rest) = (0, sums);
            while rest.len() >= width {
                let (here, behind) = rest.split_at_mut(width);
                let (into, _) = S::as_mut_simd_f32s(here);
                let mut total = [into[0], into[1], into[2], into[3]];
                for (row, value) in panel.chunks_exact(COLUMNS).zip(self.values) {
                    let value = simd.splat_f32s(*value);
                    let (row, _) = S::as_simd_f32s(&row[at..at + width]);
                    for v in 0..VECTORS {
                        total[v] = simd.mul_add_e_f32s(value, row[v], total[v]);
                    }
                }
                into[..VECTORS].copy_from_slice(&total);
                (at, rest) = (at + width, behind);
            }
        }
    }
}

/// Mean and 1/√(variance + `epsilon`) of one row, the variance without Bessel's correction.
pub fn moments(row: &[f32], epsilon: f64) -> (f32, f32) {
    let sum = vectorised(Deviations { row, from: 0.0, square: false });
    let mean = sum / row.len() as f64;
    let squares = vectorised(Deviations { row, from: mean as f32, square: true });
    (mean as f32, (1.0 / (squares / row.len() as f64 + epsilon).sqrt()) as f32)
}

/// Σ(x − from) or Σ(x − from)²: in vectors over blocks, the blocks in f64.
struct Deviations<'a> {
    row: &'a [f32],
    from: f32,
    square: bool,
}

impl WithSimd for Deviations<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // Short enough that each lane's f32 sum of a block stays exact to a few units in the last place.
        const STEPS: usize = 64;
        let from = simd.splat_f32s(self.from);
        let mut total = 0.0f64;
        for block in self.row.chunks(STEPS * S::F32_LANES) {
            let (vectors, tail) = S::as_simd_f32s(block);
            let mut sum = simd.splat_f32s(0.0);
            for value in vectors {
                let value = simd.sub_f32s(*value, from);
                sum = if self.square {
                    simd.mul_add_e_f32s(value, value, sum)
                } else {
                    simd.add_f32s(sum, value)
                };
            }
            total += f64::from(simd.reduce_sum_f32s(sum));
            for value in tail {
                let value = f64::from(value - self.from);
                total += if self.square { value * value } else { value };
            }
        }
        total
    }
}
