//! Messages of webhooks: which are waiting or given up, and sending one again.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::{Fault, Kind};
use super::super::query::{Query, shown};
use super::super::state::Api;
use super::super::views::{DeliveryState, WebhookMessage};
use crate::types::UnknownName;

/// The newest messages, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookPage {
    /// The messages.
    webhooks: Vec<WebhookMessage>,
}

/// List messages to webhooks, at most 500, newest first; of one state where it is named.
#[utoipa::path(
    get, path = "/v1/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    params(("state" = Option<DeliveryState>, Query, description = "`pending`, `delivered` or `undelivered`.")),
    responses((status = 200, description = "The messages.", body = WebhookPage)),
)]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Json<WebhookPage>, Fault> {
    let state = Query::of(&uri, &["state"])?.one("state")?.map(state).transpose()?;
    Ok(Json(WebhookPage { webhooks: api.backend.webhooks(state).await? }))
}

fn state(name: &str) -> Result<DeliveryState, Fault> {
    let known = DeliveryState::ALL.into_iter().find(|state| state.name() == name);
    known.ok_or_else(|| {
        let names = DeliveryState::ALL.map(DeliveryState::name);
        Fault::new(
            Kind::BadRequest,
            UnknownName::new("a state of a message", &shown(name), &names).to_string(),
        )
    })
}

/// Send a message again, now; its tries count from zero.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/replay", operation_id = "replay_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The message's id, as the list and its receiver have it.")),
    responses((status = 200, description = "The message, waiting again.", body = WebhookMessage)),
)]
pub(super) async fn replay(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<WebhookMessage>, Fault> {
    Query::none(&uri)?;
    Ok(Json(api.backend.replay_webhook(&id).await?))
}
