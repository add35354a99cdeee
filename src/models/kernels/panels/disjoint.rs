//! One output that several threads write, each its own pieces.
//!
//! A column strip of a row-major matrix is many short pieces, which no safe split of a slice can hand to a thread.
//! Owns the crate's only shared mutable memory of that kind; what belongs to whom is its callers' to say.
#![expect(
    unsafe_code,
    reason = "threads write disjoint strips of one matrix, which no safe split of a slice can say"
)]

use std::marker::PhantomData;

/// A slice whose pieces are handed out to several threads.
pub(super) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    of: PhantomData<&'a mut [f32]>,
}

// SAFETY: it only leads to memory through `piece`, whose callers promise that pieces do not overlap.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(super) fn new(values: &'a mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), of: PhantomData }
    }

    /// `len` values from `start` on; none where they would end beyond the slice.
    ///
    /// # Safety
    /// No two pieces that are alive at once may overlap.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "that is the point; see Safety")]
    pub(super) unsafe fn piece(&self, start: usize, len: usize) -> &mut [f32] {
        let fits = start.checked_add(len).is_some_and(|end| end <= self.len);
        let (start, len) = if fits { (start, len) } else { (0, 0) };
        // SAFETY: inside the slice, which is borrowed for as long as `self` lives; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
