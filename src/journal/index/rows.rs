//! Rows of the index: their columns, checksums, and how they are read.
//!
//! Decides nothing: `read` says which are wanted, `tables` writes them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::deliveries::{Delivery, Progress};
use super::generation::Generation;
use super::records::{KeptEvent, Loss, SlotRow, State, Tombstone, UnixTime};
use crate::types::SlotId;

/// What went wrong with a row.
#[derive(Debug)]
pub(super) enum RowError {
    Sqlite(rusqlite::Error),
    /// It is not what was written.
    Damaged(String),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl RowError {
    fn json(table: &'static str, error: &serde_json::Error) -> Self {
        Self::Damaged(format!("a row of {table} cannot be read: {error}"))
    }

    /// As an error of the index at `path`.
    pub(super) fn at(self, path: &std::path::Path, doing: &'static str) -> super::IndexError {
        match self {
            Self::Sqlite(error) => super::IndexError::sqlite(path, doing, error),
            Self::Damaged(what) => super::IndexError::Damaged { path: path.to_owned(), what },
        }
    }
}

/// Of the whole index: one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StateRow {
    /// The version of the tables, as `PRAGMA user_version`: two places are seldom damaged to say the same.
    pub format: i64,
    pub generation: Generation,
    /// The last group commit.
    pub group: u64,
    /// When that was.
    pub at: UnixTime,
    /// Of the slot that was accepted last.
    pub order: u64,
    /// Of the newest event.
    pub sequence: u64,
    /// Events up to this one are gone.
    pub pruned_through: u64,
    /// The checksums of all other rows, added up.
    pub sum: u64,
    /// The index was closed, and everything is in the main file.
    pub clean: bool,
    /// Slots may have been lost, and nobody has acknowledged it.
    pub loss: Option<Loss>,
}

impl StateRow {
    /// Of an empty index.
    pub(super) fn new(generation: Generation) -> Self {
        Self {
            format: super::schema::VERSION,
            generation,
            group: 0,
            at: UnixTime::ZERO,
            order: 0,
            sequence: 0,
            pruned_through: 0,
            sum: 0,
            clean: true,
            loss: None,
        }
    }

    /// Events that are kept.
    pub(super) const fn events(&self) -> u64 {
        self.sequence.saturating_sub(self.pruned_through)
    }
}

/// A column as the checksum has it.
pub(super) enum Column<'a> {
    Null,
    Integer(i64),
    Bytes(&'a [u8]),
}

/// Eight bytes of a SHA-256 over the table's name and the columns, each with its kind and length.
pub(super) fn checksum<'a>(table: &str, columns: impl IntoIterator<Item = Column<'a>>) -> i64 {
    let mut hash = sha2::Sha256::new();
    hash.update(table);
    for column in columns {
        match column {
            Column::Null => hash.update([0]),
            Column::Integer(number) => {
                hash.update([1]);
                hash.update(number.to_le_bytes());
            }
            Column::Bytes(bytes) => {
                hash.update([2]);
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    i64::from_le_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

/// µs since the Unix epoch; a time that does not fit is the last that does.
pub(super) fn micros(time: UnixTime) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A time to the microsecond, as tables hold it.
pub(super) fn from_micros(micros: i64) -> UnixTime {
    UnixTime::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A number of ours in SQLite, which has signed ones.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) const fn state_number(state: State) -> i64 {
    state as i64
}

pub(super) const fn progress_number(progress: Progress) -> i64 {
    progress as i64
}

/// A table: its name, its columns in the order of the checksum, and the column with the checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub name: &'static str,
    pub columns: &'static [&'static str],
}

/// Every table whose rows are in the sum.
pub(super) const TABLES: [Table; 5] = [SLOTS, RECIPES, TOMBSTONES, EVENTS, OUTBOX];
pub(super) const SLOTS: Table = Table {
    name: "slots",
    columns: &["ord", "id", "state", "ended_at", "bytes", "upload", "upload_next", "body"],
};
pub(super) const RECIPES: Table = Table { name: "recipes", columns: &["ord", "bytes"] };
pub(super) const TOMBSTONES: Table = Table { name: "tombstones", columns: &["id", "expired_at", "body"] };
pub(super) const EVENTS: Table =
    Table { name: "events", columns: &["sequence", "slot", "at", "kind", "json"] };
pub(super) const OUTBOX: Table =
    Table { name: "outbox", columns: &["id", "slot", "state", "next_at", "body"] };

impl Table {
    /// The checksum of the row at hand, whose first columns are the table's, if it is the one that the row states next.
    pub(super) fn check(&self, row: &Row<'_>) -> Result<u64, RowError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for place in 0..self.columns.len() {
            columns.push(match row.get_ref(place)? {
                ValueRef::Null => Column::Null,
                ValueRef::Integer(number) => Column::Integer(number),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Column::Bytes(bytes),
                ValueRef::Real(_) => {
                    return Err(RowError::Damaged(format!("a row of {} holds a fraction", self.name)));
                }
            });
        }
        let stated = match row.get_ref(self.columns.len())? {
            ValueRef::Integer(stated) => stated,
            _ => return Err(RowError::Damaged(format!("a row of {} states no checksum", self.name))),
        };
        if checksum(self.name, columns) != stated {
            return Err(RowError::Damaged(format!(
                "a row of {} has another checksum than it states",
                self.name
            )));
        }
        Ok(stated as u64)
    }

    /// `SELECT` of the columns and the checksum.
    pub(super) fn select(&self) -> String {
        format!("SELECT {}, checksum FROM {}", self.columns.join(", "), self.name)
    }
}

pub(super) fn json<T: Serialize>(table: &'static str, row: &T) -> Result<String, RowError> {
    serde_json::to_string(row).map_err(|error| RowError::json(table, &error))
}

fn parse<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|error| RowError::json(table, &error))
}

fn text<'a>(row: &'a Row<'_>, place: usize) -> Result<&'a str, RowError> {
    row.get_ref(place)?.as_str().map_err(|error| RowError::Damaged(error.to_string()))
}

/// Reads the rows that `sql` gives, each as `read` does.
pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, RowError>,
) -> Result<Vec<T>, RowError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// The state as it is written.
pub(super) fn put_state(connection: &Connection, state: &StateRow) -> Result<(), RowError> {
    let body = json("state", state)?;
    let checksum = checksum("state", [Column::Bytes(body.as_bytes())]);
    connection
        .prepare_cached("INSERT OR REPLACE INTO state (id, body, checksum) VALUES (1, ?1, ?2)")?
        .execute(params![body, checksum])?;
    Ok(())
}

/// The state; none where there is no row.
pub(super) fn get_state(connection: &Connection) -> Result<Option<StateRow>, RowError> {
    let found = connection
        .prepare_cached("SELECT body, checksum FROM state WHERE id = 1")?
        .query_row([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((body, stated)) = found else { return Ok(None) };
    if checksum("state", [Column::Bytes(body.as_bytes())]) != stated {
        return Err(RowError::Damaged("the row of state has another checksum than it states".to_owned()));
    }
    parse("state", &body).map(Some)
}

// One row of each table, out of a query whose columns are those of `Table::select`.

pub(super) fn slot_row(row: &Row<'_>) -> Result<SlotRow, RowError> {
    SLOTS.check(row)?;
    parse("slots", text(row, 7)?)
}

pub(super) fn recipe_row(row: &Row<'_>) -> Result<Vec<u8>, RowError> {
    RECIPES.check(row)?;
    Ok(row.get(1)?)
}

pub(super) fn tombstone_row(row: &Row<'_>) -> Result<Tombstone, RowError> {
    TOMBSTONES.check(row)?;
    parse("tombstones", text(row, 2)?)
}

pub(super) fn event_row(row: &Row<'_>) -> Result<KeptEvent, RowError> {
    EVENTS.check(row)?;
    let sequence: i64 = row.get(0)?;
    let slot: Option<[u8; 16]> = row.get(1)?;
    Ok(KeptEvent {
        sequence: u64::try_from(sequence).ok(),
        at: from_micros(row.get(2)?),
        slot: slot.map(|bytes| SlotId::new(uuid::Uuid::from_bytes(bytes))),
        kind: text(row, 3)?.into(),
        json: text(row, 4)?.into(),
    })
}

pub(super) fn delivery_row(row: &Row<'_>) -> Result<Delivery, RowError> {
    OUTBOX.check(row)?;
    parse("outbox", text(row, 4)?)
}

/// `SELECT` of a table, for queries elsewhere.
pub(super) mod select {
    pub(crate) const SLOTS: &str =
        "SELECT ord, id, state, ended_at, bytes, upload, upload_next, body, checksum FROM slots";
    pub(crate) const RECIPES: &str = "SELECT ord, bytes, checksum FROM recipes";
    pub(crate) const EVENTS: &str = "SELECT sequence, slot, at, kind, json, checksum FROM events";
    pub(crate) const OUTBOX: &str = "SELECT id, slot, state, next_at, body, checksum FROM outbox";
}

pub(super) fn slot_by_id(connection: &Connection, slot: SlotId) -> Result<Option<SlotRow>, RowError> {
    let sql = "SELECT ord, id, state, ended_at, bytes, upload, upload_next, body, checksum FROM slots WHERE id = ?1";
    Ok(rows(connection, sql, [slot.uuid().as_bytes()], slot_row)?.pop())
}

pub(super) fn tombstone_by_id(connection: &Connection, slot: SlotId) -> Result<Option<Tombstone>, RowError> {
    let sql = "SELECT id, expired_at, body, checksum FROM tombstones WHERE id = ?1";
    Ok(rows(connection, sql, [slot.uuid().as_bytes()], tombstone_row)?.pop())
}
