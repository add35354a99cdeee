//! Slots: a page of them, one of them at once or at its end, and its cancellation.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::super::backend::SlotQuery;
use super::super::problem::Fault;
use super::super::query::{Id, Query};
use super::super::state::Api;
use super::super::views::{SlotPage, SlotState, SlotView};
use super::super::wait;

/// List slots, newest first.
#[utoipa::path(
    get, path = "/v1/slots", operation_id = "list_slots", tag = "slots",
    params(
        ("state" = Option<Vec<SlotState>>, Query,
            description = "Only in these states: several times, or with commas between them."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "At most so many; 50 without it."),
        ("after" = Option<String>, Query, min_length = 1, max_length = 256,
            description = "Go on after a page: what it gave as `after`."),
    ),
    responses((status = 200, description = "A page of slots.", body = SlotPage)),
)]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Json<SlotPage>, Fault> {
    let query = Query::of(&uri, &["state", "limit", "after"])?;
    let query = SlotQuery { states: query.states()?, limit: query.page()?, after: query.page_after()? };
    Ok(Json(api.backend.slots(query).await?))
}

/// Show a slot; with `wait`, once it has ended.
///
/// A waiting request is answered when the slot has ended, after the time at the latest, and at once where the node is on its
/// way out: with the slot as it stands then.
#[utoipa::path(
    get, path = "/v1/slots/{id}", operation_id = "get_slot", tag = "slots",
    params(
        ("id" = uuid::Uuid, Path, description = "The slot."),
        ("wait" = Option<String>, Query, pattern = "^(60|[0-5]?[0-9])s?$", example = "30s",
            description = "Seconds to wait for its end, at most 60."),
    ),
    responses((status = 200, description = "The slot.", body = SlotView)),
)]
pub(super) async fn show(State(api): State<Api>, Id(id): Id, uri: Uri) -> Result<Json<SlotView>, Fault> {
    let slot = match Query::of(&uri, &["wait"])?.wait()? {
        Some(wait) => wait::for_the_end(&api, id, wait).await?,
        None => api.backend.slot(id).await?,
    };
    Ok(Json(slot))
}

/// Cancel a slot, wherever it stands.
///
/// A slot that has ended stays as it is: asking again changes nothing.
#[utoipa::path(
    delete, path = "/v1/slots/{id}", operation_id = "cancel_slot", tag = "slots",
    params(("id" = uuid::Uuid, Path, description = "The slot.")),
    responses((status = 200, description = "The slot as it stands now.", body = SlotView)),
)]
pub(super) async fn cancel(State(api): State<Api>, Id(id): Id, uri: Uri) -> Result<Json<SlotView>, Fault> {
    Query::none(&uri)?;
    Ok(Json(api.backend.cancel(id).await?))
}
