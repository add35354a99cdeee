//! The packed product against a plain one in f64.

use crate::simd::{lanes, tests::runs_wide};
use proptest::prelude::*;

use super::product::tiles;
use super::*;
use crate::models::noise::Noise;

fn exact(x: &[f32], weight: &[f32], columns: usize, depth: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for row in x.chunks_exact(depth) {
        for weights in weight.chunks_exact(depth) {
            out.push(row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum());
        }
    }
    assert_eq!(out.len(), x.len() / depth * columns);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_packed_product_is_the_product(rows in 1usize..40, columns in 1usize..100, depth in 1usize..70, seed: u64) {
        let mut noise = Noise::new(seed, 0);
        let (x, weight) = (noise.normals(rows * depth), noise.normals(columns * depth));
        let (bias, residual) = (noise.normals(columns), noise.normals(rows * columns));
        let packed = Panels::pack(&weight, columns, depth, Kept::F32);
        let finish = Finish { bias: Some(&bias), activation: Activation::Identity, residual: Some(&residual), ..Finish::default() };
        let ours = packed.multiply(&x, finish);
        for (i, (ours, product)) in ours.iter().zip(exact(&x, &weight, columns, depth)).enumerate() {
            let exact = product + f64::from(bias[i % columns]) + f64::from(residual[i]);
            prop_assert!((f64::from(*ours) - exact).abs() < 1e-4, "{i}: {ours} for {exact}");
        }
    }
}

#[test]
fn half_precision_is_widened_exactly() {
    let (rows, columns, depth) = (5, 40, 33);
    let mut noise = Noise::new(3, 0);
    let (x, weight) = (noise.normals(rows * depth), noise.normals(columns * depth));
    let as_f16: Vec<f32> = weight.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
    let as_bf16: Vec<f32> = weight.iter().map(|w| bf16::from_f32(*w).to_f32()).collect();
    for (kept, rounded) in [(Kept::F16, as_f16), (Kept::Bf16, as_bf16)] {
        let half = Panels::pack(&weight, columns, depth, kept);
        let full = Panels::pack(&rounded, columns, depth, Kept::F32);
        assert_eq!(half.multiply(&x, Finish::default()), full.multiply(&x, Finish::default()), "{kept:?}");
        assert_eq!(half.size() * 2, full.size());
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let (columns, depth) = (70, 50);
    let mut noise = Noise::new(4, 0);
    let (x, weight) = (noise.normals(29 * depth), noise.normals(columns * depth));
    let packed = Panels::pack(&weight, columns, depth, Kept::F32);
    let together = packed.multiply(&x, Finish::default());
    for (row, expected) in x.chunks_exact(depth).zip(together.chunks_exact(columns)) {
        assert_eq!(packed.multiply(row, Finish::default()), expected);
    }
}

#[test]
fn tiles_cover_every_row_once() {
    for rows in 0..100 {
        let covered: Vec<usize> =
            tiles(7, 7 + rows, 12).flat_map(|(start, count)| start..start + count).collect();
        assert_eq!(covered, (7..7 + rows).collect::<Vec<_>>());
        assert!(tiles(7, 7 + rows, 12).all(|(_, count)| count <= 12));
    }
}

#[test]
fn panels_run_on_the_widest_vectors() {
    let panels = Panels::pack(&[1.0; 50 * 7], 50, 7, Kept::F16);
    runs_wide(&["Block"], || assert_eq!(panels.multiply(&[1.0; 3 * 7], Finish::default()), [7.0; 3 * 50]));
    let bytes = Bytes::pack(&[0; 34 * 50], 50, 32);
    runs_wide(&["Finished"], || assert_eq!(bytes.multiply(&[1.0; 3 * 32], Finish::default()), [0.0; 3 * 50]));
}

/// One chain of fused multiply-adds over the depth, as every output is promised to be where there is such an instruction.
fn chained(x: &[f32], weights: &[f32]) -> f32 {
    let fused = |sum: f32, (x, weight): (&f32, &f32)| match lanes() {
        1 => sum + x * weight,
        _ => x.mul_add(*weight, sum),
    };
    x.iter().zip(weights).fold(0.0, fused)
}

#[test]
fn deep_products_are_one_chain_across_their_blocks() {
    let (rows, columns) = (14, 37);
    for depth in [UNIT - 1, UNIT, 3 * UNIT, 3 * UNIT + 1, 7 * UNIT + 5] {
        let mut noise = Noise::new(6, depth as u64);
        let (x, weight) = (noise.normals(rows * depth), noise.normals(columns * depth));
        let bias = noise.normals(columns);
        for kept in [Kept::F32, Kept::Bf16] {
            let rounded: Vec<f32> = match kept {
                Kept::F32 => weight.clone(),
                _ => weight.iter().map(|w| bf16::from_f32(*w).to_f32()).collect(),
            };
            let finish = Finish { bias: Some(&bias), activation: Activation::Relu, ..Finish::default() };
            let ours = Panels::pack(&weight, columns, depth, kept).multiply(&x, finish);
            for (i, ours) in ours.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let of = |values: &[f32], index: usize| values[index * depth..][..depth].to_vec();
                let expected = (chained(&of(&x, row), &of(&rounded, column)) + bias[column]).max(0.0);
                assert_eq!(*ours, expected, "{depth}: {row}, {column}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (rows, columns, depth) = (150, 40, 800);
    let mut noise = Noise::new(7, 0);
    let (x, weight) = (noise.normals(rows * depth), noise.normals(columns * depth));
    let packed = Panels::pack(&weight, columns, depth, Kept::F16);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| packed.multiply(&x, Finish::default()))
    };
    let one = on(1);
    for threads in [2, 3, 4, 9] {
        assert_eq!(on(threads), one, "{threads}");
    }
}
