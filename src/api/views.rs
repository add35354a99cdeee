//! What the API answers, as JSON: slots, the node, and pages of slots. Servers write it, clients read it.
//!
//! Plain data. Times are seconds since the Unix epoch, durations are seconds, memory is bytes, unless a field says
//! otherwise; names of states, stages, models and causes are those of events and logs.

mod network;

use std::collections::BTreeMap;

pub use network::NetworkView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotState {
    /// Accepted; nothing has begun.
    Queued,
    /// A stage has begun.
    Running,
    /// Handed over.
    Completed,
    /// Not to be had.
    Failed,
    /// Stopped.
    Cancelled,
    /// Another node's result was first.
    Superseded,
}

impl SlotState {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Superseded];

    /// The name in JSON and queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Superseded)
    }
}

/// Where a stage of a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// Not begun.
    Waiting,
    /// Under way.
    Running,
    /// Its output is there.
    Done,
}

/// One stage of a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// `audio`, `image`, `video`, `verify` or `package`.
    pub stage: String,
    /// Where it stands.
    pub state: StageState,
    /// How often it was begun.
    pub attempt: u32,
    /// When it was begun last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<f64>,
    /// When its output was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<f64>,
    /// Steps done, of a stage under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u32>,
    /// Steps there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
}

/// A file that a slot has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    /// Its name, with `/` between folders.
    pub name: String,
    /// Of its bytes, as 64 hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Where it is fetched: a path on this node, or an address of the artifact store.
    pub url: String,
}

/// Where an artifact store or a webhook stands with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Still to be done.
    Pending,
    /// Done.
    Delivered,
    /// Given up.
    Undelivered,
}

impl DeliveryState {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Undelivered];

    /// The name in JSON and queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
        }
    }
}

/// A message to a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookMessage {
    /// Its id, which its receiver sees as `webhook-id`.
    pub id: String,
    /// The slot that it is of.
    pub slot: String,
    /// The event's kind.
    pub event: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Where it goes.
    pub url: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, of one that is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<f64>,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The webhook of a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its address.
    pub url: String,
    /// Which events are sent.
    pub events: Vec<String>,
    /// Where the newest of them stands; none where none has happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DeliveryState>,
    /// How often that was tried.
    pub attempts: u32,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SlotView {
    /// Its id: the recipe's `recipe_id`.
    pub id: String,
    /// Where it stands.
    pub state: SlotState,
    /// SHA-256 of the canonical recipe.
    pub recipe_sha256: String,
    /// When it was accepted.
    pub accepted_at: f64,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<f64>,
    /// How many are before it; none once it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Expected seconds until its end; none once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// By when it has to be handed over, where its recipe says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<f64>,
    /// Seconds between its end, expected or real, and its deadline; below zero it is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_margin: Option<f64>,
    /// Its five stages, in order.
    pub stages: Vec<StageView>,
    /// How often a process has taken it up; 1 for a slot that no restart interrupted.
    pub attempts: u32,
    /// The device that renders it, or did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Why it failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What happened, with the values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its files, once it has ended.
    pub artifacts: Vec<ArtifactView>,
    /// Where the artifact store stands with it; none where there is no store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryState>,
    /// Its webhook, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookView>,
    /// Until when its files are kept at least; none while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<f64>,
    /// The trace that it belongs to, as 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A page of slots, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SlotPage {
    /// The slots.
    pub slots: Vec<SlotView>,
    /// What to ask for next (`after`); none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// An actor of a device's tree, or the node's root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// `node`, `device`, `watchdog`, `models`, `orchestrator`, or a model's name.
    pub name: String,
    /// `up` or `down`; of a model `loading`, `warming`, `ready`, `busy`, `trimming`, `restarting` or `cordoned`.
    pub state: String,
    /// How often it was started again in this process.
    pub restarts: u32,
    /// Why it went down last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What a model holds of a device's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelMemory {
    /// The model.
    pub model: String,
    /// Bytes leased for its weights.
    pub resident: u64,
    /// Bytes leased for its run.
    pub workspace: u64,
}

/// A device's memory at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryView {
    /// When it was looked at.
    pub at: f64,
    /// Bytes in use, by everybody.
    pub used: u64,
    /// Bytes there are.
    pub total: u64,
    /// Bytes in use that no lease stands for.
    pub unaccounted: i64,
    /// Model by model.
    pub models: Vec<ModelMemory>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// `cpu`, `cuda:N` or `scripted:N`.
    pub device: String,
    /// `normal`, `soft`, `hard` or `unknown`.
    pub pressure: String,
    /// Why it takes nothing in: `pressure`, `not_ready`, `draining`; none where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// Above it: backpressure, in bytes.
    pub soft_limit: u64,
    /// Above it: restarts, in bytes.
    pub hard_limit: u64,
    /// The latest look; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryView>,
    /// Its tree, parents before children: `device`, `watchdog`, `models`, the five models, `orchestrator`.
    pub actors: Vec<ActorView>,
}

/// The queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// Slots accepted that have not begun.
    pub waiting: u32,
    /// Slots in work.
    pub running: u32,
    /// How many may wait.
    pub capacity: u32,
}

/// What became of the journal at the last start, where something was lost or repaired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalView {
    /// Changes whenever events could have been lost; the first part of event ids.
    pub generation: String,
    /// The newest event.
    pub sequence: u64,
    /// What was repaired at the start, in words.
    pub repairs: Vec<String>,
    /// Where acceptances may have been lost: since when, until an operator acknowledges it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<f64>,
}

/// The artifact store that files of ended slots are handed over to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreView {
    /// Where it is, without credentials.
    pub url: String,
    /// `unknown` before the first upload, `up` or `down`.
    pub state: String,
    /// Since when it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<f64>,
    /// How many tries in a row failed.
    pub failures: u32,
    /// Why the last of them failed, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Ended slots whose files are still to be handed over; none where the journal cannot say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// The node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its public key.
    pub id: String,
    /// Its version.
    pub version: String,
    /// When the process began.
    pub started_at: f64,
    /// Whether it takes slots in.
    pub ready: bool,
    /// Why not, each in one sentence.
    pub not_ready: Vec<String>,
    /// What an operator has to look at, each in one sentence, though slots are taken in: processes that ended badly, an
    /// artifact store or a network that is down.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// Whether it is on its way out, or was told to take nothing in.
    pub draining: bool,
    /// The settings' profile.
    pub profile: String,
    /// The bundle's name.
    pub bundle: String,
    /// The root of the tree.
    pub root: ActorView,
    /// Its devices.
    pub devices: Vec<DeviceView>,
    /// Its queue.
    pub queue: QueueView,
    /// Expected seconds of each stage of a full slot.
    pub estimates: BTreeMap<String, f64>,
    /// Characters and voices that a recipe may name.
    pub voices: Vec<String>,
    /// Prompts that the bundle is known to paint well.
    pub prompts: Vec<String>,
    /// The journal.
    pub journal: JournalView,
    /// The artifact store, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreView>,
    /// The network that it is in, where it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkView>,
    /// Slots by how they ended, in this process.
    pub ended: BTreeMap<String, u64>,
}
