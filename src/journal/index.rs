//! The index of a node's slots: the truth for acceptance, order, endings, events and the outbox.
//!
//! SQLite (WAL, `synchronous=FULL`) with one writer thread that commits in groups, and beside it a checksummed log that
//! holds the same changes, synced in parallel before anybody is answered. Either alone is enough to have everything back;
//! `start` compares and repairs them. Owns the files below the journal's folder; knows nothing of recipes, actors, HTTP.
//!
#![doc = include_str!("index/README.md")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::types::SlotId;

mod ages;
mod apply;
mod change;
mod check;
mod common;
mod data_folder;
mod decide;
mod deliveries;
mod disk;
mod error;
mod future;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod generation;
pub mod inspect;
mod keeper;
mod log;
mod mark;
mod read;
mod readers;
mod records;
mod report;
pub mod retention;
mod rows;
mod schema;
mod set_aside;
mod settings;
mod start;
mod steps;
mod tables;
mod writer;

#[cfg(any(test, fuzzing))]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use ages::Ages;
pub use data_folder::{DataFolder, FolderError};
pub use deliveries::{Delivery, DeliveryMark, Progress, Upload, UploadMark};
pub use error::IndexError;
pub use future::IndexFuture;
pub use generation::{Generation, ParseGenerationError};
pub use records::*;
pub use report::{Finding, StartReport};
pub use settings::{FolderSlot, FoldersHint, IndexHealth, IndexSettings, NoFolders, SlotFilter};

use common::Common;
use decide::{Later, Urgent};
use disk::Paths;
use future::Answer;
use keeper::{Errand, Keeper};
use log::sync::SyncThread;
use readers::Readers;
use steps::Steps;
use writer::{Call, Writer};

/// The index of slots. Clones share one writer.
#[derive(Clone, Debug)]
pub struct Index {
    shared: Arc<Shared>,
}

impl Index {
    /// Opens the index below `dir` (the data folder's `journal/`), which is made where there is none, and repairs what has
    /// to be. `folders` is asked where something was lost. Blocks: on a large or damaged index for seconds.
    ///
    /// The data folder must be [locked](DataFolder::lock) by this process.
    pub fn open(
        dir: &Path,
        settings: IndexSettings,
        folders: &dyn FoldersHint,
    ) -> Result<(Self, StartReport), IndexError> {
        Self::open_with(dir, settings, folders, Steps::default())
    }

    // Urgent writes: each is durable in both index and log when its future says so. They are carried out in the order of
    // the calls.

    /// A slot is to be accepted: it is new, known, another's, or expired.
    pub fn accept(&self, slot: NewSlot) -> IndexFuture<Acceptance> {
        match too_large("a recipe", slot.recipe.len()) {
            Some(error) => IndexFuture::ready(Err(error)),
            None => self.urgent(|answer| Urgent::Accept(Box::new(slot), answer)),
        }
    }

    /// Somebody wants the slot cancelled. `event` is told where this is the first time and the slot is open.
    pub fn cancel_requested(
        &self,
        slot: SlotId,
        at: UnixTime,
        event: Option<NewEvent>,
    ) -> IndexFuture<Cancellation> {
        self.urgent(|answer| Urgent::Cancel { slot, at, event, answer })
    }

    /// A slot ends; its first end counts. Its recipe's bytes go.
    pub fn end(&self, end: EndRecord) -> IndexFuture<EndOutcome> {
        if !end.state.is_final() {
            let error = IndexError::NotAnEnd { slot: end.slot, state: end.state };
            return IndexFuture::ready(Err(error));
        }
        let mut end = Box::new(end);
        // JSON has no other numbers.
        end.end.stage_seconds.values_mut().filter(|seconds| !seconds.is_finite()).for_each(|it| *it = 0.0);
        self.urgent(|answer| Urgent::End(end, answer))
    }

    /// What became of a delivery. A mark for one that is settled changes nothing, unless it is [`DeliveryMark::Again`].
    pub fn outbox_mark(&self, delivery: u64, mark: DeliveryMark) -> IndexFuture {
        self.urgent(|answer| Urgent::Outbox { id: delivery, mark, answer })
    }

    /// What became of a slot's upload. A mark for one that is settled changes nothing, unless it is [`UploadMark::Again`].
    pub fn store_mark(&self, slot: SlotId, mark: UploadMark, at: UnixTime) -> IndexFuture {
        self.urgent(|answer| Urgent::Upload { slot, at, mark, answer })
    }

    /// A slot that has ended becomes a tombstone; its deliveries go. After this its folder may be removed. Refused for open
    /// slots and for those with something pending. A tombstone stays as it is.
    pub fn expire(&self, slot: SlotId, at: UnixTime) -> IndexFuture {
        self.urgent(|answer| Urgent::Expire { slot, at, answer })
    }

    /// Tombstones of slots that expired before this moment go; answers how many.
    pub fn forget_tombstones(&self, before: UnixTime) -> IndexFuture<u64> {
        self.urgent(|answer| Urgent::ForgetTombstones { before, answer })
    }

    /// An operator knows that slots may have been lost. Nothing happens where none were.
    pub fn acknowledge_loss(&self) -> IndexFuture {
        self.urgent(Urgent::AcknowledgeLoss)
    }

    // Changes that are not urgent: committed with the next group, after `event_delay` at the latest. While nothing can be
    // written, so many wait in memory; beyond them the oldest are given up and counted in `health`.

    /// An event is kept under the next number, and told to listeners once it is.
    pub fn event(&self, event: NewEvent) {
        self.later(Later::Event(event));
    }

    /// A slot's first stage has begun in this process.
    pub fn begun(&self, slot: SlotId, at: UnixTime, device: &str) {
        self.later(Later::Begun { slot, at, device: device.to_owned() });
    }

    /// Another process has taken up an open slot: it is queued again, with one attempt more.
    pub fn taken_up(&self, slot: SlotId) {
        self.later(Later::TakenUp { slot });
    }

    /// Everything that was called before is written when this is; fails where it is not.
    pub fn flush(&self) -> IndexFuture {
        self.urgent(Urgent::Flush)
    }

    // Events.

    /// Kept events from now on, each once it is durable, in the order of their numbers; and those of
    /// [`transient`](Self::transient) in between.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<KeptEvent>> {
        self.shared.common.subscribe()
    }

    /// Tells listeners of an event that is not kept (progress, samples of memory).
    pub fn transient(&self, event: NewEvent) {
        self.shared.common.tell_only(event);
    }

    /// The life of this journal: the first part of event ids.
    pub fn generation(&self) -> Generation {
        self.shared.common.generation
    }

    /// The number of the newest event that was told; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.shared.common.sequence()
    }

    /// That slots may have been lost, until it is acknowledged.
    pub fn loss(&self) -> Option<Loss> {
        self.shared.common.loss()
    }

    /// How it is doing.
    pub fn health(&self) -> IndexHealth {
        self.shared.common.health.lock().clone()
    }

    /// `hear` is told how long each group commit takes from now on, on the thread that writes: it must not block. The first
    /// call counts.
    pub fn on_commit(&self, hear: impl Fn(Duration) + Send + Sync + 'static) {
        self.shared.common.on_commit(Box::new(hear));
    }

    // Reads: each blocks on a connection of its own, on the state after some commit; what was answered before is in it.

    /// A slot, or its tombstone.
    pub fn slot(&self, slot: SlotId) -> Result<Option<Found>, IndexError> {
        self.read(|connection| read::find(connection, slot))
    }

    /// The recipe of an open slot; none once it has ended.
    pub fn recipe(&self, slot: SlotId) -> Result<Option<Arc<[u8]>>, IndexError> {
        self.read(|connection| read::recipe(connection, slot))
    }

    /// Slots, newest first. The next page is asked for with the last one's `order` as `before`.
    pub fn list(&self, filter: &SlotFilter) -> Result<Vec<SlotRow>, IndexError> {
        self.read(|connection| read::list(connection, filter))
    }

    /// Every open slot with its recipe, in the order of acceptance.
    pub fn open_slots(&self) -> Result<Vec<OpenRow>, IndexError> {
        self.read(read::open_slots)
    }

    /// How many queued slots were accepted before this one.
    pub fn position(&self, order: u64) -> Result<u64, IndexError> {
        self.read(|connection| read::position(connection, order))
    }

    /// At most `limit` kept events after `cursor` (from the oldest where there is none), of one slot or of all.
    pub fn events_after(
        &self,
        cursor: Option<EventCursor>,
        slot: Option<SlotId>,
        limit: usize,
    ) -> Result<EventPage, IndexError> {
        let generation = self.generation();
        self.read(|connection| read::events_after(connection, generation, cursor, slot, limit))
    }

    /// Deliveries to be made at `now`, those due longest first. Of one slot only the earliest that is pending is ever due.
    pub fn outbox_due(&self, now: UnixTime, limit: usize) -> Result<Vec<Delivery>, IndexError> {
        let pause = self.shared.settings.longest_pause;
        self.read(|connection| read::outbox_due(connection, now, pause, limit))
    }

    /// Deliveries in `state` (all where none is named) with a number above `after`, in the order of their numbers.
    pub fn outbox(
        &self,
        state: Option<Progress>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, IndexError> {
        self.read(|connection| read::outbox(connection, state, after, limit))
    }

    /// The newest deliveries, newest first, at most `limit`; of one state where it is named.
    pub fn outbox_newest(&self, state: Option<Progress>, limit: usize) -> Result<Vec<Delivery>, IndexError> {
        self.read(|connection| read::outbox_newest(connection, state, limit))
    }

    /// The deliveries of one slot, in order.
    pub fn outbox_of(&self, slot: SlotId) -> Result<Vec<Delivery>, IndexError> {
        self.read(|connection| read::outbox_of(connection, slot))
    }

    /// How many deliveries are pending.
    pub fn deliveries_pending(&self) -> Result<u64, IndexError> {
        self.read(read::deliveries_pending)
    }

    /// Slots whose upload is due at `now`, those due longest first.
    pub fn store_due(&self, now: UnixTime, limit: usize) -> Result<Vec<SlotRow>, IndexError> {
        let pause = self.shared.settings.longest_pause;
        self.read(|connection| read::store_due(connection, now, pause, limit))
    }

    /// How many uploads are pending, and the earliest moment since when.
    pub fn uploads_pending(&self) -> Result<(u64, Option<UnixTime>), IndexError> {
        self.read(read::uploads_pending)
    }

    /// How many uploads are pending.
    pub fn uploads_waiting(&self) -> Result<u64, IndexError> {
        self.read(read::uploads_waiting)
    }

    /// How many there are of everything.
    pub fn counts(&self) -> Result<Counts, IndexError> {
        self.read(read::counts)
    }

    /// Every slot that has ended, in the order of acceptance: what [`retention::due`] chooses from.
    pub fn expirable(&self) -> Result<Vec<retention::EndedSlot>, IndexError> {
        self.read(read::expirable)
    }

    /// How old what was written is, now: by the wall clock, and not by its jumps. Blocks for a moment.
    pub fn ages(&self) -> Ages {
        self.shared.common.clocks.lock().look()
    }

    // The end.

    /// Makes a backup now.
    pub fn back_up(&self) -> IndexFuture {
        let (answer, future) = IndexFuture::new();
        // A keeper that has ended drops the answer, which says so.
        let _ = self.shared.keeper.send(Errand::BackUp(answer));
        future
    }

    /// Writes what is pending, makes a backup, and closes: every later call answers [`IndexError::Closed`]. Without it the
    /// last clone that is dropped writes what is pending, without a backup.
    pub fn close(&self) -> IndexFuture {
        let (answer, future) = IndexFuture::new();
        let _ = self.shared.writer.send(Call::Close(Some(answer)));
        future
    }

    fn open_with(
        dir: &Path,
        settings: IndexSettings,
        folders: &dyn FoldersHint,
        steps: Steps,
    ) -> Result<(Self, StartReport), IndexError> {
        let paths = Paths::below(dir);
        let start::Started { connection, state, log, mark, report } =
            start::start(&paths, &settings, folders, &steps)?;
        let threads = |error| IndexError::io(dir, "opened", error);
        let clocks = ages::Clocks::open(&paths.clocks);
        let common = Arc::new(Common::new(&state, settings.listener_backlog, clocks));
        set_aside::tidy(&paths, &settings, &common.clocks.lock().look());
        common.health.lock().backed_up_at = disk::written_at(&paths.backup);
        let sync = SyncThread::start(steps.clone()).map_err(threads)?;
        let (writer, calls) = channel();
        let (keeper, errands) = channel();
        let keeping = Keeper {
            paths: paths.clone(),
            settings: settings.clone(),
            common: Arc::clone(&common),
            writer: writer.clone(),
            steps: steps.clone(),
        };
        let writing = Writer {
            paths: paths.clone(),
            settings: settings.clone(),
            connection,
            state,
            log,
            sync,
            mark,
            common: Arc::clone(&common),
            keeper: keeper.clone(),
            steps,
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let keeps = thread("journal-keeper").spawn(move || keeping.run(&errands)).map_err(threads)?;
        let writes = thread("journal-index").spawn(move || writing.run(&calls)).map_err(threads)?;
        let shared = Shared {
            settings,
            common,
            readers: Readers::of(&paths.index),
            writer,
            keeper,
            threads: vec![writes, keeps],
        };
        Ok((Self { shared: Arc::new(shared) }, report))
    }

    fn urgent<T>(&self, call: impl FnOnce(Answer<T>) -> Urgent) -> IndexFuture<T> {
        let (answer, future) = IndexFuture::new();
        // A writer that has ended drops the answer, which says so.
        let _ = self.shared.writer.send(Call::Urgent(call(answer)));
        future
    }

    fn later(&self, call: Later) {
        let _ = self.shared.writer.send(Call::Later(call));
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> Result<T, rows::RowError>,
    ) -> Result<T, IndexError> {
        self.shared.common.check_open()?;
        self.shared.readers.read(read)
    }
}

/// What the clones of an [`Index`] share.
#[derive(Debug)]
struct Shared {
    settings: IndexSettings,
    common: Arc<Common>,
    readers: Readers,
    writer: Sender<Call>,
    keeper: Sender<Errand>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Shared {
    /// Waits until what was called is written: another index over the same files may be opened after this.
    fn drop(&mut self) {
        self.readers.close();
        let _ = self.writer.send(Call::Close(None));
        for thread in self.threads.drain(..) {
            // A thread that panicked has answered nobody, and the next start repairs what it left.
            let _ = thread.join();
        }
    }
}

/// One change is at most this large: recipes are bounded far below it at the door.
const MOST_OF_ONE: usize = 32 << 20;

fn too_large(what: &'static str, bytes: usize) -> Option<IndexError> {
    (bytes > MOST_OF_ONE).then_some(IndexError::TooLarge { what, bytes, most: MOST_OF_ONE })
}
