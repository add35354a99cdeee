//! The thread that writes: it takes what has been called, decides, commits it as one group to index and log, and answers.
//!
//! A group is whatever has come while the one before was being written, so that many callers share one sync. Owns the
//! writing connection, the log and the order of everything. Never waits for a caller.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::common::Common;
use super::decide::{Later, Urgent};
use super::disk::Paths;
use super::future::Answer;
use super::keeper::Errand;
use super::log::Log;
use super::log::sync::SyncThread;
use super::mark::MarkFile;
use super::records::UnixTime;
use super::rows::{StateRow, put_state};
use super::steps::Steps;
use super::{IndexError, IndexSettings, read};
use crate::clock;

mod group;

use group::Owed;

/// A group has at most so many changes: what 64 callers and their events bring in one sync is far below.
const MOST_CHANGES: usize = 1024;
/// Changes that nobody waits for and that could not be written: so many are kept for when there is room again.
const MOST_WAITING: usize = 20_000;
/// How long to wait before those are tried again, when nothing else comes.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// After so many bytes of log, or groups, the keeper is asked to bring the WAL into the main file.
const CHECKPOINT_BYTES: usize = 2 << 20;
const CHECKPOINT_GROUPS: u32 = 500;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Call {
    Urgent(Urgent),
    Later(Later),
    /// A backup is durable that holds everything up to this group.
    BackedUp {
        group: u64,
    },
    /// The keeper could not bring all of the WAL in while commits went on; do it between two of them.
    Checkpoint,
    /// Events older than this may go.
    Tidy {
        before: UnixTime,
    },
    /// Write what has come, and end; with a backup where somebody waits for it.
    Close(Option<Answer>),
}

/// A change that is to be made.
#[derive(Debug)]
enum Work {
    Urgent(Urgent),
    Later(Later),
}

/// Everything the thread works with.
pub(super) struct Writer {
    pub paths: Paths,
    pub settings: IndexSettings,
    pub connection: Connection,
    pub state: StateRow,
    pub log: Log,
    pub sync: SyncThread,
    pub mark: MarkFile,
    pub common: Arc<Common>,
    pub keeper: Sender<Errand>,
    pub steps: Steps,
}

/// The thread's own.
struct Running {
    it: Writer,
    /// In the order of the calls.
    queue: VecDeque<Work>,
    /// How many of them somebody waits for.
    urgent: usize,
    owed: Option<Owed>,
    /// The disk did not take the last group: it is tried until it takes one, whether or not somebody calls.
    failing: bool,
    /// Bytes and groups since the last checkpoint was asked for.
    unsaved: (usize, u32),
}

impl Writer {
    /// Until somebody closes the index.
    pub(super) fn run(self, calls: &Receiver<Call>) {
        let (queue, owed, unsaved) = (VecDeque::new(), None, (0, 0));
        let running = Running { it: self, queue, urgent: 0, owed, failing: false, unsaved };
        running.run(calls);
    }
}

impl Running {
    fn run(mut self, calls: &Receiver<Call>) {
        // When what nobody waits for has to be written.
        let mut due: Option<Instant> = None;
        let answer = 'closed: loop {
            let call = match due {
                None => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => calls.recv_timeout(due.saturating_duration_since(clock::now())),
            };
            match call {
                Ok(call) => {
                    let mut next = Some(call);
                    // What has come meanwhile goes into the same group.
                    for _ in 0..MOST_CHANGES {
                        let Some(call) = next.take().or_else(|| calls.try_recv().ok()) else { break };
                        if let Some(answer) = self.take(call) {
                            break 'closed answer;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            let overdue = due.is_some_and(|due| due <= clock::now());
            if self.urgent > 0 || overdue || self.queue.len() >= MOST_CHANGES {
                let wrote = self.write();
                due = if self.queue.is_empty() && !self.failing {
                    None
                } else {
                    clock::now().checked_add(if wrote { self.it.settings.event_delay } else { RETRY_AFTER })
                };
            } else if due.is_none() && !self.queue.is_empty() {
                due = clock::now().checked_add(self.it.settings.event_delay);
            }
        };
        self.end(answer, calls);
    }

    /// Takes a call; something where it is the last.
    fn take(&mut self, call: Call) -> Option<Option<Answer>> {
        match call {
            Call::Urgent(call) => {
                self.urgent += 1;
                self.queue.push_back(Work::Urgent(call));
            }
            Call::Later(call) => {
                self.queue.push_back(Work::Later(call));
                self.bound();
            }
            Call::BackedUp { group } => self.backed_up(group),
            Call::Checkpoint => self.checkpoint(),
            Call::Tidy { before } => self.tidy(before),
            Call::Close(answer) => return Some(answer),
        }
        None
    }

    /// Gives up the oldest changes that nobody waits for, where there are too many of them.
    fn bound(&mut self) {
        while self.queue.len().saturating_sub(self.urgent) > MOST_WAITING {
            let Some(oldest) = self.queue.iter().position(|work| matches!(work, Work::Later(_))) else {
                return;
            };
            self.queue.remove(oldest);
            self.it.common.health.lock().dropped += 1;
        }
    }

    /// Writes all of the queue, in as many groups as that needs; whether all of it was written.
    fn write(&mut self) -> bool {
        let mut all = true;
        while !self.queue.is_empty() || self.failing {
            match self.group() {
                Ok(()) => self.failing = false,
                Err(error) if error.is_storage() => {
                    self.failing = true;
                    self.refuse(&error);
                    return false;
                }
                Err(_) => (all, self.failing) = (false, false),
            }
        }
        all
    }

    /// Whoever waits behind a group that the disk did not take learns of it now; what nobody waits for can wait longer.
    fn refuse(&mut self, error: &IndexError) {
        self.urgent = 0;
        for work in std::mem::take(&mut self.queue) {
            match work {
                Work::Urgent(call) => call.refuse()(Err(error.clone())),
                Work::Later(_) => self.queue.push_back(work),
            }
        }
    }

    /// Has the WAL brought into the main file now and then, by the keeper, beside the next commits.
    fn save(&mut self, bytes: usize) {
        self.unsaved.0 += bytes;
        self.unsaved.1 += 1;
        if self.unsaved.0 >= CHECKPOINT_BYTES || self.unsaved.1 >= CHECKPOINT_GROUPS {
            self.unsaved = (0, 0);
            let _ = self.it.keeper.send(Errand::Checkpoint);
        }
    }

    /// Has events beyond the number that is kept removed with a later group.
    fn prune(&mut self) {
        // A hundredth more than asked for, so that they go in handfuls.
        let kept = self.it.settings.events_kept;
        if self.it.state.events() > kept.saturating_add(kept / 100) {
            let through = self.it.state.sequence.saturating_sub(kept);
            self.queue.push_back(Work::Later(Later::PruneEvents { through }));
        }
    }

    fn tidy(&mut self, before: UnixTime) {
        match read::last_event_before(&self.it.connection, before) {
            Ok(Some(through)) => self.queue.push_back(Work::Later(Later::PruneEvents { through })),
            Ok(None) => {}
            Err(error) => {
                let error = error.at(&self.it.paths.index, "read");
                self.it.common.health.lock().error = Some(error.to_string());
            }
        }
    }

    fn backed_up(&mut self, group: u64) {
        // Not while the log lacks what the index holds.
        if self.owed.is_none()
            && let Err(error) = self.it.log.prune(group, self.it.state.group + 1)
        {
            self.it.common.health.lock().backup_error = Some(error.to_string());
        }
    }

    fn checkpoint(&self) {
        // Readers that are in the way make it wait for the next time.
        let _ = checkpoint(&self.it.connection, "RESTART");
    }

    fn end(mut self, answer: Option<Answer>, calls: &Receiver<Call>) {
        self.it.common.close();
        // What was called meanwhile is the last.
        let mut others = Vec::new();
        while let Ok(call) = calls.try_recv() {
            others.extend(self.take(call).flatten());
        }
        let mut outcome = Ok(());
        if !self.write() || self.owed.is_some() {
            let path = self.it.paths.index.clone();
            let what = self.it.common.health.lock().error.clone().unwrap_or_default();
            outcome = Err(IndexError::io(&path, "closed", std::io::Error::other(what)));
        }
        // The keeper lets go of its connection, so that the WAL can be emptied.
        let (done, last) = sync_channel(1);
        if self.it.keeper.send(Errand::Last { backup: answer.is_some(), done }).is_ok() {
            match last.recv() {
                Ok(Ok(Some(group))) => self.backed_up(group),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => outcome = outcome.and(Err(error)),
            }
        }
        if self.owed.is_none() && self.queue.is_empty() {
            outcome = outcome.and(self.leave_clean());
        }
        drop(self);
        for answer in answer.into_iter().chain(others) {
            answer.send(outcome.clone());
        }
    }

    /// Says in the main file itself that everything is in it.
    fn leave_clean(&mut self) -> Result<(), IndexError> {
        let Writer { connection, state, paths, .. } = &mut self.it;
        state.clean = true;
        put_state(connection, state).map_err(|error| error.at(&paths.index, "closed"))?;
        let emptied = checkpoint(connection, "TRUNCATE");
        emptied.map(drop).map_err(|error| IndexError::sqlite(&paths.index, "closed", error))
    }
}

/// Brings the WAL into the main file: how many pages it has, and how many of them are in.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))
}
