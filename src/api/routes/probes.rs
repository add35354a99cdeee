//! Probes for kubelets and load balancers: `ok`, or why not, each reason on a line of its own.
//!
//! Plain text, and JSON for whoever prefers it. They take any query: whoever probes adds what he likes.

use axum::Json;
use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::backend::Standing;
use super::super::problem::{Fault, Kind, Spoken};
use super::super::state::Api;

/// Say whether the process is worth keeping.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "probes",
    responses((status = 200, description = "It is.", content((String = "text/plain"), (serde_json::Value = "application/json")))),
)]
pub(super) async fn live(State(api): State<Api>, headers: HeaderMap) -> Response {
    answer(api.backend.live(), &headers)
}

/// Say whether slots may be sent here.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "probes",
    responses((status = 200, description = "They may.", content((String = "text/plain"), (serde_json::Value = "application/json")))),
)]
pub(super) async fn ready(State(api): State<Api>, headers: HeaderMap) -> Response {
    answer(api.backend.ready(), &headers)
}

/// Say whether all models have been ready once.
#[utoipa::path(
    get, path = "/startupz", operation_id = "startupz", tag = "probes",
    responses((status = 200, description = "They have.", content((String = "text/plain"), (serde_json::Value = "application/json")))),
)]
pub(super) async fn started(State(api): State<Api>, headers: HeaderMap) -> Response {
    answer(api.backend.started(), &headers)
}

/// Whether JSON stands before plain text among what is accepted.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or("").trim());
    types
        .find_map(|one| match one {
            "application/json" | "application/problem+json" | "application/*" => Some(true),
            "text/plain" | "text/*" | "*/*" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}

fn answer(reasons: Standing, headers: &HeaderMap) -> Response {
    match (reasons.is_empty(), prefers_json(headers)) {
        (true, false) => "ok\n".into_response(),
        (true, true) => Json(json!({ "status": "ok" })).into_response(),
        (false, false) => {
            let mut response = (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response();
            response.extensions_mut().insert(Spoken);
            response
        }
        (false, true) => {
            let mut fault = Fault::new(Kind::NotReady, reasons.join("; "));
            fault.extra.insert("reasons".into(), reasons.into());
            fault.into_response()
        }
    }
}
