//! A look at an index that another process may have open, or that nobody may repair: for bug reports.
//!
//! Changes nothing: no lock of ours, no recovery, no checkpoint, no file made. Answers with what can be read of a damaged
//! index, row by row. The WAL is read as well, also the one that a killed process left.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, InterruptHandle, OpenFlags};
use serde_json::Value;

use super::check::{Checked, check};
use super::deliveries::Delivery;
use super::disk::Paths;
use super::log::scan::Scan;
use super::records::{Counts, KeptEvent, SlotRow};
use super::rows::{RowError, delivery_row, event_row, get_state, select, slot_row};
use super::{IndexError, read, readers};

/// An index, as it stood when it was opened.
#[derive(Debug)]
pub struct Inspection {
    connection: Connection,
    path: PathBuf,
    unread: Option<String>,
}

/// Rows that could be read, the newest first, and what could not.
#[derive(Clone, Debug, PartialEq)]
pub struct Salvaged<T> {
    /// The sound ones.
    pub rows: Vec<T>,
    /// How many were passed over because they are not what was written.
    pub damaged: u64,
    /// There were more than were asked for.
    pub more: bool,
    /// Why reading ended early.
    pub error: Option<String>,
}

impl<T> Default for Salvaged<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), damaged: 0, more: false, error: None }
    }
}

/// Ends what an [`Inspection`] is reading, from another thread.
pub struct Stopper(InterruptHandle);

impl Stopper {
    /// Ends it: it answers with an error.
    pub fn stop(&self) {
        self.0.interrupt();
    }
}

/// Which SQLite is built in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Where the index of a journal in `dir` is, and the snapshot of its last backup.
pub fn databases(dir: &Path) -> [(&'static str, PathBuf); 2] {
    let Paths { index, backup, .. } = Paths::below(dir);
    [("index", index), ("backup", backup)]
}

/// What the log beside the index holds, in words of its own: it is read whole, a file of it at a time.
pub fn look_at_log(dir: &Path) -> Result<Value, IndexError> {
    let scan = Scan::read(&Paths::below(dir).log, None)?;
    Ok(serde_json::json!({
        "generation": scan.generation().map(|it| it.to_string()),
        "last_group": scan.last(),
        "damage": scan.damage(),
        "cut_off_at": scan.torn(),
    }))
}

impl Inspection {
    /// Opens the database at `path`. Blocks for a moment.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let io = |error| IndexError::io(path, "read", error);
        let failed = |error| IndexError::sqlite(path, "read", error);
        // Not opened to try it: that would end the locks that this process has on the file.
        std::fs::metadata(path).map_err(io)?;
        let [_, wal, shared] = Paths::with_wal(path);
        let waiting = std::fs::metadata(&wal).map_or(0, |found| found.len());
        // With the shared memory of the WAL there, SQLite takes it for reading only, or, where nobody else has it open,
        // reads the WAL without it. Without it, nobody has the database open, and it would be made anew: what is in the
        // WAL is then left out.
        let (mode, unread) = match (shared.exists(), waiting) {
            (true, _) => ("mode=ro&readonly_shm=1", None),
            (false, 0) => ("immutable=1", None),
            (false, bytes) => {
                let why = format!(
                    "{} holds {bytes} bytes that were not read: its -shm file is gone",
                    wal.display()
                );
                ("immutable=1", Some(why))
            }
        };
        let address = address(&std::path::absolute(path).map_err(io)?, mode);
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(address, flags).map_err(failed)?;
        readers::set_up(&connection).map_err(failed)?;
        // One transaction: everything is told of the same moment.
        connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Self { connection, path: path.to_owned(), unread })
    }

    /// For a thread that has no more time.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.connection.get_interrupt_handle())
    }

    /// What was left out, where something was.
    pub fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// Looks at every page and row: what is damaged, if anything is. Blocks, for seconds where there is much.
    pub fn damage(&self) -> Result<Option<String>, IndexError> {
        Ok(match check(&self.connection, &self.path)? {
            Checked::Sound(Some(_)) => None,
            Checked::Sound(None) => Some("it holds nothing".to_owned()),
            Checked::Damaged(what) => Some(what),
        })
    }

    /// The row about the whole index: its format, generation, numbers, losses.
    pub fn state(&self) -> Result<Option<Value>, IndexError> {
        let state = get_state(&self.connection).map_err(|error| error.at(&self.path, "read"))?;
        Ok(state.and_then(|state| serde_json::to_value(state).ok()))
    }

    /// How many there are of everything.
    pub fn counts(&self) -> Result<Counts, IndexError> {
        read::counts(&self.connection).map_err(|error| error.at(&self.path, "read"))
    }

    /// At most `limit` events, and at most so many `bytes` of them.
    pub fn newest_events(&self, limit: usize, bytes: usize) -> Salvaged<KeptEvent> {
        let mut left = bytes;
        self.newest(select::EVENTS, "sequence", event_row, |event: &KeptEvent, known| {
            let fits = known < limit && event.json.len() <= left;
            left = left.saturating_sub(event.json.len());
            fits
        })
    }

    /// At most `limit` slots.
    pub fn newest_slots(&self, limit: usize) -> Salvaged<SlotRow> {
        self.newest(select::SLOTS, "ord", slot_row, |_, known| known < limit)
    }

    /// At most `limit` messages to webhooks.
    pub fn newest_deliveries(&self, limit: usize) -> Salvaged<Delivery> {
        self.newest(select::OUTBOX, "id", delivery_row, |_, known| known < limit)
    }

    /// Rows while `wanted`, which is told how many are there already.
    fn newest<T>(
        &self,
        select: &str,
        order: &str,
        read: fn(&rusqlite::Row<'_>) -> Result<T, RowError>,
        mut wanted: impl FnMut(&T, usize) -> bool,
    ) -> Salvaged<T> {
        let mut found = Salvaged::default();
        let mut look = || {
            let mut statement = self.connection.prepare(&format!("{select} ORDER BY {order} DESC"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                match read(row) {
                    Ok(row) if wanted(&row, found.rows.len()) => found.rows.push(row),
                    Ok(_) => {
                        found.more = true;
                        break;
                    }
                    Err(_) => found.damaged += 1,
                }
            }
            Ok::<_, rusqlite::Error>(())
        };
        let ended = look();
        found.error = ended.err().map(|error| IndexError::sqlite(&self.path, "read", error).to_string());
        found
    }
}

/// A path as SQLite takes it with options behind: whatever could be taken for one of them is written by its code.
fn address(path: &Path, options: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut text = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                text.push(char::from(*byte))
            }
            byte => text.push_str(&format!("%{byte:02x}")),
        }
    }
    format!("{text}?{options}")
}
