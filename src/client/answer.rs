//! What came back: bounded bodies, problem documents, and how to tell a node from something else.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use super::error::{ClientError, Refusal, cause};

/// A page of slots with all their files, or a day of snapshots, is far smaller.
const LARGEST: usize = 64 << 20;
/// A pause that is asked for is believed up to this: a node that means longer can say so again.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A whole answer of the API.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Vec<u8>,
    from: String,
}

impl Answer {
    /// Reads `response` to its end; a refusal becomes an error.
    pub(super) async fn read(response: Response) -> Result<Self, ClientError> {
        let response = accepted(response).await?;
        let (status, from) = (response.status(), place(&response));
        if !is_json(response.headers()) {
            return Err(not_vortex(&response));
        }
        let body = body(response).await?;
        Ok(Self { status, body, from })
    }

    /// What it says.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::NotVortex {
            url: self.from.clone(),
            found: format!(
                "JSON of another kind ({error}); a node of another version answers like this, too"
            ),
        })
    }
}

/// `response`, unless it is a refusal, which becomes an error.
pub(super) async fn accepted(response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let (url, retry_after) = (place(&response), retry_after(response.headers()));
    let found = not_vortex(&response);
    let is_problem = is_json(response.headers());
    // Proxies and load balancers answer in place of a node that is down.
    let by_another = |status: StatusCode| ClientError::Broken {
        url: url.clone(),
        why: format!("something in between answers HTTP {status}"),
    };
    if !is_problem {
        return Err(if matches!(status.as_u16(), 502..=504) { by_another(status) } else { found });
    }
    let body = body(response).await?;
    let Ok(mut refusal) = serde_json::from_slice::<Refusal>(&body) else { return Err(found) };
    if refusal.kind.is_empty() && refusal.title.is_empty() && refusal.detail.is_empty() {
        return Err(if matches!(status.as_u16(), 502..=504) { by_another(status) } else { found });
    }
    refusal.status = status.as_u16();
    refusal.retry_after = retry_after;
    Err(refusal.into())
}

/// The pause that a server asks for, in whole seconds; its other form, a date, is none of ours.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

async fn body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let url = place(&response);
    let broken = |why: String| ClientError::Broken { url: url.clone(), why };
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| broken(cause(&error.without_url())))? {
        if body.len() + piece.len() > LARGEST {
            return Err(broken(format!("an answer of more than {LARGEST} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

pub(super) fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = content_type(headers);
    kind.starts_with("application/json") || kind.starts_with("application/problem+json")
}

pub(super) fn not_vortex(response: &Response) -> ClientError {
    let kind = match content_type(response.headers()) {
        "" => "no content type",
        kind => kind,
    };
    ClientError::NotVortex { url: place(response), found: format!("HTTP {}, {kind}", response.status()) }
}

fn place(response: &Response) -> String {
    let url = response.url();
    // A presigned address carries a signature in its query.
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}
