//! Streams of events: of the node, of a slot.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::super::problem::{Fault, Kind};
use super::super::query::{Id, Query, Start, cursor};
use super::super::sse::{self, Wanted};
use super::super::state::Api;

/// Follow all events.
///
/// Begins with what happens from now on; with `Last-Event-ID`, or `after`, with what is kept after that event, and with
/// `after=oldest` with all that is kept. Where some of it is no longer kept, a `gap` event comes first. Progress and samples of memory come
/// without an id: they are not kept, and thinned.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "follow_events", tag = "events",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The last event seen; browsers send it by themselves."),
        ("after" = Option<String>, Query, description = "The same for whoever sets no headers, or `oldest`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000_000, description = "End after so many events."),
    ),
    responses((status = 200, description = "The events.", content_type = "text/event-stream",
        item_schema = ref("#/components/schemas/ServerSentEvent"))),
)]
pub(super) async fn all(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Fault> {
    let (start, limit) = wanted(&uri, &headers)?;
    sse::open(&api, Wanted { start: start.unwrap_or(Start::Now), slot: None, limit }).await
}

/// Follow a slot's events, from its acceptance to its end.
///
/// The stream ends after the slot's last event.
#[utoipa::path(
    get, path = "/v1/slots/{id}/events", operation_id = "follow_slot", tag = "events",
    params(
        ("id" = uuid::Uuid, Path, description = "The slot."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event seen; browsers send it by themselves."),
        ("after" = Option<String>, Query, description = "The same for whoever sets no headers, or `oldest`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000_000, description = "End after so many events."),
    ),
    responses(
        (status = 200, description = "The events.", content_type = "text/event-stream",
            item_schema = ref("#/components/schemas/ServerSentEvent")),
        (status = 204, description = "The slot has ended, and its last event was seen: there is nothing to come again for."),
    ),
)]
pub(super) async fn of_slot(
    State(api): State<Api>,
    Id(id): Id,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let (start, limit) = wanted(&uri, &headers)?;
    sse::open(&api, Wanted { start: start.unwrap_or(Start::Oldest), slot: Some(id), limit }).await
}

/// From where on, and how many. The header is newer than the address: a browser that comes again repeats the latter.
fn wanted(uri: &Uri, headers: &HeaderMap) -> Result<(Option<Start>, Option<u64>), Fault> {
    let query = Query::of(uri, &["after", "limit"])?;
    let (after, limit) = (query.events_after()?, query.events()?);
    let mut seen = headers.get_all("last-event-id").iter();
    let seen = match (seen.next(), seen.next()) {
        (Some(_), Some(_)) => {
            return Err(Fault::new(
                Kind::BadRequest,
                "Last-Event-ID stands there more than once; accepted: once",
            ));
        }
        (seen, _) => seen.map(|value| String::from_utf8_lossy(value.as_bytes())),
    };
    match seen.as_deref().map(str::trim) {
        // Of a client that has seen none.
        None | Some("") => Ok((after, limit)),
        Some(text) => Ok((Some(Start::After(cursor(text)?)), limit)),
    }
}
