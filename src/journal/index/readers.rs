//! Connections that only read: each caller has one for itself, and what is not in use is kept for the next.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::IndexError;
use super::rows::RowError;

/// So many are kept open when nobody reads. More are opened where more read at once.
const KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    /// Runs `read` in one read transaction, so that all of it sees the state after the same commit.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, RowError>,
    ) -> Result<T, IndexError> {
        let failed = |error| IndexError::sqlite(&self.path, "read", error);
        // Taken in a statement of its own: the lock is not held while reading.
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path).map_err(failed)?,
        };
        connection.execute_batch("BEGIN").map_err(failed)?;
        let outcome = read(&connection).map_err(|error| error.at(&self.path, "read"));
        // A connection that is in doubt is not used again.
        if connection.execute_batch("COMMIT").is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < KEPT {
                idle.push(connection);
            }
        }
        outcome
    }

    pub(super) fn close(&self) {
        self.idle.lock().clear();
    }
}

/// A connection that only reads.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    Ok(connection)
}

/// What every connection has.
pub(super) fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // A checkpoint or the recovery of a WAL takes a lock for a moment.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Definitions in a damaged file are not to be trusted.
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
}
