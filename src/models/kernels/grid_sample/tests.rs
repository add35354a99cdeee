//! Sampling against PyTorch's, and its forms against each other.

use crate::simd::tests::runs_wide;
use proptest::prelude::*;

use super::*;

fn wave(dims: &[usize], f: impl Fn(f64) -> f64) -> Tensor {
    let count = dims.iter().product::<usize>() as u32;
    Tensor::from_vec((0..count).map(|i| f(f64::from(i)) as f32).collect::<Vec<f32>>(), dims, &Device::Cpu)
        .unwrap()
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

const BOTH: [Kernels; 2] = [Kernels::Fused, Kernels::Stock(DType::F32)];

#[test]
fn samples_are_those_of_torch() {
    // torch.nn.functional.grid_sample(x, grid, align_corners=False) in f64; a third of the points lie outside.
    let torch = [
        0.045_537_57,
        -0.073_208_98,
        0.0,
        0.021_581_876,
        -0.378_833_86,
        0.0,
        0.013_590_415,
        -0.407_668_2,
        0.0,
        0.010_510_374,
        -0.329_039_66,
        0.0,
        -0.037_073_29,
        0.043_411_117,
        0.0,
        -0.016_530_802,
        0.327_004_54,
        0.0,
        -0.009_553_78,
        0.391_388_76,
        0.0,
        -0.006_498_459,
        0.367_246_02,
        0.0,
        -0.000_244_582,
        -0.294_415_47,
        0.0,
        -0.000_912_447,
        -0.111_390_27,
        0.0,
        0.0,
        0.054_225_377,
        0.0,
        0.0,
        0.117_547_565,
        0.0,
        0.003_797_64,
        0.354_572_83,
        0.0,
        0.002_347_866,
        0.181_017_47,
        0.0,
        0.0,
        -0.014_068_998,
        0.0,
        0.0,
        -0.101_242_39,
        0.0,
    ];
    let x = wave(&[2, 2, 3, 4, 5], |i| (i * 0.37).sin());
    let grid = wave(&[2, 2, 3, 2, 3], |i| (i * 0.71).sin() * 1.3);
    for kernels in BOTH {
        let ours = grid_sample(&x, &grid, kernels).unwrap();
        assert_eq!(ours.dims(), [2, 2, 2, 3, 2]);
        for (ours, torch) in flat(&ours).iter().zip(torch) {
            assert!((ours - torch).abs() < 1e-6, "{kernels:?}: {ours} for {torch}");
        }
    }
}

#[test]
fn the_identity_grid_is_normalised_by_size_less_one() {
    let grid = flat(&identity_grid(2, 1, 3, &Device::Cpu).unwrap());
    assert_eq!(grid[..9], [-1., 0., -1., 0., 0., -1., 1., 0., -1.]);
    assert_eq!(grid[9..], [-1., 0., 1., 0., 0., 1., 1., 0., 1.]);
}

#[test]
fn points_without_a_place_show_instead_of_crashing() {
    let x = wave(&[1, 1, 2, 2, 2], |i| i + 1.0);
    for (point, expected) in
        [([f32::INFINITY, 0.0, 0.0], None), ([1e30, 0.0, 0.0], Some(0.0)), ([f32::NAN, 0.0, 0.0], None)]
    {
        let grid = Tensor::from_slice(&point, (1, 1, 1, 1, 3), &Device::Cpu).unwrap();
        let ours = flat(&grid_sample(&x, &grid, Kernels::Fused).unwrap())[0];
        match expected {
            Some(value) => assert_eq!(ours, value),
            None => assert!(ours.is_nan(), "{ours}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_shift_is_a_grid(
        size in prop::array::uniform3(1usize..6),
        minus in prop::array::uniform3(-1.2f32..1.2),
        plus in prop::array::uniform3(-1.2f32..1.2),
    ) {
        let [d, h, w] = size;
        let x = wave(&[1, 1, d, h, w], |i| (i * 0.37).sin());
        let of = |v: [f32; 3]| Tensor::from_slice(&v, (1, 1, 1, 1, 3), &Device::Cpu).unwrap();
        let grid = identity_grid(d, h, w, &Device::Cpu).unwrap();
        let grid = grid.broadcast_sub(&of(minus)).unwrap().broadcast_add(&of(plus)).unwrap();
        let sampled = flat(&grid_sample(&x, &grid, Kernels::Fused).unwrap());
        let mut ours = vec![0.0; d * h * w];
        sample_shifted(&flat(&x), &Shifts::new(size, minus, plus), &mut ours);
        for (ours, sampled) in ours.iter().zip(&sampled) {
            prop_assert!((ours - sampled).abs() < 2e-6, "{ours} for {sampled}");
        }
        let stock = flat(&grid_sample(&x, &grid, Kernels::Stock(DType::F32)).unwrap());
        for (stock, sampled) in stock.iter().zip(&sampled) {
            prop_assert!((stock - sampled).abs() < 2e-6, "{stock} for {sampled}");
        }
    }
}

#[test]
fn shifts_run_on_the_widest_vectors() {
    let shifts = Shifts::new([2, 3, 4], [0.0; 3], [0.25, 0.5, -0.5]);
    let (volume, mut out) = ([1.0; 24], [0.0; 24]);
    runs_wide(&["Sample"], || sample_shifted(&volume, &shifts, &mut out));
}
