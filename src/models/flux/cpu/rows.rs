//! Row-wise operations, each one pass over memory, rows shared out among the threads.

use rayon::prelude::*;

use super::lanes::{self, widest};

/// Rows handed to a thread at once: enough work to outweigh the handing over.
const ROWS: usize = 16;

widest! {
    fn normalise(x: &[f32], shift: &[f32], scale: &[f32], one: f32, eps: f32, out: &mut [f32]) {
        let count = x.len() as f32;
        let mean = lanes::sum(x, |x| x) / count;
        let variance = lanes::sum(x, |x| (x - mean) * (x - mean)) / count;
        let inverse = 1.0 / (variance + eps).sqrt();
        for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
            *out = (*x - mean) * inverse * (one + *scale) + *shift;
        }
    }
}

/// (x − mean)/√(var + eps) · (one + scale) + shift over rows of `shift.len()` values.
///
/// `one` = 1 is adaptive layer norm's modulation, `one` = 0 an ordinary layer norm with weight and bias.
pub fn layer_norm(x: &[f32], shift: &[f32], scale: &[f32], one: f32, eps: f32) -> Vec<f32> {
    let width = shift.len();
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
            normalise(x, shift, scale, one, eps, out);
        }
    });
    out
}

widest! {
    fn root_mean_square(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let inverse = 1.0 / (lanes::sum(x, |x| x * x) / x.len() as f32 + eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = *x * inverse * *weight;
        }
    }
}

/// x/√(mean x² + eps) · weight over rows of `weight.len()` values.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
            root_mean_square(x, weight, eps, out);
        }
    });
    out
}

widest! {
    fn gated(x: &[f32], y: &[f32], gate: &[f32], out: &mut [f32]) {
        for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
            *out = *x + *gate * *y;
        }
    }
}

/// x + gate · y over rows of `gate.len()` values.
pub fn gate_add(x: &[f32], y: &[f32], gate: &[f32]) -> Vec<f32> {
    let width = gate.len();
    let mut out = vec![0f32; x.len()];
    let block = ROWS * width;
    out.par_chunks_mut(block).zip(x.par_chunks(block)).zip(y.par_chunks(block)).for_each(|((out, x), y)| {
        for ((out, x), y) in out.chunks_mut(width).zip(x.chunks(width)).zip(y.chunks(width)) {
            gated(x, y, gate, out);
        }
    });
    out
}

/// The activations in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU in its tanh form.
    GeluTanh,
    /// x·σ(1.702·x).
    QuickGelu,
    /// x·σ(x).
    Silu,
}

widest! {
    fn gelu_tanh_into(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = lanes::gelu_tanh(*x));
    }
}

widest! {
    fn quick_gelu_into(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = lanes::quick_gelu(*x));
    }
}

widest! {
    fn silu_into(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = lanes::silu(*x));
    }
}

impl Activation {
    /// Into `out`, on this thread.
    pub fn apply(self, x: &[f32], out: &mut [f32]) {
        match self {
            Self::GeluTanh => gelu_tanh_into(x, out),
            Self::QuickGelu => quick_gelu_into(x, out),
            Self::Silu => silu_into(x, out),
        }
    }
}

/// Elements handed to a thread at once.
const BLOCK: usize = 1 << 14;

/// The activation of every value.
pub fn activate(x: &[f32], activation: Activation) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(out, x)| activation.apply(x, out));
    out
}

/// gelu_tanh(a) · b, T5's gated feed-forward.
pub fn gated_gelu(a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; a.len()];
    out.par_chunks_mut(BLOCK).zip(a.par_chunks(BLOCK)).zip(b.par_chunks(BLOCK)).for_each(|((out, a), b)| {
        Activation::GeluTanh.apply(a, out);
        out.iter_mut().zip(b).for_each(|(out, b)| *out *= b);
    });
    out
}

/// Rows [left | gelu_tanh(right[from..])]: what a single block's second layer takes.
pub fn beside_gelu(
    left: &[f32],
    left_width: usize,
    right: &[f32],
    right_width: usize,
    from: usize,
) -> Vec<f32> {
    let width = left_width + right_width - from;
    let rows = left.len() / left_width.max(1);
    let mut out = vec![0f32; rows * width];
    out.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
        let (head, tail) = out.split_at_mut(left_width);
        head.copy_from_slice(&left[row * left_width..][..left_width]);
        Activation::GeluTanh.apply(&right[row * right_width + from..(row + 1) * right_width], tail);
    });
    out
}

/// One stream's rows of [q | k | v | …] and the RMS weights of its queries and keys.
pub struct Stream<'a> {
    /// Rows, `row` values each.
    pub qkv: &'a [f32],
    /// Values in a row; at least three times heads · width.
    pub row: usize,
    /// RMS weight of queries, one head wide.
    pub query: &'a [f32],
    /// RMS weight of keys.
    pub key: &'a [f32],
}

widest! {
    fn norm_and_rotate(x: &[f32], weight: &[f32], cos: &[f32], sin: &[f32], eps: f32, out: &mut [f32]) {
        let inverse = 1.0 / (lanes::sum(x, |x| x * x) / x.len() as f32 + eps).sqrt();
        let pairs = out.chunks_exact_mut(2).zip(x.chunks_exact(2)).zip(weight.chunks_exact(2));
        for (((out, x), weight), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
            let (a, b) = (x[0] * inverse * weight[0], x[1] * inverse * weight[1]);
            out[0] = cos * a - sin * b;
            out[1] = sin * a + cos * b;
        }
    }
}

/// Queries, keys and values of [heads, tokens, width] from the streams' rows, one stream after another; queries and keys
/// RMS-normalised and rotated in neighbouring pairs by `cos` and `sin` of [tokens, width/2].
pub fn heads(streams: &[Stream<'_>], heads: usize, cos: &[f32], sin: &[f32], eps: f32) -> [Vec<f32>; 3] {
    let width = streams.first().map_or(0, |stream| stream.query.len());
    let counts: Vec<usize> = streams.iter().map(|stream| stream.qkv.len() / stream.row.max(1)).collect();
    let tokens: usize = counts.iter().sum();
    let size = heads * tokens * width;
    let mut out = [vec![0f32; size], vec![0f32; size], vec![0f32; size]];
    let [q, k, v] = &mut out;
    let per_head = tokens * width;
    if per_head == 0 {
        return out;
    }
    q.par_chunks_mut(per_head)
        .zip(k.par_chunks_mut(per_head))
        .zip(v.par_chunks_mut(per_head))
        .enumerate()
        .for_each(|(head, ((q, k), v))| {
            let mut token = 0;
            for (stream, count) in streams.iter().zip(&counts) {
                for row in stream.qkv.chunks_exact(stream.row).take(*count) {
                    let part = |third: usize| &row[(third * heads + head) * width..][..width];
                    let here = token * width..(token + 1) * width;
                    let angles = token * width / 2..(token + 1) * width / 2;
                    let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
                    norm_and_rotate(part(0), stream.query, cos, sin, eps, &mut q[here.clone()]);
                    norm_and_rotate(part(1), stream.key, cos, sin, eps, &mut k[here.clone()]);
                    v[here].copy_from_slice(part(2));
                    token += 1;
                }
            }
        });
    out
}

widest! {
    fn group(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, silu: bool, out: &mut [f32]) {
        let count = x.len() as f64;
        // Groups of a large picture hold a million values: partial sums per channel are added in f64.
        let plane = x.len() / weight.len();
        let mean = x.chunks(plane).map(|x| f64::from(lanes::sum(x, |x| x))).sum::<f64>() / count;
        let mean = mean as f32;
        let squares = x.chunks(plane).map(|x| f64::from(lanes::sum(x, |x| (x - mean) * (x - mean)))).sum::<f64>();
        let inverse = 1.0 / ((squares / count) as f32 + eps).sqrt();
        let planes = out.chunks_mut(plane).zip(x.chunks(plane)).zip(weight.iter().zip(bias));
        for ((out, x), (weight, bias)) in planes {
            let scale = inverse * *weight;
            if silu {
                out.iter_mut().zip(x).for_each(|(out, x)| *out = lanes::silu((*x - mean) * scale + *bias));
            } else {
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (*x - mean) * scale + *bias);
            }
        }
    }
}

/// Group normalisation of one picture [channels, pixels], with weight and bias per channel, then SiLU where asked.
pub fn group_norm(x: &[f32], groups: usize, weight: &[f32], bias: &[f32], eps: f32, silu: bool) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    let channels = weight.len() / groups;
    let size = x.len() / groups;
    out.par_chunks_mut(size)
        .zip(x.par_chunks(size))
        .zip(weight.par_chunks(channels).zip(bias.par_chunks(channels)))
        .for_each(|((out, x), (weight, bias))| group(x, weight, bias, eps, silu, out));
    out
}
