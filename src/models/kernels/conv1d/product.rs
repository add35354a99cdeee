//! The products of one point: some outputs of all inputs, for some tiles.
//!
//! Owns registers' blocking and nothing else. Each sum is over inputs in ascending order, however many vectors there are.

use pulp::Simd;

use super::panel::PANEL;

/// Vectors of tiles that are multiplied at a time: with [`PANEL`] outputs that makes 24 running sums.
pub(super) const GROUP: usize = 3;

/// `PANEL` rows of products of `[group][input][vector of the group]`: `[row][vector]`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    weights: &[[f32; PANEL]],
    inputs: &[f32],
    vectors: usize,
    products: &mut [f32],
) {
    let inputs = S::as_simd_f32s(&inputs[..weights.len() * vectors * S::F32_LANES]).0;
    let products = S::as_mut_simd_f32s(products).0;
    for group in (0..vectors).step_by(GROUP) {
        let inputs = &inputs[group * weights.len()..];
        let out = &mut products[group..];
        match vectors - group {
            1 => rows::<S, 1>(simd, weights, inputs, vectors, out),
            2 => rows::<S, 2>(simd, weights, inputs, vectors, out),
            _ => rows::<S, GROUP>(simd, weights, inputs, vectors, out),
        }
    }
}

#[inline(always)]
fn rows<S: Simd, const VECTORS: usize>(
    simd: S,
    weights: &[[f32; PANEL]],
    inputs: &[S::f32s],
    stride: usize,
    out: &mut [S::f32s],
) {
    // 24 sums fit into AVX-512's 32 registers beside the inputs; 16 registers hold 12.
    if S::F32_LANES >= 16 {
        tile::<S, PANEL, VECTORS>(simd, 0, weights, inputs, stride, out);
    } else {
        tile::<S, { PANEL / 2 }, VECTORS>(simd, 0, weights, inputs, stride, out);
        tile::<S, { PANEL / 2 }, VECTORS>(simd, PANEL / 2, weights, inputs, stride, out);
    }
}

#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    first: usize,
    weights: &[[f32; PANEL]],
    inputs: &[S::f32s],
    stride: usize,
    out: &mut [S::f32s],
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (inputs, weights) in inputs.as_chunks::<VECTORS>().0.iter().zip(weights) {
        for (sums, weight) in sums.iter_mut().zip(&weights[first..]) {
            let weight = simd.splat_f32s(*weight);
            for (sum, input) in sums.iter_mut().zip(inputs) {
                *sum = simd.mul_add_e_f32s(weight, *input, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        out[(first + row) * stride..][..VECTORS].copy_from_slice(sums);
    }
}
