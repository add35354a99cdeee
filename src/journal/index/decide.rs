//! What a call of the index comes to, by what the tables hold: the records to write, and the answer.
//!
//! Reads the tables and changes nothing.

use std::num::NonZeroU32;

use super::change::{Change, Numbered, Record};
use super::deliveries::{DeliveryMark, Progress, UploadMark};
use super::error::IndexError;
use super::future::Answer;
use super::records::{
    Acceptance, Cancellation, EndOutcome, EndRecord, NewEvent, NewSlot, Tombstone, UnixTime,
};
use super::rows::{RowError, micros};
use super::tables::Tables;
use crate::types::{SlotId, WorkId};

/// A change that somebody waits for.
#[derive(Debug)]
pub(super) enum Urgent {
    Accept(Box<NewSlot>, Answer<Acceptance>),
    Cancel {
        slot: SlotId,
        at: UnixTime,
        event: Option<NewEvent>,
        answer: Answer<Cancellation>,
    },
    End(Box<EndRecord>, Answer<EndOutcome>),
    Outbox {
        id: u64,
        mark: DeliveryMark,
        answer: Answer,
    },
    Upload {
        slot: SlotId,
        at: UnixTime,
        mark: UploadMark,
        answer: Answer,
    },
    Expire {
        slot: SlotId,
        at: UnixTime,
        answer: Answer,
    },
    ForgetTombstones {
        before: UnixTime,
        answer: Answer<u64>,
    },
    AcknowledgeLoss(Answer),
    /// Nothing but to be behind everything before it.
    Flush(Answer),
}

/// A change that nobody waits for.
#[derive(Clone, Debug)]
pub(super) enum Later {
    Event(NewEvent),
    Begun { slot: SlotId, at: UnixTime, device: String },
    TakenUp { slot: SlotId },
    PruneEvents { through: u64 },
}

/// Tells the waiting one how the group went.
pub(super) type Reply = Box<dyn FnOnce(Result<(), IndexError>) + Send>;

/// The record to write, if there is one, and how to answer after that.
pub(super) type Decision = (Option<Record>, Reply);

fn reply<T: Send + 'static>(answer: Answer<T>, outcome: Result<T, IndexError>) -> Reply {
    Box::new(move |written| answer.send(written.and(outcome)))
}

fn record(tables: &Tables<'_>, change: Change, event: Option<NewEvent>) -> Record {
    let sequence = tables.state.sequence + 1;
    Record { change, event: event.map(|event| Numbered { sequence, event }) }
}

/// What `urgent` comes to. Takes its answer away, unless this fails.
pub(super) fn urgent(tables: &Tables<'_>, urgent: &mut Urgent) -> Result<Decision, RowError> {
    Ok(match urgent {
        Urgent::Accept(slot, answer) => accept(tables, slot, answer)?,
        Urgent::Cancel { slot, at, event, answer } => {
            let (slot, at) = (*slot, *at);
            let (again, outcome) = match tables.slot(slot)? {
                None => (true, Err(gone(tables, slot)?)),
                Some(row) if row.state.is_final() => (true, Ok(Cancellation::Ended(row.state))),
                Some(row) if row.cancel_requested_at.is_some() => (true, Ok(Cancellation::Again)),
                Some(_) => (false, Ok(Cancellation::Requested)),
            };
            let record = (!again).then(|| record(tables, Change::Cancel { slot, at }, event.take()));
            (record, reply(answer.take(), outcome))
        }
        Urgent::End(end, answer) => finish(tables, end, answer)?,
        Urgent::Outbox { id, mark, answer } => match tables.delivery(*id)? {
            None => (None, reply(answer.take(), Err(IndexError::NoDelivery { id: *id }))),
            Some(row) => {
                let counts = row.state == Progress::Pending || matches!(mark, DeliveryMark::Again { .. });
                let change = Change::Outbox { id: *id, mark: mark.clone() };
                let record = counts.then(|| record(tables, change, None));
                (record, reply(answer.take(), Ok(())))
            }
        },
        Urgent::Upload { slot, at, mark, answer } => match tables.slot(*slot)? {
            None => {
                let gone = gone(tables, *slot)?;
                (None, reply(answer.take(), Err(gone)))
            }
            Some(_) => {
                let change = Change::Upload { slot: *slot, at: *at, mark: mark.clone() };
                (Some(record(tables, change, None)), reply(answer.take(), Ok(())))
            }
        },
        Urgent::Expire { slot, at, answer } => expire(tables, *slot, *at, answer)?,
        Urgent::ForgetTombstones { before, answer } => {
            let before = *before;
            let sql = "SELECT count(*) FROM tombstones WHERE expired_at < ?1";
            let count: i64 =
                tables.connection().prepare_cached(sql)?.query_row([micros(before)], |row| row.get(0))?;
            let record = (count > 0).then(|| record(tables, Change::ForgetTombstones { before }, None));
            (record, reply(answer.take(), Ok(u64::try_from(count).unwrap_or(0))))
        }
        Urgent::AcknowledgeLoss(answer) => {
            let lost = tables.state.loss.is_some();
            (lost.then(|| record(tables, Change::AcknowledgeLoss, None)), reply(answer.take(), Ok(())))
        }
        Urgent::Flush(answer) => (None, reply(answer.take(), Ok(()))),
    })
}

/// What `later` comes to; nothing, where the slot is not open.
pub(super) fn later(tables: &Tables<'_>, later: &Later) -> Result<Option<Record>, RowError> {
    let open = |slot: SlotId| Ok::<_, RowError>(tables.slot(slot)?.filter(|row| !row.state.is_final()));
    Ok(match later {
        Later::Event(event) => Some(record(tables, Change::Event, Some(event.clone()))),
        Later::Begun { slot, at, device } => open(*slot)?
            .map(|_| record(tables, Change::Begun { slot: *slot, at: *at, device: device.clone() }, None)),
        Later::TakenUp { slot } => {
            open(*slot)?.map(|_| record(tables, Change::TakenUp { slot: *slot }, None))
        }
        Later::PruneEvents { through } => (*through > tables.state.pruned_through)
            .then(|| record(tables, Change::PruneEvents { through: *through }, None)),
    })
}

fn accept(
    tables: &Tables<'_>,
    slot: &NewSlot,
    answer: &mut Answer<Acceptance>,
) -> Result<Decision, RowError> {
    if let Some(outcome) = known(tables, slot)? {
        return Ok((None, reply(answer.take(), Ok(outcome))));
    }
    let order = tables.state.order + 1;
    let mut slot = Box::new(slot.clone());
    let event = slot.event.take();
    let record = record(tables, Change::Accept { order, slot }, event);
    Ok((Some(record), reply(answer.take(), Ok(Acceptance::Accepted { order }))))
}

/// Why `slot` is not accepted, as far as it is known.
fn known(tables: &Tables<'_>, slot: &NewSlot) -> Result<Option<Acceptance>, RowError> {
    if let Some(row) = tables.slot(slot.slot)? {
        let recipe_sha256 = row.recipe_sha256;
        if recipe_sha256 != slot.recipe_sha256 {
            return Ok(Some(Acceptance::Conflict { recipe_sha256 }));
        }
        let anew = row.state.is_final() && is_later(slot.work, row.work);
        return Ok((!anew).then(|| Acceptance::Known(Box::new(row))));
    }
    let tombstone = tables.tombstone(slot.slot)?;
    let stays = |it: &Tombstone| it.recipe_sha256 != slot.recipe_sha256 || !is_later(slot.work, it.work);
    Ok(tombstone.filter(stays).map(Acceptance::Expired))
}

/// Whether `new` is of a higher epoch than what was `known`; what names no rendering is of the first.
pub(super) fn is_later(new: Option<WorkId>, known: Option<WorkId>) -> bool {
    let epoch = |work: Option<WorkId>| work.map_or(NonZeroU32::MIN, |work| work.epoch);
    epoch(new) > epoch(known)
}

fn finish(
    tables: &Tables<'_>,
    end: &EndRecord,
    answer: &mut Answer<EndOutcome>,
) -> Result<Decision, RowError> {
    let slot = end.slot;
    let outcome = match tables.slot(slot)? {
        Some(row) if row.state.is_final() => Ok(EndOutcome::Before(row.state)),
        Some(_) => Ok(EndOutcome::Ended),
        None => match tables.tombstone(slot)? {
            Some(tombstone) => Ok(EndOutcome::Before(tombstone.state)),
            None => Err(IndexError::NotAccepted { slot }),
        },
    };
    let record = matches!(outcome, Ok(EndOutcome::Ended)).then(|| {
        let mut end = Box::new(end.clone());
        let event = end.event.take();
        record(tables, Change::End { end }, event)
    });
    Ok((record, reply(answer.take(), outcome)))
}

fn expire(
    tables: &Tables<'_>,
    slot: SlotId,
    at: UnixTime,
    answer: &mut Answer,
) -> Result<Decision, RowError> {
    let outcome = match tables.slot(slot)? {
        None if tables.tombstone(slot)?.is_some() => Ok(false),
        None => Err(IndexError::NotAccepted { slot }),
        Some(row) if !row.state.is_final() => Err(IndexError::Open { slot }),
        Some(row) => {
            let uploading = row.upload.as_ref().is_some_and(|upload| upload.state == Progress::Pending);
            if uploading || tables.has_pending(slot)? {
                Err(IndexError::Undelivered { slot })
            } else {
                Ok(true)
            }
        }
    };
    let record = matches!(outcome, Ok(true)).then(|| record(tables, Change::Expire { slot, at }, None));
    Ok((record, reply(answer.take(), outcome.map(drop))))
}

/// Why there is no row of a slot that something is asked of.
fn gone(tables: &Tables<'_>, slot: SlotId) -> Result<IndexError, RowError> {
    Ok(match tables.tombstone(slot)? {
        Some(_) => IndexError::Expired { slot },
        None => IndexError::NotAccepted { slot },
    })
}

impl Urgent {
    /// Answers with how the group failed.
    pub(super) fn refuse(self) -> Reply {
        fn with<T: Send + 'static>(answer: Answer<T>) -> Reply {
            reply(answer, Err(IndexError::Closed))
        }
        match self {
            Self::Accept(_, answer) => with(answer),
            Self::Cancel { answer, .. } => with(answer),
            Self::End(_, answer) => with(answer),
            Self::ForgetTombstones { answer, .. } => with(answer),
            Self::Outbox { answer, .. }
            | Self::Upload { answer, .. }
            | Self::Expire { answer, .. }
            | Self::AcknowledgeLoss(answer)
            | Self::Flush(answer) => with(answer),
        }
    }
}
