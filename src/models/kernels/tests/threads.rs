//! Kernels on one, two, three and four threads: the same bits, at sizes that are shared out unevenly.

use candle_nn::{VarBuilder, VarMap};

use super::super::conv::Conv;
use super::super::conv1d::Conv1d;
use super::super::instance_norm::Statistics;
use super::super::matrix::{Matrix, Target, Threads, product};
use super::super::nf4::Nf4;
use super::*;

/// Fails unless `run` gives the same bits on any number of threads, and numbers at all.
#[track_caller]
fn same_bits(run: impl Fn() -> Tensor + Sync) {
    let on = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| values(&run())).into_iter().map(f32::to_bits).collect()
    };
    let one = on(1);
    assert!(one.iter().any(|bits| f32::from_bits(*bits) != 0.0) && !one.is_empty());
    for threads in [2, 3, 4] {
        assert!(on(threads) == one, "{threads} threads differ from one");
    }
}

#[test]
fn layers_give_the_same_bits_on_any_number_of_threads() {
    let (x, weight, bias) = (random(&[131, 320], 1), random(&[263, 320], 2), random(&[263], 3));
    for precision in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Q8_0] {
        let layer = Linear::from_tensors(&weight, Some(&bias), precision).unwrap();
        same_bits(|| layer.forward_then(&x, Activation::Gelu).unwrap());
    }
    let packed = Nf4::quantise(&weight, true, &Device::Cpu).unwrap();
    let parts = [
        Weight::Plain(weight.clone()),
        Weight::Plain(weight.to_dtype(DType::BF16).unwrap()),
        Weight::Nf4(packed),
    ];
    for part in parts {
        let layer = Linear::of_parts(vec![part], Some(bias.clone())).unwrap();
        same_bits(|| layer.forward(&x).unwrap());
    }
}

#[test]
fn products_and_attention_give_the_same_bits_on_any_number_of_threads() {
    let [q, k, v] = [1, 2, 3].map(|seed| random(&[301, 5 * 24], seed));
    let bias = random(&[5, 301, 301], 4);
    for mask in [Mask::None, Mask::Causal, Mask::Bias(&bias)] {
        same_bits(|| attention_of_rows(5, 0.2, [&q, &k, &v], mask).unwrap());
    }
    let (a, b) = (values(&random(&[131, 307], 9)), values(&random(&[307, 523], 10)));
    same_bits(|| {
        let (a, b) = (Matrix::dense(&a, 131, 307).unwrap(), Matrix::dense(&b, 307, 523).unwrap());
        let mut out = vec![0.0; 131 * 523];
        product(Target::over(&mut out, 523), 0.5, a, b, Threads::All).unwrap();
        Tensor::from_vec(out, (131, 523), &Device::Cpu).unwrap()
    });
    let (rows, weight) = (random(&[201, 3 * 5 * 24], 5), random(&[24], 6));
    let rotation = Rotation { cos: random(&[201, 12], 7), sin: random(&[201, 12], 8) };
    let stream = || Qkv { rows: &rows, query: &weight, key: &weight };
    same_bits(|| joint_attention(&[stream()], 5, &rotation).unwrap());
}

#[test]
fn norms_and_convolutions_give_the_same_bits_on_any_number_of_threads() {
    let (x, gain, shift) = (random(&[301, 77], 1), random(&[77], 2), random(&[77], 3));
    same_bits(|| modulated(&x, &shift, &gain, 1e-5).unwrap());
    same_bits(|| rms_norm(&x, &gain, 1e-5).unwrap());
    same_bits(|| gated_gelu(&x, &x).unwrap());
    let picture = random(&[1, 21, 45, 67], 4);
    let grouped = GroupNorm::new(3, random(&[21], 5), random(&[21], 6), 1e-5).unwrap();
    same_bits(|| grouped.forward_silu(&picture).unwrap());
    same_bits(|| Statistics::of(&picture, Kernels::Fused).unwrap().normalise(&picture).unwrap());
    let (weight, bias) = (random(&[13, 21, 3, 3], 7), random(&[13], 8));
    same_bits(|| DirectConv::new(weight.clone(), bias.clone()).unwrap().forward(&picture).unwrap());
    for side in [1, 7] {
        let conv = Conv::new(&random(&[13, 21, side, side], 9), &bias, Kernels::Fused).unwrap();
        same_bits(|| conv.forward(&picture, Activation::Relu).unwrap());
    }
    let sound = random(&[1, 21, 3001], 10);
    let conv = Conv1d::new(&random(&[13, 21, 7], 11), Some(&bias), 3, 9, Kernels::Fused).unwrap();
    same_bits(|| conv.forward(&sound).unwrap());
}

#[test]
fn an_lstm_gives_the_same_bits_on_any_number_of_threads() {
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    let lstm = BiLstm::new(33, 47, &vb, Kernels::Fused).unwrap();
    let x = random(&[1, 29, 33], 1);
    same_bits(|| lstm.forward(&x).unwrap());
}
