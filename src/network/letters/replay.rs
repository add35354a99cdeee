//! Hands the recipe of a dead letter in again, under the next epoch.

use super::{Letter, LetterReason, drop_letter, read};
use crate::network::error::NetworkError;
use crate::network::hand_in::{TRACEPARENT, hand_in_with, headers};
use crate::network::session::Session;
use crate::network::subjects::{Stream, WorkSubject};
use crate::network::{listing, results};
use crate::types::{TraceParent, WorkId};

/// Why a letter was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is none; it may have been replayed or dropped before.
    #[error("{0} has no dead letter")]
    Missing(WorkId),
    /// Nothing can be handed in from it.
    #[error(
        "the dead letter of {work} cannot be replayed: {wrong}; hand its recipe in again, or drop the letter"
    )]
    Unusable {
        /// Of which rendering.
        work: WorkId,
        /// What is missing.
        wrong: String,
    },
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Hands the recipe of a letter in again, for the same recipient and in the same class, then drops the letter; returns the
/// new rendering. Its epoch is the one after the letter's, however often this is tried: whoever stops between the two leaves
/// both, and the next try finds the work, or its result, and only drops the letter.
pub async fn replay(session: &Session, work: WorkId) -> Result<WorkId, ReplayError> {
    let letter = read(session, work).await?.ok_or(ReplayError::Missing(work))?;
    let next = again(session, work, &letter.record).await?;
    drop_letter(session, letter.sequence).await?;
    Ok(next)
}

/// The first half: afterwards the next epoch is in the work stream or has its result.
pub(in crate::network) async fn again(
    session: &Session,
    work: WorkId,
    letter: &Letter,
) -> Result<WorkId, ReplayError> {
    let unusable = |wrong: String| ReplayError::Unusable { work, wrong };
    let subjects = session.subjects();
    if letter.reason == LetterReason::Unreadable {
        return Err(unusable(format!("what was handed in is no recipe: {}", letter.detail)));
    }
    let recipe = letter.recipe().map_err(|wrong| unusable(format!("it holds no recipe: {wrong}")))?;
    let subject = subjects.read_work(&letter.subject).filter(|subject| subject.work == work);
    let subject = subject.ok_or_else(|| unusable(format!("{} is no subject of it", letter.subject)))?;
    let epoch = work.epoch.checked_add(1).ok_or_else(|| unusable("there is no later epoch".to_owned()))?;
    let next = WorkId { epoch, ..work };
    let ended = results::read(session, next).await?.is_some();
    if ended || listing::works(session, Stream::Work, &subjects.work_of(work.slot)).await?.contains(&next) {
        return Ok(next);
    }
    let traceparent = letter.headers.get(TRACEPARENT).and_then(|text| text.parse::<TraceParent>().ok());
    let now = crate::clock::unix_time();
    let headers = headers(next, traceparent.as_ref(), now, Some(work.epoch));
    hand_in_with(session, &WorkSubject { work: next, ..subject }, &recipe, headers).await?;
    Ok(next)
}
