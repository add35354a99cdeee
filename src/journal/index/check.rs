//! Whether a database is an index of slots, and what was written into it: every page, row and definition.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::IndexError;
use super::rows::{RowError, StateRow, TABLES, get_state};
use super::schema::{self, VERSION};

/// What a look at a database came to.
#[derive(Debug)]
pub(super) enum Checked {
    /// It is whole; a new one has no state yet.
    Sound(Option<StateRow>),
    /// It is not.
    Damaged(String),
}

/// A version as far above ours is no newer node's, but a damaged number.
const PLAUSIBLE: i64 = 1000;

/// Looks at everything. Fails for what is neither sound nor damaged: a newer node's index, a disk that cannot be read.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<Checked, IndexError> {
    match look(connection, path) {
        Ok(checked) => Ok(checked),
        Err(Look::Newer(version)) => {
            Err(IndexError::Newer { path: path.to_owned(), version, known: VERSION })
        }
        Err(Look::Row(RowError::Damaged(what))) => Ok(Checked::Damaged(what)),
        Err(Look::Row(RowError::Sqlite(error))) if is_damage(&error) => {
            Ok(Checked::Damaged(error.to_string()))
        }
        Err(Look::Row(RowError::Sqlite(error))) => Err(IndexError::sqlite(path, "read", error)),
    }
}

/// Whether SQLite complains about what is in the file, not about the disk or the permissions.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    // `SQLITE_IOERR_SHORT_READ` and `SQLITE_IOERR_CORRUPTFS`: the file is shorter than it says.
    const SHORT: [i32; 2] = [522, 8458];
    match error.sqlite_error() {
        Some(error) if SHORT.contains(&error.extended_code) => true,
        Some(error) => !matches!(
            error.code,
            ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport
        ),
        // A column of another type, text that is no UTF-8, a row that is missing.
        None => true,
    }
}

enum Look {
    Newer(i64),
    Row(RowError),
}

impl From<RowError> for Look {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

impl From<rusqlite::Error> for Look {
    fn from(error: rusqlite::Error) -> Self {
        Self::Row(RowError::Sqlite(error))
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, Look> {
    Err(Look::Row(RowError::Damaged(what.into())))
}

fn look(connection: &Connection, path: &Path) -> Result<Checked, Look> {
    let version = schema::version(connection)?;
    let tables = schema::definitions(connection)?;
    if version == 0 && tables.is_empty() {
        return Ok(Checked::Sound(None));
    }
    let state = get_state(connection);
    let plausible = (VERSION..VERSION + PLAUSIBLE).contains(&(version - 1));
    match &state {
        // A newer node may keep its state elsewhere; what it says itself counts more than the number in the header.
        Ok(Some(state)) if state.format > VERSION => return Err(Look::Newer(state.format)),
        Ok(Some(_)) => {}
        Ok(None) | Err(_) if plausible => return Err(Look::Newer(version)),
        Ok(None) | Err(_) => {}
    }
    let Some(state) = state? else { return damaged("it has no state") };
    if state.format != version {
        return damaged(format!("it says that its format is {} and that it is {version}", state.format));
    }
    if tables != schema::expected(version)? {
        return damaged("its tables are defined otherwise");
    }
    let mut sum = 0u64;
    for table in TABLES {
        let mut statement = connection.prepare(&table.select())?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            sum = sum.wrapping_add(table.check(row)?);
        }
    }
    if sum != state.sum {
        return damaged("rows are missing, or older than the rest");
    }
    let structure: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if structure != "ok" {
        return damaged(structure.replace('\n', ", "));
    }
    tracing::debug!(path = %path.display(), group = state.group, "the index is sound");
    Ok(Checked::Sound(Some(state)))
}
