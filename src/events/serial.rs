//! How values of events look in JSON: durations in seconds, exits as their codes.

use std::time::Duration;

use serde::Serializer;

use crate::exit::Exit;
use crate::vram::Sample;

pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

pub(super) fn some_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

pub(super) fn code<S: Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
}

/// Bytes in use on the device.
pub(super) fn used<S: Serializer>(sample: &Sample, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(sample.used.get())
}
