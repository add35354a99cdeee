//! Scaled dot-product attention (Vaswani et al. 2017), exact.
//!
//! Owns the choice between the kernel for the processor and candle's operations for other devices. On the processor
//! queries, keys and values are read where they lie, so that a joined projection needs no copies; scores exist for 128
//! queries of one head at a time ([`tile`]), so memory grows with the length of a sequence, not its square. Tiles of all
//! heads are one list: every thread finds work even where there are fewer heads than threads.

mod tile;

use candle_core::{D, DType, Device, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use self::tile::{Keys, Tile};
use super::host::{on_host, on_processor};
use super::matrix::{Matrix, ShapeError};
use crate::profile::timed;
use crate::simd::vectorised;

/// Queries per tile: their scores against 1,280 keys are 0.7 MB, within a core's second-level cache, and keys and values are
/// read once for all of them.
const TILE: usize = 128;

/// Which keys a query sees, and how.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// All alike.
    None,
    /// Itself and those before it.
    Causal,
    /// All, with a number added to each score: [heads, queries, keys] for every item of the batch.
    Bias(&'a Tensor),
}

/// softmax(scale·q·kᵀ + mask)·v of `q` [batch, heads, queries, size], `k` and `v` [batch, heads, keys, size], all of any
/// strides; [batch, queries, heads·size], contiguous.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: Mask<'_>) -> Result<Tensor> {
    timed!("attention", q = q.dims(), k = k.dims());
    let (batch, heads, queries, size) = q.dims4()?;
    let keys = k.dim(2)?;
    if k.dims() != [batch, heads, keys, size] || v.dims() != k.dims() {
        bail!("attention of {:?} to keys {:?} with values {:?}", q.shape(), k.shape(), v.shape());
    }
    match mask {
        Mask::Causal if queries != keys => {
            bail!("causal attention needs as many queries as keys, not {queries} and {keys}")
        }
        Mask::Bias(bias) if bias.dims() != [heads, queries, keys] => {
            bail!("attention of {heads} heads, {queries} queries, {keys} keys, with bias {:?}", bias.shape())
        }
        _ => {}
    }
    if ![q, k, v].into_iter().all(on_processor) {
        return by_operations(q, k, v, scale, mask);
    }
    let sizes = Sizes { batch, heads, queries, keys, size };
    let dense = |t: &Tensor| {
        let in_place = (t.stride()[3] == 1 || size == 1) && t.stride()[2] >= size;
        if in_place { Ok(t.clone()) } else { t.contiguous() }
    };
    let parts = [dense(q)?, dense(k)?, dense(v)?];
    let stored = parts.each_ref().map(Tensor::storage_and_layout);
    let [q, k, v] = stored.each_ref().map(|(storage, layout)| View::new(storage, layout));
    let views = [q?, k?, v?];
    let scale = scale as f32;
    let out = match mask {
        Mask::None => attend(sizes, scale, views, &HostMask::None)?,
        Mask::Causal => attend(sizes, scale, views, &HostMask::Causal)?,
        Mask::Bias(bias) => on_host(&[&bias.to_dtype(DType::F32)?], |bias| {
            attend(sizes, scale, views, &HostMask::Bias(bias[0]))
        })??,
    };
    Tensor::from_vec(out, (batch, queries, heads * size), &Device::Cpu)
}

/// The same of one item whose tokens are rows: `q`, `k` and `v` [tokens, heads·size] each; [tokens, heads·size].
pub fn attention_of_rows(
    heads: usize,
    scale: f64,
    [q, k, v]: [&Tensor; 3],
    mask: Mask<'_>,
) -> Result<Tensor> {
    timed!("attention of rows");
    let split = |x: &Tensor| {
        let (tokens, width) = x.dims2()?;
        x.reshape((1, tokens, heads, width / heads.max(1)))?.transpose(1, 2)
    };
    attention(&split(q)?, &split(k)?, &split(v)?, scale, mask)?.squeeze(0)
}

fn by_operations(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: Mask<'_>) -> Result<Tensor> {
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    // Softmax is taken in f32 whatever the type: half precision has too few digits for a sum of a thousand terms.
    let mut scores = (q.matmul(&k.t()?)? * scale)?.to_dtype(DType::F32)?;
    match mask {
        Mask::None => {}
        Mask::Bias(bias) => scores = scores.broadcast_add(&bias.to_dtype(DType::F32)?)?,
        Mask::Causal => {
            let tokens = q.dim(2)?;
            let hidden: Vec<f32> = (0..tokens * tokens)
                .map(|i| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 })
                .collect();
            scores = scores.broadcast_add(&Tensor::from_vec(hidden, (tokens, tokens), q.device())?)?;
        }
    }
    let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(q.dtype())?;
    weights.matmul(&v)?.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
}

/// How many of what there are.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) size: usize,
}

/// [`Mask`] on the processor.
pub(super) enum HostMask<'a> {
    None,
    Causal,
    Bias(&'a [f32]),
}

/// Where the vectors of one of the three tensors lie: values between neighbouring items, heads and tokens.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    batch: usize,
    head: usize,
    token: usize,
}

impl<'a> View<'a> {
    fn new(storage: &'a Storage, layout: &Layout) -> Result<Self> {
        let Storage::Cpu(storage) = storage else { bail!("attention on the processor to tensors elsewhere") };
        let data = &storage.as_slice::<f32>()?[layout.start_offset()..];
        match layout.stride() {
            [batch, head, token, _] => Ok(Self { data, batch: *batch, head: *head, token: *token }),
            other => bail!("attention needs four dimensions, not strides {other:?}"),
        }
    }

    /// One item's [heads, tokens, size].
    pub(super) fn heads(data: &'a [f32], tokens: usize, size: usize) -> Self {
        Self { data, batch: 0, head: tokens * size, token: size }
    }

    /// Some tokens of one head.
    fn tokens(
        &self,
        (item, head): (usize, usize),
        (first, count): (usize, usize),
        size: usize,
    ) -> std::result::Result<Matrix<'a>, ShapeError> {
        let start = item * self.batch + head * self.head + first * self.token;
        Matrix::new(&self.data[start.min(self.data.len())..], (count, size), self.token)
    }
}

/// [batch, queries, heads · size].
pub(super) fn attend(
    sizes: Sizes,
    scale: f32,
    [q, k, v]: [View<'_>; 3],
    mask: &HostMask<'_>,
) -> std::result::Result<Vec<f32>, ShapeError> {
    let Sizes { batch, heads, queries, keys, size } = sizes;
    let mut out = vec![0f32; batch * queries * heads * size];
    if out.is_empty() || keys == 0 {
        return Ok(out);
    }
    let of_heads = (0..batch * heads)
        .map(|index| {
            let place = (index / heads, index % heads);
            Ok((k.tokens(place, (0, keys), size)?, v.tokens(place, (0, keys), size)?))
        })
        .collect::<std::result::Result<Vec<_>, ShapeError>>()?;
    // Tiles of each head, and of each tile the pieces of the output's rows that are its own.
    let tiles = queries.div_ceil(TILE);
    let mut jobs: Vec<Vec<&mut [f32]>> = Vec::new();
    jobs.resize_with(batch * heads * tiles, || Vec::with_capacity(queries.min(TILE)));
    for (row, out) in out.chunks_mut(heads * size).enumerate() {
        let (item, tile) = (row / queries, row % queries / TILE);
        for (head, piece) in out.chunks_mut(size).enumerate() {
            jobs[(item * heads + head) * tiles + tile].push(piece);
        }
    }
    jobs.into_par_iter().enumerate().try_for_each(|(job, mut out)| {
        timed!("attention tile");
        let (index, first) = (job / tiles, job % tiles * TILE);
        let (item, head) = (index / heads, index % heads);
        let (of_keys, of_values) = of_heads[index];
        let seen = match mask {
            HostMask::None => Keys::All,
            HostMask::Causal => Keys::Before,
            HostMask::Bias(bias) => {
                let bias = &bias[(head * queries + first) * keys..][..out.len() * keys];
                Keys::Biased(Matrix::dense(bias, out.len(), keys)?)
            }
        };
        let of_queries = q.tokens((item, head), (first, out.len()), size)?;
        Tile { first, scale, queries: of_queries, keys: of_keys, values: of_values, seen, out: &mut out }
            .run();
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests;
