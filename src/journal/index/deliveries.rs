//! What is still to be delivered of a slot: its events (the outbox) and its artifacts (uploads). Plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::records::UnixTime;
use crate::types::{SlotId, names};

names! {
    /// Where a delivery or an upload stands.
    Progress, "a state of a delivery" {
        /// Still to be made.
        Pending => "pending",
        /// Made.
        Delivered => "delivered",
        /// Given up.
        Undelivered => "undelivered",
    }
}

/// Where a slot stands with the artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where it stands.
    pub state: Progress,
    /// How often it was tried and failed.
    pub attempts: u32,
    /// Not to be tried before.
    pub next_at: UnixTime,
    /// Since when it is to be done.
    pub since: UnixTime,
    /// Why the last try failed.
    pub error: Option<String>,
    /// Where files lie already, by name.
    pub addresses: BTreeMap<String, String>,
}

/// What became of a try to upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadMark {
    /// These files (name, address) are there; the rest is still to be done.
    Some {
        /// Addresses by name, added to those known.
        addresses: BTreeMap<String, String>,
    },
    /// It failed and is tried again.
    Retry {
        /// Not before.
        next_at: UnixTime,
        /// Why it failed.
        error: String,
    },
    /// All of it is there.
    Done {
        /// Addresses by name, added to those known.
        addresses: BTreeMap<String, String>,
    },
    /// It is given up.
    GivenUp {
        /// Why.
        error: String,
    },
    /// It is to be tried again from the start, by an operator's wish.
    Again {
        /// Not before.
        at: UnixTime,
    },
}

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number, which is that of its event: the same over all tries.
    pub id: u64,
    /// The slot whose event it is.
    pub slot: SlotId,
    /// The event's kind.
    pub kind: Arc<str>,
    /// The address.
    pub url: String,
    /// The event as one JSON object.
    pub body: Arc<str>,
    /// When it was enqueued.
    pub since: UnixTime,
    /// Where it stands.
    pub state: Progress,
    /// How often it was tried.
    pub attempts: u32,
    /// Not to be tried before.
    pub next_at: UnixTime,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it was delivered or given up.
    pub settled_at: Option<UnixTime>,
}

/// What became of a try to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryMark {
    /// It was taken.
    Delivered {
        /// When.
        at: UnixTime,
    },
    /// It was not, and is tried again.
    Retry {
        /// Not before.
        next_at: UnixTime,
        /// Why not.
        error: String,
    },
    /// It is given up.
    Undelivered {
        /// When.
        at: UnixTime,
        /// Why.
        error: String,
    },
    /// It is to be delivered again, by an operator's wish; its tries count from zero.
    Again {
        /// Not before.
        at: UnixTime,
    },
}
