//! What stands between matrix products, element by element, each in one pass over memory: gates, and activations that
//! are multiplied or laid beside something.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::activation::gelu_tanh;
use super::host::{on_host, on_processor};
use crate::simd::kernel;

/// Rows handed to a thread at once: enough work to outweigh the handing over.
const ROWS: usize = 16;
/// Elements handed to a thread at once.
const BLOCK: usize = 1 << 14;

/// x + gate · y over the last dimension, with gate \[width\] and `x` and `y` of one shape.
pub fn gate_add(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
    let width = gate.dims1()?;
    if x.dims() != y.dims() || x.dims().last() != Some(&width) {
        bail!("{:?} and {:?} with {width} gates", x.shape(), y.shape())
    }
    if !on_processor(x) {
        return x + y.broadcast_mul(gate)?;
    }
    let mut out = vec![0f32; x.elem_count()];
    on_host(&[x, y, gate], |values| {
        let block = (ROWS * width).max(1);
        let pieces =
            out.par_chunks_mut(block).zip(values[0].par_chunks(block)).zip(values[1].par_chunks(block));
        pieces.for_each(|((out, x), y)| {
            let rows = out.chunks_mut(width).zip(x.chunks(width)).zip(y.chunks(width));
            rows.for_each(|((out, x), y)| gated(x, y, values[2], out));
        });
    })?;
    Tensor::from_vec(out, x.dims(), x.device())
}

/// gelu_tanh(a) · b of two tensors of one shape: T5's gated feed-forward.
pub fn gated_gelu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!("{:?} gated by {:?}", b.shape(), a.shape())
    }
    if !on_processor(a) {
        return a.gelu()? * b;
    }
    let mut out = vec![0f32; a.elem_count()];
    on_host(&[a, b], |values| {
        let pieces =
            out.par_chunks_mut(BLOCK).zip(values[0].par_chunks(BLOCK)).zip(values[1].par_chunks(BLOCK));
        pieces.for_each(|((out, a), b)| gelu_times(a, b, out));
    })?;
    Tensor::from_vec(out, a.dims(), a.device())
}

/// [left | gelu_tanh(right from column `from` on)] of [rows, left width] and [rows, right width]: what a single block's
/// second layer takes.
pub fn beside_gelu(left: &Tensor, right: &Tensor, from: usize) -> Result<Tensor> {
    let (rows, left_width) = left.dims2()?;
    let (others, right_width) = right.dims2()?;
    if rows != others || from > right_width {
        bail!("{:?} beside {:?} from column {from} on", left.shape(), right.shape())
    }
    let added = right_width - from;
    if !on_processor(left) {
        return Tensor::cat(&[left, &right.narrow(1, from, added)?.gelu()?], 1);
    }
    let width = left_width + added;
    let mut out = vec![0f32; rows * width];
    on_host(&[left, right], |values| {
        out.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, out)| {
            let (head, tail) = out.split_at_mut(left_width);
            head.copy_from_slice(&values[0][row * left_width..][..left_width]);
            gelu_into(&values[1][row * right_width + from..][..added], tail);
        });
    })?;
    Tensor::from_vec(out, (rows, width), left.device())
}

kernel! {
    /// One row of x + gate · y.
    pub(super) fn gated<'a>(x: &'a [f32], y: &'a [f32], gate: &'a [f32], out: &'a mut [f32]) {
        for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
            *out = *x + *gate * *y;
        }
    }
}

kernel! {
    /// gelu_tanh(a) · b.
    pub(super) fn gelu_times<'a>(a: &'a [f32], b: &'a [f32], out: &'a mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = gelu_tanh(*a) * *b;
        }
    }
}

kernel! {
    /// gelu_tanh of every value.
    pub(super) fn gelu_into<'a>(x: &'a [f32], out: &'a mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = gelu_tanh(*x));
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    fn tensor(stream: u64, shape: (usize, usize)) -> Tensor {
        Tensor::from_vec(Noise::new(8, stream).normals(shape.0 * shape.1), shape, &Device::Cpu).unwrap()
    }

    fn difference(ours: &Tensor, theirs: &Tensor) -> f32 {
        (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn one_pass_is_what_the_operations_give() {
        let (x, y, gate) = (tensor(0, (33, 7)), tensor(1, (33, 7)), tensor(2, (1, 7)).squeeze(0).unwrap());
        let theirs = (&x + y.broadcast_mul(&gate).unwrap()).unwrap();
        assert!(difference(&gate_add(&x, &gate, &y).unwrap(), &theirs) < 1e-6);
        let theirs = (x.gelu().unwrap() * &y).unwrap();
        assert!(difference(&gated_gelu(&x, &y).unwrap(), &theirs) < 1e-6);
        let wide = tensor(3, (33, 11));
        let theirs = Tensor::cat(&[&x, &wide.narrow(1, 4, 7).unwrap().gelu().unwrap()], 1).unwrap();
        assert!(difference(&beside_gelu(&x, &wide, 4).unwrap(), &theirs) < 1e-6);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (x, y) = (tensor(0, (3, 7)), tensor(1, (3, 6)));
        let gate = tensor(2, (1, 6)).squeeze(0).unwrap();
        assert!(gate_add(&x, &gate, &x).is_err());
        assert!(gated_gelu(&x, &y).is_err());
        assert!(beside_gelu(&x, &y, 7).is_err());
        assert!(beside_gelu(&x, &tensor(1, (2, 6)), 0).is_err());
    }

    #[test]
    fn all_three_run_on_the_widest_vectors() {
        let (x, gate) = (tensor(0, (3, 7)), tensor(2, (1, 7)).squeeze(0).unwrap());
        runs_wide(&["gated", "gelu_times", "gelu_into"], || {
            assert!(gate_add(&x, &gate, &x).is_ok());
            assert!(gated_gelu(&x, &x).is_ok());
            assert!(beside_gelu(&x, &x, 2).is_ok());
        });
    }
}
