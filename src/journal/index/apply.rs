//! Makes a change in the tables: the same code for new changes and for those that are put in again from the log.
//!
//! What a change speaks of may not be there, where a log is put in after a loss: then nothing happens, and the rest goes on.

use super::change::{Change, Numbered, Record};
use super::decide::is_later;
use super::deliveries::{Delivery, DeliveryMark, Progress, Upload, UploadMark};
use super::records::{EndRecord, NewSlot, SlotRow, State, Tombstone, UnixTime};
use super::rows::RowError;
use super::tables::Tables;

/// Makes the change of `record` and keeps its event.
pub(super) fn apply(tables: &mut Tables<'_>, record: &Record) -> Result<(), RowError> {
    change(tables, &record.change)?;
    record.event.as_ref().map_or(Ok(()), |event| keep(tables, event))
}

fn change(tables: &mut Tables<'_>, change: &Change) -> Result<(), RowError> {
    match change {
        Change::Accept { order, slot } => accept(tables, *order, slot),
        Change::Cancel { slot, at } => update(tables, *slot, |row| {
            row.cancel_requested_at.get_or_insert(*at);
        }),
        Change::End { end } => finish(tables, end),
        Change::Event => Ok(()),
        Change::Begun { slot, at, device } => update(tables, *slot, |row| {
            if !row.state.is_final() {
                row.state = State::Running;
                row.began_at.get_or_insert(*at);
                row.device = Some(device.clone());
            }
        }),
        Change::TakenUp { slot } => update(tables, *slot, |row| {
            if !row.state.is_final() {
                row.state = State::Queued;
                row.began_at = None;
                row.attempts = row.attempts.saturating_add(1);
            }
        }),
        Change::Outbox { id, mark } => outbox(tables, *id, mark),
        Change::Upload { slot, at, mark } => update(tables, *slot, |row| upload(row, *at, mark)),
        Change::Expire { slot, at } => expire(tables, *slot, *at),
        Change::ForgetTombstones { before } => tables.take_tombstones(*before).map(drop),
        Change::PruneEvents { through } => {
            tables.take_events(*through)?;
            tables.state.pruned_through = tables.state.pruned_through.max(*through);
            Ok(())
        }
        Change::AcknowledgeLoss => {
            tables.state.loss = None;
            Ok(())
        }
    }
}

fn accept(tables: &mut Tables<'_>, order: u64, slot: &NewSlot) -> Result<(), RowError> {
    // It was decided that the slot may come in: what stands in its way is of a lower epoch, or this has been made already.
    // A lower epoch whose end is lost goes as well.
    if let Some(row) = tables.slot(slot.slot)? {
        if !is_later(slot.work, row.work) {
            return Ok(());
        }
        tables.take_slot(row.order)?;
        tables.take_recipe(row.order)?;
    }
    if let Some(tombstone) = tables.tombstone(slot.slot)? {
        if !is_later(slot.work, tombstone.work) {
            return Ok(());
        }
        tables.take_tombstone(slot.slot)?;
    }
    tables.state.order = tables.state.order.max(order);
    tables.put_recipe(order, &slot.recipe)?;
    tables.put_slot(&SlotRow {
        order,
        slot: slot.slot,
        state: State::Queued,
        recipe_sha256: slot.recipe_sha256,
        bundle_sha256: slot.bundle_sha256,
        accepted_at: slot.accepted_at,
        deadline: slot.deadline,
        traceparent: slot.traceparent.clone(),
        webhook: slot.webhook.clone(),
        origin: slot.origin.clone(),
        work: slot.work,
        cancel_requested_at: None,
        began_at: None,
        device: None,
        attempts: 1,
        end: None,
        upload: None,
    })
}

fn finish(tables: &mut Tables<'_>, end: &EndRecord) -> Result<(), RowError> {
    let Some(mut row) = tables.slot(end.slot)? else { return Ok(()) };
    if row.state.is_final() {
        return Ok(());
    }
    row.state = end.state;
    row.upload = end.upload.then(|| Upload {
        state: Progress::Pending,
        attempts: 0,
        next_at: end.end.at,
        since: end.end.at,
        error: None,
        addresses: std::collections::BTreeMap::new(),
    });
    row.end = Some(end.end.clone());
    tables.take_recipe(row.order)?;
    tables.put_slot(&row)
}

fn update(
    tables: &mut Tables<'_>,
    slot: crate::types::SlotId,
    change: impl FnOnce(&mut SlotRow),
) -> Result<(), RowError> {
    let Some(mut row) = tables.slot(slot)? else { return Ok(()) };
    change(&mut row);
    tables.put_slot(&row)
}

fn upload(row: &mut SlotRow, at: UnixTime, mark: &UploadMark) {
    let Some(upload) = &mut row.upload else { return };
    if upload.state != Progress::Pending && !matches!(mark, UploadMark::Again { .. }) {
        return;
    }
    match mark {
        UploadMark::Some { addresses } => upload.addresses.extend(addresses.clone()),
        UploadMark::Retry { next_at, error } => {
            upload.attempts = upload.attempts.saturating_add(1);
            upload.next_at = *next_at;
            upload.error = Some(error.clone());
        }
        UploadMark::Done { addresses } => {
            upload.addresses.extend(addresses.clone());
            upload.state = Progress::Delivered;
            upload.next_at = at;
            upload.error = None;
        }
        UploadMark::GivenUp { error } => {
            upload.attempts = upload.attempts.saturating_add(1);
            upload.state = Progress::Undelivered;
            upload.next_at = at;
            upload.error = Some(error.clone());
        }
        UploadMark::Again { at } => {
            upload.state = Progress::Pending;
            upload.attempts = 0;
            upload.since = *at;
            upload.next_at = *at;
        }
    }
}

fn outbox(tables: &mut Tables<'_>, id: u64, mark: &DeliveryMark) -> Result<(), RowError> {
    let Some(mut row) = tables.delivery(id)? else { return Ok(()) };
    if row.state != Progress::Pending && !matches!(mark, DeliveryMark::Again { .. }) {
        return Ok(());
    }
    match mark {
        DeliveryMark::Delivered { at } => {
            row.state = Progress::Delivered;
            row.attempts = row.attempts.saturating_add(1);
            row.settled_at = Some(*at);
            row.error = None;
        }
        DeliveryMark::Retry { next_at, error } => {
            row.attempts = row.attempts.saturating_add(1);
            row.next_at = *next_at;
            row.error = Some(error.clone());
        }
        DeliveryMark::Undelivered { at, error } => {
            row.state = Progress::Undelivered;
            row.attempts = row.attempts.saturating_add(1);
            row.settled_at = Some(*at);
            row.error = Some(error.clone());
        }
        DeliveryMark::Again { at } => {
            row.state = Progress::Pending;
            row.attempts = 0;
            row.since = *at;
            row.next_at = *at;
            row.settled_at = None;
        }
    }
    tables.put_delivery(&row)
}

fn expire(tables: &mut Tables<'_>, slot: crate::types::SlotId, at: UnixTime) -> Result<(), RowError> {
    let Some(row) = tables.slot(slot)?.filter(|row| row.state.is_final()) else { return Ok(()) };
    tables.take_slot(row.order)?;
    tables.take_recipe(row.order)?;
    tables.take_deliveries(slot)?;
    tables.put_tombstone(&Tombstone {
        slot,
        recipe_sha256: row.recipe_sha256,
        state: row.state,
        expired_at: at,
        work: row.work,
    })
}

fn keep(tables: &mut Tables<'_>, Numbered { sequence, event }: &Numbered) -> Result<(), RowError> {
    tables.state.sequence = tables.state.sequence.max(*sequence);
    if *sequence > tables.state.pruned_through {
        tables.put_event(*sequence, event)?;
    }
    let (Some(url), Some(slot)) = (&event.deliver_to, event.slot) else { return Ok(()) };
    // A slot that is gone has nothing to deliver any more.
    if tables.slot(slot)?.is_none() {
        return Ok(());
    }
    tables.put_delivery(&Delivery {
        id: *sequence,
        slot,
        kind: event.kind.clone(),
        url: url.clone(),
        body: event.json.clone(),
        since: event.at,
        state: Progress::Pending,
        attempts: 0,
        next_at: event.at,
        error: None,
        settled_at: None,
    })
}
