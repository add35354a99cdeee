//! The build with a GPU path: cards through cudarc, which opens the driver's libraries at run time.
//!
//! cudarc panics where a library or a symbol is missing, so libraries are looked for first and every call is guarded.
#![expect(unsafe_code, reason = "the driver's interface is C; each call says why it is sound")]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cudarc::driver::sys::CUmemPool_attribute_enum as PoolAttribute;
use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::fault::{capability_fault, driver_fault, init_fault, ordinal_fault};
use super::{CardMemory, Fault, NEEDED_DRIVER, PoolUse};
use crate::types::Bytes;

/// An opened card. Clones share its primary context, which is the one that tensors live in.
#[derive(Clone, Debug)]
pub struct Card {
    context: Arc<CudaContext>,
}

/// Calls into cudarc; a panic (a missing symbol, say) becomes a fault.
fn guarded<T>(doing: &str, call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
        Err(Fault::Panicked { doing: doing.to_owned(), message: text.to_owned() })
    })
}

/// The driver's name of an error, `CUDA_ERROR_…`.
fn code(error: DriverError) -> String {
    format!("{:?}", error.0)
}

/// Libraries that computing needs beside the driver, and where they come from.
fn missing_library() -> Option<Fault> {
    let fault = |name, package| Some(Fault::NoLibrary { name, package });
    // SAFETY: each only opens and closes a library of NVIDIA's.
    unsafe {
        if !cudarc::cublas::sys::is_culib_present() {
            return fault("libcublas.so.13", "libcublas-13-0");
        }
        if !cudarc::cublaslt::sys::is_culib_present() {
            return fault("libcublasLt.so.13", "libcublas-13-0");
        }
        if !cudarc::curand::sys::is_culib_present() {
            return fault("libcurand.so.10", "libcurand-13-0");
        }
    }
    None
}

/// Starts the driver and counts the cards that this process may see.
pub(crate) fn cards() -> Result<u32, Fault> {
    // SAFETY: only opens and closes the driver's library.
    if !unsafe { sys::is_culib_present() } {
        return Err(Fault::NoDriver);
    }
    guarded("counting the cards", || {
        let has = driver_version()?;
        if has < NEEDED_DRIVER {
            return Err(Fault::DriverTooOld { has, needs: NEEDED_DRIVER });
        }
        result::init().map_err(|error| init_fault(&code(error)))?;
        let count = result::device::get_count().map_err(|error| init_fault(&code(error)))?;
        Ok(u32::try_from(count).unwrap_or(0))
    })
}

fn driver_version() -> Result<i32, Fault> {
    let mut version = 0;
    // SAFETY: writes one integer, which lives here; allowed before cuInit.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(|error| init_fault(&code(error)))?;
    Ok(version)
}

impl Card {
    /// Opens card `ordinal`: driver, libraries, capability and a context, or the first of them that fails.
    pub(crate) fn open(ordinal: u32) -> Result<Self, Fault> {
        if let Some(fault) = ordinal_fault(ordinal, cards()?) {
            return Err(fault);
        }
        if let Some(fault) = missing_library() {
            return Err(fault);
        }
        guarded("opening the card", || {
            let context = CudaContext::new(ordinal as usize)
                .map_err(|error| driver_fault(ordinal, "making a context", &code(error)))?;
            let card = Self { context };
            match capability_fault(ordinal, &card.name()?, card.capability()?) {
                Some(fault) => Err(fault),
                None => Ok(card),
            }
        })
    }

    /// The card of a context that is there already.
    pub(crate) fn of(context: Arc<CudaContext>) -> Self {
        Self { context }
    }

    fn ask<T>(&self, doing: &str, call: impl FnOnce() -> Result<T, DriverError>) -> Result<T, Fault> {
        let ordinal = u32::try_from(self.context.ordinal()).unwrap_or(u32::MAX);
        let call = || {
            self.context
                .bind_to_thread()
                .and_then(|()| call())
                .map_err(|error| driver_fault(ordinal, doing, &code(error)))
        };
        guarded(doing, call)
    }

    /// What it is called.
    pub(crate) fn name(&self) -> Result<String, Fault> {
        self.ask("asking for its name", || self.context.name())
    }

    /// Its identifier as NVML writes it, `GPU-…`.
    pub(crate) fn uuid(&self) -> Result<String, Fault> {
        let uuid = self.ask("asking for its identifier", || self.context.uuid())?;
        let hex: String = uuid.bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
        Ok(format!("GPU-{}", parts.join("-")))
    }

    /// Its compute capability.
    pub(crate) fn capability(&self) -> Result<(i32, i32), Fault> {
        self.ask("asking for its capability", || self.context.compute_capability())
    }

    /// The CUDA version that its driver supports, as the driver counts.
    pub(crate) fn driver(&self) -> Result<i32, Fault> {
        guarded("asking for the driver's version", driver_version)
    }

    /// What is free and what there is.
    pub(crate) fn memory(&self) -> Result<CardMemory, Fault> {
        let (free, total) = self.ask("asking for its memory", || self.context.mem_get_info())?;
        Ok(CardMemory { free: Bytes::of::<u8>(free), total: Bytes::of::<u8>(total) })
    }

    /// The pool that candle's allocations come from; `None` where the card has no pools.
    fn pool_handle(&self) -> Result<Option<sys::CUmemoryPool>, Fault> {
        if !self.context.has_async_alloc() {
            return Ok(None);
        }
        // SAFETY: the device is that of a live context.
        self.ask("asking for its pool", || unsafe {
            result::device::get_mem_pool(self.context.cu_device()).map(Some)
        })
    }

    fn attribute(&self, pool: sys::CUmemoryPool, which: PoolAttribute) -> Result<Bytes, Fault> {
        let mut value = 0u64;
        // SAFETY: all four attributes asked for are 64-bit numbers, and this one lives here.
        self.ask("asking for its pool's figures", || unsafe {
            result::mem_pool::get_attribute(pool, which, (&raw mut value).cast::<c_void>())
        })?;
        Ok(Bytes::new(value))
    }

    fn set_attribute(&self, which: PoolAttribute, value: Bytes) -> Result<(), Fault> {
        let Some(pool) = self.pool_handle()? else { return Ok(()) };
        let mut value = value.get();
        // SAFETY: both attributes set are 64-bit numbers, and this one lives here.
        self.ask("setting up its pool", || unsafe {
            result::mem_pool::set_attribute(pool, which, (&raw mut value).cast::<c_void>())
        })
    }

    /// The pool's figures; `None` where the card has no pools.
    pub(crate) fn pool(&self) -> Result<Option<PoolUse>, Fault> {
        let Some(pool) = self.pool_handle()? else { return Ok(None) };
        let used = self.attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
        let reserved = self.attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        let used_high = self.attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?;
        // Asked one after the other while tensors come and go: never told as more used than held.
        Ok(Some(PoolUse { used: used.min(reserved), reserved, used_high }))
    }

    /// Lets [`PoolUse::used_high`] begin anew.
    pub(crate) fn reset_high_water(&self) -> Result<(), Fault> {
        // Zero is the only value that the driver takes here.
        self.set_attribute(PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, Bytes::ZERO)
    }

    /// What the pool may hold without using it when the card is synchronised. The driver's own default is nothing:
    /// every synchronisation would give all of it back, and the next job fetch it anew.
    pub(crate) fn keep_in_pool(&self, bytes: Bytes) -> Result<(), Fault> {
        self.set_attribute(PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, bytes)
    }

    /// Waits for everything, then gives back what the pool holds without using it; returns how much that was.
    pub(crate) fn trim(&self) -> Result<Bytes, Fault> {
        let Some(pool) = self.pool_handle()? else { return Ok(Bytes::ZERO) };
        // What is freed counts as unused only once the stream has come to it.
        self.synchronise()?;
        let before = self.attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        // SAFETY: the device's pool lives as long as the device.
        self.ask("trimming its pool", || unsafe { result::mem_pool::trim_to(pool, 0) })?;
        let after = self.attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        Ok(before.saturating_sub(after))
    }

    /// Waits until everything that was asked of the card is done.
    pub(crate) fn synchronise(&self) -> Result<(), Fault> {
        self.ask("waiting for it", || self.context.synchronize())
    }
}
