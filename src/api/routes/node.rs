//! The node: how it stands, its memory over time, and what operators tell it.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::Value;

use super::super::backend::Operation;
use super::super::problem::Fault;
use super::super::query::Query;
use super::super::state::Api;
use super::super::views::NodeView;

/// Show the node: supervision tree, memory, pressure, queue, estimates.
#[utoipa::path(
    get, path = "/v1/node", operation_id = "get_node", tag = "node",
    responses((status = 200, description = "The node.", body = NodeView)),
)]
pub(super) async fn show(State(api): State<Api>, uri: Uri) -> Result<Json<NodeView>, Fault> {
    Query::none(&uri)?;
    Ok(Json(api.backend.node().await))
}

/// Show memory over time, by device, oldest first.
#[utoipa::path(
    get, path = "/v1/node/snapshots", operation_id = "get_snapshots", tag = "node",
    responses((status = 200, description = "Snapshots, as in `memory_snapshot` events.", body = Value)),
)]
pub(super) async fn snapshots(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Fault> {
    Query::none(&uri)?;
    Ok(Json(api.backend.snapshots().await))
}

async fn operate(api: &Api, uri: &Uri, operation: Operation) -> Result<Json<Value>, Fault> {
    Query::none(uri)?;
    Ok(Json(api.backend.operate(operation).await?))
}

/// Take nothing in any more, and finish what is open.
#[utoipa::path(
    post, path = "/v1/node/drain", operation_id = "drain", tag = "node",
    responses((status = 200, description = "What came of it.", body = Value)),
)]
pub(super) async fn drain(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Fault> {
    operate(&api, &uri, Operation::Drain).await
}

/// Take slots in again.
#[utoipa::path(
    post, path = "/v1/node/undrain", operation_id = "undrain", tag = "node",
    responses((status = 200, description = "What came of it.", body = Value)),
)]
pub(super) async fn undrain(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Fault> {
    operate(&api, &uri, Operation::Undrain).await
}

/// Read the settings again.
#[utoipa::path(
    post, path = "/v1/node/reload", operation_id = "reload", tag = "node",
    responses((status = 200, description = "What came of it.", body = Value)),
)]
pub(super) async fn reload(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Fault> {
    operate(&api, &uri, Operation::Reload).await
}

/// Acknowledge that data was lost: the node may be ready again.
#[utoipa::path(
    post, path = "/v1/node/acknowledge", operation_id = "acknowledge", tag = "node",
    responses((status = 200, description = "What came of it.", body = Value)),
)]
pub(super) async fn acknowledge(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Fault> {
    operate(&api, &uri, Operation::Acknowledge).await
}
