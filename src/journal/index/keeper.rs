//! The thread beside the writer: backups, bringing the WAL into the main file, and the age of events.
//!
//! What it does takes long and must hold up no commit. Owns a reading connection and the files in `backup/`.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::check::{self, Checked};
use super::common::Common;
use super::disk::{self, Paths};
use super::future::Answer;
use super::readers;
use super::rows::get_state;
use super::steps::{Step, Steps};
use super::writer::{Call, checkpoint};
use super::{IndexError, IndexSettings, set_aside};
use crate::clock;

/// How often old events are looked for: their age is in days.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// A WAL of so many pages (4 KiB each) that could not be brought in beside the commits is brought in between two.
const LONG_WAL: i64 = 8192;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Errand {
    /// Bring the WAL into the main file.
    Checkpoint,
    /// Make a backup.
    BackUp(Answer),
    /// Let go of everything, after a backup where one is wanted; says which group the backup holds.
    Last { backup: bool, done: SyncSender<Result<Option<u64>, IndexError>> },
}

pub(super) struct Keeper {
    pub paths: Paths,
    pub settings: IndexSettings,
    pub common: Arc<Common>,
    pub writer: Sender<Call>,
    pub steps: Steps,
}

impl Keeper {
    /// Until it is told its last errand, or nobody is there to tell it.
    pub(super) fn run(self, errands: &Receiver<Errand>) {
        let mut next_backup = clock::now().checked_add(self.settings.backup_every);
        let mut next_tidy = clock::now().checked_add(TIDY_EVERY);
        loop {
            let due = next_backup.into_iter().chain(next_tidy).min();
            let errand = match due {
                Some(due) => errands.recv_timeout(due.saturating_duration_since(clock::now())),
                None => errands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let passed = |due: Option<Instant>| due.is_some_and(|due| due <= clock::now());
            match errand {
                Ok(Errand::Checkpoint) => self.checkpoint(),
                Ok(Errand::BackUp(answer)) => {
                    answer.send(self.back_up().map(|group| self.tell(Call::BackedUp { group })));
                    next_backup = clock::now().checked_add(self.settings.backup_every);
                }
                Ok(Errand::Last { backup, done }) => {
                    let outcome = if backup { self.back_up().map(Some) } else { Ok(None) };
                    let _ = done.send(outcome);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if passed(next_backup) {
                // Why it failed is told by `health`.
                let _ = self.back_up().map(|group| self.tell(Call::BackedUp { group }));
                next_backup = clock::now().checked_add(self.settings.backup_every);
            }
            if passed(next_tidy) {
                let ages = self.common.clocks.lock().look();
                self.tell(Call::Tidy { before: ages.older_than(self.settings.events_kept_for) });
                set_aside::tidy(&self.paths, &self.settings, &ages);
                next_tidy = clock::now().checked_add(TIDY_EVERY);
            }
        }
    }

    fn tell(&self, call: Call) {
        // A writer that has ended needs nothing any more.
        let _ = self.writer.send(call);
    }

    fn checkpoint(&self) {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let done = Connection::open_with_flags(&self.paths.index, flags).and_then(|connection| {
            readers::set_up(&connection)?;
            checkpoint(&connection, "PASSIVE")
        });
        match done {
            Ok((pages, _)) if pages > LONG_WAL => self.tell(Call::Checkpoint),
            Ok(_) => {}
            // It is tried again after the next handful of commits.
            Err(error) => tracing::debug!(error = %error, "the index's WAL could not be brought in"),
        }
    }

    fn back_up(&self) -> Result<u64, IndexError> {
        let made = back_up(&self.paths, &self.steps);
        let mut health = self.common.health.lock();
        match &made {
            Ok(_) => {
                health.backed_up_at = Some(clock::unix_time());
                health.backup_error = None;
            }
            Err(error) => health.backup_error = Some(error.to_string()),
        }
        made
    }
}

/// Makes one snapshot, looks at all of it, and puts it in the place of the one before; answers which group it holds.
///
/// A damaged index is found here: its copy is damaged as well, and the backup that there was stays.
pub(super) fn back_up(paths: &Paths, steps: &Steps) -> Result<u64, IndexError> {
    let new = paths.backup_dir.join("index.sqlite3.new");
    let made = snapshot(&paths.index, &new).and_then(|group| {
        disk::sync_file(&new)?;
        let failed = |error| IndexError::io(&paths.backup, "written", error);
        steps.at(Step::Backup).map_err(failed)?;
        std::fs::rename(&new, &paths.backup).map_err(failed)?;
        disk::sync_folder(&paths.backup_dir);
        steps.at(Step::BackedUp).map_err(failed)?;
        Ok(group)
    });
    if made.is_err() {
        remove(&new);
    }
    made
}

fn snapshot(index: &Path, new: &Path) -> Result<u64, IndexError> {
    remove(new);
    let failed = |error| IndexError::sqlite(new, "written", error);
    let name = new.to_str().ok_or_else(|| {
        let error = std::io::Error::other("its name is not text in UTF-8, which SQLite needs");
        IndexError::io(new, "written", error)
    })?;
    let connection = readers::connect(index).map_err(|error| IndexError::sqlite(index, "read", error))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    drop(connection);
    let copy = readers::connect(new).map_err(failed)?;
    match check::check(&copy, new)? {
        Checked::Sound(Some(_)) => {}
        Checked::Sound(None) => {
            return Err(IndexError::Damaged { path: new.to_owned(), what: "it is empty".to_owned() });
        }
        Checked::Damaged(what) => return Err(IndexError::Damaged { path: index.to_owned(), what }),
    }
    let state = get_state(&copy).map_err(|error| error.at(new, "read"))?;
    Ok(state.map_or(0, |state| state.group))
}

fn remove(path: &Path) {
    for path in Paths::with_wal(path) {
        // What cannot be removed is complained about when it is written.
        let _ = std::fs::remove_file(path);
    }
}
