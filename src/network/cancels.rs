//! Markers that a slot is wanted no more. A marker stays, so that a node that comes to the work later sees it too.

use std::num::NonZeroU32;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::record;
use super::session::{ANSWER, Session, Stored};
use super::subjects::{Stream, Subjects};
use crate::types::{SlotId, WorkId};

/// Markers of one slot that are written at the same moment; each round ends at least one writer's.
const ROUNDS: u32 = 16;
/// While the copies of a stream agree on another's marker.
const PAUSE: Duration = Duration::from_millis(20);

/// That a slot is wanted no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelMarker {
    /// Of the format: [`VERSION`](super::VERSION).
    pub version: u32,
    /// Which slot.
    pub slot: SlotId,
    /// This epoch of it and all before.
    pub epoch: NonZeroU32,
    /// Who says so.
    pub by: String,
    /// When, Unix seconds.
    pub at: f64,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

impl CancelMarker {
    fn read(subjects: &Subjects, subject: &str, payload: &[u8]) -> Result<Self, NetworkError> {
        let what = format!("the marker under {subject}");
        let marker: Self = record::read(&what, payload)?;
        if subjects.cancel(marker.slot) != subject {
            return Err(record::unreadable(&what, &format!("it is one of {}", marker.slot)));
        }
        Ok(marker)
    }
}

/// Has a marker kept, unless there is one of its epoch or a later one; returns the one that stands then. It may be tried
/// again where no answer came.
pub async fn put(session: &Session, marker: &CancelMarker) -> Result<CancelMarker, NetworkError> {
    let subject = session.subjects().cancel(marker.slot);
    let doing = format!("cancel {}", marker.slot);
    let payload = record::write(&doing, marker)?;
    let mut lost = None;
    for _ in 0..ROUNDS {
        let there = session.last(Stream::Cancels, &subject).await?;
        // One that cannot be read cancels nothing, and is replaced.
        let read = |it: &Stored| CancelMarker::read(session.subjects(), &subject, &it.payload).ok();
        if let Some(stands) = there.as_ref().and_then(read).filter(|stands| stands.epoch >= marker.epoch) {
            return Ok(stands);
        }
        let (sequence, mut headers) = (there.map_or(0, |stored| stored.sequence), HeaderMap::new());
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
        match session.publish(&doing, &subject, headers, payload.clone(), ANSWER).await {
            Ok(_) => return Ok(marker.clone()),
            Err(error) if error.is_taken() => lost = Some(error),
            Err(error) if error.is_under_way() => {
                lost = Some(error);
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(lost.unwrap_or(NetworkError::NoAnswer { doing, after: ANSWER }))
}

/// The marker of a slot, as the stream's leader has it.
pub async fn read(session: &Session, slot: SlotId) -> Result<Option<CancelMarker>, NetworkError> {
    let subject = session.subjects().cancel(slot);
    let stored = session.last(Stream::Cancels, &subject).await?;
    stored.map(|stored| CancelMarker::read(session.subjects(), &subject, &stored.payload)).transpose()
}

/// Whether a marker says that a rendering is wanted no more.
pub fn covers(marker: &CancelMarker, work: WorkId) -> bool {
    marker.slot == work.slot && work.epoch <= marker.epoch
}

/// Markers that are written from now on, until the session is over. A marker is told when it is sent, before the stream
/// keeps it or refuses it: it says when to [`read`], which decides. It may miss some, of
/// other servers at first and where the reader is slow: whoever renders reads the marker at each stage besides.
pub async fn watch(session: &Session) -> Result<BoxStream<'static, CancelMarker>, NetworkError> {
    let told = session.listen(&session.subjects().all(Stream::Cancels)).await?;
    let (session, subjects) = (session.clone(), session.subjects().clone());
    let read = move |message: async_nats::Message| {
        let marker = CancelMarker::read(&subjects, &message.subject, &message.payload).ok();
        async move { marker }
    };
    Ok(told.filter_map(read).take_until(async move { session.over().await }).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_covers_its_epoch_and_those_before_of_its_slot() {
        let work = |text: &str| -> WorkId { text.parse().unwrap() };
        let slot = "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90";
        let marker: CancelMarker = serde_json::from_str(&format!(
            r#"{{"version":1,"slot":"{slot}","epoch":2,"by":"me","at":1.5,"new":1}}"#
        ))
        .unwrap();
        for (text, covered) in [("1/1", true), ("2/5", true), ("3/1", false)] {
            assert_eq!(covers(&marker, work(&format!("{slot}/{text}"))), covered, "{text}");
        }
        assert!(!covers(&marker, work("00000000-5d7c-4a52-9a3e-2b8f0c1d7e90/1/1")));
    }
}
