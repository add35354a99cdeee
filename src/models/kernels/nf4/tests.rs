use crate::simd::tests::runs_wide;
use candle_core::{DType, Device, Tensor};

use super::encode::DYNAMIC_MAP;
use super::*;
use crate::models::noise::Noise;

fn random(rows: usize, cols: usize) -> Tensor {
    Tensor::from_vec(Noise::new(1, 0).normals(rows * cols), (rows, cols), &Device::Cpu).unwrap()
}

fn error(a: &Tensor, b: &Tensor) -> f32 {
    let norm = |t: Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f32>().unwrap();
    norm((a - b).unwrap()) / norm(a.clone())
}

#[test]
fn quantised_matrices_of_any_shape_come_back_within_the_formats_error() {
    for (rows, cols) in [(1, 1), (1, 63), (3, 65), (24, 96), (50, 70), (300, 128)] {
        let matrix = random(rows, cols);
        for nested in [false, true] {
            let packed = Nf4::quantise(&matrix, nested, &Device::Cpu).unwrap();
            assert_eq!(packed.size(), Nf4::size_of(rows, cols, nested), "{rows}x{cols}");
            let back = packed.dequantise(DType::F32).unwrap();
            // 0.10 of the norm is the format's error on normal values; small matrices scatter.
            assert!(error(&matrix, &back) < 0.16, "{rows}x{cols}: {}", error(&matrix, &back));
        }
    }
}

#[test]
fn values_unpacked_on_a_processor_are_the_tensor_operations_bits() {
    for dtype in [DType::F32, DType::BF16] {
        for (rows, cols) in [(7, 3), (9, 65), (24, 96), (40, 128)] {
            let packed =
                Nf4::quantise(&random(rows, cols).to_dtype(dtype).unwrap(), true, &Device::Cpu).unwrap();
            let whole =
                packed.dequantise(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let held = packed.held().unwrap();
            for first in [0, 1, 2, rows / 2 * cols, rows * cols - 1] {
                for count in [1, 2, 33, 100].map(|count| count.min(rows * cols - first)) {
                    let mut out = vec![0.0; count];
                    held.values(first, &mut out);
                    assert_eq!(out, whole[first..first + count], "{rows}x{cols} from {first}");
                }
            }
        }
    }
}

#[test]
fn the_dynamic_map_rises_from_end_to_end() {
    assert!(DYNAMIC_MAP.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!((DYNAMIC_MAP[127], DYNAMIC_MAP[255]), (0.0, 1.0));
}

#[test]
fn what_is_not_finite_is_refused() {
    let matrix = Tensor::new(&[[1f32, f32::INFINITY]], &Device::Cpu).unwrap();
    assert!(Nf4::quantise(&matrix, false, &Device::Cpu).unwrap_err().to_string().contains("not finite"));
}

#[test]
fn parts_that_do_not_fit_the_shape_are_refused() {
    let packed = Tensor::zeros(4, DType::U8, &Device::Cpu).unwrap();
    let absmax = Absmax::Plain(Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
    let error = Nf4::new((3, 3), &packed, absmax, LEVELS, DType::F32).unwrap_err().to_string();
    assert!(error.contains("3x3 has 5 packed bytes, not 4"), "{error}");
}

#[test]
fn the_last_entry_of_a_table_is_an_entry_like_any_other() {
    // candle takes the largest number of an index type for "none": as bytes, 0xFF would come back as zeros.
    let matrix = Tensor::ones((2, 64), DType::F32, &Device::Cpu).unwrap();
    let packed = Nf4::quantise(&matrix, false, &Device::Cpu).unwrap();
    let back = packed.dequantise(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(back, [1.0; 128]);
    let absmax = Tensor::from_vec(vec![1f32; 300], 300, &Device::Cpu).unwrap();
    let codes = Tensor::from_vec(vec![255u8; 300], 300, &Device::Cpu).unwrap();
    let map = Tensor::new(DYNAMIC_MAP.as_slice(), &Device::Cpu).unwrap();
    let nested = Absmax::Nested { codes, map, scales: absmax.narrow(0, 0, 2).unwrap(), offset: 0.5 };
    assert_eq!(nested.values().unwrap().to_vec1::<f32>().unwrap(), [1.5; 300]);
}

#[test]
fn blocks_run_on_the_widest_vectors() {
    let matrix = Tensor::ones((3, 70), DType::F32, &Device::Cpu).unwrap();
    runs_wide(&["encode_block"], || assert!(Nf4::quantise(&matrix, true, &Device::Cpu).is_ok()));
}

#[test]
fn values_are_unpacked_on_the_widest_vectors() {
    let packed = Nf4::quantise(&random(4, 64).to_dtype(DType::BF16).unwrap(), false, &Device::Cpu).unwrap();
    runs_wide(&["scale"], || packed.held().unwrap().values(0, &mut [0.0; 256]));
}

#[test]
fn rounding_is_that_of_bf16() {
    let mut bits = 1u32;
    for _ in 0..100_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = f32::from_bits(bits);
        let expected = half::bf16::from_f32(value).to_f32();
        let found = decode::bf16_of(value);
        assert!(found == expected || value.is_nan() && found.is_nan(), "{value}: {found} for {expected}");
    }
}
