//! What happens in a node, told once, where the fact happens: one event type, one bus.
//!
//! Owns the [`Event`] and the [`Bus`] that hands it to every [`Subscriber`]: log lines, a command's display, the timings of
//! results, a rehearsal's report. An event serialises to one JSON object; what it is stands in `event`. Decides nothing.

mod bus;
mod ends;
mod kind;
mod serial;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

pub use bus::{Bus, Forward, Subscriber};
pub use kind::{Breakdown, Closed, EventKind, Fault};

use crate::types::{DeviceId, SlotId};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, since the Unix epoch; seconds in JSON.
    #[serde(serialize_with = "serial::Seconds::serialize")]
    pub at: Duration,
    /// On which device, or of which device's part of the node; none where it is of no single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// To which slot, where it happened to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotId>,
    /// The kind of event, with what it carries; its fields stand beside the others in JSON.
    #[serde(flatten)]
    pub kind: EventKind,
}
