//! Documents about the API: the OpenAPI document, and a page for each kind of problem.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::super::problem::{Fault, Kind};
use super::super::query::{Query, shown};
use super::super::state::Api;

/// Show the OpenAPI document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "documents",
    responses((status = 200, description = "The document.", body = serde_json::Value)),
)]
pub(super) async fn openapi(State(api): State<Api>, uri: Uri) -> Result<Response, Fault> {
    Query::none(&uri)?;
    let document =
        api.document.get().ok_or_else(|| Fault::new(Kind::Internal, "the document was not made"))?;
    Ok(([(CONTENT_TYPE, "application/json")], document.clone()).into_response())
}

/// Explain a kind of problem.
#[utoipa::path(
    get, path = "/problems/{kind}", operation_id = "explain_problem", tag = "documents",
    params(("kind" = String, Path, description = "The last part of a problem document's `type`.")),
    responses((status = 200, description = "What it means and what helps.", body = String, content_type = "text/plain")),
)]
pub(super) async fn problem(Path(name): Path<String>) -> Result<String, Fault> {
    let kind: Kind = shown(&name)
        .parse()
        .map_err(|error: crate::types::UnknownName| Fault::new(Kind::NotFound, error.to_string()))?;
    Ok(format!("{} (HTTP {})\n\n{}\n", kind.title(), kind.status().as_u16(), kind.about()))
}
