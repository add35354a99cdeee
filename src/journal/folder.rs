//! One slot's folder: the artifacts at the top, the records that they are whole in `journal/`.
//!
//! A stage is done when its record is there, and the record is written after everything that it names; all of it is
//! written aside, synced and renamed. Whatever ends the process, and wherever, the folder opens again with every finished
//! stage and nothing else. Keyed by recipe and bundle: another key is another rendering, and takes the folder over.
//! Owns the order of the folder's writes; `blocking` does them.
//!
//! ```text
//! recipe.json  audio.wav  actor.png  keyframes/NNNNN.png  video.mp4  result.json
//! journal/{accepted,audio,image,video,verify,package,end}.json  journal/lock  journal/partial/
//! ```

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::folders::TakenUp;
use super::{
    Accepted, AnyError, Artifact, JournalError, JournalFuture, Misuse, OpenSlot, StageOutput, Terminal,
};
use crate::types::{Deadline, Sha256, SlotId, Stage, TraceParent};

mod blocking;
mod disk;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keep;
mod layout;
mod load;
mod lock;
mod record;
mod share;
mod state;
mod wall_clock;

#[cfg(test)]
pub(super) mod tests;

pub(super) use record::VERSION;
pub use state::{FolderState, Key};

use blocking::Inner;

/// What a folder says of its slot, for an index that has lost it.
#[derive(Debug)]
pub(crate) struct FolderTold {
    /// The slot.
    pub(crate) slot: SlotId,
    /// The recipe's bytes as they came.
    pub(crate) recipe: Arc<[u8]>,
    /// What it is rendered from.
    pub(crate) key: Key,
    /// Since the Unix epoch.
    pub(crate) accepted_at: Duration,
    /// Likewise; far ahead where the recipe names none.
    pub(crate) deadline: Duration,
    /// The trace that it belongs to.
    pub(crate) traceparent: Option<TraceParent>,
    /// Its end and its artifacts, where it has ended.
    pub(crate) end: Option<(Terminal, Vec<Artifact>)>,
}

/// Resolves with the file of a video once it is complete, or with why it never will be.
type Encoding = Pin<Box<dyn Future<Output = Result<PathBuf, AnyError>> + Send>>;

/// The folder of one slot, locked against other processes and slots for as long as it lives.
///
/// Writes return at once and are done by tasks of their own, in the order of the calls; folders never wait for each other.
pub struct SlotFolder {
    inner: Arc<Inner>,
    /// Resolves when the write before the next one is done.
    tail: Mutex<Option<oneshot::Receiver<()>>>,
    /// The latest attempt's video.
    encoding: Mutex<Option<Encoding>>,
    videos_begun: AtomicU64,
}

impl std::fmt::Debug for SlotFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotFolder")
            .field("slot", &self.slot())
            .field("dir", &self.dir())
            .finish_non_exhaustive()
    }
}

impl SlotFolder {
    /// Opens `dir` for `slot`, or makes it; finished stages are checked, damaged ones undone, unfinished files swept away.
    ///
    /// Refuses folders of others: only an empty folder and a slot's are written to. Blocks on the disk.
    pub(super) fn open(dir: &Path, slot: SlotId, key: Key) -> Result<(Self, FolderState), JournalError> {
        let (inner, standing) = Inner::open(dir, slot, key)?;
        Ok((Self::of(inner), standing))
    }

    /// Opens `dir` where it holds `slot`, accepted and not ended, to be rendered with `bundle` from now on; `None` where it
    /// holds no slot, or one that has ended. Blocks on the disk.
    pub(super) fn resume(
        dir: &Path,
        slot: SlotId,
        bundle: Sha256,
    ) -> Result<Option<(Self, FolderState)>, JournalError> {
        let resumed = Inner::resume(dir, slot, bundle)?;
        Ok(resumed.map(|(inner, standing)| (Self::of(inner), standing)))
    }

    /// Whether `dir` holds the record of `slot`'s end. Blocks on the disk.
    pub(super) fn holds_end(dir: &Path, slot: SlotId) -> Result<bool, JournalError> {
        blocking::holds_end(dir, slot)
    }

    fn of(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
            tail: Mutex::default(),
            encoding: Mutex::default(),
            videos_begun: AtomicU64::new(1),
        }
    }

    /// The slot that the folder is for.
    pub fn slot(&self) -> SlotId {
        self.inner.slot
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.inner.disk.root()
    }

    /// What the slot is rendered from.
    pub fn key(&self) -> Key {
        self.inner.key
    }

    /// How the slot stands, by what was written so far; touches no file.
    pub fn standing(&self) -> FolderState {
        self.inner.standing()
    }

    /// The recipe and the artifacts of finished stages, in the order of the stages.
    pub fn artifacts(&self) -> Vec<Artifact> {
        self.inner.artifacts()
    }

    /// Takes the end of a failed or cancelled slot away, so that [`Journal::open`](super::Journal::open) offers it again with
    /// what it has; where `deadline` is given, as accepted now with that deadline. Blocks on the disk.
    pub fn reopen(&self, deadline: Option<Deadline>) -> Result<FolderState, JournalError> {
        self.inner.reopen(deadline)
    }

    /// Where an attempt's encoder is to write: beside the folder's own files, swept away if nothing comes of it. Another
    /// file each time: an earlier attempt, on a card that was given up, may still be writing.
    pub fn partial_video(&self) -> PathBuf {
        let number = self.videos_begun.fetch_add(1, Ordering::Relaxed);
        self.inner.disk.path(&layout::partial_video(number))
    }

    /// An attempt at the video has begun: `closed` brings its file, which is kept with the video stage's output. What an
    /// earlier attempt was to bring is void.
    pub fn encoding(&self, closed: impl Future<Output = Result<PathBuf, AnyError>> + Send + 'static) {
        *self.encoding.lock() = Some(Box::pin(closed));
    }

    /// The slot comes in. [`Misuse::Open`] and [`Misuse::Ended`] where it did before.
    pub fn accept(&self, accepted: &Accepted) -> JournalFuture {
        let accepted = accepted.clone();
        self.later(None, move |inner, _| inner.accept(&accepted))
    }

    /// The same, now. Blocks on the disk.
    pub(super) fn accept_now(&self, accepted: &Accepted) -> Result<(), JournalError> {
        self.inner.accept(accepted)
    }

    /// What it holds of its slot, which was accepted. Blocks on the disk.
    pub(super) fn held(&self) -> Result<TakenUp, JournalError> {
        if let FolderState::Ended(terminal) = self.standing() {
            return Ok(TakenUp::Ended(terminal, self.artifacts()));
        }
        let open = self.inner.read()?;
        Ok(TakenUp::Open(open.map(|(_, slot)| slot.outputs).unwrap_or_default()))
    }

    /// The end of `slot` in `dir` and the artifacts of its finished stages, where it has ended. Touches nothing that is not
    /// whole. Blocks on the disk.
    pub(super) fn ended(dir: &Path, slot: SlotId) -> Result<Option<(Terminal, Vec<Artifact>)>, JournalError> {
        blocking::ended(dir, slot)
    }

    /// What `dir` says of `slot`, where its acceptance can be read. Blocks on the disk.
    pub(super) fn told(dir: &Path, slot: SlotId) -> Result<Option<FolderTold>, JournalError> {
        blocking::told(dir, slot)
    }

    /// A finished stage of `slot` in `dir`, for another node; see [`share`]. Needs no lock, and blocks on the disk.
    pub(super) fn packed(dir: &Path, slot: SlotId, stage: Stage) -> Result<Option<Vec<u8>>, JournalError> {
        share::pack(&disk::Disk::new(dir), slot, stage)
    }

    /// Takes in what another node has finished; answers with what is left out. Blocks on the disk.
    pub(super) fn take_in(
        &self,
        archives: &[(Stage, Vec<u8>)],
    ) -> Result<Vec<(Stage, String)>, JournalError> {
        self.inner.take_in(archives)
    }

    /// Keeps a stage's output; with an animation, the video that [`Self::encoding`] brings.
    pub fn stage_done(&self, output: &StageOutput) -> JournalFuture {
        let output = output.clone();
        let encoding = if matches!(output, StageOutput::Animation(_)) {
            let begun = self.encoding.lock().take();
            let Some(begun) = begun else {
                return JournalFuture::ready(Err(self.inner.misuse(Misuse::NoVideo)));
            };
            Some(begun)
        } else {
            None
        };
        self.later(encoding, move |inner, file| inner.stage_done(&output, file))
    }

    /// The slot ends; a second end changes nothing.
    pub fn terminal(&self, terminal: &Terminal) -> JournalFuture {
        let terminal = terminal.clone();
        self.later(None, move |inner, _| inner.terminal(&terminal))
    }

    /// The slot as the folder has it, after everything that was asked for before; `None` where it is not open.
    pub fn read(&self) -> JournalFuture<Option<OpenSlot>> {
        self.later(None, |inner, _| inner.read()).map_ok(|found| found.map(|(_, slot)| slot))
    }

    /// The same, with its acceptance in microseconds since the Unix epoch.
    pub(super) fn read_dated(&self) -> JournalFuture<Option<(u64, OpenSlot)>> {
        self.later(None, |inner, _| inner.read())
    }

    /// Resolves when everything that was asked for before is done. Every write is synced.
    pub fn settled(&self) -> JournalFuture {
        self.later(None, |_, _| Ok(()))
    }

    /// Takes away what opening made, where no slot was ever accepted and there was nothing before. Blocks on the disk.
    pub(super) fn clear_unused(&self) {
        self.inner.clear_unused();
    }

    /// Fails the file operation after so many more as a full disk does; none, below zero.
    #[cfg(test)]
    pub(super) fn fill_at(&self, step: i64) {
        self.inner.disk.fuse.fill_at(step);
    }

    /// Has `work` done off the async threads, after all that was asked for before; with the video's file, if it needs one.
    fn later<T: Send + 'static>(
        &self,
        encoding: Option<Encoding>,
        work: impl FnOnce(&Inner, Option<&Path>) -> Result<T, JournalError> + Send + 'static,
    ) -> JournalFuture<T> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return JournalFuture::ready(Err(self.inner.misuse(Misuse::NoRuntime)));
        };
        let (done, tail) = oneshot::channel();
        let before = self.tail.lock().replace(tail);
        let (inner, dir) = (Arc::clone(&self.inner), self.dir().to_owned());
        let stopped = move |source| JournalError::Stopped { dir, source };
        let stopped_early = stopped.clone();
        let writing = runtime.spawn(async move {
            if let Some(before) = before {
                // An end without a word is an end too.
                let _ = before.await;
            }
            let file =
                match encoding {
                    Some(encoding) => Some(encoding.await.map_err(|source| JournalError::Video {
                        dir: inner.disk.root().to_owned(),
                        source,
                    })?),
                    None => None,
                };
            let written = tokio::task::spawn_blocking(move || work(&inner, file.as_deref())).await;
            drop(done);
            written.unwrap_or_else(|error| Err(stopped(error)))
        });
        JournalFuture::going(async move { writing.await.unwrap_or_else(|error| Err(stopped_early(error))) })
    }
}
