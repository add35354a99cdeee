//! The tables as they are written: within a transaction, with the sum of all checksums.
//!
//! Decides nothing: `apply` says what is wanted.

use rusqlite::{Connection, ToSql};

use super::deliveries::Delivery;
use super::records::{NewEvent, SlotRow, Tombstone, UnixTime};
use super::rows::{
    Column, EVENTS, OUTBOX, RECIPES, RowError, SLOTS, StateRow, TOMBSTONES, Table, checksum, delivery_row,
    json, micros, number, progress_number, rows, select, slot_by_id, state_number, tombstone_by_id,
};
use crate::types::SlotId;

/// The tables within a transaction, and the state that goes with them.
pub(super) struct Tables<'a> {
    connection: &'a Connection,
    pub state: &'a mut StateRow,
}

impl<'a> Tables<'a> {
    pub(super) fn new(connection: &'a Connection, state: &'a mut StateRow) -> Self {
        Self { connection, state }
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// Writes a row: `values` are the table's columns and then the checksum, as `sql` has them.
    fn write(&mut self, sql: &str, values: &[&dyn ToSql], sum: i64) -> Result<(), RowError> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.state.sum = self.state.sum.wrapping_add(sum as u64);
        Ok(())
    }

    /// Takes the checksums of the rows of `table` that `condition` names out of the sum, and removes them; answers how
    /// many there were.
    fn take(&mut self, table: Table, condition: &str, value: &dyn ToSql) -> Result<u64, RowError> {
        let name = table.name;
        let sums = rows(
            self.connection,
            &format!("SELECT checksum FROM {name} WHERE {condition}"),
            [value],
            |row| Ok(row.get::<_, i64>(0)?),
        )?;
        if sums.is_empty() {
            return Ok(0);
        }
        self.connection.prepare_cached(&format!("DELETE FROM {name} WHERE {condition}"))?.execute([value])?;
        for sum in &sums {
            self.state.sum = self.state.sum.wrapping_sub(*sum as u64);
        }
        Ok(sums.len() as u64)
    }

    pub(super) fn slot(&self, slot: SlotId) -> Result<Option<SlotRow>, RowError> {
        slot_by_id(self.connection, slot)
    }

    pub(super) fn tombstone(&self, slot: SlotId) -> Result<Option<Tombstone>, RowError> {
        tombstone_by_id(self.connection, slot)
    }

    pub(super) fn delivery(&self, id: u64) -> Result<Option<Delivery>, RowError> {
        let sql = format!("{} WHERE id = ?1", select::OUTBOX);
        Ok(rows(self.connection, &sql, [number(id)], delivery_row)?.pop())
    }

    /// Whether something of the slot is pending in the outbox.
    pub(super) fn has_pending(&self, slot: SlotId) -> Result<bool, RowError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE slot = ?1 AND state = 0)";
        Ok(self.connection.prepare_cached(sql)?.query_row([slot.uuid().as_bytes()], |row| row.get(0))?)
    }

    /// In place of the row with the same order, where there is one.
    pub(super) fn put_slot(&mut self, row: &SlotRow) -> Result<(), RowError> {
        let order = number(row.order);
        self.take(SLOTS, "ord = ?1", &order)?;
        let id = row.slot.uuid();
        let state = state_number(row.state);
        let ended_at = row.end.as_ref().map(|end| micros(end.at));
        let bytes = row.end.as_ref().map_or(0, |end| {
            number(end.artifacts.iter().fold(0u64, |sum, artifact| sum.saturating_add(artifact.bytes)))
        });
        let upload = row.upload.as_ref().map(|upload| progress_number(upload.state));
        let next = row.upload.as_ref().map(|upload| micros(upload.next_at));
        let body = json("slots", row)?;
        let optional = |number: Option<i64>| number.map_or(Column::Null, Column::Integer);
        let sum = checksum(
            "slots",
            [
                Column::Integer(order),
                Column::Bytes(id.as_bytes()),
                Column::Integer(state),
                optional(ended_at),
                Column::Integer(bytes),
                optional(upload),
                optional(next),
                Column::Bytes(body.as_bytes()),
            ],
        );
        let sql = "INSERT INTO slots (ord, id, state, ended_at, bytes, upload, upload_next, body, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.write(sql, &[&order, id.as_bytes(), &state, &ended_at, &bytes, &upload, &next, &body, &sum], sum)
    }

    pub(super) fn take_slot(&mut self, order: u64) -> Result<(), RowError> {
        self.take(SLOTS, "ord = ?1", &number(order)).map(drop)
    }

    pub(super) fn put_recipe(&mut self, order: u64, recipe: &[u8]) -> Result<(), RowError> {
        let order = number(order);
        self.take(RECIPES, "ord = ?1", &order)?;
        let sum = checksum("recipes", [Column::Integer(order), Column::Bytes(recipe)]);
        let sql = "INSERT INTO recipes (ord, bytes, checksum) VALUES (?1, ?2, ?3)";
        self.write(sql, &[&order, &recipe, &sum], sum)
    }

    pub(super) fn take_recipe(&mut self, order: u64) -> Result<(), RowError> {
        self.take(RECIPES, "ord = ?1", &number(order)).map(drop)
    }

    pub(super) fn put_tombstone(&mut self, tombstone: &Tombstone) -> Result<(), RowError> {
        let id = tombstone.slot.uuid();
        self.take(TOMBSTONES, "id = ?1", id.as_bytes())?;
        let (expired_at, body) = (micros(tombstone.expired_at), json("tombstones", tombstone)?);
        let sum = checksum(
            "tombstones",
            [Column::Bytes(id.as_bytes()), Column::Integer(expired_at), Column::Bytes(body.as_bytes())],
        );
        let sql = "INSERT INTO tombstones (id, expired_at, body, checksum) VALUES (?1, ?2, ?3, ?4)";
        self.write(sql, &[id.as_bytes(), &expired_at, &body, &sum], sum)
    }

    pub(super) fn take_tombstone(&mut self, slot: SlotId) -> Result<(), RowError> {
        self.take(TOMBSTONES, "id = ?1", slot.uuid().as_bytes()).map(drop)
    }

    /// Answers how many there were.
    pub(super) fn take_tombstones(&mut self, before: UnixTime) -> Result<u64, RowError> {
        self.take(TOMBSTONES, "expired_at < ?1", &micros(before))
    }

    pub(super) fn put_event(&mut self, sequence: u64, event: &NewEvent) -> Result<(), RowError> {
        let (sequence, at) = (number(sequence), micros(event.at));
        self.take(EVENTS, "sequence = ?1", &sequence)?;
        let slot = event.slot.map(SlotId::uuid);
        let slot = slot.as_ref().map(|slot| &slot.as_bytes()[..]);
        let sum = checksum(
            "events",
            [
                Column::Integer(sequence),
                slot.map_or(Column::Null, Column::Bytes),
                Column::Integer(at),
                Column::Bytes(event.kind.as_bytes()),
                Column::Bytes(event.json.as_bytes()),
            ],
        );
        let sql =
            "INSERT INTO events (sequence, slot, at, kind, json, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.write(sql, &[&sequence, &slot, &at, &&*event.kind, &&*event.json, &sum], sum)
    }

    pub(super) fn take_events(&mut self, through: u64) -> Result<(), RowError> {
        self.take(EVENTS, "sequence <= ?1", &number(through)).map(drop)
    }

    pub(super) fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), RowError> {
        let id = number(delivery.id);
        self.take(OUTBOX, "id = ?1", &id)?;
        let slot = delivery.slot.uuid();
        let (state, next_at) = (progress_number(delivery.state), micros(delivery.next_at));
        let body = json("outbox", delivery)?;
        let sum = checksum(
            "outbox",
            [
                Column::Integer(id),
                Column::Bytes(slot.as_bytes()),
                Column::Integer(state),
                Column::Integer(next_at),
                Column::Bytes(body.as_bytes()),
            ],
        );
        let sql =
            "INSERT INTO outbox (id, slot, state, next_at, body, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.write(sql, &[&id, slot.as_bytes(), &state, &next_at, &body, &sum], sum)
    }

    pub(super) fn take_deliveries(&mut self, slot: SlotId) -> Result<(), RowError> {
        self.take(OUTBOX, "slot = ?1", slot.uuid().as_bytes()).map(drop)
    }
}
