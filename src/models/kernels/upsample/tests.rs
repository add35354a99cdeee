use candle_core::{DType, Device};

use super::super::tests::{assert_close, random_of as random, values};
use super::*;

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
        let [ours, candles] = [Kernels::Fused, Kernels::Stock(DType::F32)]
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
