//! How events look on the wire, as the HTML standard's `text/event-stream` has it.

use std::fmt::Write;

use axum::body::Bytes;
use serde_json::json;

use crate::api::backend::{Cursor, StoredEvent};

/// A comment: it keeps the connection open and is no event.
pub(super) const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// The first bytes of a stream: when to come again after it broke (milliseconds), and from where on.
pub(super) fn opening(position: Option<&Cursor>) -> Bytes {
    match position {
        Some(cursor) => format!("retry: 2000\nid: {cursor}\n\n").into(),
        None => Bytes::from_static(b"retry: 2000\n\n"),
    }
}

/// Events after `from` are no longer kept; those that are begin with `oldest`. Without an id: it is no event of the journal.
pub(super) fn gap(from: Option<&Cursor>, oldest: Option<&Cursor>) -> Bytes {
    let told = json!({ "from": from.map(Cursor::to_string), "oldest": oldest.map(Cursor::to_string) });
    format!("event: gap\ndata: {told}\n\n").into()
}

/// An event.
pub(super) fn of(generation: &str, event: &StoredEvent) -> Bytes {
    let mut text = String::with_capacity(event.json.len() + 80);
    if let Some(sequence) = event.sequence {
        // Writing to a string does not fail.
        let _ = writeln!(text, "id: {generation}-{sequence}");
    }
    let _ = writeln!(text, "event: {}", event.kind);
    // One line; a second one would end the field.
    for line in event.json.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text.into()
}
