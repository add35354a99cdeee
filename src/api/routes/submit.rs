//! Handing a slot in: `PUT /v1/slots/{id}` and `POST /v1/slots`.
//!
//! The body is the recipe, byte for byte, since it is signed; all else travels in headers.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::super::backend::{SlotRequest, Submitted, Webhook};
use super::super::body::{self, Limits};
use super::super::problem::{Fault, Kind};
use super::super::query::{Id, Query, shown};
use super::super::scope::Asker;
use super::super::state::Api;
use super::super::views::SlotView;
use crate::types::{SlotId, TraceParent, UnknownName};

/// Where a slot's events are to be sent.
const WEBHOOK: &str = "vortex-webhook";
/// Which of them.
const WEBHOOK_EVENTS: &str = "vortex-webhook-events";
/// As browsers and servers have it.
const LONGEST_ADDRESS: usize = 2048;

/// Hand a slot in under its id.
///
/// Answered once the slot is durable. The same recipe again is the same slot, whatever the node's state; another one under
/// the id is refused. The id is the recipe's `recipe_id`.
#[utoipa::path(
    put, path = "/v1/slots/{id}", operation_id = "put_slot", tag = "slots",
    params(
        ("id" = uuid::Uuid, Path, description = "The recipe's `recipe_id`."),
        ("Vortex-Webhook" = Option<String>, Header, pattern = "^https?://", max_length = 2048, description = "An address that the slot's events are posted to."),
        ("Vortex-Webhook-Events" = Option<String>, Header,
            description = "Which events, with commas between them; without it the ends."),
        ("traceparent" = Option<String>, Header,
            description = "The trace that the slot belongs to (W3C Trace Context); one that is no such thing is ignored."),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The recipe."),
    responses(
        (status = 202, description = "Accepted, and durable.", body = SlotView,
            headers(("Location" = String, description = "The slot's address."))),
        (status = 200, description = "The same recipe came before: the same slot.", body = SlotView,
            headers(("Location" = String, description = "The slot's address."))),
    ),
)]
pub(super) async fn put(api: State<Api>, Id(id): Id, request: Request) -> Response {
    submit(api, Some(id), request).await
}

/// Hand a slot in.
///
/// As `PUT /v1/slots/{id}`, with the id out of the recipe.
#[utoipa::path(
    post, path = "/v1/slots", operation_id = "post_slot", tag = "slots",
    params(
        ("Vortex-Webhook" = Option<String>, Header, pattern = "^https?://", max_length = 2048, description = "An address that the slot's events are posted to."),
        ("Vortex-Webhook-Events" = Option<String>, Header,
            description = "Which events, with commas between them; without it the ends."),
        ("traceparent" = Option<String>, Header,
            description = "The trace that the slot belongs to (W3C Trace Context); one that is no such thing is ignored."),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The recipe."),
    responses(
        (status = 202, description = "Accepted, and durable.", body = SlotView,
            headers(("Location" = String, description = "The slot's address."))),
        (status = 200, description = "The same recipe came before: the same slot.", body = SlotView,
            headers(("Location" = String, description = "The slot's address."))),
    ),
)]
pub(super) async fn post(api: State<Api>, request: Request) -> Response {
    submit(api, None, request).await
}

async fn submit(State(api): State<Api>, id: Option<SlotId>, request: Request) -> Response {
    let (parts, content) = request.into_parts();
    let read = match headers(&parts.uri, &parts.headers) {
        Ok(read) => read,
        Err(fault) => return fault.into_response(),
    };
    let limits = Limits { size: api.settings.max_recipe, time: api.settings.body_timeout };
    let document = match body::read(&parts.headers, content, limits).await {
        Ok(document) => document,
        Err(unread) => return unread.answer(parts.version),
    };
    let (webhook, traceparent) = read;
    let client = parts.extensions.get().map(|Asker(name)| name.clone()).unwrap_or_default();
    let request = SlotRequest { id, document, webhook, traceparent, client };
    let (status, slot) = match api.backend.submit(request).await {
        Ok(Submitted::Accepted(slot)) => (StatusCode::ACCEPTED, slot),
        Ok(Submitted::Known(slot)) => (StatusCode::OK, slot),
        Err(problem) => return Fault::from(problem).into_response(),
    };
    let location = format!("/v1/slots/{}", slot.id);
    (status, [(LOCATION, location)], Json(*slot)).into_response()
}

fn headers(uri: &Uri, headers: &HeaderMap) -> Result<(Option<Webhook>, Option<TraceParent>), Fault> {
    Query::none(uri)?;
    Ok((webhook(headers)?, traceparent(headers)))
}

/// The trace, where the request is in exactly one: as W3C Trace Context has it, anything else starts a new one.
fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all("traceparent").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.trim().parse().ok(),
        _ => None,
    }
}

/// The one value of a header, if it is there.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let text = |value: &'a HeaderValue| {
        value
            .to_str()
            .map(str::trim)
            .map_err(|_| bad(format!("{name} holds other than printable ASCII letters")))
    };
    match (values.next(), values.next()) {
        (first, None) => first.map(text).transpose(),
        _ => Err(bad(format!("{name} stands there more than once; accepted: once"))),
    }
}

fn bad(detail: String) -> Fault {
    Fault::new(Kind::BadRequest, detail)
}

/// Where the slot's events are to be sent. Whether that address may be called is the node's to say.
fn webhook(headers: &HeaderMap) -> Result<Option<Webhook>, Fault> {
    let (url, events) = (one(headers, WEBHOOK)?, one(headers, WEBHOOK_EVENTS)?);
    let Some(url) = url else {
        return match events {
            Some(_) => {
                let detail =
                    format!("{WEBHOOK_EVENTS} without {WEBHOOK}; accepted: both, or the latter alone");
                Err(Fault::new(Kind::Webhook, detail))
            }
            None => Ok(None),
        };
    };
    let is_address =
        url.len() <= LONGEST_ADDRESS && (url.starts_with("https://") || url.starts_with("http://"));
    if !is_address {
        let detail = format!(
            "{WEBHOOK} is {:?}; accepted: an address of at most {LONGEST_ADDRESS} letters",
            shown(url)
        );
        return Err(Fault::new(Kind::Webhook, detail));
    }
    let mut wanted: Vec<String> = Vec::new();
    for name in events.into_iter().flat_map(|events| events.split(',')).map(str::trim) {
        if !Webhook::EVENTS.contains(&name) {
            let unknown = UnknownName::new("an event that webhooks are sent", &shown(name), &Webhook::EVENTS);
            return Err(bad(format!("{WEBHOOK_EVENTS}: {unknown}")));
        }
        if !wanted.iter().any(|known| known == name) {
            wanted.push(name.to_owned());
        }
    }
    Ok(Some(Webhook { url: url.to_owned(), events: wanted }))
}
