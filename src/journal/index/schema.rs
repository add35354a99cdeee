//! The tables, and how older ones are brought up to date.
//!
//! Every row carries a checksum of all of its columns, and `state` the sum of all checksums: SQLite notices no payload bit
//! that is another, and no row that an older page of the file has not got. A row's JSON in `body` is the truth; the columns
//! beside it repeat what queries look for.

use std::path::Path;

use rusqlite::Connection;

use super::IndexError;

/// Each brings the tables from its place's version to the next; never changed once released.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL, checksum INTEGER NOT NULL
    );
    CREATE TABLE slots (
        ord INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, state INTEGER NOT NULL, ended_at INTEGER, bytes INTEGER NOT NULL,
        upload INTEGER, upload_next INTEGER, checksum INTEGER NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX slots_by_state ON slots (state, ord);
    CREATE INDEX slots_to_upload ON slots (upload_next) WHERE upload = 0;
    CREATE TABLE recipes (ord INTEGER PRIMARY KEY, bytes BLOB NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE tombstones (
        id BLOB PRIMARY KEY, expired_at INTEGER NOT NULL, checksum INTEGER NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX tombstones_by_time ON tombstones (expired_at);
    CREATE TABLE events (
        sequence INTEGER PRIMARY KEY, slot BLOB, at INTEGER NOT NULL, kind TEXT NOT NULL, json TEXT NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE INDEX events_by_slot ON events (slot, sequence) WHERE slot IS NOT NULL;
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY, slot BLOB NOT NULL, state INTEGER NOT NULL, next_at INTEGER NOT NULL,
        checksum INTEGER NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX outbox_by_slot ON outbox (slot, id);
    CREATE INDEX outbox_pending ON outbox (next_at, id) WHERE state = 0;
"];

/// The version that this node writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The version of the tables in `connection`; 0 for an empty file.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables up to date in one transaction; answers with the version that they had.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<i64, IndexError> {
    let failed = |error| IndexError::sqlite(path, "brought up to date", error);
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let before = version(connection).map_err(failed)?;
    if before > known {
        return Err(IndexError::Newer { path: path.to_owned(), version: before, known });
    }
    if before < known {
        let steps = usize::try_from(before).unwrap_or(0);
        let transaction = connection.transaction().map_err(failed)?;
        for step in migrations.iter().skip(steps) {
            transaction.execute_batch(step).map_err(failed)?;
        }
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(before)
}

/// Tables and their indices as SQLite keeps them: a damaged definition is another.
pub(super) fn definitions(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1",
    )?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// What [`definitions`] are at a version.
pub(super) fn expected(version: i64) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_in_memory()?;
    for step in MIGRATIONS.iter().take(usize::try_from(version).unwrap_or(0)) {
        connection.execute_batch(step)?;
    }
    definitions(&connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_brought_up_to_date_once_and_newer_ones_are_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("index.sqlite3");
        let first = ["CREATE TABLE a (x)"];
        let second = ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2)"];
        assert_eq!(migrate(&mut connection, path, &first).unwrap(), 0);
        assert_eq!(migrate(&mut connection, path, &second).unwrap(), 1);
        assert_eq!(migrate(&mut connection, path, &second).unwrap(), 2);
        let sum: i64 = connection.query_row("SELECT sum(x + y) FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 3);
        let error = migrate(&mut connection, path, &first).unwrap_err().to_string();
        assert!(error.contains("version 2, this node knows up to 1"), "{error}");
        // A step that fails leaves the version that there was.
        let broken = ["", "", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        assert!(migrate(&mut connection, path, &broken).is_err());
        assert_eq!(version(&connection).unwrap(), 2);
        assert!(connection.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn the_tables_are_those_that_are_expected() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("index.sqlite3"), MIGRATIONS).unwrap();
        assert_eq!(definitions(&connection).unwrap(), expected(VERSION).unwrap());
    }
}
