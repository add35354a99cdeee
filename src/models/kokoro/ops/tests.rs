use super::conv1d::Conv1d;
use super::kernel::{COLUMNS, ConvPanel, MatVec, PANEL, moments};
use super::lstm::BiLstm;
use super::prepare::{Activation, Affine, Prepare};
use super::stft::Stft;
use super::upsample::Upsample;
use super::*;
use crate::models::noise::Noise;
use crate::simd::tests::runs_wide;
use candle_core::DType;
use candle_nn::{VarBuilder, VarMap};

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(Noise::new(seed, 0).normals(count), shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], bound: f32) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= bound, "differ by {worst:e}");
}

/// Lengths around the registers' and the blocks' edges, panels that are not full, dilations.
#[test]
fn convolutions_agree_with_candles() {
    let shapes =
        [(1, 1, 1, 1, 1), (3, 5, 3, 1, 47), (4, 8, 7, 3, 49), (16, 22, 11, 5, 200), (300, 9, 3, 1, 1500)];
    for (inputs, outputs, taps, dilation, len) in shapes {
        let (weight, bias) = (random(1, &[outputs, inputs, taps]), random(2, &[outputs]));
        let x = random(3, &[1, inputs, len]);
        let padding = (taps - 1) * dilation / 2;
        let [ours, candles] = [Kernels::Cpu, Kernels::Portable].map(|kernels| {
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
    let prepare = Prepare { affine: Some(affine), activation: Activation::Snake(alpha.clone()) };
    let conv = Conv1d::new(&weight, None, 1, 2, Kernels::Cpu).unwrap();
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
fn up_sampling_agrees_with_candles_and_mirrors_its_start() {
    for (rate, taps, len) in [(10, 20, 7), (6, 12, 33), (2, 4, 2), (3, 5, 10), (4, 4, 9)] {
        let data = [
            ("weight_g", random(1, &[5, 1, 1])),
            ("weight_v", random(2, &[5, 3, taps])),
            ("bias", random(3, &[3])),
        ];
        let map = data.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        let vb = VarBuilder::from_tensors(map, DType::F32, &Device::Cpu);
        let x = random(4, &[1, 5, len]);
        let [ours, candles] = [Kernels::Cpu, Kernels::Portable]
            .map(|kernels| Upsample::new((5, 3), (taps, rate), &vb, kernels).unwrap());
        let plain = ours.forward(&x, 0.1).unwrap();
        assert_eq!(plain.dims3().unwrap(), (1, 3, rate * len));
        assert_close(&values(&plain), &values(&candles.forward(&x, 0.1).unwrap()), 1e-5);
        let mut mirrored = Signal::zeros(3, rate * len + 1);
        ours.onto(&Signal::of(&x).unwrap(), 0.1, &mut mirrored, 1).unwrap();
        for (mirrored, plain) in mirrored.data.chunks(rate * len + 1).zip(values(&plain).chunks(rate * len)) {
            assert_eq!(mirrored[1..], *plain);
            assert_eq!(mirrored[0], plain[1]);
        }
    }
}

#[test]
fn both_forms_of_the_lstm_agree() {
    for (inputs, hidden, steps) in [(3, 1, 4), (5, 17, 9), (8, 64, 3)] {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let x = random(5, &[1, steps, inputs]);
        let [ours, candles] = [Kernels::Cpu, Kernels::Portable]
            .map(|kernels| values(&BiLstm::new(inputs, hidden, &vb, kernels).unwrap().forward(&x).unwrap()));
        assert_close(&ours, &candles, 1e-5);
    }
}

#[test]
fn moments_do_not_lose_a_small_spread_on_a_large_mean() {
    let row: Vec<f32> = Noise::new(1, 0).normals(24_001).into_iter().map(|x| 1000.0 + 0.1 * x).collect();
    let exact_mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64;
    let exact = row.iter().map(|x| (f64::from(*x) - exact_mean).powi(2)).sum::<f64>() / row.len() as f64;
    let (mean, inverse) = moments(&row, 0.0);
    assert!((f64::from(mean) - exact_mean).abs() < 1e-4, "{mean} for {exact_mean}");
    assert!((f64::from(inverse) * exact.sqrt() - 1.0).abs() < 1e-3, "{inverse} for {}", 1.0 / exact.sqrt());
}

#[test]
fn a_signal_comes_back_from_its_spectrum() {
    for (size, hop, len) in [(20, 5, 300), (16, 4, 64), (12, 5, 100)] {
        let signal = Noise::new(9, 0).normals(len);
        let stft = Stft::new(size, hop);
        let shape = (1, 2 * stft.bins(), stft.frames(len));
        let spectrum = Tensor::from_vec(stft.transform(&signal), shape, &Device::Cpu).unwrap();
        let (magnitudes, phases) = (
            spectrum.narrow(1, 0, stft.bins()).unwrap(),
            spectrum.narrow(1, stft.bins(), stft.bins()).unwrap(),
        );
        let back = values(&stft.inverse(&magnitudes, &phases).unwrap());
        assert_close(&back, &signal[..back.len()], 1e-5);
    }
}

#[test]
fn dc_and_nyquist_of_a_negative_signal_have_the_phase_plus_pi() {
    let stft = Stft::new(20, 5);
    let rows = stft.transform(&[-1.0; 100]);
    let frames = stft.frames(100);
    let phases = &rows[stft.bins() * frames..];
    assert!(phases[..frames].iter().all(|phase| *phase == std::f32::consts::PI));
}

#[test]
fn convolutions_and_figures_run_on_the_widest_vectors() {
    let signal = values(&random(1, &[200]));
    runs_wide(&["ConvPanel", "MatVec", "Deviations", "Row"], || {
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
        MatVec { matrix: &[0.5; 3 * COLUMNS], values: &[1.0; 3], sums: &mut [0.0; COLUMNS] }.run();
        assert!(moments(&signal, 1e-5).1.is_finite());
        let affine = Affine { mean: vec![0.5], gain: vec![2.0], shift: vec![1.0] };
        for activation in [Activation::Linear, Activation::Leaky(0.1), Activation::Snake(vec![3.0])] {
            let prepare = Prepare { affine: Some(affine.clone()), activation };
            prepare.row(0, &signal, &mut vec![0.0; signal.len()]);
        }
    });
}
