//! The start: compares index, log and mark, repairs what has to be repaired, and says so.
//!
//! Order matters, since a start may be cut short as well: a new index takes its name when all of it is on disk, a log is
//! moved away when a backup makes it superfluous, and the index says that it is in use last. So every start finds either
//! what the one before found or what it had done.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::check::{self, Checked};
use super::disk::{self, Paths, SetAside};
use super::log::Log;
use super::log::scan::Scan;
use super::mark::{Mark, MarkFile};
use super::records::Loss;
use super::report::{Finding, StartReport};
use super::rows::{StateRow, get_state, put_state};
use super::steps::{Step, Steps};
use super::writer::checkpoint;
use super::{FoldersHint, IndexError, IndexSettings, keeper, readers};
use crate::clock;
use crate::types::Bytes;

mod bring_up;

use bring_up::Missing;

/// A WAL that has grown is cut back to this when it is empty.
const WAL_KEPT: i64 = 64 << 20;

/// An index that is ready to be written.
pub(super) struct Started {
    pub connection: Connection,
    pub state: StateRow,
    pub log: Log,
    pub mark: MarkFile,
    pub report: StartReport,
}

/// What was found of the index.
enum Main {
    Missing,
    Damaged(String),
    Sound(Box<(Connection, StateRow)>),
}

/// Where the index is taken from.
enum Base {
    /// It is as it is.
    Main(Box<(Connection, StateRow)>),
    /// The backup.
    Backup(StateRow),
    /// Nothing.
    Nothing,
}

/// A start under way.
struct Start<'a> {
    paths: &'a Paths,
    settings: &'a IndexSettings,
    steps: &'a Steps,
    mark: Option<Mark>,
    found: Vec<Finding>,
    set_aside: SetAside,
}

/// See the module's description. Blocks.
pub(super) fn start(
    paths: &Paths,
    settings: &IndexSettings,
    folders: &dyn FoldersHint,
    steps: &Steps,
) -> Result<Started, IndexError> {
    let began = clock::now();
    paths.make()?;
    let mark = Mark::read(&paths.mark)?;
    let set_aside = SetAside::new(&paths.set_aside);
    let mut this = Start { paths, settings, steps, mark, found: Vec::new(), set_aside };
    let main = open(&paths.index)?;
    let known = match &main {
        Main::Sound(main) => Some(main.1.generation),
        Main::Missing | Main::Damaged(_) => mark.map(|mark| mark.generation),
    };
    let log = Scan::read(&paths.log, known)?;
    let sound = match &main {
        Main::Sound(main) => Some(main.1.clone()),
        Main::Missing | Main::Damaged(_) => None,
    };
    let damaged = match &main {
        Main::Damaged(what) => Some(what.clone()),
        Main::Missing | Main::Sound(_) => None,
    };
    let base = this.choose(main, &log)?;
    let fresh = matches!(base, Base::Nothing) && damaged.is_none() && log.is_empty() && mark.is_none();
    let missing = missing(&base, sound.as_ref(), &log, mark, fresh);
    let (connection, state) = match base {
        Base::Main(main) => {
            let (mut connection, mut state) = *main;
            bring_up::migrate(&mut connection, &paths.index, &mut state, &mut this.found)?;
            let replayed = bring_up::replay(&connection, &paths.index, &mut state, &log, missing, folders)?;
            if replayed.groups > 0 {
                let answered = mark.is_some_and(|mark| mark.group > state.group - replayed.groups);
                let (groups, records) = (replayed.groups, replayed.records);
                this.found.push(Finding::Replayed { groups, records, answered });
            }
            if replayed.folders > 0 {
                this.found.push(Finding::FromFolders { slots: replayed.folders });
            }
            (connection, state)
        }
        Base::Backup(_) | Base::Nothing if fresh => {
            this.found.push(Finding::New);
            bring_up::begin(paths)?;
            reopen(paths)?
        }
        base @ (Base::Backup(_) | Base::Nothing) => {
            let from_backup = matches!(base, Base::Backup(_));
            let replayed = bring_up::rebuild(paths, from_backup, &log, missing, folders)?;
            let at = |error| IndexError::io(&paths.index, "moved away", error);
            steps.at(Step::SetAside).map_err(at)?;
            let files = Paths::with_wal(&paths.index);
            let moved = this.set_aside.take("index", files.iter().map(AsRef::as_ref))?;
            this.found.push(match (damaged, sound) {
                (Some(what), _) => Finding::IndexDamaged { what, set_aside: moved },
                (None, Some(_)) => Finding::IndexStale { set_aside: moved },
                (None, None) => Finding::IndexMissing,
            });
            bring_up::take_place(paths)?;
            steps.at(Step::Rebuilt).map_err(at)?;
            this.found.push(Finding::Rebuilt {
                from_backup,
                groups: replayed.groups,
                folders: replayed.folders,
            });
            reopen(paths)?
        }
    };
    let mut state = state;
    if let (Some(_), Some(loss)) = (missing, state.loss) {
        this.found.push(Finding::Lost(loss));
    }
    let log = this.go_on(&state, &log)?;
    steps.at(Step::LogBegun).map_err(|error| IndexError::io(log.path(), "written", error))?;
    let mark = MarkFile::open(&paths.mark, Mark { generation: state.generation, group: state.group })?;
    in_use(&connection, &mut state, paths)?;
    let open = "SELECT count(*) FROM slots WHERE ended_at IS NULL";
    let open: i64 = connection
        .query_row(open, [], |row| row.get(0))
        .map_err(|error| IndexError::sqlite(&paths.index, "read", error))?;
    let report = StartReport {
        generation: state.generation,
        sequence: state.sequence,
        open: u64::try_from(open).unwrap_or(0),
        findings: this.found,
        loss: state.loss,
        took: clock::now().saturating_duration_since(began),
    };
    Ok(Started { connection, state, log, mark, report })
}

/// Looks at the index's file.
fn open(path: &Path) -> Result<Main, IndexError> {
    if !disk::is_there(path)? {
        return Ok(Main::Missing);
    }
    let connection = match connect(path) {
        Ok(connection) => connection,
        Err(error) if check::is_damage(&error) || says_read_only(path, &error) => {
            return Ok(Main::Damaged(error.to_string()));
        }
        Err(error) => return Err(IndexError::sqlite(path, "opened", error)),
    };
    Ok(match check::check(&connection, path)? {
        Checked::Sound(Some(state)) => Main::Sound(Box::new((connection, state))),
        // A file that was made and never written.
        Checked::Sound(None) => Main::Missing,
        Checked::Damaged(what) => Main::Damaged(what),
    })
}

/// Whether SQLite takes a file for read-only that is not: a damaged header says so.
fn says_read_only(path: &Path, error: &rusqlite::Error) -> bool {
    let read_only = error.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly);
    let writable = || std::fs::OpenOptions::new().write(true).open(path).is_ok();
    let folder_writable = || {
        path.parent().is_some_and(|folder| {
            rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
        })
    };
    read_only && writable() && folder_writable()
}

/// The connection that writes.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    readers::set_up(&connection)?;
    // Nobody else writes; a checkpoint that readers are in the way of is left for later.
    connection.busy_timeout(std::time::Duration::from_millis(100))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT, |_| Ok(()))?;
    Ok(connection)
}

/// Opens an index that has just been made.
fn reopen(paths: &Paths) -> Result<(Connection, StateRow), IndexError> {
    let failed = |error| IndexError::sqlite(&paths.index, "opened", error);
    let connection = connect(&paths.index).map_err(failed)?;
    let state = get_state(&connection).map_err(|error| error.at(&paths.index, "opened"))?;
    let empty = || IndexError::Damaged { path: paths.index.clone(), what: "it has no state".to_owned() };
    Ok((connection, state.ok_or_else(empty)?))
}

impl Start<'_> {
    /// Chooses what the index is taken from: what gets furthest with the log, and rather the index as it is.
    fn choose(&mut self, main: Main, log: &Scan) -> Result<Base, IndexError> {
        let main = match main {
            Main::Sound(main) => Some(main),
            Main::Missing | Main::Damaged(_) => None,
        };
        // A sound index with which the log reaches everything that was ever answered needs no backup.
        let whole = |state: &StateRow| {
            let reached =
                if log.generation() == Some(state.generation) { log.reach(state.group) } else { state.group };
            let last = log.last().filter(|_| log.generation() == Some(state.generation));
            let answered =
                self.mark.filter(|mark| mark.generation == state.generation).map(|mark| mark.group);
            let nothing_tells = last.is_none() && answered.is_none() && !state.clean;
            !nothing_tells && last.into_iter().chain(answered).all(|group| group <= reached)
        };
        if main.as_ref().is_some_and(|main| whole(&main.1)) {
            return Ok(main.map_or(Base::Nothing, Base::Main));
        }
        let backup = self.look_at_backup()?;
        Ok(match (main, backup) {
            (Some(main), Some(backup)) if log.reach(backup.group) > log.reach(main.1.group) => {
                drop(main);
                Base::Backup(backup)
            }
            (Some(main), _) => Base::Main(main),
            // A log that begins with the first group is everything; a backup that it does not go on from would be less.
            (None, Some(backup)) if log.reach(backup.group) >= log.reach(0) => Base::Backup(backup),
            (None, _) => Base::Nothing,
        })
    }

    fn look_at_backup(&mut self) -> Result<Option<StateRow>, IndexError> {
        let paths = self.paths;
        if !disk::is_there(&paths.backup)? {
            return Ok(None);
        }
        let checked = match readers::connect(&paths.backup) {
            Ok(connection) => check::check(&connection, &paths.backup)?,
            Err(error) if check::is_damage(&error) => Checked::Damaged(error.to_string()),
            Err(error) => return Err(IndexError::sqlite(&paths.backup, "opened", error)),
        };
        let what = match checked {
            Checked::Sound(Some(state)) => return Ok(Some(state)),
            Checked::Sound(None) => "it is empty".to_owned(),
            Checked::Damaged(what) => what,
        };
        let files = Paths::with_wal(&paths.backup);
        let moved = self.set_aside.take("backup", files.iter().map(AsRef::as_ref))?;
        self.found.push(Finding::BackupDamaged { what, set_aside: moved });
        Ok(None)
    }

    /// Goes on with the log, or begins another where it is not what the index needs.
    fn go_on(&mut self, state: &StateRow, log: &Scan) -> Result<Log, IndexError> {
        let (paths, steps) = (self.paths, self.steps);
        let most = self.settings.log_file.get();
        let begin = |ordinal, closed| {
            Log::begin(&paths.log, state.generation, ordinal, state.group + 1, closed, most)
        };
        // Nothing was ever written, nor a file of the log finished.
        if state.group == 0 && log.closed().is_empty() {
            return begin(log.next_ordinal(), Vec::new());
        }
        let own = log.generation() == Some(state.generation);
        let last = log.last().or_else(|| log.first_to_come().map(|first| first.saturating_sub(1)));
        if own && log.damage().is_none() && last == Some(state.group) {
            if let Some(bytes) = log.torn() {
                self.found.push(Finding::TornTail { bytes: Bytes::new(bytes) });
            }
            return match log.resumed() {
                Some((last, closed)) => Log::resume(&paths.log, state.generation, last, closed, most),
                None => begin(log.next_ordinal(), log.closed()),
            };
        }
        // The backup holds everything that the log could bring: only now may it go.
        let at = |error| IndexError::io(&paths.log, "moved away", error);
        keeper::back_up(paths, steps)?;
        steps.at(Step::SetAside).map_err(at)?;
        if log.is_empty() {
            self.found.push(Finding::LogMissing);
        } else {
            let moved = self.set_aside.take("log", log.paths())?;
            let damage = log.damage().or_else(|| (!own).then(|| "it belongs to another journal".to_owned()));
            let groups = state.group.saturating_sub(last.unwrap_or(0));
            let answered = self
                .mark
                .is_some_and(|mark| mark.generation == state.generation && mark.group > last.unwrap_or(0));
            self.found.push(match damage {
                // After a loss the generation is another, and nothing has to be wrong with the log itself.
                _ if state.loss.is_some() && !own => Finding::LogReplaced { set_aside: moved },
                Some(what) => Finding::LogDamaged { what, set_aside: moved },
                None => Finding::LogShort { groups, answered, set_aside: moved },
            });
        }
        begin(log.next_ordinal(), Vec::new())
    }
}

/// Whether accepted slots or events are gone, or may be, with this base and log.
fn missing(
    base: &Base,
    sound: Option<&StateRow>,
    log: &Scan,
    mark: Option<Mark>,
    fresh: bool,
) -> Option<Missing> {
    let (group, generation) = match base {
        Base::Main(main) => (main.1.group, Some(main.1.generation)),
        Base::Backup(state) => (state.group, Some(state.generation)),
        Base::Nothing => (0, log.generation()),
    };
    let same_log = generation == log.generation();
    let reached = if same_log { log.reach(group) } else { group };
    let mark = mark.filter(|mark| Some(mark.generation) == generation);
    let broken = log.is_empty() || !same_log || log.damage().is_some();
    let closed = sound.is_some_and(|state| state.clean);
    let lost = match mark {
        _ if fresh => false,
        // The log goes on behind a hole.
        _ if same_log && log.last().is_some_and(|last| last > reached) => true,
        Some(mark) => mark.group > reached,
        // Without the mark a broken log tells nothing of what was in it; only an index that was closed is the whole.
        None => broken && !(closed && matches!(base, Base::Main(_))),
    };
    lost.then_some(Missing { after: reached, found_at: clock::unix_time() })
}

/// Writes into the main file itself that the index is in use: if nothing else is left, that is known.
fn in_use(connection: &Connection, state: &mut StateRow, paths: &Paths) -> Result<(), IndexError> {
    state.clean = false;
    put_state(connection, state).map_err(|error| error.at(&paths.index, "written"))?;
    let failed = |error| IndexError::sqlite(&paths.index, "written", error);
    checkpoint(connection, "TRUNCATE").map(drop).map_err(failed)
}
