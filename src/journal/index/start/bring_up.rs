//! Puts into an index what it lacks: newer tables, groups of the log, slots that only their folders tell of.

use std::path::Path;

use rusqlite::Connection;

use super::super::change::{self, Change, Record};
use super::super::disk::{self, Paths};
use super::super::generation::Generation;
use super::super::log::scan::Scan;
use super::super::records::UnixTime;
use super::super::rows::{RowError, StateRow, get_state, put_state};
use super::super::tables::Tables;
use super::super::{FolderSlot, FoldersHint, IndexError, apply, readers, schema};
use super::{Finding, Loss};

/// Groups put in with one commit.
const GROUPS_AT_ONCE: u64 = 1000;

/// That accepted slots are gone, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Everything up to this group is there.
    pub after: u64,
    pub found_at: UnixTime,
}

/// What was put in.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub groups: u64,
    pub records: u64,
    pub folders: u64,
}

/// Brings the tables up to date.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    state: &mut StateRow,
    found: &mut Vec<Finding>,
) -> Result<(), IndexError> {
    let from = schema::migrate(connection, path, schema::MIGRATIONS)?;
    if from != schema::VERSION {
        state.format = schema::VERSION;
        put_state(connection, state).map_err(|error| error.at(path, "brought up to date"))?;
        found.push(Finding::Migrated { from, to: schema::VERSION });
    }
    Ok(())
}

/// Puts in what the log has after `state`'s group. Where something is `missing`, also what the log has behind a hole, and
/// what folders tell; and the index says of itself that something may be lost.
pub(super) fn replay(
    connection: &Connection,
    path: &Path,
    state: &mut StateRow,
    log: &Scan,
    missing: Option<Missing>,
    folders: &dyn FoldersHint,
) -> Result<Replayed, IndexError> {
    let failed = |error: RowError| error.at(path, "written");
    let execute = |sql: &str| connection.execute_batch(sql).map_err(|error| failed(error.into()));
    let mut replayed = Replayed::default();
    let mut since = (state.group > 0).then_some(state.at);
    let same_log = log.generation() == Some(state.generation);
    execute("BEGIN IMMEDIATE")?;
    if same_log {
        log.each_after(state.group, |frame| {
            let records =
                change::decode(frame.payload).map_err(|what| unreadable(path, frame.group, &what))?;
            let mut tables = Tables::new(connection, state);
            records.iter().try_for_each(|record| apply::apply(&mut tables, record)).map_err(failed)?;
            state.group = frame.group;
            state.at = UnixTime::from_micros(frame.at);
            if missing.is_none_or(|missing| frame.group <= missing.after) {
                since = Some(state.at);
            }
            replayed.groups += 1;
            replayed.records += records.len() as u64;
            if replayed.groups.is_multiple_of(GROUPS_AT_ONCE) {
                put_state(connection, state).map_err(failed)?;
                execute("COMMIT; BEGIN IMMEDIATE")?;
            }
            Ok::<_, IndexError>(())
        })?;
    }
    if let Some(missing) = missing {
        replayed.folders = from_folders(connection, path, state, folders)?;
        let before = state.loss;
        state.generation = Generation::random();
        // An earlier loss that nobody has acknowledged goes further back.
        let since = before.map_or(since, |before| before.since);
        state.loss = Some(Loss { since, found_at: missing.found_at });
    }
    put_state(connection, state).map_err(failed)?;
    execute("COMMIT")?;
    Ok(replayed)
}

fn unreadable(path: &Path, group: u64, what: &str) -> IndexError {
    let what = format!("commit {group} of its log is of a kind that this node does not know ({what})");
    IndexError::io(path, "repaired", std::io::Error::other(what))
}

/// Slots and ends that only folders tell of, in the order in which the slots were accepted; how many there were.
fn from_folders(
    connection: &Connection,
    path: &Path,
    state: &mut StateRow,
    folders: &dyn FoldersHint,
) -> Result<u64, IndexError> {
    let failed = |error: RowError| error.at(path, "written");
    let mut slots: Vec<FolderSlot> = folders.slots().collect();
    slots.sort_by_key(|slot| (slot.accepted.accepted_at, slot.accepted.slot));
    let mut put_in = 0;
    for FolderSlot { accepted, end } in slots {
        let mut tables = Tables::new(connection, state);
        let id = accepted.slot;
        if tables.tombstone(id).map_err(failed)?.is_some() {
            continue;
        }
        let known = tables.slot(id).map_err(failed)?;
        let mut changes = Vec::new();
        if known.is_none() {
            changes.push(Change::Accept { order: tables.state.order + 1, slot: Box::new(accepted) });
        }
        if known.is_none_or(|row| !row.state.is_final()) {
            let end = end.filter(|end| end.slot == id && end.state.is_final());
            changes.extend(end.map(|end| Change::End { end: Box::new(end) }));
        }
        put_in += u64::from(!changes.is_empty());
        for change in changes {
            apply::apply(&mut tables, &Record { change, event: None }).map_err(failed)?;
        }
    }
    Ok(put_in)
}

/// Builds an index aside, from the backup or from nothing, and has all of it on disk.
pub(super) fn rebuild(
    paths: &Paths,
    from_backup: bool,
    log: &Scan,
    missing: Option<Missing>,
    folders: &dyn FoldersHint,
) -> Result<Replayed, IndexError> {
    let generation = log.generation().unwrap_or_else(Generation::random);
    make(paths, from_backup, generation, |connection, path, state| {
        replay(connection, path, state, log, missing, folders)
    })
}

/// Makes a new, empty index in its place.
pub(super) fn begin(paths: &Paths) -> Result<(), IndexError> {
    make(paths, false, Generation::random(), |_, _, _| Ok(()))?;
    take_place(paths)
}

/// Gives the index that was built aside its name; nothing may have it any more but a file that was never written.
pub(super) fn take_place(paths: &Paths) -> Result<(), IndexError> {
    // A WAL of another file must not meet this one.
    for beside in Paths::with_wal(&paths.index) {
        if let Err(error) = std::fs::remove_file(&beside)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(IndexError::io(&beside, "removed", error));
        }
    }
    let built = built(paths);
    std::fs::rename(&built, &paths.index).map_err(|error| IndexError::io(&paths.index, "written", error))?;
    disk::sync_folder(&paths.dir);
    let _ = std::fs::remove_dir_all(&paths.rebuild);
    Ok(())
}

fn built(paths: &Paths) -> std::path::PathBuf {
    paths.rebuild.join("index.sqlite3")
}

fn make<T>(
    paths: &Paths,
    from_backup: bool,
    generation: Generation,
    fill: impl FnOnce(&Connection, &Path, &mut StateRow) -> Result<T, IndexError>,
) -> Result<T, IndexError> {
    let _ = std::fs::remove_dir_all(&paths.rebuild);
    std::fs::create_dir(&paths.rebuild).map_err(|error| IndexError::io(&paths.rebuild, "made", error))?;
    let path = built(paths);
    if from_backup {
        std::fs::copy(&paths.backup, &path).map_err(|error| IndexError::io(&path, "written", error))?;
    }
    let failed = |error| IndexError::sqlite(&path, "written", error);
    let mut connection = Connection::open(&path).map_err(failed)?;
    readers::set_up(&connection).map_err(failed)?;
    // It is synced once, at the end: until then it has no name that anybody opens.
    connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;").map_err(failed)?;
    let from = schema::migrate(&mut connection, &path, schema::MIGRATIONS)?;
    let state = get_state(&connection).map_err(|error| error.at(&path, "read"))?;
    let mut state = state.unwrap_or_else(|| StateRow::new(generation));
    if from != schema::VERSION {
        state.format = schema::VERSION;
    }
    state.clean = true;
    put_state(&connection, &state).map_err(|error| error.at(&path, "written"))?;
    let filled = fill(&connection, &path, &mut state)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    disk::sync_file(&path)?;
    disk::sync_folder(&paths.rebuild);
    Ok(filled)
}
