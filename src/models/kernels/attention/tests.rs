//! Attention against candle's operations and against the formula, and what it refuses.

use super::*;
use crate::models::noise::Noise;
use crate::simd::tests::runs_wide;

fn tensor(shape: &[usize], stream: u64) -> Tensor {
    Tensor::from_vec(Noise::new(5, stream).normals(shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// A view into a joined projection [batch, tokens, 3·heads·size], as networks have it.
fn part(joined: &Tensor, heads: usize, index: usize) -> Tensor {
    let (batch, tokens, width) = joined.dims3().unwrap();
    let part = joined.narrow(2, index * width / 3, width / 3).unwrap();
    part.reshape((batch, tokens, heads, width / 3 / heads)).unwrap().transpose(1, 2).unwrap()
}

/// Around the edges of tiles and vectors too.
#[test]
fn tiles_are_what_the_operations_give() {
    for (batch, heads, tokens, size) in
        [(1, 1, 1, 1), (2, 3, 17, 8), (1, 2, 77, 64), (2, 1, TILE + 1, 40), (1, 3, 2 * TILE + 9, 5)]
    {
        let joined = tensor(&[batch, tokens, 3 * heads * size], 0);
        let [q, k, v] = [0, 1, 2].map(|index| part(&joined, heads, index));
        let bias = tensor(&[heads, tokens, tokens], 1);
        for mask in [Mask::None, Mask::Causal, Mask::Bias(&bias)] {
            let ours = attention(&q, &k, &v, 0.3, mask).unwrap();
            let theirs = by_operations(&q, &k, &v, 0.3, mask).unwrap();
            assert_eq!(ours.dims(), [batch, tokens, heads * size]);
            assert!(difference(&ours, &theirs) < 1e-5, "{tokens} tokens, {mask:?}");
        }
    }
}

/// The formula in f64, without tiles.
#[test]
fn rows_of_one_item_give_what_the_formula_gives() {
    let (heads, tokens, size, scale) = (3, TILE + 9, 5, 0.4f64);
    let rows = [0, 1, 2].map(|stream| tensor(&[tokens, heads * size], stream));
    let bias = tensor(&[heads, tokens, tokens], 3);
    let at = |m: &[f32], h: usize, t: usize, i: usize| f64::from(m[(t * heads + h) * size + i]);
    let [q, k, v] = rows.each_ref().map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    let added: Vec<f32> = bias.flatten_all().unwrap().to_vec1().unwrap();
    for mask in [Mask::None, Mask::Causal, Mask::Bias(&bias)] {
        let ours = attention_of_rows(heads, scale, rows.each_ref(), mask).unwrap();
        let ours: Vec<f32> = ours.flatten_all().unwrap().to_vec1().unwrap();
        for h in 0..heads {
            for t in 0..tokens {
                let weight = |s: usize| {
                    let dot: f64 = (0..size).map(|i| at(&q, h, t, i) * at(&k, h, s, i)).sum();
                    match mask {
                        Mask::Causal if s > t => 0.0,
                        Mask::Bias(_) => {
                            (dot * scale + f64::from(added[(h * tokens + t) * tokens + s])).exp()
                        }
                        _ => (dot * scale).exp(),
                    }
                };
                let weights: Vec<f64> = (0..tokens).map(weight).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..size {
                    let exact: f64 = (0..tokens).map(|s| weights[s] / total * at(&v, h, s, i)).sum();
                    assert!((f64::from(ours[(t * heads + h) * size + i]) - exact).abs() < 2e-6);
                }
            }
        }
    }
}

#[test]
fn queries_may_be_fewer_than_keys() {
    let (q, k, v) = (tensor(&[1, 2, 5, 8], 0), tensor(&[1, 2, 40, 8], 1), tensor(&[1, 2, 40, 8], 2));
    let ours = attention(&q, &k, &v, 1.0, Mask::None).unwrap();
    assert!(difference(&ours, &by_operations(&q, &k, &v, 1.0, Mask::None).unwrap()) < 1e-5);
    assert!(attention(&q, &k, &v, 1.0, Mask::Causal).is_err());
}

#[test]
fn a_nan_among_the_scores_is_not_hidden_and_spoils_no_other_query() {
    let q = tensor(&[1, 1, 40, 8], 0);
    for (value, keys) in [(f32::NAN, 7..8), (f32::NEG_INFINITY, 0..40)] {
        let mut bias = vec![0.0; 40 * 40];
        bias[33 * 40..][keys].fill(value);
        let bias = Tensor::from_vec(bias, (1, 40, 40), &Device::Cpu).unwrap();
        let out = attention(&q, &q, &q, 1.0, Mask::Bias(&bias)).unwrap();
        let out: Vec<f32> = out.flatten_all().unwrap().to_vec1().unwrap();
        for (query, row) in out.chunks(8).enumerate() {
            assert!(row.iter().all(|value| value.is_nan() == (query == 33)), "{query}: {row:?}");
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (q, k) = (tensor(&[1, 2, 5, 8], 0), tensor(&[1, 2, 6, 8], 1));
    assert!(attention(&q, &k, &tensor(&[1, 2, 7, 8], 2), 1.0, Mask::None).is_err());
    assert!(attention(&q, &k, &k, 1.0, Mask::Bias(&tensor(&[2, 5, 7], 3))).is_err());
    let (sizes, four) = (Sizes { batch: 1, heads: 1, queries: 2, keys: 2, size: 2 }, [0.0; 4]);
    let view = |data| View::heads(data, 2, 2);
    let short = attend(sizes, 1.0, [view(&four), view(&four[..3]), view(&four)], &HostMask::None);
    assert!(matches!(short, Err(ShapeError::Outside { length: 3, .. })));
}

#[test]
fn tiles_run_on_the_widest_vectors() {
    let q = tensor(&[1, 1, 5, 8], 0);
    runs_wide(&["Attend"], || assert!(attention(&q, &q, &q, 1.0, Mask::None).is_ok()));
}
