//! Convolutions by any odd kernel against PyTorch's and between both forms.

use crate::models::noise::Noise;
use crate::simd::tests::runs_wide;
use candle_core::DType;
use proptest::prelude::*;

use super::*;
use candle_core::Device;

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
    let cases: [(&[usize], usize, &[usize]); 10] = [
        (&[1], 1, &[4, 5]),
        (&[1], 9, &[33, 131]), // more than a task, and a last tile that is not full
        (&[1], 400, &[4, 5]),  // many channels
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_odd_kernel_is_its_definition(
        (batch, inputs, outputs) in (1..3usize, 1..4usize, prop_oneof![1..4usize, 8..11usize]),
        (slices, rows, columns, square) in (0..2usize, 0..5usize, 0..5usize, any::<bool>()),
        (depth, height, width) in (1..4usize, 1..10usize, prop_oneof![4 => 1..12usize, 1 => 62..70usize]),
        seed in any::<u64>(),
    ) {
        let kernel = [2 * slices + 1, 2 * rows + 1, 2 * if square { rows } else { columns } + 1];
        let normal = |stream, dims: &[usize]| {
            let values = Noise::new(seed, stream).normals(dims.iter().product());
            Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
        };
        let x = normal(1, &[batch, inputs, depth, height, width]);
        let weight = normal(2, &[&[outputs, inputs], kernel.as_slice()].concat());
        let bias = normal(3, &[outputs]);
        let ours = Conv::new(&weight, &bias, Kernels::Fused).unwrap().forward(&x, Activation::Relu).unwrap();
        prop_assert_eq!(ours.dims(), [batch, outputs, depth, height, width]);
        let (x, weight, bias) = (flat(&x), flat(&weight), flat(&bias));
        let taps: usize = kernel.iter().product();
        for (place, ours) in flat(&ours).into_iter().enumerate() {
            let plane = place / width / height / depth;
            let at = [place / width / height % depth, place / width % height, place % width];
            let mut exact = f64::from(bias[plane % outputs]);
            for input in 0..inputs {
                for tap in 0..taps {
                    let tap_at = [tap / kernel[1] / kernel[2], tap / kernel[2] % kernel[1], tap % kernel[2]];
                    let from = [0, 1, 2].map(|axis| (at[axis] + tap_at[axis]).wrapping_sub(kernel[axis] / 2));
                    if from[0] < depth && from[1] < height && from[2] < width {
                        let volume = (plane / outputs * inputs + input) * depth;
                        let value = x[((volume + from[0]) * height + from[1]) * width + from[2]];
                        let weight = weight[(plane % outputs * inputs + input) * taps + tap];
                        exact += f64::from(value) * f64::from(weight);
                    }
                }
            }
            let exact = exact.max(0.0);
            let away = (f64::from(ours) - exact).abs();
            prop_assert!(away < 2e-4 * (1.0 + exact), "{kernel:?} at {at:?}: {ours} for {exact}");
        }
    }
}

#[test]
fn wide_kernels_with_many_inputs_are_multiplied_in_passes_and_the_same_for_any_number_of_threads() {
    let normal = |stream, dims: &[usize]| {
        let values = Noise::new(7, stream).normals(dims.iter().product());
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    };
    let (weight, bias) = (normal(1, &[9, 21, 3, 7, 7]), normal(2, &[9]));
    let x = normal(3, &[2, 21, 2, 10, 18]);
    let run =
        |kernels| Conv::new(&weight, &bias, kernels).unwrap().forward(&x, Activation::Identity).unwrap();
    let (ours, stock) = (flat(&run(Kernels::Fused)), flat(&run(Kernels::Stock(DType::F32))));
    let worst = ours.iter().zip(&stock).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "{worst}");
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(ours, pool.install(|| flat(&run(Kernels::Fused))), "{threads} threads");
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
fn shifted_sums_and_bands_run_on_the_widest_vectors() {
    let layer = Conv::new(&wave(&[2, 3, 5, 5], |i| i), &wave(&[2], |i| i), Kernels::Fused).unwrap();
    let x = wave(&[1, 3, 4, 4], |i| i);
    runs_wide(&["SumShifted"], || assert!(layer.forward(&x, Activation::Relu).is_ok()));
    let layer = Conv::new(&wave(&[400, 3, 1, 1], |i| i), &wave(&[400], |i| i), Kernels::Fused).unwrap();
    runs_wide(&["AddBias"], || assert!(layer.forward(&x, Activation::Relu).is_ok()));
    let layer = Conv::new(&wave(&[8, 3, 5, 5], |i| i), &wave(&[8], |i| i), Kernels::Fused).unwrap();
    runs_wide(&["Band"], || assert!(layer.forward(&x, Activation::Relu).is_ok()));
}
