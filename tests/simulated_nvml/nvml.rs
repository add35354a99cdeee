//! A library that looks like NVIDIA's management library to whoever opens it, and shows boards that a test plays.
//!
//! Not part of the crate: the test suite compiles it on its own (`rustc --crate-type cdylib`) and steers it through
//! the file `control` beside the library, read anew at every call (`tests/integration/support/simulated_nvml.rs`
//! writes it; the layout below is shared by both). Signatures and codes are those of `nvml.h`, R535 and later.
//!
//! Keeps no thread-locals with destructors: they would hold the library in memory after it is closed.

#![allow(non_snake_case)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

// The control file: little-endian u64 words.
const HEADER: usize = 2; // boards, result of initialising
const PROCESSES: usize = 16;
// total, reserved, used, result of memory, of processes, processes, result of handle, of name, split; (pid, used)…
// split: 0 where the board cannot be split into instances (MIG), else one more than it has of them.
const BOARD: usize = 9 + 2 * PROCESSES;
const BOARDS: usize = 8;
const WORDS: usize = HEADER + BOARDS * BOARD;

const SUCCESS: c_int = 0;
const INVALID_ARGUMENT: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const NO_PERMISSION: c_int = 4;
const NOT_FOUND: c_int = 6;
const INSUFFICIENT_SIZE: c_int = 7;
const GPU_IS_LOST: c_int = 15;
const ARGUMENT_VERSION_MISMATCH: c_int = 25;

#[repr(C)]
pub struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[repr(C)]
pub struct ProcessInfo {
    pid: c_uint,
    used: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

#[repr(C)]
struct DlInfo {
    file_name: *const c_char,
    file_base: *mut c_void,
    symbol_name: *const c_char,
    symbol_address: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

/// `control` beside this library, wherever the loader found it.
fn control_path() -> Option<PathBuf> {
    let mut info = DlInfo {
        file_name: std::ptr::null(),
        file_base: std::ptr::null_mut(),
        symbol_name: std::ptr::null(),
        symbol_address: std::ptr::null_mut(),
    };
    // SAFETY: the address is one of this library's functions, and `info` outlives the call.
    let found = unsafe { dladdr(nvmlShutdown as *const c_void, &mut info) } != 0 && !info.file_name.is_null();
    // SAFETY: the loader's name of a loaded library is a C string that lives as long as the library.
    let name = found.then(|| unsafe { CStr::from_ptr(info.file_name) })?;
    Some(Path::new(OsStr::from_bytes(name.to_bytes())).with_file_name("control"))
}

struct Control([u8; WORDS * 8]);

impl Control {
    /// `None` where there is no such file: the card is gone.
    fn read() -> Option<Self> {
        let mut bytes = [0; WORDS * 8];
        File::open(control_path()?).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        Some(Self(bytes))
    }

    fn word(&self, index: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[index * 8..index * 8 + 8]);
        u64::from_le_bytes(word)
    }

    fn boards(&self) -> u64 {
        self.word(0).min(BOARDS as u64)
    }

    /// Word `field` of the board that `handle` stands for, or is an instance of.
    fn board(&self, handle: *mut c_void, field: usize) -> Option<u64> {
        let index = place(handle)?.0;
        ((index as u64) < self.boards()).then(|| self.word(HEADER + index * BOARD + field))
    }

    /// How many instances a board is split into, where it can be.
    fn instances(&self, handle: *mut c_void) -> Option<u64> {
        self.board(handle, 8)?.checked_sub(1)
    }
}

/// Which board a handle stands for, and which instance of it where it is one. Handles are numbers, never followed: the
/// board's from 1, and for an instance its own, from 1, above them.
fn place(handle: *mut c_void) -> Option<(usize, Option<usize>)> {
    let (board, instance) = (handle as usize % 256, handle as usize / 256);
    Some((board.checked_sub(1)?, instance.checked_sub(1)))
}

fn handle(board: usize, instance: Option<usize>) -> *mut c_void {
    (board + 1 + 256 * instance.map_or(0, |instance| instance + 1)) as *mut c_void
}

fn code(word: u64) -> c_int {
    c_int::try_from(word).unwrap_or(999)
}

/// Copies `text` and its NUL; fails where there is no room.
///
/// # Safety
/// `buffer` is writable for `length` bytes.
unsafe fn put(text: &str, buffer: *mut c_char, length: c_uint) -> c_int {
    if text.len() + 1 > length as usize {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: there is room for the text and its NUL, as checked above and promised by the caller.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        *buffer.add(text.len()) = 0;
    }
    SUCCESS
}

fn uuid(index: usize, instance: Option<usize>) -> String {
    match instance {
        None => format!("GPU-00000000-0000-0000-0000-{index:012}"),
        Some(instance) => format!("MIG-00000000-0000-0000-{:04}-{index:012}", instance + 1),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    Control::read().map_or(GPU_IS_LOST, |control| code(control.word(1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(_result: c_int) -> *const c_char {
    c"simulated".as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(buffer: *mut c_char, length: c_uint) -> c_int {
    // SAFETY: the caller's buffer, as NVML's contract has it.
    unsafe { put("580.00.00", buffer, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    // SAFETY: the caller's pointer, as NVML's contract has it.
    unsafe { *count = control.boards() as c_uint };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut *mut c_void) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    if u64::from(index) >= control.boards() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller's pointer, as NVML's contract has it.
    unsafe { *device = handle(index as usize, None) };
    code(control.word(HEADER + index as usize * BOARD + 6))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(wanted: *const c_char, device: *mut *mut c_void) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    // SAFETY: the caller's C string, as NVML's contract has it.
    let wanted = unsafe { CStr::from_ptr(wanted) };
    let mut handles = Vec::new();
    for board in 0..control.boards() as usize {
        // As the real one says it: "if any GPU has fallen off the bus or is otherwise inaccessible".
        if control.word(HEADER + board * BOARD + 6) == GPU_IS_LOST as u64 {
            return GPU_IS_LOST;
        }
        let instances = control.instances(handle(board, None)).unwrap_or(0) as usize;
        handles.extend(std::iter::once(None).chain((0..instances).map(Some)).map(|instance| (board, instance)));
    }
    let found = handles.into_iter().find(|(board, instance)| uuid(*board, *instance).as_bytes() == wanted.to_bytes());
    let Some((board, instance)) = found else { return NOT_FOUND };
    // SAFETY: the caller's pointer, as NVML's contract has it.
    unsafe { *device = handle(board, instance) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(device: *mut c_void, buffer: *mut c_char, length: c_uint) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    let (Some(result), Some((board, instance))) = (control.board(device, 7), place(device)) else {
        return INVALID_ARGUMENT;
    };
    if result != 0 {
        return code(result);
    }
    let name = match instance {
        None => format!("Simulated board {board}"),
        Some(instance) => format!("Simulated board {board} MIG {instance}"),
    };
    // SAFETY: the caller's buffer, as NVML's contract has it.
    unsafe { put(&name, buffer, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(device: *mut c_void, buffer: *mut c_char, length: c_uint) -> c_int {
    let Some((board, instance)) = place(device) else { return INVALID_ARGUMENT };
    // SAFETY: the caller's buffer, as NVML's contract has it.
    unsafe { put(&uuid(board, instance), buffer, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: *mut c_void,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    if control.instances(device).is_none() {
        return NOT_SUPPORTED;
    }
    // SAFETY: the caller's pointers, as NVML's contract has it.
    unsafe { (*current, *pending) = (1, 1) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: *mut c_void, count: *mut c_uint) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    // As the real one: how many there could be, whether they are there or not.
    // SAFETY: the caller's pointer, as NVML's contract has it.
    unsafe { *count = if control.instances(device).is_some() { 7 } else { 0 } };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: *mut c_void,
    index: c_uint,
    instance: *mut *mut c_void,
) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    let (Some(instances), Some((board, None))) = (control.instances(device), place(device)) else {
        return INVALID_ARGUMENT;
    };
    if u64::from(index) >= instances {
        return NOT_FOUND;
    }
    // SAFETY: the caller's pointer, as NVML's contract has it.
    unsafe { *instance = handle(board, Some(index as usize)) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: *mut c_void, memory: *mut MemoryV2) -> c_int {
    // SAFETY: the caller's structure, as NVML's contract has it.
    let memory = unsafe { &mut *memory };
    if memory.version != size_of::<MemoryV2>() as c_uint | 2 << 24 {
        return ARGUMENT_VERSION_MISMATCH;
    }
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    let word = |field| control.board(device, field);
    let (Some(total), Some(reserved), Some(used), Some(result)) = (word(0), word(1), word(2), word(3)) else {
        return INVALID_ARGUMENT;
    };
    let parts = match (control.instances(device), place(device)) {
        // The whole of a board that is split is for administrators.
        (Some(_), Some((_, None))) => return NO_PERMISSION,
        (Some(parts), _) => parts.max(1),
        (None, _) => 1,
    };
    let [total, reserved, used] = [total, reserved, used].map(|bytes| bytes / parts);
    (memory.total, memory.reserved, memory.used) = (total, reserved, used);
    memory.free = total.saturating_sub(reserved).saturating_sub(used);
    code(result)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: *mut c_void,
    count: *mut c_uint,
    processes: *mut ProcessInfo,
) -> c_int {
    let Some(control) = Control::read() else { return GPU_IS_LOST };
    let word = |field| control.board(device, field);
    let (Some(result), Some(running)) = (word(4), word(5)) else { return INVALID_ARGUMENT };
    if result != 0 {
        return code(result);
    }
    let running = running.min(PROCESSES as u64) as usize;
    // SAFETY: the caller's pointer, as NVML's contract has it.
    let room = unsafe { std::mem::replace(&mut *count, running as c_uint) } as usize;
    if running == 0 {
        return SUCCESS;
    }
    if processes.is_null() || room < running {
        return INSUFFICIENT_SIZE;
    }
    for place in 0..running {
        let (pid, used) = (word(9 + 2 * place).unwrap_or(0), word(10 + 2 * place).unwrap_or(0));
        let info = ProcessInfo { pid: pid as c_uint, used, gpu_instance: u32::MAX, compute_instance: u32::MAX };
        // SAFETY: the caller gave room for that many, as checked above.
        unsafe { processes.add(place).write(info) };
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    _device: *mut c_void,
    count: *mut c_uint,
    _processes: *mut ProcessInfo,
) -> c_int {
    // SAFETY: the caller's pointer, as NVML's contract has it.
    unsafe { *count = 0 };
    SUCCESS
}
