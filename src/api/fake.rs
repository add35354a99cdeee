//! A node that is a table: slots, kept events, and whatever a test wants it to refuse.
// For tests and fuzz targets, where a mistake is to be loud.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::api::backend::*;
use crate::api::views::*;
use crate::types::{Sha256, SlotId};

pub(super) const GENERATION: &str = "a1b2";

#[derive(Default)]
pub(super) struct Table {
    /// In the order in which they came.
    pub(super) slots: Vec<(SlotView, SlotRequest)>,
    /// Kept, in order; the first may be gone.
    pub(super) events: Vec<Arc<StoredEvent>>,
    pub(super) newest: u64,
    /// What every call answers.
    pub(super) refusal: Option<Problem>,
    pub(super) not_ready: Vec<String>,
    pub(super) operations: Vec<Operation>,
    pub(super) asked: Vec<String>,
    /// Calls for slots never come back, or panic.
    pub(super) hangs: bool,
    pub(super) panics: bool,
}

pub(super) struct Fake {
    table: Mutex<Table>,
    tell: broadcast::Sender<Arc<StoredEvent>>,
    folder: tempfile::TempDir,
    pub(super) replays: AtomicUsize,
    pub(super) reads: AtomicUsize,
}

pub(super) fn id(number: u128) -> SlotId {
    SlotId::new(Uuid::from_u128(number))
}

/// A recipe, as far as this node looks at it.
pub(super) fn recipe(id: SlotId) -> String {
    json!({ "recipe_id": id.to_string(), "version": "2.0.0" }).to_string()
}

pub(super) fn problem(kind: ProblemKind, detail: &str) -> Problem {
    Problem { kind, detail: detail.to_owned(), retry_after: None, extra: serde_json::Map::new() }
}

/// The one message to a webhook.
pub(super) const MESSAGE: &str = "a1b2-7";

fn message(state: DeliveryState) -> WebhookMessage {
    WebhookMessage {
        id: MESSAGE.to_owned(),
        slot: id(1).to_string(),
        event: "slot_failed".to_owned(),
        state,
        url: "https://example.org/hook".to_owned(),
        attempts: 9,
        next_at: None,
        error: Some("503".to_owned()),
    }
}

impl Fake {
    /// `capacity` is how many events a listener may be behind.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: Mutex::default(),
            tell: broadcast::channel(capacity).0,
            folder: tempfile::tempdir().unwrap(),
            replays: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    pub(super) fn listeners(&self) -> usize {
        self.tell.receiver_count()
    }

    /// An event that is kept, and told.
    pub(super) fn happen(&self, slot: Option<SlotId>, kind: &str) -> u64 {
        let mut table = self.table();
        self.keep(&mut table, slot, kind)
    }

    /// The same many times, of no slot, in one go: nobody who listens is given a turn.
    pub(super) fn happen_often(&self, times: usize) {
        for _ in 0..times {
            self.happen(None, "kept");
        }
    }

    fn keep(&self, table: &mut Table, slot: Option<SlotId>, kind: &str) -> u64 {
        table.newest += 1;
        let json = json!({ "event": kind, "number": table.newest, "slot": slot }).to_string();
        let event = Arc::new(StoredEvent::new(Some(table.newest), slot, kind.into(), json.into()));
        table.events.push(event.clone());
        // Nobody may listen.
        let _ = self.tell.send(event);
        table.newest
    }

    /// An event that is only told.
    pub(super) fn step(&self, slot: Option<SlotId>, kind: &str) {
        let json = json!({ "event": kind, "slot": slot }).to_string();
        let _ = self.tell.send(Arc::new(StoredEvent::new(None, slot, kind.into(), json.into())));
    }

    /// A slot that is just there.
    pub(super) fn add(&self, id: SlotId) {
        let request = SlotRequest {
            id: Some(id),
            document: recipe(id).into(),
            webhook: None,
            traceparent: None,
            client: String::new(),
        };
        let mut table = self.table();
        table.slots.push((view(id, &request), request));
        self.keep(&mut table, Some(id), "accepted");
    }

    /// Ends a slot: it shows first, then it is told.
    pub(super) fn end(&self, id: SlotId, state: SlotState) {
        let mut table = self.table();
        let (slot, _) = table.slots.iter_mut().find(|(slot, _)| slot.id == id.to_string()).unwrap();
        slot.state = state;
        slot.ended_at = Some(1_700_000_100.0);
        slot.position = None;
        slot.eta = None;
        let kind = match state {
            SlotState::Completed => "generation_complete",
            SlotState::Failed => "slot_failed",
            SlotState::Superseded => "slot_superseded",
            _ => "slot_cancelled",
        };
        self.keep(&mut table, Some(id), kind);
    }

    /// Leaves a file with a slot.
    pub(super) fn leave(&self, id: SlotId, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(id.to_string()).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        let mut table = self.table();
        let (slot, _) = table.slots.iter_mut().find(|(slot, _)| slot.id == id.to_string()).unwrap();
        slot.artifacts.push(ArtifactView {
            name: name.to_owned(),
            sha256: Sha256::of(bytes).to_string(),
            bytes: bytes.len() as u64,
            url: format!("/v1/slots/{id}/artifacts/{name}"),
        });
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn refused(&self) -> Result<(), Problem> {
        let (panics, refusal) = {
            let table = self.table();
            (table.panics, table.refusal.clone())
        };
        assert!(!panics, "the secret of this panic");
        refusal.map_or(Ok(()), Err)
    }

    fn find(&self, id: SlotId) -> Result<SlotView, Problem> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.refused()?;
        let table = self.table();
        let found = table.slots.iter().find(|(slot, _)| slot.id == id.to_string());
        found
            .map(|(slot, _)| slot.clone())
            .ok_or_else(|| problem(ProblemKind::NotFound, &format!("no slot {id}")))
    }

    fn take_in(&self, mut request: SlotRequest) -> Result<Submitted, Problem> {
        self.refused()?;
        let wrong = |what: String| {
            let mut problem = problem(ProblemKind::InvalidRecipe, "the recipe is wrong");
            problem.extra.insert("errors".into(), json!([what]));
            problem
        };
        let document: Value = serde_json::from_slice(&request.document).map_err(|e| wrong(e.to_string()))?;
        let id: SlotId = document["recipe_id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| wrong("recipe_id: accepted: a UUID".to_owned()))?;
        if request.id.is_some_and(|address| address != id) {
            return Err(problem(ProblemKind::Conflict, "the address has another id than the recipe"));
        }
        let mut table = self.table();
        if let Some((slot, before)) = table.slots.iter().find(|(slot, _)| slot.id == id.to_string()) {
            let same = before.document == request.document;
            let known = Submitted::Known(Box::new(slot.clone()));
            return if same {
                Ok(known)
            } else {
                Err(problem(ProblemKind::Conflict, "another recipe stands there"))
            };
        }
        request.id = Some(id);
        let slot = view(id, &request);
        table.slots.push((slot.clone(), request));
        self.keep(&mut table, Some(id), "accepted");
        Ok(Submitted::Accepted(Box::new(slot)))
    }

    fn page(&self, query: &SlotQuery) -> Result<SlotPage, Problem> {
        self.refused()?;
        let table = self.table();
        let newest_first = table.slots.iter().rev().map(|(slot, _)| slot);
        let wanted =
            newest_first.filter(|slot| query.states.is_empty() || query.states.contains(&slot.state));
        let mut slots: Vec<SlotView> = match &query.after {
            None => wanted.cloned().collect(),
            Some(after) => wanted.skip_while(|slot| slot.id != *after).skip(1).cloned().collect(),
        };
        let more = slots.len() > query.limit;
        slots.truncate(query.limit);
        let after = slots.last().filter(|_| more).map(|slot| slot.id.clone());
        Ok(SlotPage { slots, after })
    }

    fn kept(&self, cursor: Option<&Cursor>, slot: Option<SlotId>, limit: usize) -> Result<Replay, Problem> {
        self.replays.fetch_add(1, Ordering::Relaxed);
        self.refused()?;
        let table = self.table();
        let oldest = table.events.first().and_then(|event| event.sequence).unwrap_or(1);
        let (after, gap) = match cursor {
            None => (0, false),
            Some(cursor) if cursor.generation != GENERATION => (0, true),
            Some(cursor) => (cursor.sequence, cursor.sequence + 1 < oldest),
        };
        let later = table.events.iter().filter(|event| event.sequence > Some(after));
        let mut events: Vec<_> =
            later.filter(|event| slot.is_none() || event.slot == slot).take(limit + 1).cloned().collect();
        let more = events.len() > limit;
        events.truncate(limit);
        Ok(Replay { events, gap, more })
    }
}

fn view(id: SlotId, request: &SlotRequest) -> SlotView {
    let trace_id = request.traceparent.as_ref().and_then(|it| it.as_str().split('-').nth(1));
    let webhook = request.webhook.clone();
    SlotView {
        id: id.to_string(),
        state: SlotState::Queued,
        recipe_sha256: Sha256::of(&request.document).to_string(),
        accepted_at: 1_700_000_000.0,
        ended_at: None,
        position: Some(0),
        eta: Some(20.0),
        deadline: None,
        deadline_margin: None,
        stages: Vec::new(),
        attempts: 1,
        device: None,
        cause: None,
        message: None,
        artifacts: Vec::new(),
        delivery: None,
        webhook: webhook.map(|Webhook { url, events }| WebhookView {
            url,
            events,
            state: None,
            attempts: 0,
            error: None,
        }),
        expires_at: None,
        trace_id: trace_id.map(str::to_owned),
    }
}

fn node(not_ready: Vec<String>, sequence: u64) -> NodeView {
    NodeView {
        alerts: Vec::new(),
        id: "00".repeat(32),
        version: "0.1.0".to_owned(),
        started_at: 1_700_000_000.0,
        ready: not_ready.is_empty(),
        not_ready,
        draining: false,
        profile: "cpu".to_owned(),
        bundle: "demo".to_owned(),
        root: ActorView { name: "node".to_owned(), state: "up".to_owned(), restarts: 0, fault: None },
        devices: Vec::new(),
        queue: QueueView { waiting: 0, running: 0, capacity: 16 },
        estimates: BTreeMap::new(),
        voices: vec!["af_sarah".to_owned()],
        prompts: Vec::new(),
        journal: JournalView {
            generation: GENERATION.to_owned(),
            sequence,
            repairs: Vec::new(),
            lost_since: None,
        },
        store: None,
        network: None,
        ended: BTreeMap::new(),
    }
}

impl Backend for Fake {
    fn submit(&self, request: SlotRequest) -> Reply<'_, Result<Submitted, Problem>> {
        Box::pin(async move { self.take_in(request) })
    }

    fn webhooks(&self, state: Option<DeliveryState>) -> Reply<'_, Result<Vec<WebhookMessage>, Problem>> {
        let wanted = state.is_none_or(|state| state == DeliveryState::Undelivered);
        Box::pin(
            async move { Ok(if wanted { vec![message(DeliveryState::Undelivered)] } else { Vec::new() }) },
        )
    }

    fn replay_webhook<'a>(&'a self, id: &'a str) -> Reply<'a, Result<WebhookMessage, Problem>> {
        Box::pin(async move {
            match id {
                MESSAGE => Ok(message(DeliveryState::Pending)),
                _ => Err(problem(ProblemKind::NotFound, "there is no such message")),
            }
        })
    }

    fn slot(&self, id: SlotId) -> Reply<'_, Result<SlotView, Problem>> {
        Box::pin(async move {
            if self.table().hangs {
                std::future::pending::<()>().await;
            }
            self.find(id)
        })
    }

    fn slots(&self, query: SlotQuery) -> Reply<'_, Result<SlotPage, Problem>> {
        Box::pin(async move { self.page(&query) })
    }

    fn cancel(&self, id: SlotId) -> Reply<'_, Result<SlotView, Problem>> {
        Box::pin(async move {
            if !self.find(id)?.state.is_final() {
                self.end(id, SlotState::Cancelled);
            }
            self.find(id)
        })
    }

    fn artifact<'a>(&'a self, id: SlotId, name: &'a str) -> Reply<'a, Result<ArtifactFile, Problem>> {
        Box::pin(async move {
            self.table().asked.push(name.to_owned());
            let found = self.find(id)?.artifacts.into_iter().find(|artifact| artifact.name == name);
            let missing = || problem(ProblemKind::NotFound, &format!("slot {id} has no file {name:?}"));
            let ArtifactView { name, sha256, bytes, .. } = found.ok_or_else(missing)?;
            Ok(ArtifactFile { path: self.folder.path().join(id.to_string()).join(name), sha256, bytes })
        })
    }

    fn replay(
        &self,
        cursor: Option<Cursor>,
        slot: Option<SlotId>,
        limit: usize,
    ) -> Reply<'_, Result<Replay, Problem>> {
        Box::pin(async move {
            // Events happen while it is read.
            tokio::task::yield_now().await;
            self.kept(cursor.as_ref(), slot, limit)
        })
    }

    fn listen(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.tell.subscribe()
    }

    fn generation(&self) -> String {
        GENERATION.to_owned()
    }

    fn node(&self) -> Reply<'_, NodeView> {
        Box::pin(async {
            let table = self.table();
            node(table.not_ready.clone(), table.newest)
        })
    }

    fn snapshots(&self) -> Reply<'_, Value> {
        Box::pin(async { json!({ "cpu": [] }) })
    }

    fn metrics(&self) -> Reply<'_, Result<String, Problem>> {
        Box::pin(async { self.refused().map(|()| "# TYPE up gauge\nup 1\n".to_owned()) })
    }

    fn operate(&self, operation: Operation) -> Reply<'_, Result<Value, Problem>> {
        Box::pin(async move {
            self.refused()?;
            self.table().operations.push(operation);
            Ok(json!({ "done": format!("{operation:?}") }))
        })
    }

    fn live(&self) -> Standing {
        Standing::new()
    }

    fn ready(&self) -> Standing {
        self.table().not_ready.clone()
    }

    fn started(&self) -> Standing {
        Standing::new()
    }
}
