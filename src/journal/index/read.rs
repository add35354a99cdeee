//! The queries. Each is one function over a connection; none changes anything.

use std::sync::Arc;

use rusqlite::Connection;

use super::SlotFilter;
use super::deliveries::{Delivery, Progress};
use super::generation::Generation;
use super::records::{Counts, EventCursor, EventPage, Found, OpenRow, SlotRow, State, UnixTime};
use super::retention::{EndedSlot, Hold};
use super::rows::{
    RowError, delivery_row, event_row, from_micros, get_state, micros, number, progress_number, recipe_row,
    rows, select, slot_by_id, slot_row, state_number, tombstone_by_id,
};
use crate::types::{Bytes, SlotId};

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn one<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<T, RowError> {
    Ok(connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

pub(super) fn find(connection: &Connection, slot: SlotId) -> Result<Option<Found>, RowError> {
    if let Some(row) = slot_by_id(connection, slot)? {
        return Ok(Some(Found::Slot(Box::new(row))));
    }
    Ok(tombstone_by_id(connection, slot)?.map(Found::Expired))
}

pub(super) fn recipe(connection: &Connection, slot: SlotId) -> Result<Option<Arc<[u8]>>, RowError> {
    let Some(row) = slot_by_id(connection, slot)? else { return Ok(None) };
    recipe_of(connection, row.order)
}

fn recipe_of(connection: &Connection, order: u64) -> Result<Option<Arc<[u8]>>, RowError> {
    let sql = format!("{} WHERE ord = ?1", select::RECIPES);
    Ok(rows(connection, &sql, [number(order)], recipe_row)?.pop().map(Arc::from))
}

pub(super) fn list(connection: &Connection, filter: &SlotFilter) -> Result<Vec<SlotRow>, RowError> {
    let before = filter.before.map_or(i64::MAX, number);
    let limit = limited(filter.limit);
    if filter.states.is_empty() {
        let sql = format!("{} WHERE ord < ?1 ORDER BY ord DESC LIMIT ?2", select::SLOTS);
        return rows(connection, &sql, [before, limit], slot_row);
    }
    let sql = format!("{} WHERE state = ?3 AND ord < ?1 ORDER BY ord DESC LIMIT ?2", select::SLOTS);
    let mut found = Vec::new();
    // State by state, each in the order of its index: nothing has to be sorted but what is wanted.
    for state in State::ALL.into_iter().filter(|state| filter.states.contains(state)) {
        found.extend(rows(connection, &sql, [before, limit, state_number(state)], slot_row)?);
    }
    found.sort_unstable_by_key(|row| std::cmp::Reverse(row.order));
    found.truncate(filter.limit);
    Ok(found)
}

pub(super) fn open_slots(connection: &Connection) -> Result<Vec<OpenRow>, RowError> {
    let sql = format!("{} WHERE state = ?1 ORDER BY ord", select::SLOTS);
    let mut found = Vec::new();
    for state in [State::Queued, State::Running] {
        found.extend(rows(connection, &sql, [state_number(state)], slot_row)?);
    }
    found.sort_unstable_by_key(|row| row.order);
    let with_recipe = |row: SlotRow| {
        let recipe = recipe_of(connection, row.order)?
            .ok_or_else(|| RowError::Damaged(format!("the recipe of open slot {} is missing", row.slot)))?;
        Ok(OpenRow { row, recipe })
    };
    found.into_iter().map(with_recipe).collect()
}

pub(super) fn position(connection: &Connection, order: u64) -> Result<u64, RowError> {
    let sql = "SELECT count(*) FROM slots WHERE state = ?1 AND ord < ?2";
    one(connection, sql, [state_number(State::Queued), number(order)]).map(count)
}

pub(super) fn events_after(
    connection: &Connection,
    generation: Generation,
    cursor: Option<EventCursor>,
    slot: Option<SlotId>,
    limit: usize,
) -> Result<EventPage, RowError> {
    let state = get_state(connection)?;
    let (pruned, newest) = state.map_or((0, 0), |state| (state.pruned_through, state.sequence));
    let known = |cursor: &EventCursor| cursor.generation == generation && cursor.sequence <= newest;
    let (after, gap) = match cursor {
        // Whoever asks from the start wants what there is.
        None => (0, false),
        Some(cursor) if known(&cursor) => (cursor.sequence, cursor.sequence < pruned),
        Some(_) => (0, true),
    };
    // One more than asked for tells whether there are more.
    let limit = limit.saturating_add(1);
    let mut events = match slot {
        None => {
            let sql = format!("{} WHERE sequence > ?1 ORDER BY sequence LIMIT ?2", select::EVENTS);
            rows(connection, &sql, [number(after), limited(limit)], event_row)?
        }
        Some(slot) => {
            let sql =
                format!("{} WHERE slot = ?3 AND sequence > ?1 ORDER BY sequence LIMIT ?2", select::EVENTS);
            let slot = slot.uuid();
            let values = rusqlite::params![number(after), limited(limit), slot.as_bytes()];
            rows(connection, &sql, values, event_row)?
        }
    };
    let more = events.len() >= limit;
    events.truncate(limit.saturating_sub(1));
    let oldest: Option<i64> = one(connection, "SELECT min(sequence) FROM events", [])?;
    Ok(EventPage { events: events.into_iter().map(Arc::new).collect(), gap, oldest: oldest.map(count), more })
}

/// The newest event before which all are older than `before`, in the order of their numbers; none where the oldest is not.
pub(super) fn last_event_before(connection: &Connection, before: UnixTime) -> Result<Option<u64>, RowError> {
    // Times may go back and forth where the clock did: the first event that is young enough is where it stops.
    let sql = "SELECT coalesce(\
                   (SELECT sequence - 1 FROM events WHERE at >= ?1 ORDER BY sequence LIMIT 1), \
                   (SELECT max(sequence) FROM events))";
    let through: Option<i64> = one(connection, sql, [micros(before)])?;
    let oldest: Option<i64> = one(connection, "SELECT min(sequence) FROM events", [])?;
    Ok(through.zip(oldest).filter(|(through, oldest)| through >= oldest).map(|(through, _)| count(through)))
}

pub(super) fn outbox_due(
    connection: &Connection,
    now: UnixTime,
    longest_pause: std::time::Duration,
    limit: usize,
) -> Result<Vec<Delivery>, RowError> {
    let sql = format!(
        "{} AS due WHERE state = 0 AND (next_at <= ?1 OR next_at > ?2) AND NOT EXISTS \
         (SELECT 1 FROM outbox AS earlier WHERE earlier.slot = due.slot AND earlier.id < due.id AND earlier.state = 0) \
         ORDER BY next_at, id LIMIT ?3",
        select::OUTBOX
    );
    let latest = micros(now.saturating_add(longest_pause));
    rows(connection, &sql, [micros(now), latest, limited(limit)], delivery_row)
}

pub(super) fn outbox(
    connection: &Connection,
    state: Option<Progress>,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<Delivery>, RowError> {
    let sql = format!("{} WHERE id > ?1 AND (?2 IS NULL OR state = ?2) ORDER BY id LIMIT ?3", select::OUTBOX);
    let values = rusqlite::params![after.map_or(-1, number), state.map(progress_number), limited(limit)];
    rows(connection, &sql, values, delivery_row)
}

pub(super) fn outbox_newest(
    connection: &Connection,
    state: Option<Progress>,
    limit: usize,
) -> Result<Vec<Delivery>, RowError> {
    let sql = format!("{} WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2", select::OUTBOX);
    rows(connection, &sql, rusqlite::params![state.map(progress_number), limited(limit)], delivery_row)
}

pub(super) fn outbox_of(connection: &Connection, slot: SlotId) -> Result<Vec<Delivery>, RowError> {
    let sql = format!("{} WHERE slot = ?1 ORDER BY id", select::OUTBOX);
    rows(connection, &sql, [slot.uuid().as_bytes()], delivery_row)
}

pub(super) fn deliveries_pending(connection: &Connection) -> Result<u64, RowError> {
    one(connection, "SELECT count(*) FROM outbox WHERE state = 0", []).map(count)
}

pub(super) fn store_due(
    connection: &Connection,
    now: UnixTime,
    longest_pause: std::time::Duration,
    limit: usize,
) -> Result<Vec<SlotRow>, RowError> {
    let sql = format!(
        "{} WHERE upload = 0 AND (upload_next <= ?1 OR upload_next > ?2) ORDER BY upload_next, ord LIMIT ?3",
        select::SLOTS
    );
    let latest = micros(now.saturating_add(longest_pause));
    rows(connection, &sql, [micros(now), latest, limited(limit)], slot_row)
}

pub(super) fn uploads_pending(connection: &Connection) -> Result<(u64, Option<UnixTime>), RowError> {
    let sql = format!("{} WHERE upload = 0", select::SLOTS);
    let pending = rows(connection, &sql, [], slot_row)?;
    let since = pending.iter().filter_map(|row| row.upload.as_ref().map(|upload| upload.since)).min();
    Ok((pending.len() as u64, since))
}

/// Their number alone, which reads no rows: there may be thousands, and status asks every second.
pub(super) fn uploads_waiting(connection: &Connection) -> Result<u64, RowError> {
    one(connection, "SELECT count(*) FROM slots WHERE upload = 0", []).map(count)
}

pub(super) fn counts(connection: &Connection) -> Result<Counts, RowError> {
    let by = |sql: &str| {
        rows(connection, sql, [], |row| Ok((row.get::<_, i64>(0)?, count(row.get::<_, i64>(1)?))))
    };
    let progress = |found: Vec<(i64, u64)>| {
        let of = |number| Progress::ALL.into_iter().find(|progress| progress_number(*progress) == number);
        found.into_iter().filter_map(|(number, count)| Some((of(number)?, count))).collect()
    };
    let state = |number| State::ALL.into_iter().find(|state| state_number(*state) == number);
    let slots = by("SELECT state, count(*) FROM slots GROUP BY state")?;
    Ok(Counts {
        slots: slots.into_iter().filter_map(|(number, count)| Some((state(number)?, count))).collect(),
        tombstones: one(connection, "SELECT count(*) FROM tombstones", []).map(count)?,
        events: get_state(connection)?.map_or(0, |state| state.events()),
        deliveries: progress(by("SELECT state, count(*) FROM outbox GROUP BY state")?),
        uploads: progress(by("SELECT upload, count(*) FROM slots WHERE upload IS NOT NULL GROUP BY upload")?),
    })
}

pub(super) fn expirable(connection: &Connection) -> Result<Vec<EndedSlot>, RowError> {
    // What is pending goes before what was given up.
    let sql = "SELECT id, state, ended_at, bytes, upload, \
               (SELECT min(state) FROM outbox WHERE outbox.slot = slots.id AND outbox.state != 1) \
               FROM slots WHERE ended_at IS NOT NULL ORDER BY ord";
    let found = rows(connection, sql, [], |row| {
        let id: [u8; 16] = row.get(0)?;
        let number: i64 = row.get(1)?;
        let (upload, delivery): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
        let is = |progress: Progress| {
            let progress = Some(progress_number(progress));
            upload == progress || delivery == progress
        };
        let hold = match (is(Progress::Pending), is(Progress::Undelivered)) {
            (true, _) => Hold::Pending,
            (false, true) => Hold::Undelivered,
            (false, false) => Hold::Free,
        };
        let state = State::ALL.into_iter().find(|state| state_number(*state) == number);
        let (ended_at, bytes) = (from_micros(row.get(2)?), Bytes::new(count(row.get(3)?)));
        let slot = SlotId::new(uuid::Uuid::from_bytes(id));
        Ok(state.map(|state| EndedSlot { slot, state, ended_at, bytes, hold }))
    })?;
    Ok(found.into_iter().flatten().collect())
}
