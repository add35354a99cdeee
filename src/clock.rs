//! The one place that asks what time it is.
//!
//! Everything else is handed an instant. Inside a tokio runtime with a paused clock the monotonic time is the
//! runtime's virtual one, which is what makes rehearsals and tests of hours run in milliseconds. Knows nothing else
//! of the crate.

use std::time::{Duration, Instant, SystemTime};

/// Now, on the monotonic clock; virtual where the runtime's clock is paused.
#[expect(clippy::disallowed_methods, reason = "this is the one clock file")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now, on the wall clock: for timestamps that leave the machine, never for measuring.
#[expect(clippy::disallowed_methods, reason = "this is the one clock file")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The wall clock since the Unix epoch; zero on a machine whose clock stands before it.
pub fn unix_time() -> Duration {
    wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Since this machine was started, its sleep included: nobody sets this clock, and it goes on from process to process.
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
