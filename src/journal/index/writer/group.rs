//! One group commit: decided, made in a transaction, written to both, answered.

use super::super::change::{self, Numbered, Record};
use super::super::decide::{self, Later, Reply};
use super::super::log::frame;
use super::super::mark::Mark;
use super::super::rows::{RowError, put_state};
use super::super::steps::Step;
use super::super::tables::Tables;
use super::super::{IndexError, apply};
use super::{MOST_CHANGES, Running, Work, Writer};
use crate::clock;

/// A group has about so many bytes of recipes and events; see [`MOST_CHANGES`].
const MOST_BYTES: usize = 8 << 20;

/// A group that the index holds and the log does not: it has to come into the log before anything else.
pub(super) struct Owed {
    frame: Vec<u8>,
    events: Vec<Numbered>,
}

/// A group on its way.
#[derive(Default)]
pub(super) struct Group {
    payload: Vec<u8>,
    events: Vec<Numbered>,
    replies: Vec<Reply>,
    /// What nobody waits for: it is tried again where the group fails.
    later: Vec<Later>,
    taken: usize,
}

impl Running {
    /// One group: takes from the queue, commits, answers.
    pub(super) fn group(&mut self) -> Result<(), IndexError> {
        let before = self.it.state.clone();
        let mut group = Group::default();
        let wrote = self.collect(&mut group).and_then(|()| self.commit(&mut group));
        let Group { events, replies, later, .. } = group;
        match &wrote {
            Ok(()) => self.it.common.tell(&events),
            // The index has it, and it is told once the log has it too.
            Err(_) if self.owed.is_some() && self.it.state.group > before.group => {}
            Err(error) => {
                self.it.state = before;
                if error.is_storage() {
                    later.into_iter().rev().for_each(|call| self.queue.push_front(Work::Later(call)));
                    self.bound();
                } else {
                    // It would fail for ever.
                    self.it.common.health.lock().dropped += later.len() as u64;
                }
            }
        }
        self.it.common.health.lock().error = wrote.as_ref().err().map(ToString::to_string);
        self.it.common.publish(&self.it.state);
        for reply in replies {
            reply(wrote.clone());
        }
        wrote
    }

    /// Decides on what waits and makes its changes, in a transaction that stays open where all of it went well.
    fn collect(&mut self, group: &mut Group) -> Result<(), IndexError> {
        let mut outcome = self.prepare();
        let Writer { connection, state, paths, .. } = &mut self.it;
        let failed = |error: RowError| error.at(&paths.index, "written");
        if outcome.is_ok() {
            outcome =
                connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failed(RowError::Sqlite(error)));
        }
        let mut tables = Tables::new(connection, state);
        while group.taken < MOST_CHANGES && group.payload.len() < MOST_BYTES {
            let Some(work) = self.queue.pop_front() else { break };
            group.taken += 1;
            match work {
                Work::Later(call) => {
                    if outcome.is_ok() {
                        let decided = decide::later(&tables, &call);
                        outcome = decided
                            .and_then(|record| record.map_or(Ok(()), |record| group.add(&mut tables, record)))
                            .map_err(failed);
                    }
                    group.later.push(call);
                }
                Work::Urgent(mut call) => {
                    self.urgent = self.urgent.saturating_sub(1);
                    let decided = match &outcome {
                        Ok(()) => Some(decide::urgent(&tables, &mut call)),
                        // After an error everybody in the group only learns of it.
                        Err(_) => None,
                    };
                    match decided {
                        Some(Ok((record, reply))) => {
                            group.replies.push(reply);
                            let added = record.map_or(Ok(()), |record| group.add(&mut tables, record));
                            outcome = added.map_err(failed);
                        }
                        Some(Err(error)) => {
                            outcome = Err(failed(error));
                            group.replies.push(call.refuse());
                        }
                        None => group.replies.push(call.refuse()),
                    }
                }
            }
        }
        if outcome.is_err() {
            self.roll_back();
        }
        outcome
    }

    /// What a failed group or sync has left is put right first.
    fn prepare(&mut self) -> Result<(), IndexError> {
        let Writer { state, log, mark, common, .. } = &mut self.it;
        if let Some(owed) = &self.owed {
            // The file whose sync failed may hold anything at its end; the group goes into a new one.
            log.rotate(state.group)?;
            log.append(&owed.frame)?;
            log.file().sync_all().map_err(|error| IndexError::io(log.path(), "synced", error))?;
            log.keep(&owed.frame, state.group);
            mark.set(Mark { generation: state.generation, group: state.group });
            common.tell(&owed.events);
            self.owed = None;
        }
        log.prepare(state.group + 1)
    }

    fn roll_back(&self) {
        if !self.it.connection.is_autocommit() {
            // It fails only where SQLite has rolled back by itself.
            let _ = self.it.connection.execute_batch("ROLLBACK");
        }
    }

    /// Has the open transaction and its frame made durable, side by side.
    fn commit(&mut self, group: &mut Group) -> Result<(), IndexError> {
        // After a failure even an empty group is written: only that shows whether the disk takes one again.
        if group.payload.is_empty() && !self.failing {
            // Nothing was changed: what was answered is as durable as it was.
            self.roll_back();
            return Ok(());
        }
        let began = clock::now();
        self.it.state.group += 1;
        self.it.state.at = self.it.common.clocks.lock().time();
        let frame = match self.written(&group.payload) {
            Ok(frame) => frame,
            Err(error) => {
                self.undo();
                return Err(error);
            }
        };
        let Writer { connection, paths, sync, log, steps, .. } = &self.it;
        let (synced, committed) = sync.sync(log.file(), || {
            steps.at(Step::Commit).map_err(|error| IndexError::io(&paths.index, "written", error))?;
            let committed = connection.execute_batch("COMMIT");
            committed.map_err(|error| IndexError::sqlite(&paths.index, "written", error))
        });
        if let Err(error) = committed {
            self.undo();
            return Err(error);
        }
        if let Err(error) = synced {
            let error = IndexError::io(self.it.log.path(), "synced", error);
            self.owed = Some(Owed { frame, events: std::mem::take(&mut group.events) });
            // The index holds it already: with the log in a new file, at once, all is well.
            return self.prepare().map_err(|_| error);
        }
        self.it.log.keep(&frame, self.it.state.group);
        self.it.common.committed(clock::now().saturating_duration_since(began));
        // Tests copy the folder here; nothing can fail any more.
        let _ = self.it.steps.at(Step::Durable);
        self.it.mark.set(Mark { generation: self.it.state.generation, group: self.it.state.group });
        let _ = self.it.steps.at(Step::Marked);
        self.save(frame.len());
        self.prune();
        Ok(())
    }

    /// Puts the state into the transaction and the frame into the log's file.
    fn written(&mut self, payload: &[u8]) -> Result<Vec<u8>, IndexError> {
        let Writer { connection, state, log, paths, steps, .. } = &mut self.it;
        put_state(connection, state).map_err(|error| error.at(&paths.index, "written"))?;
        let at = u64::try_from(state.at.as_micros()).unwrap_or(u64::MAX);
        let frame =
            frame::encode(log.generation(), state.group, at, payload).ok_or(IndexError::TooLarge {
                what: "a group of changes",
                bytes: payload.len(),
                most: frame::MAX_PAYLOAD,
            })?;
        let failed = |path: &std::path::Path, error| IndexError::io(path, "written", error);
        steps.at(Step::LogWrite).map_err(|error| failed(log.path(), error))?;
        log.append(&frame)?;
        steps.at(Step::Written).map_err(|error| failed(log.path(), error))?;
        Ok(frame)
    }

    /// Takes a group back that is in neither index nor log for good.
    fn undo(&mut self) {
        self.roll_back();
        // If this fails, it is tried again before the next group, and nothing is written before it succeeds.
        let _ = self.it.log.prepare(self.it.state.group);
    }
}

impl Group {
    /// Makes a record's change and takes it in.
    fn add(&mut self, tables: &mut Tables<'_>, record: Record) -> Result<(), RowError> {
        apply::apply(tables, &record)?;
        change::encode(&record, &mut self.payload)
            .map_err(|error| RowError::Damaged(format!("a change cannot be written: {error}")))?;
        self.events.extend(record.event);
        Ok(())
    }
}
