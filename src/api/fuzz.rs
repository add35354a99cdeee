//! What has to hold of any request.
// Panicking is how a target says that something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::sync::watch;
use tower::ServiceExt;

use super::fake::Fake;
use super::{ApiSettings, router};

/// An answer is longer than this for nobody's request.
const MOST: usize = 16 << 20;

/// A request as text: its method and target, headers a line each, an empty line, its body. Whatever it says, the node
/// answers it, calls no fault its own, and explains in a problem document what is the client's.
pub fn request(bytes: &[u8]) {
    let Some(request) = read(bytes) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (draining, word) = watch::channel(false);
        // Streams and waits end at once.
        draining.send_replace(true);
        let router = router(Arc::new(Fake::new(8)), ApiSettings::default(), word);
        let method = request.method().clone();
        let answer = router.oneshot(request).await.expect("a router answers");
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, MOST).await.expect("an answer that ends");
        let status = head.status;
        assert!(
            !status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE,
            "{status} {}",
            String::from_utf8_lossy(&body)
        );
        if status.is_client_error() && method != Method::HEAD {
            let content_type = head.headers.get("content-type").expect("a problem has a type");
            assert_eq!(content_type, "application/problem+json", "{status}");
            let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem is JSON");
            assert_eq!(problem["status"], status.as_u16());
            assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        }
    });
}

/// None where the text is no request that a server would hand on.
fn read(bytes: &[u8]) -> Option<Request<Body>> {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let uri = Uri::try_from(first.next()?).ok()?;
    let mut request = Request::builder().method(method).uri(uri).body(Body::from(body.to_vec())).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// Requests of every kind, for a fuzzer to begin with.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let id = "00000000-0000-4000-8000-000000000001";
    let recipe = format!("{{\"recipe_id\":\"{id}\",\"version\":\"2.0.0\"}}");
    [
        format!("PUT /v1/slots/{id}?webhook=https://example.org/h&events=accepted\ncontent-type: application/json\n\n{recipe}"),
        format!("POST /v1/slots\ncontent-type: application/json\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n\n{recipe}"),
        format!("GET /v1/slots/{id}?wait=30s"),
        "GET /v1/slots?state=queued,running&limit=50&after=17".to_owned(),
        format!("DELETE /v1/slots/{id}"),
        format!("GET /v1/slots/{id}/artifacts/keyframes/00001.png\nrange: bytes=0-9,-5\nif-none-match: \"abc\""),
        format!("GET /v1/slots/{id}/events\nlast-event-id: a1b2-7"),
        "GET /v1/events?limit=500&after=0\nlast-event-id: a1b2-18446744073709551615".to_owned(),
        "GET /v1/node/snapshots?device=cpu&limit=3".to_owned(),
        "POST /v1/node/drain".to_owned(),
        "GET /v1/webhooks?state=undelivered".to_owned(),
        "POST /v1/webhooks/a1b2-7/replay".to_owned(),
        "GET /openapi.json\naccept: */*".to_owned(),
        "HEAD /readyz".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}
