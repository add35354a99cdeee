//! The inner loop of a one-dimensional convolution.
//!
//! Owns registers' blocking and nothing else: no allocation, no threads. The order of every sum is fixed, so results do
//! not depend on how many threads there are.

use pulp::{Simd, WithSimd};

use crate::simd::vectorised;

/// Output channels computed together; weights are laid out in panels of as many.
pub(super) const PANEL: usize = 8;

/// A dilated convolution of prepared rows with one panel of weights, onto `PANEL` or fewer rows of output.
pub(super) struct ConvPanel<'a> {
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
    pub(super) fn run(self) {
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
pub(super) const SLACK: usize = 3 * 16;
