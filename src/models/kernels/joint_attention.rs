//! Attention over several streams of tokens at once, with normalised and rotated queries and keys (rotary embedding, Su
//! et al. 2021): the step in the middle of every block of a multimodal diffusion transformer.

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::attention::{HostMask, Mask, Sizes, View, attend, attention};
use super::elementary::sum;
use super::host::{on_host, on_processor};
use super::norm::rms_norm;
use crate::profile::timed;
use crate::simd::kernel;

const EPS: f64 = 1e-6;

/// Cosines and sines of every token's rotation, [tokens, head width / 2] each.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

/// One stream's [tokens, ≥ 3 · heads · width] of queries, keys, values, and the RMS weights of queries and keys.
pub struct Qkv<'a> {
    /// Rows of [q | k | v | …].
    pub rows: &'a Tensor,
    /// RMS weight of queries.
    pub query: &'a Tensor,
    /// RMS weight of keys.
    pub key: &'a Tensor,
}

/// Joint attention over the streams' tokens in order: [tokens, heads · width].
pub fn joint_attention(streams: &[Qkv<'_>], heads: usize, rotation: &Rotation) -> Result<Tensor> {
    timed!("joint attention", heads = heads);
    let width = streams.first().map_or(Ok(0), |stream| stream.query.dim(0))?;
    let scale = 1.0 / (width as f64).sqrt();
    let Some(first) = streams.first() else { bail!("attention over nothing") };
    let tokens = streams.iter().map(|stream| stream.rows.dim(0)).sum::<Result<usize>>()?;
    if rotation.cos.dims() != [tokens, width / 2] || width % 2 == 1 {
        bail!("{tokens} tokens of width {width} need as many rotations, not {:?}", rotation.cos.shape())
    }
    let fits = |stream: &Qkv<'_>| stream.rows.dim(1).is_ok_and(|row| row >= 3 * heads * width);
    if !streams.iter().all(fits) {
        bail!("queries, keys and values of {heads} heads of {width} do not fit into their rows")
    }
    if !on_processor(first.rows) {
        return by_operations(streams, (heads, tokens, width), scale, rotation);
    }
    let mut tensors = vec![&rotation.cos, &rotation.sin];
    streams.iter().for_each(|stream| tensors.extend([stream.rows, stream.query, stream.key]));
    let row = first.rows.dim(1)?;
    let [q, k, v] = on_host(&tensors, |values| {
        let parts: Vec<Stream<'_>> = values[2..]
            .chunks_exact(3)
            .map(|part| Stream { qkv: part[0], row, query: part[1], key: part[2] })
            .collect();
        by_head(&parts, heads, values[0], values[1])
    })?;
    let sizes = Sizes { batch: 1, heads, queries: tokens, keys: tokens, size: width };
    let views = [&q, &k, &v].map(|part| View::heads(part, tokens, width));
    let out = attend(sizes, scale as f32, views, &HostMask::None)?;
    Tensor::from_vec(out, (tokens, heads * width), &Device::Cpu)
}

fn by_operations(
    streams: &[Qkv<'_>],
    (heads, tokens, width): (usize, usize, usize),
    scale: f64,
    rotation: &Rotation,
) -> Result<Tensor> {
    let mut joint: [Vec<Tensor>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for stream in streams {
        let count = stream.rows.dim(0)?;
        for (third, parts) in joint.iter_mut().enumerate() {
            let part = stream.rows.narrow(1, third * heads * width, heads * width)?;
            let part = part.reshape((count, heads, width))?.transpose(0, 1)?.contiguous()?;
            parts.push(match third {
                0 => rms_norm(&part, stream.query, EPS)?,
                1 => rms_norm(&part, stream.key, EPS)?,
                _ => part,
            });
        }
    }
    let [q, k, v] = joint.map(|parts| Tensor::cat(&parts, 1));
    let turn = |x: Tensor| -> Result<Tensor> {
        let pairs = x.to_dtype(DType::F32)?.reshape((heads, tokens, width / 2, 2))?;
        let (a, b) = (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?);
        let first = (a.broadcast_mul(&rotation.cos)? - b.broadcast_mul(&rotation.sin)?)?;
        let second = (a.broadcast_mul(&rotation.sin)? + b.broadcast_mul(&rotation.cos)?)?;
        Tensor::stack(&[first, second], 3)?.reshape((heads, tokens, width))?.to_dtype(x.dtype())
    };
    let one = |x: Tensor| x.unsqueeze(0);
    attention(&one(turn(q?)?)?, &one(turn(k?)?)?, &one(v?)?, scale, Mask::None)?.squeeze(0)
}

/// One stream's rows of [q | k | v | …] and the RMS weights of its queries and keys.
struct Stream<'a> {
    qkv: &'a [f32],
    /// Values in a row; at least three times heads · width.
    row: usize,
    /// One head wide.
    query: &'a [f32],
    key: &'a [f32],
}

/// Queries, keys and values of [heads, tokens, width] from the streams' rows, one stream after another; queries and keys
/// RMS-normalised and rotated in neighbouring pairs by `cos` and `sin` of [tokens, width/2].
fn by_head(streams: &[Stream<'_>], heads: usize, cos: &[f32], sin: &[f32]) -> [Vec<f32>; 3] {
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
                    norm_and_rotate(part(0), stream.query, cos, sin, EPS as f32, &mut q[here.clone()]);
                    norm_and_rotate(part(1), stream.key, cos, sin, EPS as f32, &mut k[here.clone()]);
                    v[here].copy_from_slice(part(2));
                    token += 1;
                }
            }
        });
    out
}

kernel! {
    /// One token's queries or keys of one head.
    pub(super) fn norm_and_rotate<'a>(
        x: &'a [f32],
        weight: &'a [f32],
        cos: &'a [f32],
        sin: &'a [f32],
        eps: f32,
        out: &'a mut [f32],
    ) {
        let inverse = 1.0 / (sum(x, |x| x * x) / x.len() as f32 + eps).sqrt();
        let pairs = out.chunks_exact_mut(2).zip(x.chunks_exact(2)).zip(weight.chunks_exact(2));
        for (((out, x), weight), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
            let (a, b) = (x[0] * inverse * weight[0], x[1] * inverse * weight[1]);
            out[0] = cos * a - sin * b;
            out[1] = sin * a + cos * b;
        }
    }
}
