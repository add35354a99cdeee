//! Scaled dot-product attention (Vaswani et al. 2017), exact, in one pass.
//!
//! Owns the kernel for the processor and the same in candle's operations for other devices. Queries, keys and values
//! are read where they lie, so that a joined projection needs no copies; scores exist for twelve queries of one head at
//! a time, so memory grows with the length of a sequence, not its square.

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Storage, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::disjoint::Disjoint;
use super::panels::{MAX_ROWS, Row, WIDTH, interleave, multiply_tile, tiles};
use super::simd::softmax;
use crate::simd::vectorised;

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
    let (batch, heads, queries, size) = q.dims4()?;
    let keys = k.dim(2)?;
    if k.dims() != [batch, heads, keys, size] || v.dims() != k.dims() {
        candle_core::bail!(
            "attention of {:?} to keys {:?} with values {:?}",
            q.shape(),
            k.shape(),
            v.shape()
        );
    }
    match mask {
        Mask::Causal if queries != keys => {
            candle_core::bail!("causal attention needs as many queries as keys, not {queries} and {keys}")
        }
        Mask::Bias(bias) if bias.dims() != [heads, queries, keys] => {
            candle_core::bail!(
                "attention of {heads} heads, {queries} queries, {keys} keys, with bias {:?}",
                bias.shape()
            )
        }
        _ => {}
    }
    if !(q.device().is_cpu() && [q, k, v].iter().all(|t| t.dtype() == DType::F32)) {
        return by_operations(q, k, v, scale, mask);
    }
    let dense = |t: &Tensor| {
        let in_place = (t.stride()[3] == 1 || size == 1) && t.stride()[2] >= size;
        if in_place { Ok(t.clone()) } else { t.contiguous() }
    };
    let (q, k, v) = (dense(q)?, dense(k)?, dense(v)?);
    let scale = scale as f32;
    let Mask::Bias(bias) = mask else {
        let causal = matches!(mask, Mask::Causal);
        return q.apply_op3_no_bwd(&k, &v, &OnePass { scale, causal, bias: None });
    };
    let bias = bias.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = bias.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("the bias of an attention on the processor lies on another device")
    };
    let bias = Some(super::contiguous_f32(storage, layout, "an attention's bias")?);
    q.apply_op3_no_bwd(&k, &v, &OnePass { scale, causal: false, bias })
}

fn by_operations(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: Mask<'_>) -> Result<Tensor> {
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let mut scores = (q.matmul(&k.t()?)? * scale)?;
    match mask {
        Mask::None => {}
        Mask::Bias(bias) => scores = scores.broadcast_add(&bias.to_dtype(scores.dtype())?)?,
        Mask::Causal => {
            let tokens = q.dim(2)?;
            let hidden: Vec<f32> = (0..tokens * tokens)
                .map(|i| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 })
                .collect();
            let hidden = Tensor::from_vec(hidden, (tokens, tokens), q.device())?;
            scores = scores.broadcast_add(&hidden.to_dtype(scores.dtype())?)?;
        }
    }
    candle_nn::ops::softmax_last_dim(&scores)?
        .matmul(&v)?
        .transpose(1, 2)?
        .contiguous()?
        .flatten_from(D::Minus2)
}

struct OnePass<'a> {
    scale: f32,
    causal: bool,
    bias: Option<&'a [f32]>,
}

/// Where the vectors of one of the three tensors lie.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f32],
    batch: usize,
    head: usize,
    token: usize,
}

impl<'a> View<'a> {
    fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let data = &storage.as_slice::<f32>()?[layout.start_offset()..];
        match layout.stride() {
            [batch, head, token, _] => Ok(Self { data, batch: *batch, head: *head, token: *token }),
            other => candle_core::bail!("attention needs four dimensions, not strides {other:?}"),
        }
    }

    /// The tokens of one head, [`Self::token`] apart.
    fn head(&self, batch: usize, head: usize) -> &'a [f32] {
        &self.data[batch * self.batch + head * self.head..]
    }
}

impl CustomOp3 for OnePass<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, heads, queries, size) = q_layout.shape().dims4()?;
        let keys = k_layout.dims()[2];
        let (q, k, v) = (View::new(q, q_layout)?, View::new(k, k_layout)?, View::new(v, v_layout)?);
        let mut out = vec![0.0f32; batch * queries * heads * size];
        if !out.is_empty() && keys > 0 {
            let shared = Disjoint::new(&mut out);
            (0..batch * heads).into_par_iter().for_each_init(Scratch::default, |scratch, index| {
                let (item, head) = (index / heads, index % heads);
                vectorised(Head {
                    scale: self.scale,
                    causal: self.causal,
                    bias: self.bias.map(|bias| &bias[head * queries * keys..][..queries * keys]),
                    q: (q.head(item, head), q.token),
                    k: (k.head(item, head), k.token),
                    v: (v.head(item, head), v.token),
                    queries,
                    keys,
                    size,
                    out: &shared,
                    out_start: (item * queries * heads + head) * size,
                    out_stride: heads * size,
                    scratch,
                });
            });
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, queries, heads * size))))
    }
}

/// What one thread reuses from head to head.
#[derive(Default)]
struct Scratch {
    keys: Vec<Row>,
    values: Vec<Row>,
    scores: Vec<f32>,
    packed: Vec<f32>,
}

/// One head of one item: the first number of each pair is its tokens, the second how far apart they lie.
struct Head<'a> {
    scale: f32,
    causal: bool,
    bias: Option<&'a [f32]>,
    q: (&'a [f32], usize),
    k: (&'a [f32], usize),
    v: (&'a [f32], usize),
    queries: usize,
    keys: usize,
    size: usize,
    out: &'a Disjoint<'a>,
    out_start: usize,
    out_stride: usize,
    scratch: &'a mut Scratch,
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.pack();
        let padded = self.keys.next_multiple_of(WIDTH);
        self.scratch.scores.clear();
        self.scratch.scores.resize(MAX_ROWS * padded, 0.0);
        let mut tile = [Row([0.0; WIDTH]); MAX_ROWS];
        for (first, count) in tiles(0, self.queries) {
            // No query of this tile sees a key from here on.
            let end = if self.causal { first + count } else { self.keys };
            let packed = &mut self.scratch.packed;
            packed.resize(count * self.keys.max(self.size), 0.0);
            interleave(&self.q.0[first * self.q.1..], self.q.1, count, self.size, packed);
            for panel in 0..end.div_ceil(WIDTH) {
                let keys = &self.scratch.keys[panel * self.size..][..self.size];
                multiply_tile(simd, packed, count, keys, &mut tile);
                for (row, scores) in tile.iter().zip(self.scratch.scores.chunks_exact_mut(padded)).take(count)
                {
                    let scores = &mut scores[panel * WIDTH..][..WIDTH];
                    scores.iter_mut().zip(&row.0).for_each(|(score, sum)| *score = sum * self.scale);
                }
            }
            for (row, scores) in self.scratch.scores.chunks_exact_mut(padded).enumerate().take(count) {
                let seen = if self.causal { first + row + 1 } else { self.keys };
                if let Some(bias) = self.bias {
                    let bias = &bias[(first + row) * self.keys..][..self.keys];
                    scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                }
                softmax(&mut scores[..seen]);
                scores[seen..end].fill(0.0);
            }
            interleave(&self.scratch.scores, padded, count, end, packed);
            for panel in 0..self.size.div_ceil(WIDTH) {
                let values = &self.scratch.values[panel * self.keys..][..end];
                multiply_tile(simd, &self.scratch.packed, count, values, &mut tile);
                self.store(&tile, first, count, panel);
            }
        }
    }
}

impl Head<'_> {
    /// Keys transposed into panels of 32 keys, values into panels of 32 of their components.
    #[inline(always)]
    fn pack(&mut self) {
        let Scratch { keys, values, .. } = &mut *self.scratch;
        keys.clear();
        keys.resize(self.keys.div_ceil(WIDTH) * self.size, Row([0.0; WIDTH]));
        for (index, token) in self.k.0.chunks(self.k.1.max(1)).take(self.keys).enumerate() {
            let panel = &mut keys[index / WIDTH * self.size..][..self.size];
            panel.iter_mut().zip(token).for_each(|(row, value)| row.0[index % WIDTH] = *value);
        }
        values.clear();
        values.resize(self.size.div_ceil(WIDTH) * self.keys, Row([0.0; WIDTH]));
        for (index, token) in self.v.0.chunks(self.v.1.max(1)).take(self.keys).enumerate() {
            for (panel, part) in token[..self.size].chunks(WIDTH).enumerate() {
                values[panel * self.keys + index].0[..part.len()].copy_from_slice(part);
            }
        }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "a head is a strip of the output's rows; see `disjoint`")]
    fn store(&self, tile: &[Row; MAX_ROWS], first: usize, count: usize, panel: usize) {
        let width = WIDTH.min(self.size - panel * WIDTH);
        for (row, sums) in tile.iter().enumerate().take(count) {
            let start = self.out_start + (first + row) * self.out_stride + panel * WIDTH;
            // SAFETY: each head of each item is one task and owns its columns of that item's rows; one piece at a time.
            unsafe { self.out.piece(start, width) }.copy_from_slice(&sums.0[..width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::models::noise::Noise;

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

    #[test]
    fn one_pass_is_what_the_operations_give() {
        for (batch, heads, tokens, size) in
            [(1, 1, 1, 1), (2, 3, 17, 8), (1, 2, 77, 64), (2, 1, 33, 40), (1, 1, 70, 33)]
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

    #[test]
    fn queries_may_be_fewer_than_keys() {
        let (q, k, v) = (tensor(&[1, 2, 5, 8], 0), tensor(&[1, 2, 40, 8], 1), tensor(&[1, 2, 40, 8], 2));
        let ours = attention(&q, &k, &v, 1.0, Mask::None).unwrap();
        assert!(difference(&ours, &by_operations(&q, &k, &v, 1.0, Mask::None).unwrap()) < 1e-5);
        assert!(attention(&q, &k, &v, 1.0, Mask::Causal).is_err());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (q, k) = (tensor(&[1, 2, 5, 8], 0), tensor(&[1, 2, 6, 8], 1));
        assert!(attention(&q, &k, &tensor(&[1, 2, 7, 8], 2), 1.0, Mask::None).is_err());
        assert!(attention(&q, &k, &k, 1.0, Mask::Bias(&tensor(&[2, 5, 7], 3))).is_err());
    }
}
