//! Convolutions by any odd kernel against PyTorch's and between both forms.

use crate::simd::tests::runs_wide;
use candle_core::DType;

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
fn volumes_are_those_of_torch() {
    // torch.nn.functional.conv3d in f64, kernel 5×7×7, every 29th value.
    let torch = [
        6.447_176,
        5.622_963,
        7.873_247_5,
        -3.526_153,
        -6.642_601_5,
        3.590_135_5,
        2.407_198,
        5.283_891,
        1.249_941_2,
    ];
    let x = wave(&[2, 2, 3, 4, 5], |i| (i * 0.37).sin());
    let weight = wave(&[2, 2, 5, 7, 7], |i| (i * 0.11).cos());
    for kernels in BOTH {
        let layer = Conv::new(&weight, &wave(&[2], |i| i * 0.1), kernels).unwrap();
        let ours = layer.forward(&x, Activation::Identity).unwrap();
        assert_eq!(ours.dims(), [2, 2, 3, 4, 5]);
        for (ours, torch) in flat(&ours).iter().step_by(29).zip(torch) {
            assert!((ours - torch).abs() < 1e-5, "{kernels:?}: {ours} for {torch}");
        }
    }
}

#[test]
fn every_kernel_and_size_gives_what_stock_operations_give() {
    let cases: [(&[usize], usize, &[usize]); 8] = [
        (&[1], 1, &[4, 5]),
        (&[1, 1, 1], 3, &[2, 4, 5]),
        (&[7, 7], 1, &[9, 4]),   // thin: rows of the kernel are outputs
        (&[7, 7], 70, &[3, 70]), // wide: rows are shifts
        (&[3, 3], 2, &[1, 1]),
        (&[7, 7, 7], 2, &[4, 3, 5]),
        (&[1, 3, 3], 2, &[2, 130, 66]), // more rows than a slab
        (&[3, 1, 1], 2, &[3, 2, 2]),
    ];
    for (kernel, outputs, size) in cases {
        let kernel = if kernel.len() == 1 { vec![1, 1] } else { kernel.to_vec() };
        let weight = wave(&[&[outputs, 3], kernel.as_slice()].concat(), |i| (i * 0.31).sin());
        let bias = wave(&[outputs], |i| i * 0.3 - 0.2);
        let x = wave(&[&[2, 3], size].concat(), |i| (i * 0.23).cos());
        let [ours, stock] = BOTH.map(|kernels| {
            Conv::new(&weight, &bias, kernels).unwrap().forward(&x, Activation::Relu).unwrap()
        });
        assert_eq!(ours.dims(), stock.dims());
        let worst = flat(&ours).iter().zip(flat(&stock)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 5e-5, "{kernel:?} on {size:?}: {worst}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let bias = wave(&[2], |i| i);
    assert!(Conv::new(&wave(&[2, 3, 2, 2], |i| i), &bias, Kernels::Fused).is_err());
    let layer = Conv::new(&wave(&[2, 3, 1, 1], |i| i), &bias, Kernels::Fused).unwrap();
    assert!(layer.forward(&wave(&[1, 4, 2, 2], |i| i), Activation::Identity).is_err());
    assert!(layer.forward(&wave(&[1, 3, 2, 2, 2], |i| i), Activation::Identity).is_err());
    let listed = Conv::new(&wave(&[2, 3, 1, 1], |i| i), &bias, Kernels::Listed).unwrap();
    assert!(listed.forward(&wave(&[1, 3, 2, 2], |i| i), Activation::Identity).is_err());
}

#[test]
fn sums_and_biases_run_on_the_widest_vectors() {
    let layer = Conv::new(&wave(&[2, 3, 5, 5], |i| i), &wave(&[2], |i| i), Kernels::Fused).unwrap();
    let x = wave(&[1, 3, 4, 4], |i| i);
    runs_wide(&["SumShifted", "AddBias"], || assert!(layer.forward(&x, Activation::Relu).is_ok()));
}
