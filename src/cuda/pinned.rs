//! Page-locked host memory: what leaves a card goes there at the bus's full speed, without the driver's detour through
//! a buffer of its own.
#![expect(unsafe_code, reason = "page-locked memory comes unset; it is written before it is read")]

use std::sync::Arc;

use cudarc::driver::{CudaStream, CudaView, DriverError, PinnedHostSlice, sys};

/// A page-locked buffer that grows to the largest copy asked of it.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    buffer: Option<PinnedHostSlice<f32>>,
}

impl Pinned {
    /// Copies `values` off the card and shows them to `see`. Waits for this copy, and so for what made the values, but
    /// for nothing that is asked of other streams.
    pub(crate) fn read<T>(
        &mut self,
        values: &CudaView<'_, f32>,
        stream: &Arc<CudaStream>,
        see: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, DriverError> {
        let length = values.len();
        let buffer = match self.buffer.take().filter(|buffer| buffer.len() >= length) {
            Some(buffer) => buffer,
            // Not write-combined, as cudarc's plain `alloc_pinned` has it: the processor reads this memory.
            // SAFETY: unset, but any bits are a number, and only what the copy has written is shown.
            None => unsafe {
                stream.context().alloc_pinned_with_flags::<f32>(length, sys::CU_MEMHOSTALLOC_PORTABLE)
            }?,
        };
        let buffer = self.buffer.insert(buffer);
        stream.memcpy_dtoh(values, buffer)?;
        Ok(see(&buffer.as_slice()?[..length]))
    }
}
