//! What is sent: the body of an event, written once, and the headers of each try (Standard Webhooks). Pure.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde::Serialize;

use super::Secrets;
use super::date::rfc3339;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const AGENT: &str = concat!("vortex-node/", env!("CARGO_PKG_VERSION"));

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It does not become JSON.
    #[error("webhook message: {0}")]
    Json(#[from] serde_json::Error),
    /// An id that headers and signatures do not take.
    #[error("webhook message: the id {0:?} is not made of letters, digits, \"-\" and \"_\" only")]
    Id(String),
}

/// The body of an event of this kind that happened `at` (since the Unix epoch): the event, one JSON object as the journal
/// keeps it, and its slot as it stands.
///
/// # Errors
/// `slot` does not become JSON.
pub fn body(kind: &str, at: Duration, event: &str, slot: &impl Serialize) -> Result<String, MessageError> {
    let (kind, slot) = (serde_json::to_string(kind)?, serde_json::to_string(slot)?);
    let timestamp = rfc3339(at);
    Ok(format!(r#"{{"type":{kind},"timestamp":"{timestamp}","data":{{"event":{event},"slot":{slot}}}}}"#))
}

/// The headers of a try at `now` (since the Unix epoch) to send `body` as the message `id`.
pub(super) fn headers(
    secrets: &Secrets,
    id: &str,
    now: Duration,
    body: &[u8],
) -> Result<HeaderMap, MessageError> {
    // A dot in an id could be moved over to the timestamp without changing what is signed.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(MessageError::Id(id.to_owned()));
    }
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| MessageError::Id(id.to_owned()));
    Ok(HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
        (ID, value(id)?),
        (TIMESTAMP, HeaderValue::from(now.as_secs())),
        (SIGNATURE, value(&secrets.signatures(id, now, body))?),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_fields_that_the_specification_names() {
        let event = serde_json::json!({ "event": "slot_cancelled", "at": 784_111_777.0 });
        let slot = serde_json::json!({ "id": "x", "state": "cancelled" });
        let text =
            body("slot_cancelled", Duration::from_secs(784_111_777), &event.to_string(), &slot).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["type"], "slot_cancelled");
        assert_eq!(read["timestamp"], "1994-11-06T08:49:37.000Z");
        assert_eq!(read["data"], serde_json::json!({ "event": event, "slot": slot }));
    }

    #[test]
    fn ids_that_could_be_confused_with_other_parts_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&folder.path().join("s")).unwrap();
        assert!(headers(&secrets, "ab12-7", Duration::ZERO, b"{}").is_ok());
        for id in ["", "a.1", "a b", "a\n", "ä"] {
            assert!(
                matches!(headers(&secrets, id, Duration::ZERO, b"{}"), Err(MessageError::Id(_))),
                "{id:?}"
            );
        }
    }
}
