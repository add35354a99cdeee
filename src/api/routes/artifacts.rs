//! A slot's files: whole or in parts, and only if they are not known already.
//!
//! Names are looked up by the node and never joined to a path here. A file never changes once its slot has ended: its hash
//! is its entity tag.

mod range;

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::super::backend::ArtifactFile;
use super::super::problem::{Fault, Kind};
use super::super::query::{NamedFile, Query};
use super::super::state::Api;
use range::Part;

/// Read at a time: large enough that switching to a blocking thread costs little beside it.
const PIECE: u64 = 128 * 1024;
/// Addresses hold the slot, and a slot's files never change; behind a token they are nobody else's.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// Fetch a file of a slot that has ended.
#[utoipa::path(
    method(get, head), path = "/v1/slots/{id}/artifacts/{*name}", operation_id = "get_artifact", tag = "slots",
    params(
        ("id" = uuid::Uuid, Path, description = "The slot."),
        ("name" = String, Path, description = "The file, as the slot's `artifacts` call it."),
        ("Range" = Option<String>, Header, description = "One part of it; several are answered with the whole."),
        ("If-Range" = Option<String>, Header, description = "The part only if the file has this ETag still."),
        ("If-None-Match" = Option<String>, Header, description = "Only if it has none of these ETags."),
        ("If-Match" = Option<String>, Header, description = "Only if it has one of these ETags."),
    ),
    responses(
        (status = 200, description = "The file, as what its name says.", content_type = "*/*", headers(
            ("ETag" = String, description = "Its SHA-256."),
            ("Content-Length" = u64, description = "Its size."),
        )),
        (status = 206, description = "A part of it.", content_type = "*/*", headers(
            ("Content-Range" = String, description = "Which part, and of how much."),
        )),
        (status = 304, description = "It is what is known already."),
    ),
)]
pub(super) async fn fetch(
    State(api): State<Api>,
    NamedFile { slot, name }: NamedFile,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    Query::none(&uri)?;
    let found = api.backend.artifact(slot, &name).await?;
    let etag = format!("\"{}\"", found.sha256);
    if headers.contains_key(IF_MATCH) && !names(&headers, IF_MATCH, &etag, Compared::Strongly) {
        return Err(Fault::new(Kind::PreconditionFailed, format!("the file's ETag is {etag}")));
    }
    let known = names(&headers, IF_NONE_MATCH, &etag, Compared::Weakly);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if method == Method::HEAD {
        // Ranges are for GET only.
        described(StatusCode::OK, found.bytes, Body::empty())
    } else {
        let wanted = match headers.get(RANGE) {
            Some(range) if may_be_part(&headers, &etag) => range::wanted(range, found.bytes),
            _ => Part::Whole,
        };
        send(&found, wanted).await?
    };
    if !known && !response.status().is_success() {
        return Ok(response);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    insert(headers, ETAG, &etag);
    if !known {
        let headers = response.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
        insert(headers, CONTENT_DISPOSITION, &disposition(&name));
    }
    Ok(response)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What is put here is hexadecimal or escaped.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// How entity tags are compared.
#[derive(Clone, Copy, PartialEq)]
enum Compared {
    /// Byte for byte.
    Strongly,
    /// Also those that say `W/`.
    Weakly,
}

/// Whether a list of entity tags holds `etag`, or all.
fn names(headers: &HeaderMap, header: HeaderName, etag: &str, compared: Compared) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let weak = tag.strip_prefix("W/").filter(|_| compared == Compared::Weakly);
        tag == "*" || weak.unwrap_or(tag) == etag
    })
}

/// Whether `If-Range` lets a part be sent: it is not there, or names the file as it is. A date never does.
fn may_be_part(headers: &HeaderMap, etag: &str) -> bool {
    headers.get(IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

/// The headers of a body of this size.
fn described(status: StatusCode, size: u64, body: Body) -> Response {
    (status, [(CONTENT_LENGTH, HeaderValue::from(size))], body).into_response()
}

async fn send(found: &ArtifactFile, wanted: Part) -> Result<Response, Fault> {
    let (status, first, size) = match wanted {
        Part::Whole => (StatusCode::OK, 0, found.bytes),
        Part::Of { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Outside => {
            let detail =
                format!("the file has {} bytes; accepted: a range that begins within them", found.bytes);
            let mut response = Fault::new(Kind::RangeNotSatisfiable, detail).into_response();
            insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", found.bytes));
            return Ok(response);
        }
    };
    let file = open(found, first).await?;
    let mut response = described(status, size, pieces(file, size));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{}", first + size - 1, found.bytes);
        insert(response.headers_mut(), CONTENT_RANGE, &range);
    }
    Ok(response)
}

/// The file, at `first`.
async fn open(found: &ArtifactFile, first: u64) -> Result<File, Fault> {
    let opened = async {
        let mut file = File::open(&found.path).await?;
        let about = file.metadata().await?;
        if !about.is_file() || about.len() != found.bytes {
            let what = format!("{} bytes were written, {} are there", found.bytes, about.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        file.seek(io::SeekFrom::Start(first)).await?;
        Ok(file)
    };
    opened.await.map_err(|error: io::Error| {
        // The path is the node's own affair.
        tracing::error!(path = %found.path.display(), %error, "a slot's file cannot be read");
        match error.kind() {
            io::ErrorKind::NotFound => Fault::new(Kind::Gone, "the file was here and has been removed"),
            _ => Fault::new(Kind::Internal, "the file cannot be read; the node's log tells why"),
        }
    })
}

/// `size` bytes from where `file` stands. A file that is shorter breaks the connection: whoever reads must notice.
fn pieces(file: File, size: u64) -> Body {
    Body::from_stream(stream::try_unfold((file, size), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        // At most PIECE, which fits.
        let mut piece = Vec::with_capacity(usize::try_from(left.min(PIECE)).unwrap_or_default());
        let read = (&mut file).take(left.min(PIECE)).read_buf(&mut piece).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok::<_, io::Error>(Some((Bytes::from(piece), (file, left - read as u64))))
    }))
}

/// By the name's ending. Nothing that a browser would run is among them.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("mp4") => "video/mp4",
        Some("wav") => "audio/wav",
        Some("flac") => "audio/flac",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("json") => "application/json",
        Some("txt" | "log") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Shown where it stands, and saved under its last part; letters beyond ASCII as RFC 8187 has it.
fn disposition(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if last.bytes().all(is_plain) {
        return format!("inline; filename=\"{last}\"");
    }
    let ascii: String = last
        .chars()
        .map(|letter| if letter.is_ascii() && is_plain(letter as u8) { letter } else { '_' })
        .collect();
    let escaped = last.bytes().fold(String::new(), |text, byte| {
        if is_plain(byte) {
            text + char::from(byte).encode_utf8(&mut [0; 4])
        } else {
            text + &format!("%{byte:02X}")
        }
    });
    format!("inline; filename=\"{ascii}\"; filename*=UTF-8''{escaped}")
}
