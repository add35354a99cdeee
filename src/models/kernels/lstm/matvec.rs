//! A vector times a matrix that is kept in the order in which the processor reads it: what is left of a recurrent step.
//!
//! Owns registers' blocking and nothing else: no allocation, no threads.

use pulp::{Simd, WithSimd};

use crate::simd::vectorised;

/// `sums[i] += Σ_j values[j] · matrix[j][i]` for a matrix in panels of [`COLUMNS`] columns: `[panel][j][COLUMNS]`.
pub(super) struct MatVec<'a> {
    /// The panels.
    pub matrix: &'a [f32],
    /// One for each row of the matrix.
    pub values: &'a [f32],
    /// One for each column; a multiple of [`COLUMNS`].
    pub sums: &'a mut [f32],
}

/// Columns of a panel of [`MatVec`].
pub(super) const COLUMNS: usize = 64;

impl MatVec<'_> {
    /// Runs it.
    pub(super) fn run(self) {
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
