//! The API against a node that is a table: every status, and what stands on the wire.

mod artifacts;
mod document;
mod events;
mod fuzzed;
mod intake;
mod limits;
mod node;
mod resume;
mod slots;
mod waiting;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use super::fake::{self, Fake};
use super::{ApiSettings, router};

/// A router over a table, and what ends its streams.
struct Setup {
    fake: Arc<Fake>,
    router: Router,
    draining: watch::Sender<bool>,
}

fn setup() -> Setup {
    setup_with(Fake::new(64), ApiSettings::default())
}

fn setup_with(fake: Fake, settings: ApiSettings) -> Setup {
    let fake = Arc::new(fake);
    let (draining, word) = watch::channel(false);
    Setup { router: router(fake.clone(), settings, word), fake, draining }
}

/// What came back, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// Asserts that it is a whole problem document of this kind; gives its detail.
    fn problem(&self, status: u16, kind: &str) -> String {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["type"], format!("/problems/{kind}"), "{text}");
        assert_eq!(document["status"], status);
        assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()));
        document["detail"].as_str().unwrap().to_owned()
    }
}

/// Sends a request and reads all of the answer.
async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

/// The same with one header more.
fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, request("GET", path)).await
}

/// Waits for `condition` by giving others their turn; gives up long before the test would be thought to hang.
async fn until(mut condition: impl FnMut() -> bool) {
    let waited = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap();
}
