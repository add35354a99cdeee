//! Products of pixels: four outputs of sixteen vectors' sums in registers, over all inputs.
//!
//! What each map of an enlarged convolution is. Owns the order of the weights; never their values.

use pulp::Simd;

/// Outputs of a block of weights.
pub(super) const BLOCK: usize = 4;

/// Weights \[output\]\[input\] as `[block][input][output of the block]`.
pub(super) fn packed(outputs: usize, inputs: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut packed = vec![0.0; outputs.div_ceil(BLOCK) * inputs * BLOCK];
    for output in 0..outputs {
        for input in 0..inputs {
            packed[(output / BLOCK * inputs + input) * BLOCK + output % BLOCK] = weight(output, input);
        }
    }
    packed
}

/// Pixels that sums are made of at a time: sixteen sums, four vectors and a weight where there are 32 registers, half
/// as many where there are sixteen.
#[inline(always)]
pub(super) fn wide<S: Simd>() -> usize {
    if S::F32_LANES == 8 { 2 * S::F32_LANES } else { 4 * S::F32_LANES }
}

/// A block's sums of [`wide`] pixels, inputs `stride` values apart: `[output]`, `apart` values apart.
#[inline(always)]
pub(super) fn sums<S: Simd>(
    simd: S,
    weights: &[[f32; BLOCK]],
    pixels: &[f32],
    stride: usize,
    out: &mut [f32],
    apart: usize,
) {
    if S::F32_LANES == 8 {
        sums_of::<S, 2>(simd, weights, pixels, stride, out, apart);
    } else {
        sums_of::<S, 4>(simd, weights, pixels, stride, out, apart);
    }
}

#[inline(always)]
fn sums_of<S: Simd, const COUNT: usize>(
    simd: S,
    weights: &[[f32; BLOCK]],
    pixels: &[f32],
    stride: usize,
    out: &mut [f32],
    apart: usize,
) {
    let zero = simd.splat_f32s(0.0);
    let (mut a, mut b) = ([zero; COUNT], [zero; COUNT]);
    let (mut c, mut d) = ([zero; COUNT], [zero; COUNT]);
    for (input, [wa, wb, wc, wd]) in weights.iter().enumerate() {
        let vectors = S::as_simd_f32s(&pixels[input * stride..][..COUNT * S::F32_LANES]).0;
        let Some(pixels) = vectors.first_chunk::<COUNT>() else { return };
        times(simd, &mut a, *wa, pixels);
        times(simd, &mut b, *wb, pixels);
        times(simd, &mut c, *wc, pixels);
        times(simd, &mut d, *wd, pixels);
    }
    put::<S, COUNT>(out, 0, &a);
    put::<S, COUNT>(out, apart, &b);
    put::<S, COUNT>(out, 2 * apart, &c);
    put::<S, COUNT>(out, 3 * apart, &d);
}

/// `sums + weight · pixels`.
#[inline(always)]
pub(super) fn times<S: Simd, const COUNT: usize>(
    simd: S,
    sums: &mut [S::f32s; COUNT],
    weight: f32,
    pixels: &[S::f32s; COUNT],
) {
    let weight = simd.splat_f32s(weight);
    for (sum, pixels) in sums.iter_mut().zip(pixels) {
        *sum = simd.mul_add_e_f32s(weight, *pixels, *sum);
    }
}

#[inline(always)]
fn put<S: Simd, const COUNT: usize>(out: &mut [f32], at: usize, sums: &[S::f32s; COUNT]) {
    let out = S::as_mut_simd_f32s(&mut out[at..][..COUNT * S::F32_LANES]).0;
    if let Some(out) = out.first_chunk_mut::<COUNT>() {
        *out = *sums;
    }
}
