//! A rendering of a network, as slots of nodes are shown. Pure.

use std::time::Instant;

use crate::api::views::{ArtifactView, SlotState, SlotView};
use crate::cli::submit::job::{Open, Stand, waiting};
use crate::clock;
use crate::network::results::{EndState, ResultRecord};
use crate::network::{Standing, Submitted};
use crate::recipe::{Recipe, document};
use crate::types::{Sha256, Stage};

/// Where a rendering stands that was just handed in, or was there.
pub(super) fn stand(recipe: &Recipe, submitted: &Submitted, now: Instant) -> Stand {
    let mut view = queued(recipe, submitted);
    match &submitted.standing {
        Standing::New | Standing::Queued => {
            Stand::Open(Box::new(Open { view, read_at: now, is_over: false }))
        }
        Standing::Ended { state } => {
            view.state = match state.as_str() {
                "completed" => SlotState::Completed,
                "cancelled" => SlotState::Cancelled,
                _ => SlotState::Failed,
            };
            view.cause = (view.state == SlotState::Failed && state != "failed").then(|| state.clone());
            Stand::Ended(Box::new(view))
        }
    }
}

fn queued(recipe: &Recipe, submitted: &Submitted) -> SlotView {
    SlotView {
        id: submitted.work.slot.to_string(),
        state: SlotState::Queued,
        recipe_sha256: Sha256::of(&document::canonical(recipe.document())).to_string(),
        accepted_at: clock::unix_time().as_secs_f64(),
        ended_at: None,
        position: None,
        eta: None,
        deadline: recipe.deadline.map(|deadline| deadline.as_secs_f64()),
        deadline_margin: None,
        stages: Stage::ALL.iter().map(|stage| waiting(stage.name())).collect(),
        attempts: 1,
        device: None,
        cause: None,
        message: None,
        artifacts: Vec::new(),
        delivery: None,
        webhook: None,
        expires_at: None,
        trace_id: None,
    }
}

/// `view` as `record` says that it ended.
pub(super) fn ended(view: &SlotView, record: &ResultRecord) -> SlotView {
    let state = match record.state {
        EndState::Completed => SlotState::Completed,
        EndState::Cancelled => SlotState::Cancelled,
        EndState::Failed | EndState::Dead => SlotState::Failed,
    };
    let dead = (record.state == EndState::Dead).then(|| record.state.to_string());
    SlotView {
        state,
        ended_at: Some(record.at),
        position: None,
        eta: None,
        deadline_margin: view.deadline.map(|deadline| deadline - record.at),
        attempts: u32::try_from(record.deliveries).unwrap_or(u32::MAX),
        device: Some(record.node.clone()),
        cause: record.cause.clone().or(dead),
        message: record.message.clone(),
        artifacts: record
            .artifacts
            .iter()
            .map(|artifact| ArtifactView {
                name: artifact.name.clone(),
                sha256: artifact.sha256.to_string(),
                bytes: artifact.bytes.get(),
                url: artifact.address.clone(),
            })
            .collect(),
        ..view.clone()
    }
}
