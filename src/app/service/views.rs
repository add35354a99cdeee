//! From rows of the index to what the API shows.

use std::time::Duration;

use crate::api::views::{
    ArtifactView, DeliveryState, SlotState, SlotView, StageState, StageView, WebhookMessage, WebhookView,
};
use crate::journal::index::{Delivery, EndRow, Generation, Progress, SlotRow, State, WebhookTarget};
use crate::types::{SlotId, Stage, TraceParent};

/// Whether `webhook` is to be told of events of `kind`; with no names, of the ends only.
pub(super) fn wants(webhook: &WebhookTarget, kind: &str, is_end: bool) -> bool {
    if webhook.events.is_empty() { is_end } else { webhook.events.iter().any(|name| name == kind) }
}

/// The trace's id, the second part of a `traceparent`.
pub(super) fn trace_id(traceparent: &TraceParent) -> String {
    traceparent.trace_id().to_owned()
}

pub(super) const fn state(state: State) -> SlotState {
    match state {
        State::Queued => SlotState::Queued,
        State::Running => SlotState::Running,
        State::Completed => SlotState::Completed,
        State::Failed => SlotState::Failed,
        State::Cancelled => SlotState::Cancelled,
        State::Superseded => SlotState::Superseded,
    }
}

pub(super) const fn row_state(state: SlotState) -> State {
    match state {
        SlotState::Queued => State::Queued,
        SlotState::Running => State::Running,
        SlotState::Completed => State::Completed,
        SlotState::Failed => State::Failed,
        SlotState::Cancelled => State::Cancelled,
        SlotState::Superseded => State::Superseded,
    }
}

const fn delivery(progress: Progress) -> DeliveryState {
    match progress {
        Progress::Pending => DeliveryState::Pending,
        Progress::Delivered => DeliveryState::Delivered,
        Progress::Undelivered => DeliveryState::Undelivered,
    }
}

/// The index's name of `state`.
pub(super) const fn progress(state: DeliveryState) -> Progress {
    match state {
        DeliveryState::Pending => Progress::Pending,
        DeliveryState::Delivered => Progress::Delivered,
        DeliveryState::Undelivered => Progress::Undelivered,
    }
}

/// A message to a webhook; `generation` is the journal's.
pub(super) fn message(found: &Delivery, generation: Generation) -> WebhookMessage {
    WebhookMessage {
        id: format!("{generation}-{}", found.id),
        slot: found.slot.to_string(),
        event: found.kind.to_string(),
        state: delivery(found.state),
        url: found.url.clone(),
        attempts: found.attempts,
        next_at: (found.state == Progress::Pending).then_some(found.next_at.as_secs_f64()),
        error: found.error.clone(),
    }
}

/// How far a slot's files are on their way to the store; none where they are not to go there.
pub(super) fn upload(row: &SlotRow) -> Option<DeliveryState> {
    row.upload.as_ref().map(|upload| delivery(upload.state))
}

/// Where this node serves an artifact.
pub(super) fn artifact_url(slot: SlotId, name: &str) -> String {
    format!("/v1/slots/{slot}/artifacts/{name}")
}

/// A slot as its row says, kept for `keep` after its end.
pub(super) fn of_row(row: &SlotRow, keep: Duration) -> SlotView {
    let end = row.end.as_ref();
    let ended_at = end.map(|end| end.at);
    let artifact = |artifact: &crate::journal::index::ArtifactRow| ArtifactView {
        name: artifact.name.clone(),
        sha256: artifact.sha256.to_string(),
        bytes: artifact.bytes,
        url: artifact_url(row.slot, &artifact.name),
    };
    let webhook = row.webhook.as_ref().map(|webhook| WebhookView {
        url: webhook.url.clone(),
        events: webhook.events.clone(),
        state: None,
        attempts: 0,
        error: None,
    });
    SlotView {
        id: row.slot.to_string(),
        state: state(row.state),
        recipe_sha256: row.recipe_sha256.to_string(),
        accepted_at: row.accepted_at.as_secs_f64(),
        ended_at: ended_at.map(|at| at.as_secs_f64()),
        position: None,
        eta: None,
        deadline: row.deadline.map(|deadline| deadline.as_secs_f64()),
        deadline_margin: row.deadline.zip(ended_at).map(|(due, at)| due.as_secs_f64() - at.as_secs_f64()),
        stages: stages(end),
        attempts: row.attempts,
        device: row.device.clone(),
        cause: end.and_then(|end| end.cause.clone()),
        message: end.and_then(|end| end.message.clone()),
        artifacts: end.map(|end| end.artifacts.iter().map(artifact).collect()).unwrap_or_default(),
        delivery: upload(row),
        webhook,
        expires_at: ended_at.map(|at| at.saturating_add(keep).as_secs_f64()),
        trace_id: row.traceparent.as_ref().map(trace_id),
    }
}

/// The stages as the index has them: which took time, and not when.
fn stages(end: Option<&EndRow>) -> Vec<StageView> {
    let took =
        |stage: Stage| end.and_then(|end| end.stage_seconds.get(&stage)).is_some_and(|took| *took > 0.0);
    let view = |stage: Stage| StageView {
        stage: stage.name().to_owned(),
        state: if took(stage) { StageState::Done } else { StageState::Waiting },
        attempt: 0,
        began_at: None,
        ended_at: None,
        done: None,
        total: None,
    };
    Stage::ALL.map(view).to_vec()
}

/// What became of the newest event that was sent to a slot's webhook.
pub(super) fn with_delivery(view: &mut SlotView, newest: Option<&Delivery>) {
    if let (Some(webhook), Some(newest)) = (&mut view.webhook, newest) {
        webhook.state = Some(delivery(newest.state));
        webhook.attempts = newest.attempts;
        webhook.error = newest.error.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_accepts_the_events_that_webhooks_are_sent_and_no_names_mean_the_ends() {
        assert_eq!(crate::api::backend::Webhook::EVENTS, crate::webhooks::EVENTS);
        let hook = |events: &[&str]| WebhookTarget {
            url: String::new(),
            events: events.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(wants(&hook(&[]), "slot_failed", true) && !wants(&hook(&[]), "accepted", false));
        assert!(
            wants(&hook(&["accepted"]), "accepted", false)
                && !wants(&hook(&["accepted"]), "slot_failed", true)
        );
    }
}
