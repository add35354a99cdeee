//! The operations between matrix products, on tensors: one pass over memory on a processor, candle's own elsewhere.
//!
//! Tokens are rows: every activation is [tokens, width], without a batch dimension, since a job is one picture.

use candle_core::{CpuStorage, D, DType, Result, Storage, Tensor};

use super::cpu::attention::{self, Heads};
use super::cpu::rows::{self, Activation, Stream};

/// Calls `f` with the values of tensors in host memory, all f32.
pub fn on_host<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let whole = tensors.iter().map(|tensor| tensor.contiguous()).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = whole.iter().map(Tensor::storage_and_layout).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(CpuStorage::F32(values)) => {
                Ok(&values[layout.start_offset()..layout.start_offset() + layout.shape().elem_count()])
            }
            _ => candle_core::bail!("f32 values in host memory are needed here"),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(f(&slices))
}

fn on_processor(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// The statistics of a norm are taken in f32: bf16 has too few digits for a variance.
fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)
}

/// Layer norm without weights, then · (1 + scale) + shift; both \[width\].
pub fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    scaled_layer_norm(x, shift, scale, 1.0, 1e-6)
}

/// Layer norm with weight and bias \[width\].
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    scaled_layer_norm(x, bias, weight, 0.0, eps)
}

fn scaled_layer_norm(x: &Tensor, shift: &Tensor, scale: &Tensor, one: f64, eps: f64) -> Result<Tensor> {
    if on_processor(x) {
        let out =
            on_host(&[x, shift, scale], |v| rows::layer_norm(v[0], v[1], v[2], one as f32, eps as f32))?;
        return Tensor::from_vec(out, x.dims(), x.device());
    }
    let wide_x = wide(x)?;
    let centred = wide_x.broadcast_sub(&wide_x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normal.broadcast_mul(&(wide(scale)? + one)?)?.broadcast_add(&wide(shift)?)?.to_dtype(x.dtype())
}

/// x/√(mean x² + eps) · weight over the last dimension.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if on_processor(x) {
        let out = on_host(&[x, weight], |v| rows::rms_norm(v[0], v[1], eps as f32))?;
        return Tensor::from_vec(out, x.dims(), x.device());
    }
    let wide_x = wide(x)?;
    let mean = wide_x.sqr()?.mean_keepdim(D::Minus1)?;
    wide_x.broadcast_div(&(mean + eps)?.sqrt()?)?.broadcast_mul(&wide(weight)?)?.to_dtype(x.dtype())
}

/// x + gate · y, with gate \[width\].
pub fn gate_add(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
    if on_processor(x) {
        let out = on_host(&[x, y, gate], |v| rows::gate_add(v[0], v[1], v[2]))?;
        return Tensor::from_vec(out, x.dims(), x.device());
    }
    x + y.broadcast_mul(gate)?
}

/// The activation of every value.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if on_processor(x) {
        let out = on_host(&[x], |v| rows::activate(v[0], activation))?;
        return Tensor::from_vec(out, x.dims(), x.device());
    }
    match activation {
        Activation::GeluTanh => x.gelu(),
        Activation::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
        Activation::Silu => x.silu(),
    }
}

/// gelu_tanh(a) · b.
pub fn gated_gelu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if on_processor(a) {
        let out = on_host(&[a, b], |v| rows::gated_gelu(v[0], v[1]))?;
        return Tensor::from_vec(out, a.dims(), a.device());
    }
    a.gelu()? * b
}

/// [left | gelu_tanh(right from column `from` on)].
pub fn beside_gelu(left: &Tensor, right: &Tensor, from: usize) -> Result<Tensor> {
    let (tokens, left_width) = left.dims2()?;
    let right_width = right.dim(1)?;
    if on_processor(left) {
        let out = on_host(&[left, right], |v| rows::beside_gelu(v[0], left_width, v[1], right_width, from))?;
        return Tensor::from_vec(out, (tokens, left_width + right_width - from), left.device());
    }
    Tensor::cat(&[left, &right.narrow(1, from, right_width - from)?.gelu()?], 1)
}

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

/// Joint attention over the streams' tokens in order, with normalised and rotated queries and keys:
/// [tokens, heads · width].
pub fn joint_attention(streams: &[Qkv<'_>], heads: usize, rotation: &Rotation) -> Result<Tensor> {
    const EPS: f64 = 1e-6;
    let width = streams.first().map_or(Ok(0), |stream| stream.query.dim(0))?;
    let scale = 1.0 / (width as f64).sqrt();
    let Some(first) = streams.first() else { candle_core::bail!("attention over nothing") };
    let tokens = streams.iter().map(|stream| stream.rows.dim(0)).sum::<Result<usize>>()?;
    if rotation.cos.dims() != [tokens, width / 2] || width % 2 == 1 {
        candle_core::bail!(
            "{tokens} tokens of width {width} need as many rotations, not {:?}",
            rotation.cos.shape()
        )
    }
    let fits = |stream: &Qkv<'_>| stream.rows.dim(1).is_ok_and(|row| row >= 3 * heads * width);
    if !streams.iter().all(fits) {
        candle_core::bail!("queries, keys and values of {heads} heads of {width} do not fit into their rows")
    }
    if on_processor(first.rows) {
        let mut tensors = vec![&rotation.cos, &rotation.sin];
        streams.iter().for_each(|stream| tensors.extend([stream.rows, stream.query, stream.key]));
        let row = first.rows.dim(1)?;
        let [q, k, v] = on_host(&tensors, |values| {
            let parts: Vec<Stream<'_>> = values[2..]
                .chunks_exact(3)
                .map(|part| Stream { qkv: part[0], row, query: part[1], key: part[2] })
                .collect();
            rows::heads(&parts, heads, values[0], values[1], EPS as f32)
        })?;
        return host_attention(
            Heads { heads, tokens, width },
            scale as f32,
            [&q, &k, &v],
            attention::Mask::None,
        );
    }
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
        let pairs = wide(&x)?.reshape((heads, tokens, width / 2, 2))?;
        let (a, b) = (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?);
        let first = (a.broadcast_mul(&rotation.cos)? - b.broadcast_mul(&rotation.sin)?)?;
        let second = (a.broadcast_mul(&rotation.sin)? + b.broadcast_mul(&rotation.cos)?)?;
        Tensor::stack(&[first, second], 3)?.reshape((heads, tokens, width))?.to_dtype(x.dtype())
    };
    tensor_attention(scale, &turn(q?)?, &turn(k?)?, &v?, None)
}

/// What a query may not see, or prefers to.
pub enum Mask<'a> {
    /// Everything after itself is hidden.
    Causal,
    /// [heads, tokens, tokens] is added to the scores.
    Bias(&'a Tensor),
    /// Nothing.
    None,
}

/// softmax(scale · q·kᵀ + mask)·v of rows [tokens, heads · width] each: [tokens, heads · width].
pub fn attention(heads: usize, scale: f64, [q, k, v]: [&Tensor; 3], mask: &Mask<'_>) -> Result<Tensor> {
    let (tokens, full) = q.dims2()?;
    let width = full / heads.max(1);
    let split = |x: &Tensor| x.reshape((tokens, heads, width))?.transpose(0, 1)?.contiguous();
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    if on_processor(&q) {
        let sizes = Heads { heads, tokens, width };
        let scale = scale as f32;
        return match mask {
            Mask::None => on_host(&[&q, &k, &v], |x| {
                host_attention(sizes, scale, [x[0], x[1], x[2]], attention::Mask::None)
            })?,
            Mask::Causal => on_host(&[&q, &k, &v], |x| {
                host_attention(sizes, scale, [x[0], x[1], x[2]], attention::Mask::Causal)
            })?,
            Mask::Bias(bias) => on_host(&[&q, &k, &v, bias], |x| {
                host_attention(sizes, scale, [x[0], x[1], x[2]], attention::Mask::Bias(x[3]))
            })?,
        };
    }
    let added = match mask {
        Mask::None => None,
        Mask::Bias(bias) => Some((*bias).clone()),
        Mask::Causal => {
            let hidden: Vec<f32> = (0..tokens * tokens)
                .map(|i| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 })
                .collect();
            Some(Tensor::from_vec(hidden, (1, tokens, tokens), q.device())?)
        }
    };
    tensor_attention(scale, &q, &k, &v, added.as_ref())
}

fn host_attention(sizes: Heads, scale: f32, qkv: [&[f32]; 3], mask: attention::Mask<'_>) -> Result<Tensor> {
    let mut out = vec![0f32; sizes.heads * sizes.tokens * sizes.width];
    if !attention::attention(sizes, scale, qkv, mask, &mut out) {
        candle_core::bail!("queries, keys, values and mask of an attention have different sizes")
    }
    Tensor::from_vec(out, (sizes.tokens, sizes.heads * sizes.width), &candle_core::Device::Cpu)
}

fn tensor_attention(
    scale: f64,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    added: Option<&Tensor>,
) -> Result<Tensor> {
    let (heads, tokens, width) = q.dims3()?;
    let scores = wide(&(q.matmul(&k.t()?)? * scale)?)?;
    let scores = match added {
        Some(added) => scores.broadcast_add(&wide(added)?)?,
        None => scores,
    };
    let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(q.dtype())?;
    weights.matmul(v)?.transpose(0, 1)?.reshape((tokens, heads * width))
}

#[cfg(test)]
mod tests;
