//! Whether work may come in here: what every submission is checked against, what this node knows of the slot, and whether
//! it has room, memory and time.

use std::sync::Arc;
use std::time::Duration;

use super::Network;
use super::claims::Held;
use crate::actors::admission::{Refusal, Request};
use crate::app::service::Service;
use crate::app::service::journal::HandedIn;
use crate::clock;
use crate::intake::{Entry, Kind, Origin, Rejection, Submission};
use crate::journal::Recorded;
use crate::journal::index::{Found, State};
use crate::models::workspace::SlotSize;
use crate::network::letters::LetterReason;
use crate::network::{Delivery, WorkSubject};
use crate::signing::to_hex;
use crate::types::{Deadline, Stage, WorkId};

/// A node that has no room now is asked again so soon.
const AGAIN: Duration = Duration::from_millis(200);

/// Why work is nobody's to render.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) reason: LetterReason,
    pub(super) detail: String,
}

/// What this node knows of a slot that is delivered.
pub(super) enum Local {
    /// Nothing, or an earlier epoch of it: it begins.
    Begin,
    /// It is at work here.
    Going,
    /// Its end is told to the network now.
    Ended,
    /// The claim was lost meanwhile.
    Lost,
    /// This node has another replica of it.
    Conflict(String),
}

/// What came of asking the node for it.
pub(super) enum Way {
    /// It is at work.
    Going,
    /// It is nobody's to render.
    Refused(Refused),
    /// This node cannot do it, others may.
    LeftToOthers,
}

impl Network {
    /// Checks what came, without asking the node.
    pub(super) fn admit(
        &self,
        service: &Service,
        delivery: &Delivery,
        held: &Held,
    ) -> Result<Entry, Refused> {
        let door = service.door.read().clone();
        let director = delivery.subject.as_ref().and_then(|subject| subject.director.clone());
        let submission = Submission {
            document: Arc::from(&*delivery.recipe),
            origin: Origin::Network,
            traceparent: delivery.traceparent.clone(),
        };
        let checked = submission.check(&door.signers).map_err(|rejection| refused(&rejection))?;
        let mut entry = door.door.enter(checked).map_err(|rejection| refused(&rejection))?;
        let wrong = |reason, detail: String| Err(Refused { reason, detail });
        if entry.recipe.slot() != held.work.slot {
            let detail = format!(
                "its recipe is of slot {}, its subject names {}",
                entry.recipe.slot(),
                held.work.slot
            );
            return wrong(LetterReason::Invalid, detail);
        }
        let signer = entry.recipe.security.as_ref().map(|security| to_hex(&security.director));
        if self.settings.signed_only && signer.is_none() {
            let detail = "its recipe is not signed; accepted: signed ones (network.signed_only)".to_owned();
            return wrong(LetterReason::Unsigned, detail);
        }
        if signer.as_deref().map(WorkSubject::director_name) != director {
            let of = |name: Option<String>| name.unwrap_or_else(|| "nobody".to_owned());
            let detail = format!("its recipe is signed by {}, its subject says {}", of(signer), of(director));
            return wrong(LetterReason::Signature, detail);
        }
        entry.within(SlotSize::PLANNED.resolution).map_err(|rejection| refused(&rejection))?;
        entry.in_time().map_err(|rejection| refused(&rejection))?;
        entry.traced(|came| service.tracing.trace_of(held.work.slot, came));
        Ok(entry)
    }

    /// What this node knows of the slot already. Ends that were not told are told now.
    pub(super) async fn local(&self, service: &Arc<Service>, work: WorkId, entry: &Entry) -> Local {
        let row = match service.found(work.slot).await {
            Ok(Some(Found::Slot(row))) => row,
            // One whose files have gone begins anew: nothing here is known of its end.
            Ok(None | Some(Found::Expired(_))) => return Local::Begin,
            Err(problem) => {
                tracing::warn!(%work, problem = problem.detail, "the journal cannot be read");
                return Local::Lost;
            }
        };
        let known = row.work.unwrap_or_else(|| WorkId::first(work.slot));
        if row.recipe_sha256 != entry.key.recipe {
            return Local::Conflict(format!(
                "this node has another recipe under the slot's id (SHA-256 {}, this one's is {})",
                row.recipe_sha256, entry.key.recipe
            ));
        }
        if known.epoch == work.epoch && known.replica != work.replica {
            return Local::Conflict(format!("this node has {known} of the slot already"));
        }
        if known.epoch < work.epoch {
            if !row.state.is_final() {
                // Nobody waits for the earlier one any more: a later epoch comes after its end.
                service.journal.supersede(known.slot, &format!("epoch {}", work.epoch)).await;
            }
            let (folders, slot) = (Arc::clone(&service.folders), work.slot);
            let renewed = tokio::task::spawn_blocking(move || folders.renew(slot)).await;
            if let Ok(Err(error)) = renewed {
                tracing::warn!(%work, %error, "the folder of an earlier epoch cannot be moved");
            }
            return Local::Begin;
        }
        if known.epoch > work.epoch {
            return Local::Conflict(format!("this node has a later epoch of the slot, {known}"));
        }
        if row.state.is_final() {
            return self.told_late(service, work, &row).await;
        }
        if row.work.is_none() {
            // It came in by this node's own door as well: one slot, one end.
            return Local::Going;
        }
        match service.journal.ended_in_folder(work.slot).await {
            Some(recorded) => match recorded {
                Recorded::Ended | Recorded::Superseded { .. } => Local::Ended,
                Recorded::Left => Local::Lost,
            },
            None => Local::Begin,
        }
    }

    /// A slot that has ended here and whose end the network does not know.
    async fn told_late(
        &self,
        service: &Arc<Service>,
        work: WorkId,
        row: &crate::journal::index::SlotRow,
    ) -> Local {
        if row.state == State::Superseded {
            // It was said that there is a result, and there is none: only the network's operator takes one away.
            return Local::Conflict(format!("this node has {work} as superseded, and its result is gone"));
        }
        match service.journal.tell_again(work.slot).await {
            Some(Recorded::Ended | Recorded::Superseded { .. }) => Local::Ended,
            Some(Recorded::Left) => Local::Lost,
            None => Local::Conflict(format!(
                "this node has ended {work} as {} and nothing is left of it that could be told",
                row.state
            )),
        }
    }

    /// Asks the node. What it does not take in for half of AckWait, as its memory is short for example, is left to others.
    pub(super) async fn begin(
        &self,
        service: &Arc<Service>,
        delivery: &Delivery,
        held: &Arc<Held>,
        entry: Entry,
    ) -> Way {
        let slot = held.work.slot;
        let (outputs, mut lent) = self.finished(service, held, delivery.delivered, &entry).await;
        let (began, asked) = (delivery.submitted.unwrap_or_else(clock::unix_time), clock::since_boot());
        service.tracing.expect(slot, entry.traceparent(), began);
        loop {
            if !held.holds() {
                service.tracing.forget(slot);
                return Way::LeftToOthers;
            }
            let origin = match delivery.subject.as_ref().and_then(|subject| subject.director.as_ref()) {
                Some(director) => format!("nats:{director}"),
                None => "nats".to_owned(),
            };
            let handed_in = HandedIn {
                recipe_sha256: entry.key.recipe,
                deadline: entry.recipe.deadline,
                webhook: None,
                origin,
                work: Some(held.work),
                done: Stage::ALL.into_iter().filter(|stage| outputs.has(*stage)).collect(),
            };
            let lane = service.lanes.of(slot).lock().await;
            service.journal.hand_in(slot, handed_in);
            let request = Request { outputs: outputs.clone(), ..entry.request() };
            lent.asked();
            let refusal = match service.node.submit(request).await {
                Ok(eta) => {
                    service.table.expect(slot, eta);
                    return Way::Going;
                }
                Err(refusal) => refusal,
            };
            service.journal.forget(slot);
            drop(lane);
            tracing::debug!(work = %held.work, %refusal, "not taken in yet");
            if matches!(refusal, Refusal::Duplicate) {
                return Way::Going;
            }
            lent.refused();
            match refusal {
                Refusal::Recipe(detail) => {
                    service.tracing.forget(slot);
                    return Way::Refused(Refused { reason: LetterReason::Invalid, detail });
                }
                Refusal::TooLate { .. } if has_passed(&entry) => {
                    service.tracing.forget(slot);
                    let detail = "its deadline has passed".to_owned();
                    return Way::Refused(Refused { reason: LetterReason::Expired, detail });
                }
                Refusal::TooLate { eta, left } => {
                    service.tracing.forget(slot);
                    tracing::info!(
                        work = %held.work, eta = eta.as_secs_f64(), left = left.as_secs_f64(),
                        "too late for this node; left to others"
                    );
                    return Way::LeftToOthers;
                }
                Refusal::Draining => {
                    service.tracing.forget(slot);
                    return Way::LeftToOthers;
                }
                _ if clock::since_boot().saturating_sub(asked) > self.settings.ack_wait / 2 => {
                    service.tracing.forget(slot);
                    tracing::info!(work = %held.work, %refusal, "not taken in for long; left to others");
                    return Way::LeftToOthers;
                }
                Refusal::Duplicate
                | Refusal::Pressure { .. }
                | Refusal::NotReady { .. }
                | Refusal::QueueFull { .. }
                | Refusal::Journal(_) => {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

fn has_passed(entry: &Entry) -> bool {
    entry.deadline.is_some_and(|deadline: Deadline| deadline.remaining(clock::now()).is_zero())
}

fn refused(rejection: &Rejection) -> Refused {
    let reason = match rejection {
        Rejection::Recipe { problems, .. } => {
            // What is no document at all has no path to what is wrong.
            let is_none = problems.list().iter().any(|problem| problem.path.is_empty());
            if is_none { LetterReason::Unreadable } else { LetterReason::Invalid }
        }
        Rejection::Signature { .. } => LetterReason::Signature,
        other => match other.kind() {
            Kind::Forbidden => LetterReason::Signer,
            Kind::Late => LetterReason::Expired,
            Kind::Invalid | Kind::Unavailable | Kind::Duplicate | Kind::Storage => LetterReason::Invalid,
        },
    };
    Refused { reason, detail: rejection.to_string() }
}
