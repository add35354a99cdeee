//! A journal of many slots, each in a folder of its own.
//!
//! Owns where each slot's folder is and which are open. A folder is opened, and made, only by [`SlotFolders::prepare`]: to
//! consider a slot and to refuse it touches no disk. Slots wait for nothing of each other, and one's full or damaged disk
//! is not the other's trouble. Never decides which slot may come in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::folder::FolderTold;
use super::{
    Accepted, Artifact, FolderState, Journal, JournalError, JournalFuture, Key, Misuse, Opened, Outputs,
    Recorded, SlotFolder, StageOutput, Terminal,
};
use crate::types::{Sha256, SlotId};

mod renew;
mod share;

pub(crate) use share::TakenIn;

#[cfg(test)]
mod tests;

/// The folders of a node's slots.
#[derive(Debug, Default)]
pub struct SlotFolders {
    root: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Folders that were named for single slots.
    placed: HashMap<SlotId, PathBuf>,
    slots: HashMap<SlotId, Held>,
}

#[derive(Debug)]
enum Held {
    /// Somebody is opening it, without the lock on all.
    Preparing,
    /// Accepted elsewhere; made when the first stage begins.
    Planned(Arc<Plan>),
    Ready(Arc<SlotFolder>),
}

/// A slot that has no folder yet.
#[derive(Debug)]
struct Plan {
    accepted: Accepted,
    key: Key,
    /// Held by whoever makes the folder, so that it is made once.
    making: Mutex<()>,
}

/// What the folder of a slot holds that was accepted by an earlier process.
#[derive(Debug)]
pub(crate) enum TakenUp {
    /// It goes on, with the outputs of its finished stages.
    Open(Outputs),
    /// Its end was written into its folder, and perhaps nowhere else.
    Ended(Terminal, Vec<Artifact>),
}

/// What an earlier process left in a store.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Every slot that is accepted and not ended, in the order of the ids, and how it stands.
    pub slots: Vec<(Arc<SlotFolder>, FolderState)>,
    /// Folders that hold a slot which cannot be told, or that another process works in; untouched.
    pub failed: Vec<(PathBuf, JournalError)>,
}

impl SlotFolders {
    /// Without a root: only slots whose folders are named by [`Self::place`] have one.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one folder per slot in `root`, under the slot's id; made when the first is.
    pub fn under(root: &Path) -> Self {
        Self { root: Some(root.to_owned()), known: Mutex::default() }
    }

    /// Where the folders of slots are that have none of their own.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Names the folder of one slot, which counts when it is prepared next. Touches no disk.
    pub fn place(&self, slot: SlotId, dir: &Path) {
        self.known().placed.insert(slot, dir.to_owned());
    }

    /// Where the folder of `slot` is, or would be. Touches no disk.
    pub fn dir_of(&self, slot: SlotId) -> Option<PathBuf> {
        let known = self.known();
        if let Some(Held::Ready(folder)) = known.slots.get(&slot) {
            return Some(folder.dir().to_owned());
        }
        let placed = known.placed.get(&slot).cloned();
        placed.or_else(|| Some(self.root.as_ref()?.join(slot.to_string())))
    }

    /// Opens the folder of `slot`, or makes it, and says what it holds of the rendering of `key`. Finished stages are
    /// checked, damaged ones undone, unfinished files swept away; what is another's goes when the slot is accepted.
    ///
    /// A slot that is prepared already keeps its folder, which is said to stand as it does by now; for another key it
    /// must have been [released](Self::release). Blocks on the disk.
    pub fn prepare(&self, slot: SlotId, key: Key) -> Result<(Arc<SlotFolder>, FolderState), JournalError> {
        let dir = self.dir_of(slot);
        let misuse = |what| JournalError::misuse(slot, what, dir.as_deref());
        let dir = dir.as_deref().ok_or_else(|| misuse(Misuse::NoPlace))?;
        let claim = {
            let mut known = self.known();
            match known.slots.get(&slot) {
                Some(Held::Ready(folder)) if folder.key() == key => {
                    return Ok((Arc::clone(folder), folder.standing()));
                }
                Some(Held::Ready(_)) => return Err(misuse(Misuse::OtherRendering)),
                Some(Held::Preparing | Held::Planned(_)) => return Err(misuse(Misuse::Preparing)),
                None => Claim::new(self, &mut known, slot),
            }
        };
        let (folder, standing) = SlotFolder::open(dir, slot, key)?;
        Ok((claim.ready(folder), standing))
    }

    /// `accepted` was written down elsewhere; its folder is made by [`Self::ensure`]. Touches no disk. A slot that is known
    /// stays as it is.
    pub(crate) fn plan(&self, accepted: Accepted, key: Key) {
        let slot = accepted.slot;
        let plan = Plan { accepted, key, making: Mutex::default() };
        self.known().slots.entry(slot).or_insert_with(|| Held::Planned(Arc::new(plan)));
    }

    /// The folder of `slot`: as it was prepared, else made now as it was [planned](Self::plan). Blocks on the disk where it
    /// is made.
    pub(crate) fn ensure(&self, slot: SlotId) -> Result<Arc<SlotFolder>, JournalError> {
        let misuse = |what| JournalError::misuse(slot, what, self.dir_of(slot).as_deref());
        let plan = match self.known().slots.get(&slot) {
            Some(Held::Ready(folder)) => return Ok(Arc::clone(folder)),
            Some(Held::Planned(plan)) => Arc::clone(plan),
            Some(Held::Preparing) => return Err(misuse(Misuse::Preparing)),
            None => return Err(misuse(Misuse::NotPrepared)),
        };
        let _making = plan.making.lock();
        if let Some(folder) = self.get(slot) {
            return Ok(folder);
        }
        let dir = self.dir_of(slot).ok_or_else(|| misuse(Misuse::NoPlace))?;
        let (folder, standing) = SlotFolder::open(&dir, slot, plan.key)?;
        if matches!(standing, FolderState::New | FolderState::Replaced { .. }) {
            folder.accept_now(&plan.accepted)?;
        }
        let folder = Arc::new(folder);
        self.known().slots.insert(slot, Held::Ready(Arc::clone(&folder)));
        Ok(folder)
    }

    /// What there is of a slot that an earlier process accepted; one without a folder is planned. A folder whose acceptance
    /// is damaged is moved aside, since `accepted` says it again. Blocks on the disk.
    pub(crate) fn take_up(&self, accepted: Accepted, key: Key) -> Result<TakenUp, JournalError> {
        let slot = accepted.slot;
        let misuse = |what| JournalError::misuse(slot, what, self.dir_of(slot).as_deref());
        if let Some(folder) = self.get(slot) {
            return folder.held();
        }
        if matches!(self.known().slots.get(&slot), Some(Held::Planned(_))) {
            return Ok(TakenUp::Open(Outputs::default()));
        }
        let dir = self.dir_of(slot).ok_or_else(|| misuse(Misuse::NoPlace))?;
        let ended = SlotFolder::ended(&dir, slot)?;
        if let Some((terminal, artifacts)) = ended {
            return Ok(TakenUp::Ended(terminal, artifacts));
        }
        match SlotFolder::resume(&dir, slot, key.bundle) {
            Ok(Some((folder, _))) => {
                let held = folder.held()?;
                self.known().slots.insert(slot, Held::Ready(Arc::new(folder)));
                Ok(held)
            }
            Ok(None) => {
                self.plan(accepted, key);
                Ok(TakenUp::Open(Outputs::default()))
            }
            Err(JournalError::Corrupt { .. }) => {
                move_aside(&dir)?;
                self.plan(accepted, key);
                Ok(TakenUp::Open(Outputs::default()))
            }
            Err(error) => Err(error),
        }
    }

    /// What the folders under the root say of their slots, one after the other; those that say nothing are left out. Opens
    /// and locks nothing. Blocks on the disk.
    pub(crate) fn told(&self) -> impl Iterator<Item = FolderTold> + use<> {
        let slots = self.root.as_deref().map(slots_in).and_then(Result::ok).unwrap_or_default();
        slots.into_iter().filter_map(|(slot, dir)| SlotFolder::told(&dir, slot).ok().flatten())
    }

    /// Whether a folder of this name beside the slots' was moved aside because it was damaged.
    pub(crate) fn is_set_aside(name: &str) -> bool {
        let parts = name.split_once(DAMAGED);
        parts.is_some_and(|(slot, number)| slot.parse::<SlotId>().is_ok() && number.parse::<u64>().is_ok())
    }

    /// The folder of `slot`, if it is prepared.
    pub fn get(&self, slot: SlotId) -> Option<Arc<SlotFolder>> {
        match self.known().slots.get(&slot) {
            Some(Held::Ready(folder)) => Some(Arc::clone(folder)),
            Some(Held::Preparing | Held::Planned(_)) | None => None,
        }
    }

    /// Lets go of the folder of a slot that has ended, or was never accepted: of the latter nothing is left where nothing
    /// was before. The folder stays locked as long as somebody has it. [`Misuse::Open`] where the slot is open; nothing
    /// happens where it is not prepared. Blocks on the disk.
    pub fn release(&self, slot: SlotId) -> Result<(), JournalError> {
        let folder = {
            let mut known = self.known();
            if matches!(known.slots.get(&slot), Some(Held::Planned(_))) {
                known.slots.remove(&slot);
            }
            let Some(Held::Ready(folder)) = known.slots.get(&slot) else { return Ok(()) };
            if matches!(folder.standing(), FolderState::Resumable { .. }) {
                return Err(JournalError::misuse(slot, Misuse::Open, Some(folder.dir())));
            }
            let Some(Held::Ready(folder)) = known.slots.remove(&slot) else { return Ok(()) };
            folder
        };
        folder.clear_unused();
        Ok(())
    }

    /// Opens every folder under the root that holds an accepted slot which has not ended, to be rendered with `bundle`;
    /// [`Journal::open`] offers them from then on. Before the slots are asked for; one slot's trouble is not the others'.
    /// Slots that are prepared already are left out. Blocks on the disk.
    pub fn resume(&self, bundle: Sha256) -> Result<Resumed, JournalError> {
        let mut resumed = Resumed::default();
        let Some(root) = &self.root else { return Ok(resumed) };
        for (slot, dir) in slots_in(root)? {
            let claim = {
                let mut known = self.known();
                if known.slots.contains_key(&slot) {
                    continue;
                }
                Claim::new(self, &mut known, slot)
            };
            match SlotFolder::resume(&dir, slot, bundle) {
                Ok(Some((folder, standing))) => resumed.slots.push((claim.ready(folder), standing)),
                Ok(None) => {}
                Err(error) => resumed.failed.push((dir, error)),
            }
        }
        Ok(resumed)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Entries are put and taken in one step; a panic elsewhere leaves them whole.
        self.known.lock()
    }

    fn prepared(&self, slot: SlotId) -> Result<Arc<SlotFolder>, JournalError> {
        self.get(slot)
            .ok_or_else(|| JournalError::misuse(slot, Misuse::NotPrepared, self.dir_of(slot).as_deref()))
    }

    /// In the order of their ids.
    fn all(&self) -> Vec<Arc<SlotFolder>> {
        let known = self.known();
        let mut all: Vec<Arc<SlotFolder>> = known
            .slots
            .values()
            .filter_map(|held| match held {
                Held::Ready(folder) => Some(Arc::clone(folder)),
                Held::Preparing | Held::Planned(_) => None,
            })
            .collect();
        all.sort_by_key(|folder| folder.slot());
        all
    }
}

/// The right to open one slot's folder, given back where that comes to nothing.
struct Claim<'a> {
    store: &'a SlotFolders,
    slot: SlotId,
}

impl<'a> Claim<'a> {
    fn new(store: &'a SlotFolders, known: &mut Known, slot: SlotId) -> Self {
        known.slots.insert(slot, Held::Preparing);
        Self { store, slot }
    }

    fn ready(self, folder: SlotFolder) -> Arc<SlotFolder> {
        let folder = Arc::new(folder);
        self.store.known().slots.insert(self.slot, Held::Ready(Arc::clone(&folder)));
        folder
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut known = self.store.known();
        if matches!(known.slots.get(&self.slot), Some(Held::Preparing)) {
            known.slots.remove(&self.slot);
        }
    }
}

/// What the name of a slot's folder goes on with, before a number, once it was found damaged.
const DAMAGED: &str = ".damaged-";

/// Renames a folder that cannot be read to the first free name beside it.
fn move_aside(dir: &Path) -> Result<(), JournalError> {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let free =
        (1..).map(|number| dir.with_file_name(format!("{name}{DAMAGED}{number}"))).find(|to| !to.exists());
    let Some(to) = free else { return Ok(()) };
    std::fs::rename(dir, &to).map_err(|error| JournalError::io(dir.to_owned(), "moved aside", error))
}

/// The folders in `root` that slots have their names from, in order; none where there is no root yet.
fn slots_in(root: &Path) -> Result<Vec<(SlotId, PathBuf)>, JournalError> {
    let failed = |error| JournalError::io(root.to_owned(), "read", error);
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut slots = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(slot) = name.to_str().and_then(|name| name.parse::<SlotId>().ok()) else { continue };
        // An id can be written in several ways; this store writes one.
        if name.to_str() == Some(&slot.to_string()) && entry.path().is_dir() {
            slots.push((slot, entry.path()));
        }
    }
    slots.sort_unstable();
    Ok(slots)
}

impl Journal for SlotFolders {
    fn accept(&self, accepted: &Accepted) -> JournalFuture {
        match self.prepared(accepted.slot) {
            Ok(folder) => folder.accept(accepted),
            Err(error) => JournalFuture::ready(Err(error)),
        }
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture {
        match self.prepared(slot) {
            Ok(folder) => folder.stage_done(output),
            Err(error) => JournalFuture::ready(Err(error)),
        }
    }

    fn terminal(&self, terminal: &Terminal) -> JournalFuture<Recorded> {
        match self.prepared(terminal.slot) {
            Ok(folder) => folder.terminal(terminal).map_ok(|()| Recorded::Ended),
            // A slot that was let go of has its end on the disk; a second one changes nothing.
            Err(error) => {
                let (slot, dir) = (terminal.slot, self.dir_of(terminal.slot));
                let ended = move || match dir {
                    Some(dir) if SlotFolder::holds_end(&dir, slot)? => Ok(Recorded::Ended),
                    _ => Err(error),
                };
                JournalFuture::going(async move {
                    tokio::task::spawn_blocking(ended)
                        .await
                        .unwrap_or_else(|source| Err(JournalError::Stopped { dir: PathBuf::new(), source }))
                })
            }
        }
    }

    /// Of the prepared slots.
    fn open(&self) -> JournalFuture<Opened> {
        let reading: Vec<_> =
            self.all().into_iter().map(|folder| (folder.slot(), folder.read_dated())).collect();
        JournalFuture::going(async move {
            let (mut open, mut unread) = (Vec::new(), Vec::new());
            for (slot, reading) in reading {
                match reading.await {
                    Ok(found) => open.extend(found),
                    Err(error) => unread.push((slot, error)),
                }
            }
            open.sort_by_key(|(at, slot)| (*at, slot.accepted.slot));
            Ok(Opened { slots: open.into_iter().map(|(_, slot)| slot).collect(), unread })
        })
    }

    fn before_exit(&self) -> JournalFuture {
        let settling: Vec<JournalFuture> = self.all().iter().map(|folder| folder.settled()).collect();
        JournalFuture::going(async move {
            for settling in settling {
                settling.await?;
            }
            Ok(())
        })
    }
}
