//! How values of events look in JSON: durations in seconds, exits as their codes.

use serde::Serializer;
use serde_with::{As, DurationSecondsWithFrac};

use crate::exit::Exit;
use crate::vram::Sample;

/// A duration as a number of seconds with its fraction.
pub(super) type Seconds = As<DurationSecondsWithFrac<f64>>;

/// The same where there may be none.
pub(super) type SomeSeconds = As<Option<DurationSecondsWithFrac<f64>>>;

pub(super) fn code<S: Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
}

/// Bytes in use on the device.
pub(super) fn used<S: Serializer>(sample: &Sample, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(sample.used.get())
}
