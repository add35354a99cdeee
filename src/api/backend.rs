//! What the API needs of the node: one trait, so that the routes know nothing of actors, disks or models.
//!
//! `app` implements it on the running node; the API's own tests on a table. Every call answers from memory or waits on a
//! task of its own: none blocks.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes as Body;
use serde_json::Value;
use tokio::sync::broadcast;

use super::views::{DeliveryState, NodeView, SlotPage, SlotState, SlotView, WebhookMessage};
use crate::types::{SlotId, TraceParent};

/// An answer that may take a moment.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A slot that is handed in.
#[derive(Clone, Debug)]
pub struct SlotRequest {
    /// The id in the address; the recipe's must be the same.
    pub id: Option<SlotId>,
    /// The recipe's bytes, as they came.
    pub document: Body,
    /// Its webhook.
    pub webhook: Option<Webhook>,
    /// The trace that it belongs to.
    pub traceparent: Option<TraceParent>,
    /// Who hands it in, for the record: the name of the token, as the access layer's request extension has it; empty where
    /// nobody says.
    pub client: String,
}

/// Where a slot's events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// Names of events, out of [`EVENTS`](Self::EVENTS); empty for the ends only.
    pub events: Vec<String>,
}

impl Webhook {
    /// What can be sent: events of a slot, by their kinds.
    pub const EVENTS: [&str; 12] = [
        "accepted",
        "stage_began",
        "stage_again",
        "audio_complete",
        "image_complete",
        "video_complete",
        "clip_complete",
        "slot_moved",
        "generation_complete",
        "slot_failed",
        "slot_cancelled",
        "slot_superseded",
    ];
}

/// What came of a slot that was handed in.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// It is accepted, and durable.
    Accepted(Box<SlotView>),
    /// The same recipe came before.
    Known(Box<SlotView>),
}

/// Why something was not done: a problem document in the making.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// What kind; the HTTP status and the document's stable `type` follow from it.
    pub kind: ProblemKind,
    /// What happened, with the values and what would be accepted.
    pub detail: String,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// Further members of the document: `eta`, `errors`, …
    pub extra: serde_json::Map<String, Value>,
}

/// Kinds of problems that the node itself tells; the routes have some of their own (authorisation, limits, syntax).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// 422: the recipe is wrong; `errors` lists all of it.
    InvalidRecipe,
    /// 403: its signature, or whose it is.
    Signer,
    /// 422: it could not be done in time; `eta` says how long it would take.
    Late,
    /// 409: another recipe stands under this id, or the id in the address is another than the recipe's.
    Conflict,
    /// 429: memory pressure.
    Pressure,
    /// 429: the queue is full.
    QueueFull,
    /// 503: models are loading, cordoned, or lost data is not acknowledged.
    NotReady,
    /// 503: the node takes nothing in any more.
    Draining,
    /// 507: it could not be written down.
    Storage,
    /// 400: a parameter is not what only the node can tell apart.
    BadRequest,
    /// 404: no such slot or artifact.
    NotFound,
    /// 410: it was here and has expired.
    Gone,
    /// 422: the webhook's address is refused.
    Webhook,
    /// 409: not in this state.
    State,
    /// 500: a fault of the node's own.
    Internal,
}

/// Which slots are wanted.
#[derive(Clone, Debug, Default)]
pub struct SlotQuery {
    /// In these states; empty for all.
    pub states: Vec<SlotState>,
    /// At most so many.
    pub limit: usize,
    /// After this page.
    pub after: Option<String>,
}

/// A file of a slot, on this disk; `sha256` was recorded when it was written.
#[derive(Clone, Debug)]
pub struct ArtifactFile {
    /// Where.
    pub path: PathBuf,
    /// Of its bytes.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// One event as it is sent to whoever listens.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its number in the journal; none of events that are not kept (progress, samples of memory).
    pub sequence: Option<u64>,
    /// The slot that it happened to.
    pub slot: Option<SlotId>,
    /// Its kind: the `event` field.
    pub kind: Arc<str>,
    /// The whole event as one JSON object, in one line.
    pub json: Arc<str>,
    /// As it goes out to everybody who listens; made by the first of them.
    frame: OnceLock<Body>,
}

impl StoredEvent {
    /// Kinds of events that are the last of their slot.
    const ENDS: [&str; 4] = ["generation_complete", "slot_failed", "slot_cancelled", "slot_superseded"];

    /// An event; `json` is one line.
    pub fn new(sequence: Option<u64>, slot: Option<SlotId>, kind: Arc<str>, json: Arc<str>) -> Self {
        Self { sequence, slot, kind, json, frame: OnceLock::new() }
    }

    /// Whether nothing happens to its slot after it.
    pub fn ends_slot(&self) -> bool {
        Self::ENDS.contains(&&*self.kind)
    }

    /// Its bytes as `make` builds them the first time: a hundred listeners share them.
    pub(crate) fn frame_or(&self, make: impl FnOnce(&Self) -> Body) -> Body {
        self.frame.get_or_init(|| make(self)).clone()
    }
}

/// Where a listener left off: `GENERATION-SEQUENCE`, as in events' ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of the journal.
    pub generation: String,
    /// The last event seen.
    pub sequence: u64,
}

/// A text that is no event's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event's id; accepted: an id as events carry it, GENERATION-SEQUENCE")]
pub struct NoCursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.sequence)
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        // Longer than any that a journal makes.
        const LONGEST: usize = 64;
        let wrong = || NoCursor(text.chars().take(LONGEST).collect());
        let (generation, digits) = text.rsplit_once('-').ok_or_else(wrong)?;
        let is_name = (1..=LONGEST).contains(&generation.len())
            && generation.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(sequence) if is_name && is_number => Ok(Self { generation: generation.to_owned(), sequence }),
            _ => Err(wrong()),
        }
    }
}

/// Kept events after a cursor.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// In order.
    pub events: Vec<Arc<StoredEvent>>,
    /// Whether events between the cursor and the first of these are gone, or the cursor is of another generation.
    pub gap: bool,
    /// Whether there are more after these.
    pub more: bool,
}

/// What an operator may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Take nothing in any more; finish what is open.
    Drain,
    /// Take slots in again.
    Undrain,
    /// Read the settings again.
    Reload,
    /// Data that was lost is known to be; be ready again.
    Acknowledge,
}

/// A probe's answer: why not, each in one sentence; empty for yes.
pub type Standing = Vec<String>;

/// The node, as the API sees it.
pub trait Backend: Send + Sync + 'static {
    /// A recipe is handed in; answered once it is durable.
    fn submit(&self, request: SlotRequest) -> Reply<'_, Result<Submitted, Problem>>;
    /// One slot.
    fn slot(&self, id: SlotId) -> Reply<'_, Result<SlotView, Problem>>;
    /// A page of slots, newest first.
    fn slots(&self, query: SlotQuery) -> Reply<'_, Result<SlotPage, Problem>>;
    /// Stops a slot, wherever it stands; one that has ended stays as it is. Answers with how it stands.
    fn cancel(&self, id: SlotId) -> Reply<'_, Result<SlotView, Problem>>;
    /// A file of a slot that has ended.
    fn artifact<'a>(&'a self, id: SlotId, name: &'a str) -> Reply<'a, Result<ArtifactFile, Problem>>;
    /// Kept events after `cursor` (from the oldest where there is none), of one slot or of all, at most `limit`.
    fn replay(
        &self,
        cursor: Option<Cursor>,
        slot: Option<SlotId>,
        limit: usize,
    ) -> Reply<'_, Result<Replay, Problem>>;
    /// Events from now on, each told once it is kept, in the order of their sequences; when a slot's end is told,
    /// [`slot`](Self::slot) shows it already. A listener that lags learns so and replays.
    fn listen(&self) -> broadcast::Receiver<Arc<StoredEvent>>;
    /// The generation of the journal: the first part of event ids.
    fn generation(&self) -> String;
    /// The sequence of the newest event kept; 0 before the first.
    fn newest(&self) -> Reply<'_, u64> {
        Box::pin(async { self.node().await.journal.sequence })
    }
    /// Messages of webhooks, newest first, at most 500; of one state where it is named.
    fn webhooks(&self, state: Option<DeliveryState>) -> Reply<'_, Result<Vec<WebhookMessage>, Problem>>;
    /// A message is to be sent again, now.
    fn replay_webhook<'a>(&'a self, id: &'a str) -> Reply<'a, Result<WebhookMessage, Problem>>;
    /// The node.
    fn node(&self) -> Reply<'_, NodeView>;
    /// Memory over time, oldest first, by device: the snapshots kept, as in `memory_snapshot` events.
    fn snapshots(&self) -> Reply<'_, Value>;
    /// The node's metrics, as Prometheus reads them.
    fn metrics(&self) -> Reply<'_, Result<String, Problem>>;
    /// Something that needs the scope `operate`; answers with what came of it, for people and programs.
    fn operate(&self, operation: Operation) -> Reply<'_, Result<Value, Problem>>;
    /// Whether the process is worth keeping.
    fn live(&self) -> Standing;
    /// Whether slots may be sent here.
    fn ready(&self) -> Standing;
    /// Whether all models have been ready once.
    fn started(&self) -> Standing;
}
