//! Each thread's scratch memory for a band of a convolution, kept because fresh pages cost as much as filling them.

use std::cell::RefCell;

/// Lines, transformed inputs, and products or sums.
pub(in super::super) type Scratch = [Vec<f32>; 3];

thread_local! {
    static KEPT: RefCell<Scratch> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// What this thread keeps, whatever is in it.
pub(in super::super) fn taken() -> Scratch {
    KEPT.with(|kept| std::mem::take(&mut *kept.borrow_mut()))
}

pub(in super::super) fn keep(scratch: Scratch) {
    KEPT.with(|kept| *kept.borrow_mut() = scratch);
}

/// Makes room for `count` values.
pub(in super::super) fn grow(scratch: &mut Vec<f32>, count: usize) {
    if scratch.len() < count {
        scratch.resize(count, 0.0);
    }
}

/// Gives back what this thread keeps; returns how many bytes that were.
pub(in super::super) fn release() -> usize {
    taken().iter().map(|part| part.capacity() * size_of::<f32>()).sum()
}
