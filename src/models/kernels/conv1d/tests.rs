//! One-dimensional convolutions against candle's, and what their input may go through first.

use candle_core::Device;

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
    assert_close(&ours, &values(&expected), 2e-5);
}

#[test]
fn panels_and_preparations_run_on_the_widest_vectors() {
    let signal = values(&random(1, &[200]));
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
