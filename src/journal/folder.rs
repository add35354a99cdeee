//! A journal whose medium is one slot's folder: the artifacts at the top, the records that they are whole in `journal/`.
//!
//! A stage is done when its record is there, and the record is written after everything that it names; all of it is
//! written aside, synced and renamed. Whatever ends the process, and wherever, the folder opens again with every finished
//! stage and nothing else. Keyed by recipe and bundle: another key is another rendering, and takes the folder over.
//!
//! ```text
//! recipe.json  audio.wav  actor.png  keyframes/NNNNN.png  video.mp4  result.json
//! journal/{accepted,audio,image,video,verify,package,end}.json  journal/lock  journal/partial/
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{
    Accepted, Artifact, Ending, Failure, Journal, JournalError, OpenSlot, Outputs, StageOutput, Terminal,
    Written,
};
use crate::clock;
use crate::types::{Deadline, SlotId, Stage};

mod disk;
mod keep;
mod layout;
mod load;
mod lock;
mod record;
mod standing;
mod wall;

#[cfg(test)]
mod tests;

pub use disk::DiskError;
pub use standing::{FolderError, Key, Standing};

use disk::Disk;
use load::{Contents, Held};
use lock::{Lock, NotLocked};
use record::AcceptedRecord;
use wall::{from_wall, to_wall};

/// Whoever encodes: hands over the file of the attempt that brought its frames.
pub trait Videos: Send + Sync + 'static {
    /// Resolves when the last attempt's file is complete, or fails with the reason; an attempt whose sink is gone fails.
    fn closed(&self, slot: SlotId) -> Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send>>;
}

/// The journal of one folder.
pub struct FolderJournal {
    inner: Arc<Inner>,
    videos: Arc<dyn Videos>,
    /// Resolves when the write before the next one is done.
    tail: Mutex<Option<oneshot::Receiver<()>>>,
    videos_begun: AtomicU64,
}

struct Inner {
    disk: Disk,
    key: Key,
    state: Mutex<State>,
    _lock: Lock,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Another rendering, or remains, to be cleared away by the next acceptance.
    occupied: bool,
    accepted: Option<AcceptedRecord>,
    ended: bool,
    artifacts: BTreeMap<Stage, Vec<Artifact>>,
}

impl std::fmt::Debug for FolderJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderJournal").field("dir", &self.dir()).finish_non_exhaustive()
    }
}

impl FolderJournal {
    /// Opens `dir`, or makes it; finished stages are checked, damaged ones undone, unfinished files swept away.
    ///
    /// Refuses folders of others: only an empty folder and a slot's are written to.
    pub fn open(dir: &Path, key: Key, videos: Arc<dyn Videos>) -> Result<(Arc<Self>, Standing), FolderError> {
        let disk = Disk::new(dir);
        if dir.exists() && !dir.is_dir() {
            return Err(FolderError::NotAFolder(dir.to_owned()));
        }
        if let Some(found) = foreign(&disk)? {
            return Err(FolderError::Foreign { dir: dir.to_owned(), found });
        }
        disk.folder(disk::PARTIAL)?;
        let lock = lock::lock(&disk.path(layout::LOCK)).map_err(|error| match error {
            NotLocked::Held(pid) => FolderError::Busy { dir: dir.to_owned(), pid },
            NotLocked::Failed(source) => {
                DiskError { path: disk.path(layout::LOCK), doing: "written", source }.into()
            }
        })?;
        disk.sweep()?;
        let inner = Inner { disk, key, state: Mutex::default(), _lock: lock };
        let standing = inner.load()?;
        let (tail, videos_begun) = (Mutex::default(), AtomicU64::new(1));
        Ok((Arc::new(Self { inner: Arc::new(inner), videos, tail, videos_begun }), standing))
    }

    /// Takes the end of a failed or cancelled slot away, so that [`Journal::open`] offers it again with what it has; where
    /// `deadline` is given, as accepted now with that deadline. Before the tree starts.
    pub fn reopen(&self, deadline: Option<Deadline>) -> Result<Standing, FolderError> {
        let disk = &self.inner.disk;
        if let Ok(record::Found::Record(end)) = record::read::<Terminal>(disk, layout::END) {
            let ending = match end.ending {
                Ending::Completed { .. } => Some("completed"),
                Ending::Failed { cause: Failure::Rejected, .. } => Some("rejected"),
                Ending::Failed { .. } | Ending::Cancelled { .. } => None,
            };
            if let Some(ending) = ending {
                return Err(FolderError::Final { dir: disk.root().to_owned(), ending });
            }
        }
        let accepted = self.inner.state().accepted.clone();
        if let (Some(mut accepted), Some(deadline)) = (accepted, deadline) {
            accepted.at = to_wall(clock::now());
            accepted.deadline = to_wall(deadline.instant());
            record::write(disk, layout::ACCEPTED, &accepted)?;
        }
        disk.remove(layout::END)?;
        self.inner.load()
    }

    /// Where an attempt's encoder is to write: beside the folder's own files, swept away if nothing comes of it. Another
    /// file each time: an earlier attempt, on a card that was given up, may still be writing.
    pub fn partial_video(&self) -> PathBuf {
        let number = self.videos_begun.fetch_add(1, Ordering::Relaxed);
        self.inner.disk.path(&layout::partial_video(number))
    }

    /// The recipe and the artifacts of finished stages, in the order of the stages.
    pub fn artifacts(&self) -> Vec<Artifact> {
        let state = self.inner.state();
        let recipe = state.accepted.as_ref().map(|accepted| accepted.file.clone());
        recipe.into_iter().chain(state.artifacts.values().flatten().cloned()).collect()
    }

    /// The slot that the folder holds, if one was accepted.
    pub fn slot(&self) -> Option<SlotId> {
        self.inner.state().accepted.as_ref().map(|accepted| accepted.slot)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.inner.disk.root()
    }

    /// Has `work` done off the async threads, after all that was asked before; with the video's file, if it needs one.
    fn later<T: Send + 'static>(
        &self,
        video: Option<SlotId>,
        work: impl FnOnce(&Inner, Option<&Path>) -> Result<T, JournalError> + Send + 'static,
    ) -> Written<T> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Written::Now(Err(JournalError("a slot folder is written inside a tokio runtime".into())));
        };
        let (done, tail) = oneshot::channel();
        let before = self.tail.lock().unwrap_or_else(PoisonError::into_inner).replace(tail);
        let closed = video.map(|slot| self.videos.closed(slot));
        let inner = self.inner.clone();
        let writing = runtime.spawn(async move {
            if let Some(before) = before {
                // An end without a word is an end too.
                let _ = before.await;
            }
            let file = match closed {
                Some(closed) => Some(
                    closed
                        .await
                        .map_err(|error| JournalError(format!("the video was not encoded: {error}")))?,
                ),
                None => None,
            };
            let written = tokio::task::spawn_blocking(move || work(&inner, file.as_deref())).await;
            drop(done);
            written.unwrap_or_else(|error| Err(JournalError(format!("writing the slot folder: {error}"))))
        });
        Written::Later(Box::pin(async move {
            writing
                .await
                .unwrap_or_else(|error| Err(JournalError(format!("writing the slot folder: {error}"))))
        }))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Replaced whole or in single fields that hold by themselves, so a panic elsewhere leaves it readable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the folder into the state.
    fn load(&self) -> Result<Standing, FolderError> {
        let (state, standing) = match load::load(&self.disk, &self.key)? {
            Contents::Nothing => (State::default(), Standing::New),
            Contents::Other(why) => {
                (State { occupied: true, ..State::default() }, Standing::Replaced { why })
            }
            Contents::Ours(held) => {
                let Held { accepted, outputs, artifacts, damaged, end } = *held;
                let done = Stage::ALL.into_iter().filter(|stage| outputs.has(*stage)).collect();
                let state =
                    State { occupied: false, accepted: Some(accepted), ended: end.is_some(), artifacts };
                (state, end.map_or(Standing::Resumable { done, damaged }, Standing::Ended))
            }
        };
        *self.state() = state;
        Ok(standing)
    }

    fn accept(&self, accepted: &Accepted) -> Result<(), JournalError> {
        let state = self.state().clone();
        if let Some(there) = &state.accepted {
            let (slot, how) = (there.slot, if state.ended { "has ended" } else { "is open" });
            return Err(JournalError(format!("slot {slot} {how} in {} already", self.disk.root().display())));
        }
        let text = String::from_utf8(accepted.recipe.to_vec())
            .map_err(|error| JournalError(format!("the recipe is not text in UTF-8: {error}")))?;
        let write = || {
            if state.occupied {
                self.clear()?;
            }
            let record = AcceptedRecord {
                slot: accepted.slot,
                recipe_sha256: self.key.recipe,
                bundle_sha256: self.key.bundle,
                at: to_wall(accepted.at),
                deadline: to_wall(accepted.deadline.instant()),
                file: self.disk.write(layout::RECIPE, text.as_bytes())?,
                text,
            };
            record::write(&self.disk, layout::ACCEPTED, &record)?;
            Ok(record)
        };
        let record = write().map_err(|error: DiskError| JournalError(error.to_string()))?;
        *self.state() = State { accepted: Some(record), ..State::default() };
        Ok(())
    }

    /// Takes another rendering away; its acceptance stays until this one's takes its place.
    fn clear(&self) -> Result<(), DiskError> {
        self.disk.remove(layout::RESULT)?;
        self.disk.remove(layout::END)?;
        Stage::ALL.into_iter().rev().try_for_each(|stage| load::tidy(&self.disk, stage))
    }

    fn stage_done(
        &self,
        slot: SlotId,
        output: &StageOutput,
        video: Option<&Path>,
    ) -> Result<(), JournalError> {
        self.expect_open(slot)?;
        let stage = output.stage();
        let kept = keep::keep(&self.disk, output, video);
        let mut state = self.state();
        for stage in layout::with_what_follows(stage) {
            state.artifacts.remove(stage);
        }
        state.artifacts.insert(stage, kept.map_err(|error| JournalError(error.to_string()))?);
        Ok(())
    }

    fn terminal(&self, terminal: &Terminal) -> Result<(), JournalError> {
        // Of no slot here, or the second end of this one: the first stays.
        if self.expect_open(terminal.slot).is_err() {
            return Ok(());
        }
        record::write(&self.disk, layout::END, terminal).map_err(|error| JournalError(error.to_string()))?;
        self.state().ended = true;
        Ok(())
    }

    fn open_slots(&self) -> Result<Vec<OpenSlot>, JournalError> {
        if self.state().accepted.is_none() {
            return Ok(Vec::new());
        }
        let contents = load::load(&self.disk, &self.key).map_err(|error| JournalError(error.to_string()))?;
        let Contents::Ours(held) = contents else { return Ok(Vec::new()) };
        let Held { accepted, outputs, artifacts, end, .. } = *held;
        let slot = open_slot(&accepted, outputs);
        *self.state() = State { occupied: false, accepted: Some(accepted), ended: end.is_some(), artifacts };
        Ok(if end.is_some() { Vec::new() } else { vec![slot] })
    }

    fn expect_open(&self, slot: SlotId) -> Result<(), JournalError> {
        let state = self.state();
        match &state.accepted {
            Some(accepted) if accepted.slot == slot && !state.ended => Ok(()),
            _ => Err(JournalError(format!("slot {slot} is not open in {}", self.disk.root().display()))),
        }
    }
}

impl Journal for FolderJournal {
    fn accept(&self, accepted: &Accepted) -> Written {
        let accepted = accepted.clone();
        self.later(None, move |inner, _| inner.accept(&accepted))
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> Written {
        let output = output.clone();
        let video = matches!(output, StageOutput::Animation(_)).then_some(slot);
        self.later(video, move |inner, file| inner.stage_done(slot, &output, file))
    }

    fn terminal(&self, terminal: &Terminal) -> Written {
        let terminal = terminal.clone();
        self.later(None, move |inner, _| inner.terminal(&terminal))
    }

    fn open(&self) -> Written<Vec<OpenSlot>> {
        self.later(None, |inner, _| inner.open_slots())
    }

    fn before_exit(&self) -> Written {
        // Every write is synced; this only comes after them.
        self.later(None, |_, _| Ok(()))
    }
}

/// What keeps the folder from being used: a file that no slot has, where none was ever accepted.
fn foreign(disk: &Disk) -> Result<Option<String>, DiskError> {
    if disk.path(layout::ACCEPTED).exists() || disk.path(layout::LOCK).exists() {
        return Ok(None);
    }
    let stray = disk.names("")?.into_iter().find(|name| name != layout::JOURNAL);
    // A process may have ended between making these and locking them.
    let inside = disk.names(layout::JOURNAL)?.into_iter().find(|name| name != "partial");
    let deeper = disk.names(disk::PARTIAL)?.into_iter().next();
    Ok(stray.or(inside.map(|name| format!("{}/{name}", layout::JOURNAL))).or(deeper))
}

fn open_slot(record: &AcceptedRecord, outputs: Outputs) -> OpenSlot {
    let accepted = Accepted {
        slot: record.slot,
        recipe: record.text.as_bytes().into(),
        deadline: Deadline::at(from_wall(record.deadline)),
        at: from_wall(record.at),
    };
    OpenSlot { accepted, outputs }
}
