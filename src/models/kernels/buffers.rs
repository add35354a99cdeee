//! Memory of results that nobody needs any more, kept for the next ones: fresh pages cost as much as filling them.
//!
//! Each thread keeps its own, and so a model's thread reuses from frame to frame what one frame took. Owns no results.

use std::cell::RefCell;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Tensor, bail};

use super::host::{on_host, on_processor};
use super::panels;

/// Most pieces that a thread keeps; the oldest go first. More than a network has results at once.
const MOST: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// `count` values, whatever they are: whoever takes them writes them all.
pub(in crate::models) fn taken(count: usize) -> Vec<f32> {
    let kept = KEPT.with_borrow_mut(|kept| {
        let pieces = kept.iter().enumerate().filter(|(_, piece)| piece.capacity() >= count);
        let (place, _) = pieces.min_by_key(|(_, piece)| piece.capacity())?;
        Some(kept.remove(place))
    });
    let mut values = kept.unwrap_or_default();
    values.resize(count, 0.0);
    values
}

/// Keeps the memory of `tensor`, which [`taken`] gave: nobody may look at it, or at a view of it, any more. On another device
/// it is just dropped.
#[expect(clippy::needless_pass_by_value, reason = "whoever gives it back has it no more")]
pub(in crate::models) fn give_back(tensor: Tensor) -> Result<()> {
    if on_processor(&tensor) { tensor.inplace_op1(&Keep) } else { Ok(()) }
}

/// Frees what this thread keeps, of products too; returns how many bytes that were.
pub(in crate::models) fn release() -> usize {
    let kept: usize = KEPT.take().iter().map(|piece| piece.capacity() * size_of::<f32>()).sum();
    kept + panels::release_scratch()
}

/// Two tensors as one, side by side in their second dimension.
pub(in crate::models) fn beside(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (mut dims, other) = (a.dims().to_vec(), b.dims());
    if dims.len() < 2 || dims.len() != other.len() || dims[0] != other[0] || dims[2..] != other[2..] {
        bail!("{dims:?} and {other:?} do not fit side by side");
    }
    let rest: usize = dims[2..].iter().product();
    let (left, right) = (dims[1] * rest, other[1] * rest);
    let mut out = taken(a.elem_count() + b.elem_count());
    on_host(&[a, b], |values| {
        for (place, out) in out.chunks_exact_mut((left + right).max(1)).enumerate() {
            out[..left].copy_from_slice(&values[0][place * left..][..left]);
            out[left..].copy_from_slice(&values[1][place * right..][..right]);
        }
    })?;
    dims[1] += other[1];
    Tensor::from_vec(out, dims, &Device::Cpu)
}

struct Keep;

impl InplaceOp1 for Keep {
    fn name(&self) -> &'static str {
        "give-back"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        if let CpuStorage::F32(values) = storage {
            let values = std::mem::take(values);
            KEPT.with_borrow_mut(|kept| {
                if kept.len() == MOST {
                    kept.remove(0);
                }
                kept.push(values);
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again() {
        release();
        let tensor = Tensor::from_vec(taken(1000), (10, 100), &Device::Cpu).unwrap();
        let address = on_host(&[&tensor], |values| values[0].as_ptr()).unwrap();
        give_back(tensor).unwrap();
        assert_eq!(taken(1001).len(), 1001, "what is larger is another piece");
        let again = taken(700);
        assert_eq!((again.len(), again.as_ptr()), (700, address));
        assert_eq!(release(), 0);
    }

    #[test]
    fn only_so_many_pieces_are_kept_and_all_are_freed() {
        release();
        for _ in 0..2 * MOST {
            give_back(Tensor::from_vec(vec![0f32; 8], 8, &Device::Cpu).unwrap()).unwrap();
        }
        assert_eq!((release(), release()), (MOST * 8 * 4, 0));
    }

    #[test]
    fn channels_come_side_by_side() {
        let tensor = |from: f32, dims: [usize; 3]| {
            Tensor::arange(from, from + dims.iter().product::<usize>() as f32, &Device::Cpu)
                .unwrap()
                .reshape(&dims)
                .unwrap()
        };
        let (a, b) = (tensor(0.0, [2, 3, 4]), tensor(50.0, [2, 1, 4]));
        let ours = beside(&a, &b).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(ours, Tensor::cat(&[&a, &b], 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert!(beside(&a, &tensor(0.0, [2, 3, 5])).is_err());
    }
}
