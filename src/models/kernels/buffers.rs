//! Memory of results that nobody needs any more, kept for the next ones: fresh pages cost as much as filling them.
//!
//! Each thread keeps its own, and so a model's thread reuses from frame to frame what one frame took; threads that share a
//! job's frames keep theirs in one [`Store`]. Owns no results.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Shape, Storage, Tensor, bail};
use parking_lot::Mutex;

use super::host::{on_host, on_processor};
use super::panels;

/// Most pieces that are kept in one place; the oldest go first. More than a few frames' networks have results at once.
const MOST: usize = 128;
/// How many times as long as asked for a piece may be: a longer one is left for what needs it.
const LONGEST: usize = 4;

/// Kept pieces, for all threads that have the store.
#[derive(Clone, Debug, Default)]
pub(in crate::models) struct Store(Arc<Mutex<Vec<Vec<f32>>>>);

thread_local! {
    /// Where this thread takes from.
    static CURRENT: RefCell<Store> = RefCell::default();
}

impl Store {
    /// Runs `work`: what the calling thread takes meanwhile comes from here, and what it gives back goes here.
    pub(in crate::models) fn lent<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Store);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(std::mem::take(&mut self.0));
            }
        }
        let _before = Before(CURRENT.replace(self.clone()));
        work()
    }

    fn take(&self, count: usize) -> Option<Vec<f32>> {
        let mut kept = self.0.lock();
        let fits = |len: usize| len >= count && len <= LONGEST.saturating_mul(count);
        let pieces = kept.iter().enumerate().filter(|(_, piece)| fits(piece.len()));
        let (place, _) = pieces.min_by_key(|(_, piece)| piece.len())?;
        Some(kept.remove(place))
    }

    fn keep(&self, piece: Vec<f32>) {
        if piece.is_empty() {
            return;
        }
        let mut kept = self.0.lock();
        let oldest = (kept.len() == MOST).then(|| kept.remove(0));
        kept.push(piece);
        drop(kept);
        // Memory goes back to the system while nobody waits.
        drop(oldest);
    }

    /// Frees what is kept; returns the bytes.
    fn release(&self) -> usize {
        std::mem::take(&mut *self.0.lock()).iter().map(|piece| piece.capacity() * size_of::<f32>()).sum()
    }
}

/// Memory for a result: whoever takes it writes all of its values, which are whatever they were before. What no tensor is
/// made of is kept again when it is dropped.
#[derive(Debug)]
pub(in crate::models) struct Taken {
    /// At least as many values as asked for: what is not needed stays as it is, so that a longer result later finds it
    /// filled.
    values: Vec<f32>,
    count: usize,
    /// Where it goes back to, whichever thread drops it.
    store: Store,
}

/// Room for `count` values.
pub(in crate::models) fn taken(count: usize) -> Taken {
    taken_from(CURRENT.with_borrow(Store::clone), count)
}

fn taken_from(store: Store, count: usize) -> Taken {
    Taken { values: store.take(count).unwrap_or_else(|| vec![0.0; count]), count, store }
}

impl Taken {
    /// As much room again, from where this came from.
    pub(in crate::models) fn another(&self) -> Self {
        taken_from(self.store.clone(), self.count)
    }

    /// The result, of a shape of as many values.
    pub(in crate::models) fn into_tensor(mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if shape.elem_count() != self.count {
            bail!("{} values do not make a tensor of {shape:?}", self.count);
        }
        let storage = Storage::Cpu(CpuStorage::F32(std::mem::take(&mut self.values)));
        Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.store.keep(std::mem::take(&mut self.values));
    }
}

impl Deref for Taken {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.count]
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.count]
    }
}

/// Keeps the memory of `tensor`, which [`taken`] gave: nobody may look at it, or at a view of it, any more. On another device
/// it is just dropped.
#[expect(clippy::needless_pass_by_value, reason = "whoever gives it back has it no more")]
pub(in crate::models) fn give_back(tensor: Tensor) -> Result<()> {
    if on_processor(&tensor) { tensor.inplace_op1(&Keep) } else { Ok(()) }
}

/// Frees what this thread keeps, of products too; returns how many bytes that were.
pub(in crate::models) fn release() -> usize {
    CURRENT.with_borrow(Store::release) + panels::release_scratch()
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
    out.into_tensor(dims)
}

struct Keep;

impl InplaceOp1 for Keep {
    fn name(&self) -> &'static str {
        "give-back"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        if let CpuStorage::F32(values) = storage {
            CURRENT.with_borrow(|store| store.keep(std::mem::take(values)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again_and_stays_filled() {
        release();
        let mut first = taken(1000);
        first.fill(3.0);
        let address = first.as_ptr();
        give_back(first.into_tensor((10, 100)).unwrap()).unwrap();
        let larger = taken(1001);
        assert_eq!(larger.len(), 1001, "what is larger is another piece");
        let mut short = taken(700);
        assert_eq!((short.len(), short.as_ptr()), (700, address));
        short.fill(5.0);
        let tensor = short.into_tensor((7, 100)).unwrap();
        assert_eq!(tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5.0; 700]);
        assert_eq!((&tensor + 1.0).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 4200.0);
        give_back(tensor).unwrap();
        let again = taken(900);
        assert_eq!((again[699], again[700], again.as_ptr()), (5.0, 3.0, address));
        assert!(again.into_tensor((9, 101)).is_err());
        drop(larger);
        assert_eq!(release(), (1000 + 1001) * 4, "what no tensor was made of is kept too");
    }

    #[test]
    fn a_piece_that_is_much_longer_stays_for_what_needs_it() {
        let store = Store::default();
        store.lent(|| drop(taken(100 * LONGEST)));
        store.lent(|| drop(taken(99)));
        assert_eq!(store.0.lock().iter().map(Vec::len).collect::<Vec<_>>(), [100 * LONGEST, 99]);
        store.lent(|| drop(taken(100)));
        assert_eq!(store.0.lock().iter().map(Vec::len).collect::<Vec<_>>(), [99, 100 * LONGEST]);
    }

    #[test]
    fn threads_share_what_a_store_keeps_and_have_their_own_beside_it() {
        release();
        let store = Store::default();
        let address = std::thread::scope(|scope| {
            scope.spawn(|| store.lent(|| taken(1000).as_ptr().addr())).join().unwrap()
        });
        drop(taken(1000));
        let (held, another) = store.lent(|| (taken(1000), taken(1000)));
        assert_eq!(held.as_ptr().addr(), address, "another thread gave it back");
        assert_ne!(another.as_ptr().addr(), address);
        // Whoever drops them, and wherever: they go back to where they came from.
        std::thread::scope(|scope| scope.spawn(|| drop((held, another))).join().unwrap());
        assert_eq!((store.release(), release()), (2 * 4000, 4000));
        let again = store.lent(|| taken(10));
        let beside = again.another();
        drop((again, beside));
        assert_eq!((store.release(), release()), (2 * 40, 0));
    }

    #[test]
    fn a_panic_leaves_a_thread_with_its_own() {
        release();
        let store = Store::default();
        let panics = std::panic::AssertUnwindSafe(|| store.lent(|| panic!("within")));
        let caught = std::panic::catch_unwind(panics);
        assert!(caught.is_err());
        drop(taken(10));
        assert_eq!((store.release(), release()), (0, 40));
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
