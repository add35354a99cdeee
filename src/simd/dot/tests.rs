//! Every kind that this machine has against the definition, one number at a time.

use proptest::prelude::*;

use super::*;

/// `a` and `b`, values of −127 to 127 by row and by column, with their blocks' scales.
fn defined(left: &[(f32, [i8; BLOCK])], right: &[(f16, [i8; BLOCK])]) -> f32 {
    left.iter().zip(right).fold(0.0, |sum, ((scale, values), (weight, weights))| {
        let whole: i32 = values.iter().zip(weights).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        sum + whole as f32 * (weight.to_f32() * scale)
    })
}

fn values(seed: &mut u64) -> [i8; BLOCK] {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // One in four at the edge of the range.
        let bits = *seed >> 40;
        match bits & 7 {
            0 => 127,
            1 => -127,
            _ => (bits >> 3) as i8,
        }
    };
    let mut values = [0; BLOCK];
    for value in &mut values {
        *value = next().max(-127);
    }
    values
}

fn check(rows: usize, blocks: usize, mut seed: u64) {
    let seed = &mut seed;
    let mut left = vec![0; rows * blocks * LEFT];
    let mut by_row = vec![Vec::new(); rows];
    let mut by_column = vec![Vec::new(); SIDE];
    let mut panel = vec![Weights::ZERO; blocks];
    for block in 0..blocks {
        for (row, kept) in by_row.iter_mut().enumerate() {
            let (scale, values) = (0.01 + row as f32 * 0.3 + block as f32, values(seed));
            lay_out(&mut left[block * rows * LEFT..][..rows * LEFT], rows, row, scale, &values);
            kept.push((scale, values));
        }
        for (column, kept) in by_column.iter_mut().enumerate() {
            let (scale, values) = (f16::from_f32(0.02 + 0.01 * column as f32), values(seed));
            panel[block].set(column, scale, &values);
            kept.push((scale, values));
        }
    }
    for kind in Kind::all(widest()) {
        let mut sums = [Row([f32::NAN; SIDE]); TALLEST];
        kind.multiply(&left, rows, &panel, &mut sums);
        for (row, sums) in by_row.iter().zip(&sums) {
            for (column, sum) in by_column.iter().zip(sums.0) {
                assert_eq!(sum, defined(row, column), "{kind:?}: {rows} rows, {blocks} blocks");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_kind_gives_the_defined_bits(rows in 1usize..=TALLEST, blocks in 0usize..20, seed: u64) {
        check(rows, blocks, seed);
    }
}

#[test]
fn the_largest_values_do_not_saturate() {
    let mut panel = [Weights::ZERO; 2];
    for column in 0..SIDE {
        panel[0].set(column, f16::ONE, &[127; BLOCK]);
        panel[1].set(column, f16::ONE, &[-127; BLOCK]);
    }
    let mut left = [0; 2 * LEFT];
    lay_out(&mut left, 1, 0, 1.0, &[-127; BLOCK]);
    lay_out(&mut left[LEFT..], 1, 0, 1.0, &[127; BLOCK]);
    for kind in Kind::all(widest()) {
        let mut sums = [Row::ZERO; TALLEST];
        kind.multiply(&left, 1, &panel, &mut sums);
        assert_eq!(sums[0].0, [-2.0 * 32.0 * 127.0 * 127.0; SIDE], "{kind:?}");
    }
}

#[test]
fn what_is_forbidden_is_not_taken() {
    assert_eq!(Kind::all(Width::Baseline).collect::<Vec<_>>(), [Kind::Plain]);
    #[cfg(target_arch = "x86_64")]
    assert!(Kind::all(Width::Avx2).all(|kind| kind != Kind::Vnni512));
    assert_eq!(Kind::all(widest()).last(), Some(Kind::best()));
}
