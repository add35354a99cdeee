//! The processor's kernels against candle's operations in f64, which is what a device without those kernels computes.

use crate::simd::tests::runs_wide;
use candle_core::{DType, Device, Module, Tensor};

use super::*;
use crate::models::noise::Noise;

mod properties;
mod threads;

fn random(dims: &[usize], seed: u64) -> Tensor {
    let count = dims.iter().product();
    Tensor::from_vec(Noise::new(seed, 0).normals(count), dims, &Device::Cpu).unwrap()
}

/// The same with the seed in front.
pub(super) fn random_of(seed: u64, dims: &[usize]) -> Tensor {
    random(dims, seed)
}

pub(super) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
pub(super) fn assert_close(a: &[f32], b: &[f32], bound: f32) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= bound, "differ by {worst:e}");
}

/// What a device without the processor's kernels computes: the same operation in f64, by candle's own operations.
fn stock(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F64).unwrap()
}

#[track_caller]
fn agree(ours: &Tensor, stock: &Tensor) {
    let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(ours.dims(), stock.dims());
    let worst = wide(ours).iter().zip(wide(stock)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 2e-5, "the processor's kernel and candle's operations differ by {worst:e}");
}

#[test]
fn the_processors_kernels_and_candles_operations_agree() {
    let (x, y, shift, scale) =
        (random(&[37, 24], 1), random(&[37, 24], 2), random(&[24], 3), random(&[24], 4));
    agree(
        &modulated(&x, &shift, &scale, 1e-6).unwrap(),
        &modulated(&stock(&x), &shift, &scale, 1e-6).unwrap(),
    );
    let norm = LayerNorm::new(scale.clone(), shift, 1e-5).unwrap();
    agree(&norm.forward(&x).unwrap(), &norm.forward(&stock(&x)).unwrap());
    agree(&rms_norm(&x, &scale, 1e-6).unwrap(), &rms_norm(&stock(&x), &scale, 1e-6).unwrap());
    agree(&gate_add(&x, &scale, &y).unwrap(), &gate_add(&stock(&x), &stock(&scale), &stock(&y)).unwrap());
    agree(&gated_gelu(&x, &y).unwrap(), &gated_gelu(&stock(&x), &stock(&y)).unwrap());
    agree(&beside_gelu(&x, &y, 5).unwrap(), &beside_gelu(&stock(&x), &stock(&y), 5).unwrap());
    for activation in [Activation::GeluTanh, Activation::QuickGelu, Activation::Silu, Activation::Gelu] {
        agree(&activation.forward(&x).unwrap(), &activation.forward(&stock(&x)).unwrap());
    }
}

#[test]
fn both_kinds_of_attention_agree_on_both_paths() {
    let (heads, width) = (3, 8);
    let rows = [random(&[5, 3 * heads * width], 1), random(&[9, 3 * heads * width], 2)];
    let weight = random(&[width], 3);
    let rotation = Rotation { cos: random(&[14, width / 2], 4), sin: random(&[14, width / 2], 5) };
    let joint = |rows: &[Tensor]| {
        let streams: Vec<Qkv<'_>> =
            rows.iter().map(|rows| Qkv { rows, query: &weight, key: &weight }).collect();
        joint_attention(&streams, heads, &rotation)
    };
    let wide: Vec<Tensor> = rows.iter().map(stock).collect();
    agree(&joint(&rows).unwrap(), &joint(&wide).unwrap());

    let qkv =
        [random(&[6, heads * width], 6), random(&[6, heads * width], 7), random(&[6, heads * width], 8)];
    let bias = random(&[heads, 6, 6], 9);
    for mask in [Mask::None, Mask::Causal, Mask::Bias(&bias)] {
        let ours = attention_of_rows(heads, 0.3, [&qkv[0], &qkv[1], &qkv[2]], mask).unwrap();
        let wide = [stock(&qkv[0]), stock(&qkv[1]), stock(&qkv[2])];
        agree(&ours, &attention_of_rows(heads, 0.3, [&wide[0], &wide[1], &wide[2]], mask).unwrap());
    }
}

#[test]
fn rotations_for_other_tokens_are_refused() {
    let rows = random(&[4, 12], 1);
    let weight = random(&[4], 2);
    let rotation = Rotation { cos: random(&[3, 2], 3), sin: random(&[3, 2], 4) };
    let error =
        joint_attention(&[Qkv { rows: &rows, query: &weight, key: &weight }], 1, &rotation).unwrap_err();
    assert!(error.to_string().contains("4 tokens"), "{error}");
}

#[test]
fn rotations_run_on_the_widest_vectors() {
    let (rows, weight) = (random(&[4, 12], 1), random(&[4], 2));
    let rotation = Rotation { cos: random(&[4, 2], 3), sin: random(&[4, 2], 4) };
    runs_wide(&["norm_and_rotate"], || {
        assert!(joint_attention(&[Qkv { rows: &rows, query: &weight, key: &weight }], 1, &rotation).is_ok());
    });
}
