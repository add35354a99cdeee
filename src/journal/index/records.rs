//! What is written to the index and read from it: plain data.
//!
//! Times are wall-clock times since the Unix epoch, to the microsecond. They are for people and for retention: the order of
//! slots and events is that of their numbers, whatever the clock does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deliveries::{Progress, Upload};
use super::generation::Generation;
use crate::types::{Sha256, SlotId, Stage, TraceParent, WorkId, names};

/// Time since the Unix epoch.
pub type UnixTime = Duration;

names! {
    /// Where a slot stands.
    State, "a state of a slot" {
        /// Accepted; nothing has begun.
        Queued => "queued",
        /// A stage has begun.
        Running => "running",
        /// Handed over.
        Completed => "completed",
        /// Not to be had.
        Failed => "failed",
        /// Stopped.
        Cancelled => "cancelled",
        /// Another node's result was first.
        Superseded => "superseded",
    }
}

impl State {
    /// Whether nothing comes after it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Superseded)
    }
}

/// Where a slot's events are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTarget {
    /// The address.
    pub url: String,
    /// Names of events; empty for the ends only. Whoever makes events chooses by it; the index only keeps it.
    pub events: Vec<String>,
}

/// A slot that is to be accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSlot {
    /// Its id.
    pub slot: SlotId,
    /// The recipe's bytes as they came. Kept until the slot ends.
    #[serde(skip, default = "no_bytes")]
    pub recipe: Arc<[u8]>,
    /// Of the canonical recipe: tells the same recipe from another under the same id.
    pub recipe_sha256: Sha256,
    /// Of the bundle that it is to be rendered with.
    pub bundle_sha256: Sha256,
    /// When it came in.
    pub accepted_at: UnixTime,
    /// By when it has to be handed over, where it has a deadline.
    pub deadline: Option<UnixTime>,
    /// The trace that it belongs to.
    pub traceparent: Option<TraceParent>,
    /// Where its events go.
    pub webhook: Option<WebhookTarget>,
    /// The door that it came in by (`http`, `nats`, …).
    pub origin: String,
    /// The rendering of a network that it is; none for what came in by HTTP alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkId>,
    /// The event that tells of the acceptance, kept and told with it.
    #[serde(skip)]
    pub event: Option<NewEvent>,
}

fn no_bytes() -> Arc<[u8]> {
    Arc::from([])
}

/// What came of a slot that was to be accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Acceptance {
    /// It is accepted, and durable. Its event was told. Also a slot that had ended, with the same recipe, of a lower epoch:
    /// it begins anew, and what was known of that epoch is gone.
    Accepted {
        /// Its number in the order of acceptance.
        order: u64,
    },
    /// It was accepted before, with the same recipe, and is open or of this epoch at least. Nothing was changed or told.
    Known(Box<SlotRow>),
    /// Another recipe stands under this id. Nothing was changed or told.
    Conflict {
        /// The hash of that recipe.
        recipe_sha256: Sha256,
    },
    /// A slot of this id was here and has expired. Nothing was changed or told.
    Expired(Tombstone),
}

/// What came of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// Written; the slot is open and has to be ended as cancelled, by this process or the next.
    Requested,
    /// It was requested before.
    Again,
    /// The slot has ended already.
    Ended(State),
}

/// What came of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOutcome {
    /// It is the slot's end, and durable. Its event was told.
    Ended,
    /// The slot had ended before, in this state; that end stays, and nothing was told.
    Before(State),
}

/// A file that a slot has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRow {
    /// Its name, with `/` between folders.
    pub name: String,
    /// Of its bytes.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
}

/// How a slot ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndRow {
    /// When.
    pub at: UnixTime,
    /// Whether in time, of a completed one.
    pub deadline_met: Option<bool>,
    /// Why it failed or was cancelled: the cause's name.
    pub cause: Option<String>,
    /// In which stage it failed.
    pub stage: Option<Stage>,
    /// What happened, with the values.
    pub message: Option<String>,
    /// From acceptance to the end.
    pub elapsed: Duration,
    /// Seconds spent per stage, all attempts together.
    pub stage_seconds: BTreeMap<Stage, f64>,
    /// Its files.
    pub artifacts: Vec<ArtifactRow>,
}

/// The end of a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndRecord {
    /// The slot.
    pub slot: SlotId,
    /// A final state.
    pub state: State,
    /// How.
    pub end: EndRow,
    /// Whether its artifacts are to be uploaded to the artifact store: it is listed by `store_due` from then on.
    pub upload: bool,
    /// The event that tells of it, kept and told with it.
    #[serde(skip)]
    pub event: Option<NewEvent>,
}

/// An event that is to be kept, or told only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When it happened.
    pub at: UnixTime,
    /// To which slot.
    pub slot: Option<SlotId>,
    /// Its kind.
    pub kind: Arc<str>,
    /// The whole event as one JSON object.
    pub json: Arc<str>,
    /// The address that it is to be delivered to: a row of the outbox is made of it in the same commit. Only events of a
    /// slot are delivered.
    pub deliver_to: Option<String>,
}

/// An event as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptEvent {
    /// Its number; none of events that are told only.
    pub sequence: Option<u64>,
    /// When it happened.
    pub at: UnixTime,
    /// To which slot.
    pub slot: Option<SlotId>,
    /// Its kind.
    pub kind: Arc<str>,
    /// The whole event as one JSON object.
    pub json: Arc<str>,
}

/// A slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotRow {
    /// Its number in the order of acceptance.
    pub order: u64,
    /// Its id.
    pub slot: SlotId,
    /// Where it stands.
    pub state: State,
    /// Of the canonical recipe.
    pub recipe_sha256: Sha256,
    /// Of the bundle that it is rendered with.
    pub bundle_sha256: Sha256,
    /// When it came in.
    pub accepted_at: UnixTime,
    /// By when it has to be handed over.
    pub deadline: Option<UnixTime>,
    /// The trace that it belongs to.
    pub traceparent: Option<TraceParent>,
    /// Where its events go.
    pub webhook: Option<WebhookTarget>,
    /// The door that it came in by.
    pub origin: String,
    /// The rendering of a network that it is; none for what came in by HTTP alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkId>,
    /// When somebody asked for it to be cancelled first.
    pub cancel_requested_at: Option<UnixTime>,
    /// When its first stage began, in the process that has it now or had it last.
    pub began_at: Option<UnixTime>,
    /// The device that renders it, or did.
    pub device: Option<String>,
    /// How many processes have had it: 1 and every [`taken_up`](super::Index::taken_up).
    pub attempts: u32,
    /// How it ended.
    pub end: Option<EndRow>,
    /// Where it stands with the artifact store, where something was to be uploaded.
    pub upload: Option<Upload>,
}

/// An open slot and its recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRow {
    /// The slot.
    pub row: SlotRow,
    /// The recipe's bytes as they came.
    pub recipe: Arc<[u8]>,
}

/// What is left of a slot that has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Its id.
    pub slot: SlotId,
    /// Of its canonical recipe.
    pub recipe_sha256: Sha256,
    /// How it had ended.
    pub state: State,
    /// When it expired.
    pub expired_at: UnixTime,
    /// The rendering of a network that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkId>,
}

/// A slot, or what is left of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is here.
    Slot(Box<SlotRow>),
    /// It was.
    Expired(Tombstone),
}

/// Where a listener left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// Of the journal.
    pub generation: Generation,
    /// The last event seen.
    pub sequence: u64,
}

/// Kept events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Arc<KeptEvent>>,
    /// Whether events between the cursor and the first of these may be gone: they are older than what is kept, or the
    /// cursor is of another generation or ahead of this journal.
    pub gap: bool,
    /// The number of the oldest event that is kept, of any slot; none where there is none.
    pub oldest: Option<u64>,
    /// Whether there are more after these.
    pub more: bool,
}

/// How many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots by state.
    pub slots: BTreeMap<State, u64>,
    /// Tombstones.
    pub tombstones: u64,
    /// Kept events.
    pub events: u64,
    /// Deliveries by state.
    pub deliveries: BTreeMap<Progress, u64>,
    /// Uploads by state.
    pub uploads: BTreeMap<Progress, u64>,
}

/// That accepted slots may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// After this moment; none where nothing at all was left to say it.
    pub since: Option<UnixTime>,
    /// When it was found.
    pub found_at: UnixTime,
}
