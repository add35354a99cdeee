//! Problem documents (RFC 9457): how every refusal looks on the wire, whoever refuses.
//!
//! Owns the kinds with their status and stable `type`, and the last touch on every answer: an error that is no problem
//! document yet becomes one, and each learns which request it is about. Decides nothing of what is refused.

mod kinds;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

pub use kinds::Kind;

use super::backend::Problem;

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Before the kind's name: the first part of a document's `type`.
pub const TYPES: &str = "/problems/";
/// Of a path that is repeated in a document: any real one is shorter.
const LONGEST_INSTANCE: usize = 256;

/// A refusal on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What kind.
    pub kind: Kind,
    /// What happened, with the values and what would be accepted.
    pub detail: String,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// Further members of the document.
    pub extra: Map<String, Value>,
}

impl Fault {
    /// Of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, extra: Map::new() }
    }

    /// The same, to be tried again after a while.
    #[must_use]
    pub fn again_after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// The document; `instance` is the request's path.
    fn document(&self, instance: Option<&str>) -> Value {
        // What the standard names cannot be said otherwise by the extra members.
        let mut document = self.extra.clone();
        document.insert("type".into(), format!("{TYPES}{}", self.kind).into());
        document.insert("title".into(), self.kind.title().into());
        document.insert("status".into(), self.kind.status().as_u16().into());
        document.insert("detail".into(), self.detail.clone().into());
        match instance {
            Some(instance) => document.insert("instance".into(), instance.into()),
            None => document.remove("instance"),
        };
        Value::Object(document)
    }

    /// Puts the document into `response`, keeping its other headers.
    fn write(&self, response: &mut Response, instance: Option<&str>) {
        *response.status_mut() = self.kind.status();
        *response.body_mut() = Body::from(self.document(instance).to_string());
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(after) = self.retry_after {
            // Whole seconds, never too early and never at once.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let Problem { kind, detail, retry_after, extra } = problem;
        Self { kind: kind.into(), detail, retry_after, extra }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        self.write(&mut response, None);
        // For `complete`, which knows the request.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Marks an answer that says in its own form what is wrong: probes in plain text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken;

/// Makes an error that is no problem document one, and says in each which request it is about. Others stay as they are.
pub fn complete(mut response: Response, path: &str) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || response.extensions().get::<Spoken>().is_some()
    {
        return response;
    }
    let instance = (path.len() <= LONGEST_INSTANCE).then_some(path);
    if let Some(fault) = response.extensions_mut().remove::<Arc<Fault>>() {
        fault.write(&mut response, instance);
        return response;
    }
    let is_document = response.headers().get(CONTENT_TYPE).is_some_and(|it| it == PROBLEM_JSON);
    if !is_document {
        let kind = Kind::of_status(status);
        Fault::new(kind, kind.about()).write(&mut response, instance);
        // A status of no kind of ours stays what it is.
        *response.status_mut() = status;
    }
    response
}

/// [`complete`] as a middleware: the outermost but for what must not be seen by it.
pub async fn finish(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    complete(next.run(request).await, &path)
}

/// What is answered after a panic: nothing of what it said, which goes to the log.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(error = said.unwrap_or("no message"), "a request's handler panicked");
    let mut response = Fault::new(Kind::Internal, Kind::Internal.about()).into_response();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
