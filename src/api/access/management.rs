//! The second listener: probes and metrics, for whoever cannot carry a token.
//!
//! Owns which addresses it answers. It shows what a kubelet or a scraper may see and changes nothing, so it asks for no
//! token, no client certificate, and takes any `Host`: a kubelet names the pod's address.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use super::headers;
use crate::api::problem::{Fault, Kind, complete};

/// What it answers.
pub const MANAGEMENT_PATHS: [&str; 4] = ["/livez", "/readyz", "/startupz", "/metrics"];

/// Of `router` only [`MANAGEMENT_PATHS`], only to be read.
pub fn management(router: Router) -> Router {
    router.layer(from_fn(filter))
}

async fn filter(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let refusal = if !MANAGEMENT_PATHS.contains(&path.as_str()) {
        Some(Fault::new(Kind::NotFound, format!("this listener answers {}", MANAGEMENT_PATHS.join(", "))))
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        Some(Fault::new(Kind::MethodNotAllowed, "this listener is read-only: GET and HEAD"))
    } else {
        None
    };
    let mut response = match refusal {
        Some(fault) => complete(fault.into_response(), &path),
        None => next.run(request).await,
    };
    headers::secure(response.headers_mut(), false);
    response
}
