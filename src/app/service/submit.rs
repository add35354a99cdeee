//! How a recipe comes in by the API: known ones first, then what is wrong with it, then the node.
//!
//! Owns the order of the questions. A slot that is known is answered whatever the node, the deadline and the clock say, so
//! that a client whose answer was lost can ask again at any time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Service;
use super::journal::HandedIn;
use crate::actors::admission::Refusal;
use crate::api::backend::{Problem, ProblemKind, SlotRequest, Submitted};
use crate::api::views::SlotView;
use crate::clock;
use crate::intake::{Entry, Kind, Origin, Rejection, Submission};
use crate::journal::index::{Found, WebhookTarget};
use crate::models::workspace::SlotSize;
use crate::types::{Sha256, SlotId};

/// So many slots can be handed in side by side; two of the same id one after the other.
const LANES: usize = 1024;
/// When a node that is not ready, or whose queue is full, is asked again at the latest.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// Keeps two requests for the same slot apart.
pub(super) struct Lanes(Vec<Mutex<()>>);

impl Default for Lanes {
    fn default() -> Self {
        Self((0..LANES).map(|_| Mutex::default()).collect())
    }
}

impl Lanes {
    pub(super) fn of(&self, slot: SlotId) -> &Mutex<()> {
        // Ids are random; their last bits are as good as a hash.
        &self.0[(slot.uuid().as_u128() % LANES as u128) as usize]
    }
}

/// A problem of this kind, with its sentence.
pub(super) fn problem(kind: ProblemKind, detail: impl Into<String>) -> Problem {
    Problem { kind, detail: detail.into(), retry_after: None, extra: serde_json::Map::new() }
}

impl Service {
    pub(super) async fn hand_in(&self, request: SlotRequest) -> Result<Submitted, Problem> {
        let began = clock::unix_time();
        let SlotRequest { id, document, webhook, traceparent, client } = request;
        let submission =
            Submission { document: Arc::from(&*document), origin: Origin::Http(client.clone()), traceparent };
        let door = self.door.read().clone();
        let checked = submission.check(&door.signers).map_err(|rejection| refused(&rejection))?;
        let mut entry = door.door.enter(checked).map_err(|rejection| refused(&rejection))?;
        let slot = entry.recipe.slot();
        entry.traced(|came| self.tracing.trace_of(slot, came));
        if let Some(id) = id.filter(|id| *id != slot) {
            let detail =
                format!("the recipe's recipe_id is {slot}, and it was sent to {id}; both must be the same");
            return Err(problem(ProblemKind::Conflict, detail));
        }
        let _lane = self.lanes.of(slot).lock().await;
        if let Some(known) = self.known(slot, entry.key.recipe).await? {
            return Ok(Submitted::Known(Box::new(known)));
        }
        entry.within(SlotSize::PLANNED.resolution).map_err(|rejection| refused(&rejection))?;
        entry.is_fresh(door.replay_window).map_err(|rejection| refused(&rejection))?;
        entry.in_time().map_err(|rejection| refused(&rejection))?;
        self.takes_in()?;
        let webhook = webhook.as_ref().map(|webhook| self.webhook(webhook)).transpose()?;
        self.tracing.expect(slot, entry.traceparent(), began);
        self.ask(slot, &entry, webhook, client).await
    }

    async fn ask(
        &self,
        slot: SlotId,
        entry: &Entry,
        webhook: Option<WebhookTarget>,
        client: String,
    ) -> Result<Submitted, Problem> {
        self.journal.hand_in(
            slot,
            HandedIn {
                recipe_sha256: entry.key.recipe,
                deadline: entry.recipe.deadline,
                webhook,
                origin: format!("http:{client}"),
                work: None,
                done: Vec::new(),
            },
        );
        match self.node.submit(entry.request()).await {
            Ok(eta) => {
                self.table.expect(slot, eta);
                match self.table.get(slot) {
                    Some(view) => Ok(Submitted::Accepted(Box::new(view))),
                    None => Err(problem(
                        ProblemKind::Internal,
                        format!("slot {slot} was accepted and is not shown"),
                    )),
                }
            }
            Err(refusal) => {
                self.journal.forget(slot);
                self.tracing.forget(slot);
                // An acceptance whose answer was lost stands in the journal.
                match self.known(slot, entry.key.recipe).await? {
                    Some(known) => Ok(Submitted::Known(Box::new(known))),
                    None => Err(refused(&refusal.into())),
                }
            }
        }
    }

    /// The slot, where it came in before with the same recipe; a problem where its id is taken.
    async fn known(&self, slot: SlotId, recipe: Sha256) -> Result<Option<SlotView>, Problem> {
        let conflict = |other: &str| {
            let detail = format!(
                "slot {slot} is another recipe's (SHA-256 {other}, this one's is {recipe}); give this one a recipe_id of its own"
            );
            problem(ProblemKind::Conflict, detail)
        };
        if let Some(view) = self.table.get(slot) {
            return if view.recipe_sha256 == recipe.to_string() {
                Ok(Some(view))
            } else {
                Err(conflict(&view.recipe_sha256))
            };
        }
        match self.found(slot).await? {
            None => Ok(None),
            Some(Found::Slot(row)) if row.recipe_sha256 == recipe => Ok(Some(self.shown(&row))),
            Some(Found::Slot(row)) => Err(conflict(&row.recipe_sha256.to_string())),
            Some(Found::Expired(stone)) if stone.recipe_sha256 == recipe => Err(gone(&stone)),
            Some(Found::Expired(stone)) => Err(conflict(&stone.recipe_sha256.to_string())),
        }
    }

    /// Whether the node was told to take nothing in, or waits for an operator.
    fn takes_in(&self) -> Result<(), Problem> {
        if self.is_draining() {
            let detail =
                "this node takes nothing in any more; ask another, or come again after it was undrained";
            return Err(Problem { retry_after: Some(COME_AGAIN), ..problem(ProblemKind::Draining, detail) });
        }
        if let Some(loss) = self.lost() {
            return Err(Problem { retry_after: Some(COME_AGAIN), ..problem(ProblemKind::NotReady, loss) });
        }
        Ok(())
    }
}

/// The slot was here and has expired.
pub(super) fn gone(stone: &crate::journal::index::Tombstone) -> Problem {
    let detail = format!(
        "slot {} was {} and has expired {} s after the Unix epoch; its files are gone",
        stone.slot,
        stone.state,
        stone.expired_at.as_secs()
    );
    problem(ProblemKind::Gone, detail)
}

/// Why a recipe does not become a slot, as the API says it.
pub(super) fn refused(rejection: &Rejection) -> Problem {
    let detail = rejection.to_string();
    let mut extra = serde_json::Map::new();
    let (kind, retry_after) = match rejection {
        Rejection::Recipe { problems, .. } => {
            let errors: Vec<Value> = problems.list().iter().map(|problem| json!(problem)).collect();
            extra.insert("errors".to_owned(), errors.into());
            (ProblemKind::InvalidRecipe, None)
        }
        Rejection::Refused(refusal) => {
            if let Refusal::TooLate { eta, left } = refusal {
                extra.insert("eta".to_owned(), json!(eta.as_secs_f64()));
                extra.insert("left".to_owned(), json!(left.as_secs_f64()));
            }
            of_refusal(refusal)
        }
        Rejection::Voice { source, .. } => {
            extra.insert("errors".to_owned(), wrong("audio_track.voice_id", source));
            (ProblemKind::InvalidRecipe, None)
        }
        Rejection::Size { source, .. } => {
            extra.insert("errors".to_owned(), wrong("slot_params.resolution", source));
            (ProblemKind::InvalidRecipe, None)
        }
        Rejection::Script { source, .. } => {
            extra.insert("errors".to_owned(), wrong("audio_track.script", source));
            (ProblemKind::InvalidRecipe, None)
        }
        other => match other.kind() {
            Kind::Invalid => (ProblemKind::InvalidRecipe, None),
            Kind::Forbidden => (ProblemKind::Signer, None),
            Kind::Late => (ProblemKind::Late, None),
            Kind::Unavailable => (ProblemKind::NotReady, Some(COME_AGAIN)),
            Kind::Duplicate => (ProblemKind::State, None),
            Kind::Storage => (ProblemKind::Storage, Some(COME_AGAIN)),
        },
    };
    Problem { kind, detail, retry_after, extra }
}

/// One thing that is wrong with a recipe, as the parser's own are listed.
fn wrong(path: &str, found: &dyn std::fmt::Display) -> Value {
    let found = found.to_string();
    let (found, accepted) = found.split_once("; accepted: ").unwrap_or((&found, ""));
    json!([{ "path": path, "found": found, "accepted": accepted }])
}

fn of_refusal(refusal: &Refusal) -> (ProblemKind, Option<Duration>) {
    let after = |retry: &Duration| Some((*retry).clamp(Duration::from_secs(1), COME_AGAIN));
    match refusal {
        Refusal::Pressure { retry_after, .. } => (ProblemKind::Pressure, after(retry_after)),
        Refusal::NotReady { retry_after } => (ProblemKind::NotReady, after(retry_after)),
        Refusal::Draining => (ProblemKind::Draining, Some(COME_AGAIN)),
        Refusal::QueueFull { retry_after, .. } => (ProblemKind::QueueFull, after(retry_after)),
        Refusal::TooLate { .. } => (ProblemKind::Late, None),
        Refusal::Duplicate => (ProblemKind::State, Some(Duration::from_secs(1))),
        Refusal::Recipe(_) => (ProblemKind::InvalidRecipe, None),
        Refusal::Journal(_) => (ProblemKind::Storage, Some(COME_AGAIN)),
    }
}
