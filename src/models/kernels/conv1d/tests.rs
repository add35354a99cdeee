//! One-dimensional convolutions against candle's, and what their input may go through first.

use candle_core::Device;
use proptest::prelude::*;

use super::super::tests::{assert_close, random_of as random, values};
use super::panel::{ConvPanel, PANEL};
use super::*;
use crate::simd::tests::runs_wide;

/// Lengths around the registers' and the blocks' edges, panels that are not full, dilations.
#[test]
fn convolutions_agree_with_candles() {
    let shapes =
        [(1, 1, 1, 1, 1), (3, 5, 3, 1, 47), (4, 8, 7, 3, 49), (16, 22, 11, 5, 200), (300, 9, 3, 1, 1500)];
    for (inputs, outputs, taps, dilation, len) in shapes {
        let (weight, bias) = (random(1, &[outputs, inputs, taps]), random(2, &[outputs]));
        let x = random(3, &[1, inputs, len]);
        let padding = (taps - 1) * dilation / 2;
        let [ours, candles] = [Kernels::Fused, Kernels::Stock(DType::F32)].map(|kernels| {
            let conv = Conv1d::new(&weight, Some(&bias), dilation, padding, kernels).unwrap();
            values(&conv.forward(&x).unwrap())
        });
        assert_close(&ours, &candles, 2e-6 * (inputs * taps) as f32);
    }
}

/// A convolution of these sizes by nested transforms, on so many threads, and in f64 from the definition.
fn nested_and_exact(sizes: [usize; 6], add: bool, threads: usize) -> (Vec<f32>, Vec<f64>) {
    let [inputs, outputs, taps, dilation, padding, len] = sizes;
    let noise = |seed, count| crate::models::noise::Noise::new(seed, 0).normals(count);
    let (weight, x) = (noise(1, outputs * inputs * taps), noise(2, inputs * len));
    let mut bias = vec![[0.0; PANEL]; outputs.div_ceil(PANEL)];
    bias.as_flattened_mut().copy_from_slice(&noise(3, outputs.next_multiple_of(PANEL)));
    let out_len = len + 2 * padding - dilation * (taps - 1);
    let mut out = noise(4, outputs * out_len);
    let exact = (0..outputs * out_len).map(|place| {
        let (output, t) = (place / out_len, place % out_len);
        let mut sum = f64::from(bias[output / PANEL][output % PANEL]);
        if add {
            sum += f64::from(out[place]);
        }
        for input in 0..inputs {
            for tap in 0..taps {
                let sample = (t + tap * dilation).wrapping_sub(padding);
                if sample < len {
                    let weight = weight[(output * inputs + input) * taps + tap];
                    sum += f64::from(weight) * f64::from(x[input * len + sample]);
                }
            }
        }
        sum
    });
    let exact: Vec<f64> = exact.collect();
    let panels = pack(&weight, outputs, inputs * taps);
    let layer = Layer {
        inputs,
        outputs,
        taps,
        dilation,
        padding,
        panels: &panels,
        bias: &bias,
        x: &x,
        len,
        prepare: &Prepare::NOTHING,
        add,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| layer.run(&mut out, out_len));
    (out, exact)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every number of taps that transforms are for, any dilation and padding, lengths around a tile and around a band; the
    /// same bits on any number of threads.
    #[test]
    fn nested_transforms_are_the_convolution(
        (inputs, outputs) in (1usize..20, 1usize..20),
        (taps, dilation) in (1usize..=12, 1usize..=6),
        padding in 0usize..40,
        extra in prop_oneof![1usize..40, 200usize..1000],
        add: bool,
    ) {
        let reach = dilation * (taps - 1);
        let len = (extra + reach).saturating_sub(2 * padding).max(1);
        let sizes = [inputs, outputs, taps, dilation, padding.max((reach + 1).saturating_sub(len).div_ceil(2)), len];
        let (ours, exact) = nested_and_exact(sizes, add, 1);
        let bound = 1e-4 * ((inputs * taps) as f64).sqrt();
        for (ours, exact) in ours.iter().zip(&exact) {
            prop_assert!((f64::from(*ours) - exact).abs() < bound, "{ours} for {exact}");
        }
        prop_assert_eq!(&ours, &nested_and_exact(sizes, add, 3).0);
    }
}

/// As wide and long as the published vocoder's: the root of the mean square error is less than five times a direct sum's.
#[test]
fn nested_transforms_keep_their_digits() {
    for sizes in [[256, 8, 11, 3, 15, 400], [128, 8, 7, 1, 3, 400], [256, 8, 3, 1, 1, 400]] {
        let (ours, exact) = nested_and_exact(sizes, false, 2);
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let error = square(&mut ours.iter().zip(&exact).map(|(ours, exact)| f64::from(*ours) - exact));
        let size = square(&mut exact.iter().copied());
        assert!((error / size).sqrt() < 5e-6, "{}", (error / size).sqrt());
    }
}

#[test]
fn what_nested_transforms_used_is_given_back() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let conv = Conv1d::new(&random(1, &[32, 32, 7]), None, 1, 3, Kernels::Fused).unwrap();
        conv.forward(&random(2, &[1, 32, 2000])).unwrap();
        assert!(release_scratch() >= 4 * 35 * 32 * 32, "such a layer goes through its transforms");
        assert_eq!(release_scratch(), 0);
    });
}

#[test]
fn a_prepared_convolution_pads_behind_the_preparation() {
    let (inputs, len) = (3, 70);
    let (weight, x) = (random(1, &[2, inputs, 5]), random(2, &[1, inputs, len]));
    let affine = Affine { mean: vec![0.5; inputs], gain: vec![2.0; inputs], shift: vec![1.0; inputs] };
    let alpha = vec![0.7, 3.0, 20.0];
    let prepare = Prepare { affine: Some(affine), activation: InputActivation::Snake(alpha.clone()) };
    let conv = Conv1d::new(&weight, None, 1, 2, Kernels::Fused).unwrap();
    let mut ours = vec![1.0; 2 * len];
    conv.write(&values(&x), len, &prepare, &mut ours, true).unwrap();

    let y = ((x - 0.5).unwrap() * 2.0).unwrap().affine(1.0, 1.0).unwrap();
    let alpha = Tensor::from_vec(alpha, (1, inputs, 1), &Device::Cpu).unwrap();
    let sine = y.broadcast_mul(&alpha).unwrap().sin().unwrap().sqr().unwrap();
    let y = (&y + sine.broadcast_div(&alpha).unwrap()).unwrap();
    let expected = (y.conv1d(&weight, 2, 1, 1, 1).unwrap() + 1.0).unwrap();
    // Up to 20 in size, and through transforms.
    assert_close(&ours, &values(&expected), 5e-5);
}

#[test]
fn panels_and_preparations_run_on_the_widest_vectors() {
    let signal = values(&random(1, &[200]));
    runs_wide(&["Kernel", "Band"], || {
        let conv = Conv1d::new(&random(1, &[32, 32, 7]), None, 1, 3, Kernels::Fused).unwrap();
        conv.forward(&random(2, &[1, 32, 2000])).unwrap();
    });
    runs_wide(&["ConvPanel", "Row"], || {
        ConvPanel {
            input: &signal,
            stride: signal.len(),
            taps: 3,
            dilation: 2,
            weights: &[0.5; 3 * PANEL],
            bias: &[0.0; PANEL],
            output: &mut [0.0; 2 * 100],
            row: 100,
            at: 0,
            len: 100,
            add: false,
        }
        .run();
        let affine = Affine { mean: vec![0.5], gain: vec![2.0], shift: vec![1.0] };
        let snake = InputActivation::Snake(vec![3.0]);
        for activation in [InputActivation::Linear, InputActivation::Leaky(0.1), snake] {
            let prepare = Prepare { affine: Some(affine.clone()), activation };
            prepare.row(0, &signal, &mut vec![0.0; signal.len()]);
        }
    });
}
