//! Moments on the monotonic clock as wall-clock time, which outlives the process.

use std::time::{Duration, Instant};

use crate::clock;

/// Microseconds since the Unix epoch of a moment on the monotonic clock, by both clocks as of now.
pub(super) fn to_wall(instant: Instant) -> u64 {
    let (now, wall) = (clock::now(), clock::unix_time());
    let moment = match instant.checked_duration_since(now) {
        Some(ahead) => wall.saturating_add(ahead),
        None => wall.saturating_sub(now.saturating_duration_since(instant)),
    };
    u64::try_from(moment.as_micros()).unwrap_or(u64::MAX)
}

/// The moment that [`to_wall`] wrote down, perhaps in another process; now, where this clock does not reach it.
pub(super) fn from_wall(micros: u64) -> Instant {
    let (now, wall, moment) = (clock::now(), clock::unix_time(), Duration::from_micros(micros));
    match moment.checked_sub(wall) {
        Some(ahead) => now.checked_add(ahead),
        None => now.checked_sub(wall.saturating_sub(moment)),
    }
    .unwrap_or(now)
}
