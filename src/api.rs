//! The node over HTTP: slots, their files and events, the node itself, probes, and the document that describes it all.
//!
//! Owns how requests are read and answers written. What the node does about them stands behind one trait,
//! [`Backend`]; who may ask is for the layer around [`router`], by the table in [`scope`].
//!
#![doc = include_str!("api/README.md")]

pub mod access;
pub mod backend;
mod body;
pub mod listen;
mod openapi;
pub(crate) mod page;
pub mod problem;
mod query;
mod routes;
pub mod scope;
mod sse;
mod state;
pub mod views;
mod wait;

#[cfg(any(test, fuzzing))]
mod fake;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

pub use state::ApiSettings;

use backend::Backend;
use problem::{Fault, Kind};
use state::Api;

/// When to ask again after the node did not answer.
const BUSY: Duration = Duration::from_secs(5);

/// The API of `backend`, every address of [`scope::ROUTES`]; without any check of who asks. Streams and waiting requests end
/// when `draining` turns true, or its sender is gone.
pub fn router(backend: Arc<dyn Backend>, settings: ApiSettings, draining: watch::Receiver<bool>) -> Router {
    let api = Api::new(backend, settings, draining);
    let (routes, described) = routes::all(openapi::begin()).split_for_parts();
    let document = openapi::finish(&described, &api.settings).to_string();
    api.document.get_or_init(|| Bytes::from(document));
    routes
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(api.clone(), in_time))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(problem::finish))
        // What a slot was a moment ago is nothing to keep.
        .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .with_state(api)
}

async fn nowhere(uri: Uri) -> Fault {
    let path = query::shown(uri.path());
    Fault::new(Kind::NotFound, format!("{path:?} leads nowhere; all addresses are in /openapi.json"))
}

/// Which methods are right stands in `Allow`, where axum puts it.
async fn wrong_method(method: Method, uri: Uri) -> Fault {
    let (method, path) = (query::shown(method.as_str()), query::shown(uri.path()));
    Fault::new(Kind::MethodNotAllowed, format!("{path:?} takes no {method}"))
}

/// Gives up on an answer that does not come. What was begun may be done nevertheless.
async fn in_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    let waits = request.uri().query().is_some_and(|query| query.contains("wait="));
    let wish = if waits { query::LONGEST_WAIT } else { Duration::ZERO };
    let limit = api.settings.answer_timeout + api.settings.body_timeout + wish;
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s: {}", limit.as_secs_f64(), Kind::Timeout.about());
        Fault::new(Kind::Timeout, detail).again_after(BUSY).into_response()
    })
}
