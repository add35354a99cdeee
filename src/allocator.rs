//! How the C library's allocator is set up, before the first thread is started. Knows nothing else of the crate.

/// Limits glibc's arenas to one for each core, unless the environment sets up the allocator (`MALLOC_ARENA_MAX`,
/// `GLIBC_TUNABLES`). It would make up to eight for each, and every one keeps what the threads that used it have freed:
/// 50 MB of the demo's 400 MB. Does nothing where another C library is linked.
pub fn limit_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if !SET_BY.iter().any(|name| std::env::var_os(name).is_some()) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let arenas = libc::c_int::try_from(cores.max(2)).unwrap_or(libc::c_int::MAX);
        #[expect(unsafe_code, reason = "the allocator's interface is C")]
        // SAFETY: `mallopt` takes two numbers, locks the allocator while it sets one, and may be called at any time.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, arenas);
        }
    }
}

/// Environment variables that set up the allocator.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SET_BY: [&str; 2] = ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"];
