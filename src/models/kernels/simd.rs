//! Functions of one number that vectorise wherever they are compiled for vectors, and sums over many.
//!
//! Owns the exponential and the order of sums. The functions are plain arithmetic without branches, so that a loop over
//! them becomes vector code behind [`vectorised`](crate::simd::vectorised); never allocates.

/// eˣ to 2 units in the last place between −87 and 88; 0 below, ∞ above, NaN stays.
///
/// x = n·ln 2 + r with |r| ≤ ½·ln 2, ln 2 split in two so that r is exact (Cody and Waite 1980), the Taylor polynomial
/// of degree 7 for eʳ (its error there, 5e-9, is below f32's rounding), and n put into the exponent bits.
#[inline(always)]
pub(in crate::models) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54; // ln of the smallest normal number
    const HIGHEST: f32 = 88.376_26; // ln of 2^127.5: n stays at most 127
    const LN2_HIGH: f32 = 0.693_359_4; // 11 bits: n · LN2_HIGH is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5·2^23 rounds to an integer and leaves it in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    // Comparisons instead of clamp: one instruction each, and NaN goes through.
    let bounded = if x < LOWEST { LOWEST } else { x };
    let bounded = if bounded > HIGHEST { HIGHEST } else { bounded };
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, bounded));
    let mut p = 1.984_127e-4_f32;
    p = p.mul_add(r, 1.388_888_9e-3);
    p = p.mul_add(r, 8.333_334e-3);
    p = p.mul_add(r, 4.166_666_8e-2);
    p = p.mul_add(r, 1.666_666_7e-1);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r, 1.0);
    p = p.mul_add(r, 1.0);
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let value = p * scale;
    let value = if x < LOWEST { 0.0 } else { value };
    if x > HIGHEST { f32::INFINITY } else { value }
}

/// Σ f(value), over 16 running sums: independent additions are what lets them vectorise.
#[inline(always)]
pub(super) fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [0.0f32; 16];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f(*value);
    }
    lanes.iter().sum()
}

/// The largest value; a NaN may be passed over.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    rest.iter().chain(&lanes).fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a })
}

/// Softmax of one row, in place. A row of −∞ becomes NaN, as it does by the definition.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32]) {
    let top = largest(row);
    row.iter_mut().for_each(|value| *value = exp(*value - top));
    let total = sum(row, |value| value);
    let share = 1.0 / total;
    row.iter_mut().for_each(|value| *value *= share);
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
        fn a_softmax_is_a_distribution(mut row in prop::collection::vec(-50f32..50.0, 1..70)) {
            let top = row.iter().copied().fold(f32::MIN, f32::max);
            let total: f64 = row.iter().map(|v| f64::from(v - top).exp()).sum();
            let exact: Vec<f64> = row.iter().map(|v| f64::from(v - top).exp() / total).collect();
            softmax(&mut row);
            for (ours, exact) in row.iter().zip(exact) {
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn exponentials_end_where_f32_ends() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(200.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn a_nan_among_the_scores_is_not_hidden() {
        let mut row = vec![0.0; 40];
        row[7] = f32::NAN;
        softmax(&mut row);
        assert!(row.iter().all(|value| value.is_nan()));
    }
}
