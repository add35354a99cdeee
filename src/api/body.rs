//! A recipe's bytes as they come in: whole, within a size and a time, and unchanged, since they are signed.
//!
//! Owns the limits on the body and what its headers say of it. Does not look into it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Version};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::problem::{Fault, Kind};
use super::query::shown;

/// The media type of recipes.
const JSON: &str = "application/json";

/// How much of a recipe is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) size: usize,
    /// From the first look at it to its last byte.
    pub(crate) time: Duration,
}

/// Why there is no recipe.
#[derive(Debug)]
pub(crate) struct Unread {
    fault: Fault,
    /// Whether what is left of the body makes the connection useless.
    close: bool,
}

impl Unread {
    /// The answer to a request of this version.
    pub(crate) fn answer(self, version: Version) -> Response {
        let unwanted = self.fault.kind == Kind::UnsupportedMediaType;
        let mut response = self.fault.into_response();
        if unwanted {
            response.headers_mut().insert(ACCEPT, HeaderValue::from_static(JSON));
        }
        // HTTP/2 closes the stream by itself and knows no such header.
        if self.close && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self { fault, close: true }
    }
}

/// Refuses what says of itself that it is no recipe.
fn check_type(headers: &HeaderMap) -> Result<(), Fault> {
    let text = |value: &HeaderValue| shown(&String::from_utf8_lossy(value.as_bytes()));
    let wrong = |what: String| Err(Fault::new(Kind::UnsupportedMediaType, what));
    if let Some(value) = headers.get(CONTENT_TYPE) {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(JSON) {
            return wrong(format!("Content-Type is {:?}; accepted: {JSON}, or none", text(value)));
        }
    }
    match headers.get(CONTENT_ENCODING) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"identity") => {
            wrong(format!("Content-Encoding is {:?}; accepted: none", text(value)))
        }
        _ => Ok(()),
    }
}

fn too_large(found: &str, limits: Limits) -> Fault {
    Fault::new(Kind::TooLarge, format!("the recipe has {found}; accepted: at most {} bytes", limits.size))
}

/// All of it.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Bytes, Unread> {
    check_type(headers)?;
    // Told before anything of it is read: whoever expects `100 Continue` then sends nothing.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(announced) = announced.filter(|announced| *announced > limits.size as u64) {
        return Err(too_large(&format!("{announced} bytes"), limits).into());
    }
    match tokio::time::timeout(limits.time, collect(body, limits)).await {
        Ok(read) => read,
        Err(_) => {
            let detail = format!("the recipe had not arrived after {} s", limits.time.as_secs_f64());
            Err(Fault::new(Kind::RequestTimeout, detail).into())
        }
    }
}

async fn collect(body: Body, limits: Limits) -> Result<Bytes, Unread> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| Fault::new(Kind::BadRequest, format!("the recipe broke off: {error}")))?;
        if whole.len() + piece.len() > limits.size {
            return Err(too_large(&format!("more than {} bytes", limits.size), limits).into());
        }
        whole.extend_from_slice(&piece);
    }
    if whole.is_empty() {
        let fault = Fault::new(Kind::BadRequest, "the body is empty; accepted: a recipe");
        return Err(Unread { fault, close: false });
    }
    Ok(whole.into())
}
