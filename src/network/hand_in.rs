//! Handing work in: a recipe under the subject that says what it asks of a node.

use std::num::NonZeroU32;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;

use super::error::NetworkError;
use super::session::{ANSWER, Created, Session};
use super::subjects::WorkSubject;
use crate::types::{TraceParent, WorkId};

/// Where a rendering stands in a trace.
pub(super) const TRACEPARENT: &str = "traceparent";
/// When the work was handed in, Unix milliseconds.
pub(super) const SUBMITTED: &str = "Vortex-Submitted";
/// The epoch of the dead letter that the work is a replay of.
pub(super) const REPLAY_OF: &str = "Vortex-Replay-Of";

/// What came of handing work in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It is in the stream, under this number.
    New(u64),
    /// The stream has it already, or had it a moment ago.
    Taken,
}

/// Hands `recipe` in as `subject` says, at `submitted` since the Unix epoch. Where no answer came
/// ([`NetworkError::is_open`]) it may be there: whoever tries again finds it [`Handed::Taken`].
pub async fn hand_in(
    session: &Session,
    subject: &WorkSubject,
    recipe: &[u8],
    traceparent: Option<&TraceParent>,
    submitted: Duration,
) -> Result<Handed, NetworkError> {
    let headers = headers(subject.work, traceparent, submitted, None);
    hand_in_with(session, subject, recipe, headers).await
}

/// The headers of a message of the work stream.
pub(super) fn headers(
    work: WorkId,
    traceparent: Option<&TraceParent>,
    submitted: Duration,
    replay_of: Option<NonZeroU32>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, work.to_string());
    headers.insert(SUBMITTED, submitted.as_millis().to_string());
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT, traceparent.as_str());
    }
    if let Some(epoch) = replay_of {
        headers.insert(REPLAY_OF, epoch.to_string());
    }
    headers
}

pub(super) async fn hand_in_with(
    session: &Session,
    subject: &WorkSubject,
    recipe: &[u8],
    headers: HeaderMap,
) -> Result<Handed, NetworkError> {
    let doing = format!("hand in {}", subject.work);
    let name = session.subjects().work(subject);
    let payload = Bytes::copy_from_slice(recipe);
    Ok(match session.create(&doing, &name, headers, payload, ANSWER).await? {
        Created::New(sequence) => Handed::New(sequence),
        Created::Taken => Handed::Taken,
    })
}
