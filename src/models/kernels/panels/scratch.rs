//! What a product needs while it runs, kept by each thread for the next one: fresh pages cost as much as filling them.
//!
//! Owns that memory, and nothing of what is in it: whoever takes it writes all that it reads.

use std::cell::Cell;
use std::thread::LocalKey;

use crate::simd::Row;

/// Most values of a left side that are kept, 4 MB: that of a text or a picture. Larger ones are multiplied so long that
/// their pages do not matter.
const MOST: usize = 1 << 20;

thread_local! {
    static LEFT: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static BYTES: Cell<Vec<i32>> = const { Cell::new(Vec::new()) };
    static ROOM: Cell<Vec<Row>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with `count` values for a left side.
pub(super) fn with_left<T>(count: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    with(&LEFT, count, 0.0, work)
}

/// Runs `work` with `count` numbers for a left side of bytes.
pub(super) fn with_bytes<T>(count: usize, work: impl FnOnce(&mut [i32]) -> T) -> T {
    with(&BYTES, count, 0, work)
}

/// Runs `work` with `count` rows for unpacked panels, those of one task: less than half a megabyte.
pub(super) fn with_room<T>(count: usize, work: impl FnOnce(&mut [Row]) -> T) -> T {
    with(&ROOM, count, Row::ZERO, work)
}

fn with<V: Clone, T>(
    kept: &'static LocalKey<Cell<Vec<V>>>,
    count: usize,
    fresh: V,
    work: impl FnOnce(&mut [V]) -> T,
) -> T {
    let mut values = kept.take();
    if values.len() < count {
        values = vec![fresh; count];
    }
    let result = work(&mut values[..count]);
    if values.len() <= MOST {
        kept.set(values);
    }
    result
}

/// Frees what this thread keeps; returns the bytes. What the pool's threads keep for a task each is as little as their
/// stacks, and stays.
pub(in super::super) fn release() -> usize {
    let left = size_of_val(LEFT.take().as_slice()) + size_of_val(BYTES.take().as_slice());
    left + size_of_val(ROOM.take().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_used_again_and_freed_by_name() {
        release();
        let at = |count: usize| with_left(count, |left| (left.len(), left.as_ptr().addr()));
        let first = at(1000);
        assert_eq!(at(700), (700, first.1));
        with_room(5, |room| assert_eq!(room.len(), 5));
        with_bytes(7, |bytes| assert_eq!(bytes.len(), 7));
        assert_eq!((release(), release()), (4 * 1000 + 5 * size_of::<Row>() + 4 * 7, 0));
    }

    #[test]
    fn a_large_left_side_is_not_kept() {
        release();
        with_left(MOST + 1, |left| left.fill(1.0));
        assert_eq!(release(), 0);
    }
}
