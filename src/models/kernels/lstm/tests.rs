use candle_core::DType;
use candle_nn::VarMap;

use super::super::tests::{assert_close, random_of as random, values};
use super::*;
use crate::simd::tests::runs_wide;

#[test]
fn both_forms_of_the_lstm_agree() {
    for (inputs, hidden, steps) in [(3, 1, 4), (5, 17, 9), (8, 64, 3)] {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let x = random(5, &[1, steps, inputs]);
        let [ours, candles] = [Kernels::Fused, Kernels::Stock(DType::F32)]
            .map(|kernels| values(&BiLstm::new(inputs, hidden, &vb, kernels).unwrap().forward(&x).unwrap()));
        assert_close(&ours, &candles, 1e-5);
    }
}

#[test]
fn steps_run_on_the_widest_vectors() {
    runs_wide(&["MatVec", "open_gates"], || {
        MatVec { matrix: &[0.5; 3 * COLUMNS], values: &[1.0; 3], sums: &mut [0.0; COLUMNS] }.run();
        open_gates(&[0.5; 4 * 9], &mut [0.0; 9], &mut [0.0; 9]);
    });
}
