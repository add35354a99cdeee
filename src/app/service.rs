//! The service: the running node behind the API, with its journal, its events and its end.
//!
//! `serve` puts it together and runs it; this is what the API sees of it. Owns what is neither an actor's nor the journal's:
//! whether the node takes slots in, and the views of slots. Reads of the index and of folders wait on threads of their own.
//!
#![doc = include_str!("service/README.md")]

mod backend;
mod events;
mod journal;
mod lifecycle;
mod listen;
mod metrics;
mod network;
mod open;
pub(crate) mod outbox;
mod reload;
mod retention;
mod signals;
mod start;
mod submit;
mod systemd;
mod table;
mod traces;
mod tree;
pub(crate) mod uploads;
mod views;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, broadcast, watch};

pub(crate) use open::{JOURNAL, SLOTS};
pub use start::{Announced, ServeError, ServeParts, serve};

use self::journal::ServiceJournal;
use self::metrics::Refusals;
use self::submit::{Lanes, problem};
use self::table::SlotTable;
use self::tree::TreeLog;
use self::uploads::HandOver;
use crate::actors::handle::NodeHandle;
use crate::actors::tree::DeviceTree;
use crate::api::backend::{Problem, ProblemKind, StoredEvent, Webhook};
use crate::api::views::SlotView;
use crate::clock;
use crate::config::Signers;
use crate::intake::Door;
use crate::journal::SlotFolders;
use crate::journal::index::{Found, Index, IndexError, SlotRow, WebhookTarget};
use crate::telemetry::metrics::Metrics;
use crate::types::{DeviceId, PerStage, SlotId, Stage};
use crate::webhooks;

/// What recipes are checked against; replaced whole when the settings are read again.
#[derive(Clone, Debug)]
struct DoorSettings {
    door: Door,
    signers: Signers,
    /// How old a signature may be.
    replay_window: Duration,
}

/// What never changes of a running node.
#[derive(Debug)]
struct Facts {
    id: String,
    /// This start of the node, different from every other.
    process: uuid::Uuid,
    /// The machine's start and the data folder, which one process has at a time.
    place: String,
    /// Where the API listens.
    address: OnceLock<String>,
    started_at: Duration,
    profile: String,
    bundle: String,
    voices: Vec<String>,
    prompts: Vec<String>,
    repairs: Vec<String>,
    alerts: Vec<String>,
    /// How long an ended slot's files are kept at least.
    keep: Duration,
}

/// The running node, as the API sees it.
pub(crate) struct Service {
    facts: Facts,
    node: NodeHandle,
    index: Index,
    folders: Arc<SlotFolders>,
    journal: Arc<ServiceJournal>,
    table: Arc<SlotTable>,
    tree: Arc<TreeLog>,
    door: RwLock<Arc<DoorSettings>>,
    lanes: Lanes,
    told: broadcast::Sender<Arc<StoredEvent>>,
    /// Told to take nothing in, by an operator or because the process ends.
    draining: AtomicBool,
    /// The process ends.
    ending: AtomicBool,
    /// All models have been ready once.
    started: AtomicBool,
    /// Has the settings read again.
    reload: lifecycle::Reload,
    /// Traces of slots.
    /// Identifiers of the devices that are GPUs.
    boards: BTreeMap<DeviceId, String>,
    tracing: traces::Tracing,
    /// Whether webhooks may go to an address.
    targets: watch::Sender<Arc<webhooks::Rules>>,
    /// What webhooks are signed with, once the sender runs.
    secrets: OnceLock<watch::Sender<Arc<webhooks::Secrets>>>,
    /// Wakes the sender of webhooks.
    outbox: Arc<Notify>,
    /// Wakes the uploader.
    uploads: Arc<Notify>,
    /// What is claimed of the network.
    claims: Arc<network::Claims>,
    /// The network, where the node is in one.
    network: OnceLock<network::Network>,
    /// Where artifacts are handed over, where anywhere.
    store: OnceLock<HandOver>,
    metrics: Arc<Metrics>,
    /// Slots that were handed in and not taken.
    refusals: Refusals,
    /// Messages of webhooks that were given up.
    given_up: AtomicU64,
    /// From the start until slots could be sent.
    ready_after: OnceLock<Duration>,
    data_dir: PathBuf,
}

impl Service {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// What each stage of the largest slot is expected to take, on the card that takes longest: as measured, else as the
    /// profile has it.
    fn expected(&self) -> PerStage<Duration> {
        let cards: Vec<PerStage<Duration>> = self.node.cards().iter().map(DeviceTree::expected).collect();
        PerStage::from_fn(|stage: Stage| cards.iter().map(|card| card[stage]).max().unwrap_or_default())
    }

    /// What an operator has to acknowledge, in words.
    fn lost(&self) -> Option<String> {
        let loss = self.index.loss()?;
        let since = match loss.since {
            Some(since) => format!("since {} s after the Unix epoch", since.as_secs()),
            None => "at any time before this start".to_owned(),
        };
        Some(format!(
            "slots that were accepted {since} may be lost: index and log of the journal were both damaged; \
             acknowledge it with POST /v1/node/acknowledge"
        ))
    }

    /// Has `read` done where it may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, Problem> {
        let index = self.index.clone();
        match tokio::task::spawn_blocking(move || read(&index)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(problem(ProblemKind::Storage, error.to_string())),
            Err(error) => Err(problem(ProblemKind::Internal, format!("reading the index: {error}"))),
        }
    }

    /// A slot in the index, or what is left of it.
    async fn found(&self, slot: SlotId) -> Result<Option<Found>, Problem> {
        self.read(move |index| index.slot(slot)).await
    }

    fn shown(&self, row: &SlotRow) -> SlotView {
        views::of_row(row, self.facts.keep)
    }

    /// The webhook of a slot, where it may be told.
    fn webhook(&self, webhook: &Webhook) -> Result<WebhookTarget, Problem> {
        let rules = Arc::clone(&self.targets.borrow());
        let refused = |error: &dyn std::fmt::Display| problem(ProblemKind::Webhook, error.to_string());
        let target = rules.check(&webhook.url).map_err(|error| refused(&error))?;
        let filter = webhooks::Filter::parse(&webhook.events).map_err(|error| refused(&error))?;
        let events = filter.names().iter().map(|name| (*name).to_owned()).collect();
        Ok(WebhookTarget { url: target.address().to_owned(), events })
    }

    /// Accepted slots that may wait, on all cards.
    fn capacity(&self) -> usize {
        self.node.cards().iter().map(|tree| tree.limits().slots.queue.get()).sum()
    }

    /// Seconds since the process began to serve.
    fn uptime(&self) -> Duration {
        clock::unix_time().saturating_sub(self.facts.started_at)
    }
}
