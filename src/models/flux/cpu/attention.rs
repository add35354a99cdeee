//! softmax(scale · q·kᵀ + bias)·v per head, in tiles of queries that stay in a core's cache.

use rayon::prelude::*;

use super::gemm::{Before, Matrix, Target, product};
use super::lanes::{self, widest};

/// Queries per tile: scores of 128 queries against 1,280 keys are 0.7 MB, within a core's second-level cache.
const TILE: usize = 128;

/// Which keys a query sees, beyond all of them.
#[derive(Clone, Copy)]
pub enum Mask<'a> {
    /// All.
    None,
    /// Those up to itself.
    Causal,
    /// All, with [heads, queries, keys] added to the scores.
    Bias(&'a [f32]),
}

/// Sizes of an attention: all heads share them.
#[derive(Clone, Copy)]
pub struct Heads {
    /// Number of heads.
    pub heads: usize,
    /// Tokens, as queries and as keys.
    pub tokens: usize,
    /// Values per head.
    pub width: usize,
}

/// `q`, `k`, `v` of [heads, tokens, width] to `out` of [tokens, heads · width]; `false` where a size does not match.
#[must_use]
pub fn attention(sizes: Heads, scale: f32, [q, k, v]: [&[f32]; 3], mask: Mask<'_>, out: &mut [f32]) -> bool {
    let Heads { heads, tokens, width } = sizes;
    let per_head = tokens * width;
    let bias_fits = !matches!(mask, Mask::Bias(bias) if bias.len() != heads * tokens * tokens);
    if [q.len(), k.len(), v.len(), out.len()].iter().any(|len| *len != heads * per_head) || !bias_fits {
        return false;
    }
    if out.is_empty() {
        return true;
    }
    let tiles = tokens.div_ceil(TILE);
    let mut by_head = vec![0f32; heads * per_head];
    // Tiles of all heads in one list: every thread finds work even where there are fewer heads than threads.
    let mut jobs: Vec<(usize, usize, &mut [f32])> = Vec::with_capacity(heads * tiles);
    for (head, rows) in by_head.chunks_mut(per_head).enumerate() {
        jobs.extend(rows.chunks_mut(TILE * width).enumerate().map(|(tile, rows)| (head, tile * TILE, rows)));
    }
    let fine = jobs.into_par_iter().map_init(Vec::new, |scores: &mut Vec<f32>, (head, first, rows)| {
        let count = rows.len() / width;
        let of_head = head * per_head..(head + 1) * per_head;
        let (k, v) = (&k[of_head.clone()], &v[of_head.clone()]);
        let q = &q[of_head][first * width..(first + count) * width];
        scores.resize(count * tokens, 0.0);
        let (Some(q), Some(k), Some(v)) =
            (Matrix::rows(q, count, width), Matrix::rows(k, tokens, width), Matrix::rows(v, tokens, width))
        else {
            return false;
        };
        if !product(&mut Target::new(scores, tokens), Before::Ignored, scale, q, k.t(), 1) {
            return false;
        }
        for (row, scores) in scores.chunks_mut(tokens).enumerate() {
            let query = first + row;
            match mask {
                Mask::None => {}
                Mask::Causal => scores[query + 1..].fill(f32::NEG_INFINITY),
                Mask::Bias(bias) => {
                    let bias = &bias[(head * tokens + query) * tokens..][..tokens];
                    scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                }
            }
            softmax(scores);
        }
        let Some(weights) = Matrix::rows(scores, count, tokens) else { return false };
        product(&mut Target::new(rows, width), Before::Ignored, 1.0, weights, v, 1)
    });
    if !fine.all(|fine| fine) {
        return false;
    }
    out.par_chunks_mut(heads * width).enumerate().for_each(|(token, row)| {
        for (head, values) in row.chunks_mut(width).enumerate() {
            values.copy_from_slice(&by_head[(head * tokens + token) * width..][..width]);
        }
    });
    true
}

widest! {
    /// softmax in place; −∞ scores weigh nothing.
    pub fn softmax(scores: &mut [f32]) {
        let most = lanes::max(scores);
        for score in scores.iter_mut() {
            // `exp` clamps, so that −∞ would weigh e⁻⁸⁷.
            let weight = lanes::exp(*score - most);
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { weight };
        }
        let scale = 1.0 / lanes::sum(scores, |weight| weight);
        for score in scores.iter_mut() {
            *score *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::noise::Noise;

    /// The formula in f64, without tiles.
    fn plain(sizes: Heads, scale: f64, [q, k, v]: [&[f32]; 3], mask: Mask<'_>) -> Vec<f64> {
        let Heads { heads, tokens, width } = sizes;
        let at = |m: &[f32], h: usize, t: usize, i: usize| f64::from(m[(h * tokens + t) * width + i]);
        let mut out = vec![0.0; heads * tokens * width];
        for h in 0..heads {
            for t in 0..tokens {
                let weights: Vec<f64> = (0..tokens)
                    .map(|s| {
                        let dot: f64 = (0..width).map(|i| at(q, h, t, i) * at(k, h, s, i)).sum();
                        match mask {
                            Mask::Causal if s > t => 0.0,
                            Mask::Bias(bias) => {
                                (dot * scale + f64::from(bias[(h * tokens + t) * tokens + s])).exp()
                            }
                            _ => (dot * scale).exp(),
                        }
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for i in 0..width {
                    out[(t * heads + h) * width + i] =
                        (0..tokens).map(|s| weights[s] / total * at(v, h, s, i)).sum();
                }
            }
        }
        out
    }

    #[test]
    fn tiles_and_masks_give_what_the_formula_gives() {
        let sizes = Heads { heads: 3, tokens: TILE + 9, width: 5 };
        let values = Noise::new(3, 0).normals(3 * sizes.heads * sizes.tokens * sizes.width);
        let third = values.len() / 3;
        let qkv = [&values[..third], &values[third..2 * third], &values[2 * third..]];
        let bias = Noise::new(4, 0).normals(sizes.heads * sizes.tokens * sizes.tokens);
        for mask in [Mask::None, Mask::Causal, Mask::Bias(&bias)] {
            let mut out = vec![0.0; third];
            assert!(attention(sizes, 0.4, qkv, mask, &mut out));
            let exact = plain(sizes, 0.4, qkv, mask);
            let worst = out.iter().zip(&exact).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(worst < 2e-6, "off by {worst:e}");
        }
    }

    #[test]
    fn sizes_that_do_not_match_are_refused() {
        let sizes = Heads { heads: 1, tokens: 2, width: 2 };
        let (four, three) = ([0.0; 4], [0.0; 3]);
        assert!(!attention(sizes, 1.0, [&four, &three, &four], Mask::None, &mut [0.0; 4]));
        assert!(!attention(sizes, 1.0, [&four; 3], Mask::Bias(&three), &mut [0.0; 4]));
    }
}
