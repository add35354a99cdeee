//! The integer product against the definition in f64, of blocks that candle made.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::models::kernels::activation::Activation;
use crate::models::noise::Noise;
use crate::simd::tests::runs_wide;

/// A matrix in blocks, and the values that they stand for.
fn stored(columns: usize, depth: usize, seed: u64) -> (Bytes, Vec<f32>) {
    let weight =
        Tensor::from_vec(Noise::new(seed, 0).normals(columns * depth), (columns, depth), &Device::Cpu);
    let packed = QTensor::quantize(&weight.unwrap(), GgmlDType::Q8_0).unwrap();
    let values = packed.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (Bytes::pack(&packed.data().unwrap(), columns, depth), values)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_product_of_integers_is_the_product(rows in 1usize..30, columns in 1usize..100, deep in 1usize..6, seed: u64) {
        let depth = deep * BLOCK;
        let (packed, weight) = stored(columns, depth, seed);
        let mut noise = Noise::new(seed, 1);
        let (x, bias, residual) =
            (noise.normals(rows * depth), noise.normals(columns), noise.normals(rows * columns));
        let finish = Finish {
            bias: Some(&bias),
            activation: Activation::Relu,
            residual: Some(&residual),
            ..Finish::default()
        };
        let rounded: Vec<f64> = x.as_chunks::<BLOCK>().0.iter().flat_map(|values| {
            let (scale, bytes) = quantised(values);
            bytes.map(|byte| f64::from(byte) * f64::from(scale))
        }).collect();
        for (x, rounded) in x.iter().zip(&rounded) {
            // Half a step of 1/127 of the largest magnitude, which normal numbers do not exceed.
            prop_assert!((f64::from(*x) - rounded).abs() < 6.0 / 127.0 / 2.0 + 1e-6);
        }
        for (i, ours) in packed.multiply(&x, finish).iter().enumerate() {
            let (row, column) = (i / columns, i % columns);
            let terms = rounded[row * depth..].iter().zip(&weight[column * depth..][..depth]);
            let product: f64 = terms.map(|(x, weight)| x * f64::from(*weight)).sum();
            let exact = (product + f64::from(bias[column])).max(0.0) + f64::from(residual[i]);
            prop_assert!((f64::from(*ours) - exact).abs() < 1e-4, "{i}: {ours} for {exact}");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let (columns, depth) = (70, 96);
    let (packed, _) = stored(columns, depth, 4);
    let x = Noise::new(4, 1).normals(29 * depth);
    let together = packed.multiply(&x, Finish::default());
    for (row, expected) in x.chunks_exact(depth).zip(together.chunks_exact(columns)) {
        assert_eq!(packed.multiply(row, Finish::default()), expected);
    }
}

#[test]
fn blocks_take_what_they_take_in_a_file() {
    let (packed, _) = stored(64, 320, 5);
    assert_eq!(packed.size(), 64 * 320 / BLOCK * STORED);
}

#[test]
fn what_is_no_number_stays_none_and_zeros_stay_zeros() {
    let (packed, _) = stored(33, 64, 6);
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![1.0; 3 * 64];
        x[64 + 40] = wrong;
        let out = packed.multiply(&x, Finish::default());
        for (row, values) in out.chunks_exact(33).enumerate() {
            assert!(values.iter().all(|value| value.is_nan() == (row == 1)), "{wrong}: {row}");
        }
    }
    for nothing in [0.0, f32::MIN_POSITIVE / 1e5] {
        let out = packed.multiply(&[nothing; 64], Finish::default());
        assert!(out.iter().all(|value| value.abs() < 1e-30), "{nothing}");
    }
    assert!(packed.multiply(&[], Finish::default()).is_empty());
}

#[test]
fn integers_are_made_on_the_widest_vectors() {
    let (packed, _) = stored(40, 32, 7);
    runs_wide(&["quantise"], || assert_eq!(packed.multiply(&[0.0; 96], Finish::default()), [0.0; 120]));
}
