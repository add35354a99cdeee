//! 3×3 convolutions against PyTorch's and against the definition, in both forms.

use super::*;
use crate::simd::tests::runs_wide;

mod definition;

fn tensor(dims: &[usize], f: impl Fn(f64) -> f64) -> Tensor {
    let count = dims.iter().product::<usize>() as u32;
    Tensor::from_vec((0..count).map(|i| f(f64::from(i)) as f32).collect::<Vec<f32>>(), dims, &Device::Cpu)
        .unwrap()
}

fn wave(dims: &[usize], step: f64) -> Tensor {
    tensor(dims, |i| (i * step).sin())
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(ours: &Tensor, reference: &Tensor, bound: f32) {
    assert_eq!(ours.dims(), reference.dims());
    for (place, (a, b)) in flat(ours).iter().zip(flat(reference)).enumerate() {
        assert!((a - b).abs() <= bound, "at {place}: {a} for {b}");
    }
}

const BOTH: [Kernels; 2] = [Kernels::Fused, Kernels::Stock(DType::F32)];

#[test]
fn pictures_and_volumes_are_those_of_torch() {
    // torch.nn.functional.conv2d and conv3d in f64 of the same waves, every 41st and every 37th value.
    let pictures = [0.365_517_07, -1.220_057_7, 1.459_449_8, 1.963_460_5, 0.764_096_7, 2.578_241, -2.134_967];
    let volumes = [
        -2.723_541,
        -9.625_679,
        -3.868_570_4,
        -5.040_419,
        -3.335_61,
        4.288_122,
        -0.093_317_48,
        -1.265_795_7,
        6.992_189_4,
        -4.265_985,
    ];
    for kernels in BOTH {
        let ours =
            Conv3::new(&tensor(&[4, 3, 3, 3], |i| (i * 0.11).cos()), &tensor(&[4], |i| i * 0.1), kernels)
                .unwrap()
                .forward(Input::new(&wave(&[2, 3, 5, 7], 0.37)), Finish::default())
                .unwrap();
        for (ours, torch) in flat(&ours).iter().step_by(41).zip(pictures) {
            assert!((ours - torch).abs() < 5e-6, "{kernels:?}: {ours} for {torch}");
        }
        let ours =
            Conv3::new(&tensor(&[3, 2, 3, 3, 3], |i| (i * 0.11).cos()), &tensor(&[3], |i| i * 0.1), kernels)
                .unwrap()
                .forward(Input::new(&wave(&[2, 2, 3, 4, 5], 0.37)), Finish::default())
                .unwrap();
        for (ours, torch) in flat(&ours).iter().step_by(37).zip(volumes) {
            assert!((ours - torch).abs() < 1e-5, "{kernels:?}: {ours} for {torch}");
        }
    }
}

#[test]
fn every_size_gives_what_stock_operations_give() {
    for (batch, inputs, outputs, height, width) in
        [(1, 1, 1, 1, 1), (2, 5, 3, 4, 4), (1, 3, 7, 6, 65), (3, 4, 6, 9, 3), (1, 2, 2, 17, 130)]
    {
        let weight = wave(&[outputs, inputs, 3, 3], 0.31);
        let bias = wave(&[outputs], 0.7);
        let x = wave(&[batch, inputs, height, width], 0.23);
        let residual = wave(&[batch, outputs, height, width], 0.13);
        let [fused, stock] = BOTH.map(|kernels| Conv3::new(&weight, &bias, kernels).unwrap());
        for pool in [false, true] {
            for residual in [None, Some(&residual)] {
                let finish = Finish { residual, activation: Activation::Leaky(0.2), pool };
                let (Ok(ours), Ok(reference)) =
                    (fused.forward(Input::new(&x), finish), stock.forward(Input::new(&x), finish))
                else {
                    assert!(pool && height == 1, "{height}x{width}");
                    continue;
                };
                assert_close(&ours, &reference, 2e-5);
            }
        }
    }
}

#[test]
fn an_enlarged_part_of_the_channels_is_read_in_place() {
    let x = wave(&[2, 6, 3, 4, 5], 0.23);
    let weight = wave(&[4, 2, 3, 3, 3], 0.31);
    let bias = wave(&[4], 0.7);
    let [fused, stock] = BOTH.map(|kernels| Conv3::new(&weight, &bias, kernels).unwrap());
    let input = Input::new(&x).channels(3, 2).enlarged(2);
    let ours = fused.forward(input, Finish::default()).unwrap();
    assert_eq!(ours.dims(), [2, 4, 3, 8, 10]);
    assert_close(&ours, &stock.forward(input, Finish::default()).unwrap(), 2e-5);
    assert!(fused.forward(Input::new(&x).channels(5, 2), Finish::default()).is_err());
    assert!(fused.forward(Input::new(&x), Finish::default()).is_err());
    // A layer that is made for it, of pictures.
    let weight = wave(&[4, 2, 3, 3], 0.31);
    let layer = Conv3::of_enlarged(&weight, &bias, 4, Kernels::Fused).unwrap();
    let any = Conv3::new(&weight, &bias, Kernels::Fused).unwrap();
    for input in [input, input.enlarged(4), input.enlarged(3)] {
        let [ours, banded] = [&layer, &any].map(|layer| layer.forward(input, Finish::default()).unwrap());
        assert_close(&ours, &banded, 2e-5);
    }
    assert!(layer.forward(Input::new(&x).channels(3, 2), Finish::default()).is_err(), "not enlarged");
}

#[test]
fn modulation_is_spades_formula_in_both_forms() {
    let segments = wave(&[2, 3, 8, 12], 0.19);
    let x = wave(&[2, 5, 4, 6], 0.41);
    let weight = wave(&[10, 3, 3, 3], 0.31);
    let bias = wave(&[10], 0.7);
    let results = BOTH.map(|kernels| {
        let statistics = Statistics::of(&x, kernels).unwrap();
        let layer = Conv3::new(&weight, &bias, kernels).unwrap();
        layer.modulate(Input::new(&segments), &x, 2, &statistics, Activation::Leaky(0.2)).unwrap()
    });
    assert_eq!(results[0].dims(), [2, 5, 8, 12]);
    assert_close(&results[0], &results[1], 3e-5);
}

#[test]
fn rounding_stays_near_that_of_the_direct_sum() {
    // 64 channels of noise: the error of 36 products against f64, beside that of 144 products in f32.
    let mut state = 1u64;
    let mut noise = |dims: &[usize]| {
        let count = dims.iter().product::<usize>();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    };
    let (x, weight, bias) = (noise(&[1, 64, 16, 16]), noise(&[32, 64, 3, 3]), noise(&[32]));
    let double = |x: &Tensor| x.to_dtype(DType::F64).unwrap();
    let exact = double(&x)
        .conv2d(&double(&weight), 1, 1, 1, 1)
        .unwrap()
        .broadcast_add(&double(&bias).reshape((1, 32, 1, 1)).unwrap())
        .unwrap();
    let error = |kernels| {
        let ours =
            Conv3::new(&weight, &bias, kernels).unwrap().forward(Input::new(&x), Finish::default()).unwrap();
        let worst = (double(&ours) - &exact).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        worst.to_scalar::<f64>().unwrap()
    };
    let (fused, stock) = (error(Kernels::Fused), error(Kernels::Stock(DType::F32)));
    assert!(fused < 8.0 * stock, "{fused:e} against {stock:e}");
}

#[test]
fn scratch_is_kept_and_given_back() {
    // A pool of its own: other tests' convolutions keep theirs in the shared one.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let layer = Conv3::new(&wave(&[4, 3, 3, 3], 0.3), &wave(&[4], 0.1), Kernels::Fused).unwrap();
        layer.forward(Input::new(&wave(&[1, 3, 8, 8], 0.2)), Finish::default()).unwrap();
        assert!(release_scratch() >= 4 * 36 * 4 * 3, "what a call used is kept");
        assert_eq!(release_scratch(), 0);
    });
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let weight = wave(&[12, 5, 3, 3, 3], 0.31);
    let large = wave(&[111, 99, 3, 3, 3], 0.31);
    let (x, wide) = (wave(&[1, 5, 3, 21, 70], 0.23), wave(&[1, 99, 2, 9, 18], 0.23));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let layer = |weight: &Tensor| {
                Conv3::new(weight, &wave(&[weight.dims()[0]], 0.7), Kernels::Fused).unwrap()
            };
            let few = layer(&weight).forward(Input::new(&x), Finish::default()).unwrap();
            let many = layer(&large).forward(Input::new(&wide), Finish::default()).unwrap();
            let flat_weight = wave(&[13, 5, 3, 3], 0.31);
            let enlarged = Conv3::of_enlarged(&flat_weight, &wave(&[13], 0.7), 4, Kernels::Fused).unwrap();
            let large = enlarged.forward(Input::new(&x).enlarged(4), Finish::default()).unwrap();
            [flat(&few), flat(&many), flat(&large)].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert!(run(2) == one && run(4) == one);
}

#[test]
fn known_layers_take_the_form_that_was_measured_to_be_faster() {
    let made = |dims: &[usize], factor: usize| {
        let (weight, bias) = (wave(dims, 0.3), wave(&dims[..1], 0.1));
        let layer = match factor {
            1 => Conv3::new(&weight, &bias, Kernels::Fused),
            _ => Conv3::of_enlarged(&weight, &bias, factor, Kernels::Fused),
        };
        match layer.unwrap().form {
            Form::Fused { kernel: Fused::Banded(_), .. } => "banded",
            Form::Fused { kernel: Fused::Staged(_), .. } => "staged",
            Form::Fused { kernel: Fused::Enlarged(_), .. } => "enlarged",
            _ => "stock",
        }
    };
    // G's shared layers at twice and four times the size, its last block, F's input, W's deepest layers.
    let layers: [(&[usize], usize); 6] = [
        (&[24, 16, 3, 3], 2),
        (&[24, 16, 3, 3], 4),
        (&[8, 8, 3, 3], 1),
        (&[64, 3, 3, 3], 1),
        (&[96, 88, 3, 3, 3], 1),
        (&[200, 180, 3, 3, 3], 1),
    ];
    let forms = layers.map(|(dims, factor)| made(dims, factor));
    assert_eq!(forms, ["banded", "enlarged", "banded", "banded", "banded", "staged"]);
}

#[test]
fn weights_of_other_shapes_are_refused() {
    let bias = wave(&[4], 0.1);
    for dims in [vec![4, 3, 5, 5], vec![4, 3, 2, 3, 3], vec![4, 3]] {
        assert!(Conv3::new(&wave(&dims, 0.3), &bias, Kernels::Fused).is_err(), "{dims:?}");
    }
    assert!(Conv3::new(&wave(&[5, 3, 3, 3], 0.3), &bias, Kernels::Fused).is_err());
}

#[test]
fn bands_and_both_transforms_run_on_the_widest_vectors() {
    let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
    let layer = |dims: &[usize]| Conv3::new(&ones(dims), &ones(&dims[..1]), Kernels::Fused).unwrap();
    runs_wide(&["Band"], || {
        let x = ones(&[1, 3, 9, 9]);
        assert!(layer(&[2, 3, 3, 3]).forward(Input::new(&x), Finish::default()).is_ok());
    });
    runs_wide(&["Enlarging"], || {
        let layer = Conv3::of_enlarged(&ones(&[2, 3, 3, 3]), &ones(&[2]), 4, Kernels::Fused).unwrap();
        let x = ones(&[1, 3, 4, 5]);
        assert!(layer.forward(Input::new(&x).enlarged(4), Finish::default()).is_ok());
    });
    runs_wide(&["InputStage", "OutputStage"], || {
        let x = ones(&[1, 110, 1, 9, 9]);
        assert!(layer(&[100, 110, 3, 3, 3]).forward(Input::new(&x), Finish::default()).is_ok());
    });
}
