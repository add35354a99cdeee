//! Elementary functions of one number that vectorise wherever they are compiled for vectors, and sums over many.
//!
//! Owns the exponential and the order of sums. No fused multiply-add is written, and sums are over 32 running
//! ones whatever the vectors' width: the same bits come out of every kind of vectors. Allocates nothing.

/// Running sums: enough to hide the latency of additions in the widest vectors.
const LANES: usize = 32;

/// eˣ to about one unit in the last place (the Cephes library's `expf`) between −87.3 and 88.3; 0 below, ∞ above, NaN
/// stays.
///
/// x = n·ln 2 + r with |r| ≤ ½·ln 2, a polynomial of degree six in r, and n put into the exponent bits.
#[inline(always)]
pub(in crate::models) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54; // ln of the smallest normal number
    const HIGHEST: f32 = 88.376_26; // ln of 2^127.5: n stays at most 127
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few enough bits for n·LN2_HIGH to be exact; digits as Cephes gives them.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons instead of clamp: one instruction each, and NaN goes through.
    let bounded = if x < LOWEST { LOWEST } else { x };
    let bounded = if bounded > HIGHEST { HIGHEST } else { bounded };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (bounded - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let value = y * scale;
    let value = if x < LOWEST { 0.0 } else { value };
    if x > HIGHEST { f32::INFINITY } else { value }
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to two units in the last place (the Cephes library's `tanhf`): a polynomial of degree nine up
/// to 0.625, which keeps small values' digits, 1 − 2/(e²ˣ + 1) beyond.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    const FAR: f32 = 0.625;
    let square = x * x;
    let mut p = -5.704_988_7e-3;
    p = p * square + 2.063_909e-2;
    p = p * square - 5.373_971_6e-2;
    p = p * square + 1.333_144_2e-1;
    p = p * square - 3.333_328e-1;
    let near = p * square * x + x;
    let beyond = (1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0)).copysign(x);
    // A NaN is not near: it goes through `exp`.
    if x.abs() < FAR { near } else { beyond }
}

/// Σ f(value), in an order that the number of values alone decides.
#[inline(always)]
pub(super) fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut partial = [0.0f32; LANES];
    for chunk in chunks {
        for (sum, value) in partial.iter_mut().zip(chunk) {
            *sum += f(*value);
        }
    }
    for (sum, value) in partial.iter_mut().zip(rest) {
        *sum += f(*value);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            partial[i] += partial[i + width];
        }
        width /= 2;
    }
    partial[0]
}

/// Σ f(value), runs of so many values in f32 and their sums in f64.
#[inline(always)]
pub(super) fn sum_of_runs(values: &[f32], run: usize, f: impl Fn(f32) -> f32 + Copy) -> f64 {
    values.chunks(run).map(|run| f64::from(sum(run, f))).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exponentials_are_right_to_the_last_places(x in -87.3f32..88.3) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2.5e-7, "{x}: {} for {exact}", exp(x));
        }

        #[test]
        fn hyperbolic_tangents_keep_their_digits(x in -12f32..12.0, small in -1e-3f32..1e-3) {
            for x in [x, small] {
                let exact = f64::from(x).tanh();
                prop_assert!((f64::from(tanh(x)) - exact).abs() <= 2.5e-7 * exact.abs(), "{x}: {} for {exact}", tanh(x));
            }
        }
    }

    #[test]
    fn exponentials_end_where_f32_ends() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(200.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
        assert_eq!([f32::NEG_INFINITY, -100.0, 0.0, 100.0].map(tanh), [-1.0, -1.0, 0.0, 1.0]);
        assert!(tanh(f32::NAN).is_nan());
        for edge in [-87.336_54f32, 88.376_26] {
            assert!((f64::from(exp(edge)) / f64::from(edge).exp() - 1.0).abs() < 2.5e-7);
        }
    }

    #[test]
    fn sums_take_every_element() {
        let values: Vec<f32> = (0..77).map(|i| i as f32 - 20.0).collect();
        assert_eq!(sum(&values, |x| x), values.iter().sum::<f32>());
    }
}
