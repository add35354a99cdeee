//! A library that looks like NVIDIA's driver to whoever opens it, and shows cards that a test describes.
//!
//! Not part of the crate: the test suite compiles it on its own (`rustc --crate-type cdylib`) and puts it first in a
//! child's library path; the environment says what it shows. It serves what opening a card and looking at its memory
//! ask for; nothing can be computed on it. Signatures and codes are those of `cuda.h`, CUDA 13.

#![allow(non_snake_case)]

use std::ffi::{c_char, c_int, c_uint, c_void};

const SUCCESS: c_int = 0;
const INVALID_VALUE: c_int = 1;
const INVALID_DEVICE: c_int = 101;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;
const MEMORY_POOLS_SUPPORTED: c_int = 115;

fn shown(name: &str, otherwise: u64) -> u64 {
    std::env::var(format!("SIMULATED_CUDA_{name}")).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> c_int {
    shown("INIT", 0) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller's integer, as the driver's contract has it; so in all functions below.
    unsafe { *version = shown("VERSION", 13_000) as c_int };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    unsafe { *count = shown("COUNT", 1) as c_int };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    if ordinal < 0 || ordinal as u64 >= shown("COUNT", 1) {
        return INVALID_DEVICE;
    }
    unsafe { *device = ordinal };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, device: c_int) -> c_int {
    let result = shown("RETAIN", 0) as c_int;
    if result == SUCCESS {
        unsafe { *context = (device as usize + 1) as *mut c_void };
    }
    result
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(_context: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut *mut c_void) -> c_int {
    unsafe { *context = std::ptr::null_mut() };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, which: c_int, _device: c_int) -> c_int {
    let capability = shown("CAPABILITY", 90) as c_int;
    let answer = match which {
        CAPABILITY_MAJOR => capability / 10,
        CAPABILITY_MINOR => capability % 10,
        MEMORY_POOLS_SUPPORTED => 1,
        _ => return INVALID_VALUE,
    };
    unsafe { *value = answer };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, _device: c_int) -> c_int {
    let text = b"Simulated card\0";
    if (length as usize) < text.len() {
        return INVALID_VALUE;
    }
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, text.len()) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) -> c_int {
    unsafe { *uuid = [0; 16] };
    unsafe { (*uuid)[15] = device as u8 };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    unsafe { (*free, *total) = (shown("FREE", 11 << 30) as usize, shown("TOTAL", 12 << 30) as usize) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetMemPool(pool: *mut *mut c_void, device: c_int) -> c_int {
    unsafe { *pool = (device as usize + 1) as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolGetAttribute(_pool: *mut c_void, _which: c_int, value: *mut u64) -> c_int {
    unsafe { *value = 0 };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAttribute(_pool: *mut c_void, _which: c_int, _value: *mut u64) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolTrimTo(_pool: *mut c_void, _keep: usize) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(_error: c_int, text: *mut *const c_char) -> c_int {
    unsafe { *text = c"as simulated".as_ptr() };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(_error: c_int, text: *mut *const c_char) -> c_int {
    unsafe { *text = c"CUDA_ERROR_SIMULATED".as_ptr() };
    SUCCESS
}
