//! The API's trait on the running node.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Service;
use super::network;
use super::submit::{gone, problem};
use super::uploads::HandOver;
use super::views;
use crate::api::backend::{
    ArtifactFile, Backend, Cursor, Operation, Problem, ProblemKind, Replay, Reply, SlotQuery, SlotRequest,
    Standing, StoredEvent, Submitted,
};
use crate::api::views::{
    DeliveryState, JournalView, NodeView, QueueView, SlotPage, SlotState, SlotView, WebhookMessage,
};
use crate::clock;
use crate::journal::index::{
    Cancellation, DeliveryMark, EventCursor, Found, Index, IndexError, KeptEvent, SlotFilter, SlotRow,
};
use crate::types::SlotId;

/// So many messages of webhooks are listed.
const MESSAGES: usize = 500;

/// An event as listeners get it.
pub(super) fn stored(event: &KeptEvent) -> StoredEvent {
    StoredEvent::new(event.sequence, event.slot, Arc::clone(&event.kind), Arc::clone(&event.json))
}

fn storage(error: &IndexError) -> Problem {
    problem(ProblemKind::Storage, error.to_string())
}

fn unknown(id: SlotId) -> Problem {
    problem(ProblemKind::NotFound, format!("there is no slot {id} here"))
}

impl Service {
    /// The slot as it stands, or why it cannot be shown.
    async fn view(&self, id: SlotId) -> Result<SlotView, Problem> {
        let mut view = match self.table.get(id) {
            Some(view) => view,
            None => match self.found(id).await? {
                Some(Found::Slot(row)) => self.shown(&row),
                Some(Found::Expired(stone)) => return Err(gone(&stone)),
                None => return Err(unknown(id)),
            },
        };
        if let (Some(it), true) = (self.store.get(), view.delivery.is_some())
            && let Some(Found::Slot(row)) = self.found(id).await?
        {
            // What is held in memory does not follow it.
            view.delivery = views::upload(&row);
            super::uploads::addresses(&it.store, &row, &mut view).await;
        }
        if view.webhook.is_some() {
            let newest = self.read(move |index| index.outbox_of(id)).await?;
            views::with_delivery(&mut view, newest.last());
        }
        Ok(view)
    }

    async fn page(&self, query: SlotQuery) -> Result<SlotPage, Problem> {
        let before = match query.after.as_deref().map(str::parse::<u64>) {
            None => None,
            Some(Ok(order)) => Some(order),
            Some(Err(_)) => {
                let detail = format!(
                    "after = {:?} is not what an earlier page gave; accepted: its member \"after\", unchanged",
                    query.after.unwrap_or_default()
                );
                return Err(problem(ProblemKind::BadRequest, detail));
            }
        };
        let states = query.states.iter().map(|state| views::row_state(*state)).collect();
        let limit = query.limit;
        let filter = SlotFilter { states, limit: limit + 1, before };
        let mut rows = self.read(move |index| index.list(&filter)).await?;
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let after = rows.last().filter(|_| !is_last).map(|row| row.order.to_string());
        // What is held in memory is shown as it stands now, but for what only the index follows.
        let shown = |row: &SlotRow| match self.table.get(row.slot) {
            Some(view) => SlotView { delivery: views::upload(row).or(view.delivery), ..view },
            None => self.shown(row),
        };
        Ok(SlotPage { slots: rows.iter().map(shown).collect(), after })
    }

    async fn stop(&self, id: SlotId) -> Result<SlotView, Problem> {
        if !self.table.is_open(id) {
            // One that has ended stays as it is.
            return self.view(id).await;
        }
        let requested = self.index.cancel_requested(id, clock::unix_time(), None).await;
        match requested.map_err(|error| storage(&error))? {
            Cancellation::Ended(_) => {}
            // Where its card is lost right now, it is cancelled when it is taken up.
            Cancellation::Requested | Cancellation::Again => drop(self.node.cancel(id).await),
        }
        self.view(id).await
    }

    async fn file(&self, id: SlotId, name: &str) -> Result<ArtifactFile, Problem> {
        let view = self.view(id).await?;
        let Some(artifact) = view.artifacts.iter().find(|artifact| artifact.name == name) else {
            let names: Vec<&str> = view.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
            let there = if names.is_empty() { "it has none yet".to_owned() } else { names.join(", ") };
            let detail = format!("slot {id} has no artifact {name:?}; there is: {there}");
            return Err(problem(ProblemKind::NotFound, detail));
        };
        let dir = self.folders.dir_of(id).unwrap_or_default();
        Ok(ArtifactFile {
            path: dir.join(Path::new(&artifact.name)),
            sha256: artifact.sha256.clone(),
            bytes: artifact.bytes,
        })
    }

    async fn kept(
        &self,
        cursor: Option<Cursor>,
        slot: Option<SlotId>,
        limit: usize,
    ) -> Result<Replay, Problem> {
        let present = self.index.generation();
        // A generation that is none of ours is another's: there is a gap, whatever it is.
        let (cursor, foreign) = match cursor {
            None => (None, false),
            Some(Cursor { generation, sequence }) => match generation.parse() {
                Ok(generation) => (Some(EventCursor { generation, sequence }), generation != present),
                Err(_) => (None, true),
            },
        };
        let page = self.read(move |index| index.events_after(cursor, slot, limit)).await?;
        let events = page.events.iter().map(|event| Arc::new(stored(event))).collect();
        Ok(Replay { events, gap: page.gap || foreign, more: page.more })
    }

    async fn messages(&self, state: Option<DeliveryState>) -> Result<Vec<WebhookMessage>, Problem> {
        let state = state.map(views::progress);
        let all = self.read(move |index| index.outbox_newest(state, MESSAGES)).await?;
        let generation = self.index.generation();
        Ok(all.iter().map(|delivery| views::message(delivery, generation)).collect())
    }

    async fn send_again(&self, id: &str) -> Result<WebhookMessage, Problem> {
        let generation = self.index.generation();
        let nothing = || {
            problem(
                ProblemKind::NotFound,
                format!("there is no message {id:?} here; its slot may have expired"),
            )
        };
        let number = id.strip_prefix(&format!("{generation}-")).and_then(|number| number.parse::<u64>().ok());
        let number = number.ok_or_else(nothing)?;
        match self.index.outbox_mark(number, DeliveryMark::Again { at: clock::unix_time() }).await {
            Ok(()) => {}
            Err(IndexError::NoDelivery { .. }) => return Err(nothing()),
            Err(error) => return Err(storage(&error)),
        }
        self.outbox.notify_one();
        let after = number.checked_sub(1);
        let found = self.read(move |index| index.outbox(None, after, 1)).await?;
        let found = found.first().filter(|delivery| delivery.id == number).ok_or_else(nothing)?;
        Ok(views::message(found, generation))
    }

    /// Shows the end of a slot that is durable, before anybody is told of it.
    pub(super) async fn settle(&self, slot: SlotId) {
        let Some(shown) = self.table.get(slot).filter(|_| self.table.is_open(slot)) else { return };
        // What cannot be read now is shown when the journal has told of the end itself.
        if let Ok(Some(Found::Slot(row))) = self.found(slot).await
            && row.end.is_some()
        {
            self.table.ended(slot, SlotView { stages: shown.stages, ..self.shown(&row) });
        }
    }

    async fn shown_node(&self) -> NodeView {
        let store = match self.store.get() {
            Some(it) => {
                let waiting = self.read(Index::uploads_waiting).await;
                Some(it.view(waiting.ok()))
            }
            None => None,
        };
        let (counts, facts) = (self.table.counts(), &self.facts);
        let (not_ready, ended) = (self.why_not_ready(), self.tree.ended());
        let superseded = ended.get(SlotState::Superseded.name()).copied().unwrap_or_default();
        let network = self.network.get().map(|network| network.view(not_ready.is_empty(), superseded));
        NodeView {
            id: facts.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: facts.started_at.as_secs_f64(),
            ready: not_ready.is_empty(),
            not_ready,
            alerts: facts
                .alerts
                .iter()
                .cloned()
                .chain(self.store.get().and_then(HandOver::alert))
                .chain(self.network.get().and_then(network::Network::alert))
                .collect(),
            draining: self.is_draining(),
            profile: facts.profile.clone(),
            bundle: facts.bundle.clone(),
            root: self.tree.root(),
            devices: self.tree.devices(&self.node),
            queue: QueueView {
                waiting: u32::try_from(counts.waiting).unwrap_or(u32::MAX),
                running: u32::try_from(counts.running).unwrap_or(u32::MAX),
                capacity: u32::try_from(self.capacity()).unwrap_or(u32::MAX),
            },
            estimates: self
                .expected()
                .iter()
                .map(|(stage, time)| (stage.name().to_owned(), time.as_secs_f64()))
                .collect(),
            voices: facts.voices.clone(),
            prompts: facts.prompts.clone(),
            journal: JournalView {
                generation: self.index.generation().to_string(),
                sequence: self.index.sequence(),
                repairs: facts.repairs.clone(),
                lost_since: self.index.loss().map(|loss| loss.since.unwrap_or_default().as_secs_f64()),
            },
            store,
            network,
            ended,
        }
    }

    /// Why slots should not be sent here; empty where they may.
    pub(super) fn why_not_ready(&self) -> Standing {
        let mut reasons = Vec::new();
        if self.is_draining() {
            let ending = self.ending.load(Ordering::Acquire);
            let why = if ending { "the process ends" } else { "an operator drains the node" };
            reasons.push(format!("nothing is taken in: {why}"));
        }
        reasons.extend(self.lost());
        reasons.extend(self.tree.not_ready(&self.node));
        if let Some(error) = self.index.health().error {
            reasons.push(format!("the journal cannot be written: {error}"));
        }
        reasons
    }

    async fn do_operation(&self, operation: Operation) -> Result<Value, Problem> {
        match operation {
            Operation::Drain => {
                self.draining.store(true, Ordering::Release);
                let counts = self.table.counts();
                tracing::info!(waiting = counts.waiting, running = counts.running, "drained by an operator");
                Ok(json!({ "draining": true, "waiting": counts.waiting, "running": counts.running }))
            }
            Operation::Undrain if self.ending.load(Ordering::Acquire) => {
                Err(problem(ProblemKind::State, "the process ends; it cannot take slots in again"))
            }
            Operation::Undrain => {
                self.draining.store(false, Ordering::Release);
                tracing::info!("undrained by an operator");
                Ok(json!({ "draining": false }))
            }
            Operation::Reload => match self.reload_settings().await {
                Ok(done) => Ok(done),
                Err(problems) => Err(problem(ProblemKind::State, problems)),
            },
            Operation::Acknowledge => match self.index.loss() {
                None => {
                    Err(problem(ProblemKind::State, "nothing was lost that would have to be acknowledged"))
                }
                Some(loss) => {
                    self.index.acknowledge_loss().await.map_err(|error| storage(&error))?;
                    tracing::warn!(since = ?loss.since, "loss of slots acknowledged by an operator");
                    Ok(json!({ "acknowledged": true, "since": loss.since.map(|since| since.as_secs_f64()) }))
                }
            },
        }
    }
}

impl Backend for Service {
    fn submit(&self, request: SlotRequest) -> Reply<'_, Result<Submitted, Problem>> {
        Box::pin(async move {
            let answer = self.hand_in(request).await;
            if let Err(problem) = &answer {
                self.refusals.count(problem.kind);
            }
            answer
        })
    }

    fn slot(&self, id: SlotId) -> Reply<'_, Result<SlotView, Problem>> {
        Box::pin(self.view(id))
    }

    fn slots(&self, query: SlotQuery) -> Reply<'_, Result<SlotPage, Problem>> {
        Box::pin(self.page(query))
    }

    fn cancel(&self, id: SlotId) -> Reply<'_, Result<SlotView, Problem>> {
        Box::pin(self.stop(id))
    }

    fn artifact<'a>(&'a self, id: SlotId, name: &'a str) -> Reply<'a, Result<ArtifactFile, Problem>> {
        Box::pin(self.file(id, name))
    }

    fn replay(
        &self,
        cursor: Option<Cursor>,
        slot: Option<SlotId>,
        limit: usize,
    ) -> Reply<'_, Result<Replay, Problem>> {
        Box::pin(self.kept(cursor, slot, limit))
    }

    fn listen(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.told.subscribe()
    }

    fn generation(&self) -> String {
        self.index.generation().to_string()
    }

    fn newest(&self) -> Reply<'_, u64> {
        Box::pin(async { self.index.sequence() })
    }

    fn webhooks(&self, state: Option<DeliveryState>) -> Reply<'_, Result<Vec<WebhookMessage>, Problem>> {
        Box::pin(self.messages(state))
    }

    fn replay_webhook<'a>(&'a self, id: &'a str) -> Reply<'a, Result<WebhookMessage, Problem>> {
        Box::pin(self.send_again(id))
    }

    fn node(&self) -> Reply<'_, NodeView> {
        Box::pin(self.shown_node())
    }

    fn snapshots(&self) -> Reply<'_, Value> {
        Box::pin(async {
            let mut devices = serde_json::Map::new();
            for tree in self.node.cards() {
                let snapshots = tree.snapshots().await;
                devices.insert(tree.device().to_string(), json!(snapshots));
            }
            Value::Object(devices)
        })
    }

    fn metrics(&self) -> Reply<'_, Result<String, Problem>> {
        Box::pin(self.metrics_text())
    }

    fn operate(&self, operation: Operation) -> Reply<'_, Result<Value, Problem>> {
        Box::pin(self.do_operation(operation))
    }

    fn live(&self) -> Standing {
        // Whoever is answered has a runtime that turns over; what is beyond repair ends the process by itself.
        Vec::new()
    }

    fn ready(&self) -> Standing {
        self.why_not_ready()
    }

    fn started(&self) -> Standing {
        if self.started.load(Ordering::Acquire) {
            return Vec::new();
        }
        let reasons = self.tree.not_ready(&self.node);
        if reasons.is_empty() {
            self.started.store(true, Ordering::Release);
        }
        reasons
    }
}
