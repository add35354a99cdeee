//! Metrics, as Prometheus scrapes them.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::super::problem::Fault;
use super::super::state::Api;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Show the node's metrics in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "node",
    responses((status = 200, description = "The metrics; `src/telemetry/README.md` lists them.", content_type = "text/plain", body = String)),
)]
pub(super) async fn scrape(State(api): State<Api>) -> Result<Response, Fault> {
    // Whoever scrapes adds what he likes to the query.
    let text = api.backend.metrics().await?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
