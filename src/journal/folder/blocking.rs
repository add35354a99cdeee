//! What a slot's folder does on the disk: opening, accepting, keeping, ending, reading. Everything here blocks.
//!
//! Owns what is known of the folder, the lock on it and its key. One piece of work at a time, whoever asks for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::disk::{self, Disk};
use super::load::{self, Contents, Held};
use super::lock::{Lock, lock};
use super::record::{self, AcceptedRecord, Found};
use super::wall_clock::{from_wall, to_wall};
use super::{FolderState, FolderTold, Key, keep, layout, share};
use crate::clock;
use crate::journal::{
    Accepted, Artifact, Ending, Failure, JournalError, Misuse, OpenSlot, Outputs, StageOutput, Terminal,
};
use crate::types::{Deadline, Sha256, SlotId, Stage};

pub(super) struct Inner {
    pub(super) disk: Disk,
    pub(super) slot: SlotId,
    pub(super) key: Key,
    /// Whether opening made the folder.
    made: bool,
    state: Mutex<State>,
    /// Held during every piece of work.
    work: Mutex<()>,
    _lock: Lock,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Another rendering, or remains, to be cleared away by the next acceptance; and why it is another.
    occupied: Option<String>,
    accepted: Option<AcceptedRecord>,
    end: Option<Terminal>,
    /// Of finished stages.
    artifacts: BTreeMap<Stage, Vec<Artifact>>,
}

/// The folder's disk with the lock on it, and whether it was made just now.
fn locked(dir: &Path) -> Result<(Disk, Lock, bool), JournalError> {
    let disk = Disk::new(dir);
    let made = !dir.exists();
    if !made && !dir.is_dir() {
        return Err(JournalError::NotAFolder(dir.to_owned()));
    }
    if let Some(found) = foreign(&disk)? {
        return Err(JournalError::Foreign { dir: dir.to_owned(), found });
    }
    if !made {
        // What is not there yet will be made beside the rest.
        disk.one_file_system(&[layout::JOURNAL, disk::PARTIAL, layout::KEYFRAMES])?;
    }
    loop {
        disk.folder(disk::PARTIAL)?;
        let path = disk.path(layout::LOCK);
        let lock = lock(&path, dir)?;
        if lock.is_at(&path) {
            disk.sweep()?;
            return Ok((disk, lock, made));
        }
    }
}

/// What keeps the folder from being used: a file that no slot has, where none was ever accepted.
fn foreign(disk: &Disk) -> Result<Option<String>, JournalError> {
    if disk.path(layout::ACCEPTED).exists() || disk.path(layout::LOCK).exists() {
        return Ok(None);
    }
    let stray = disk.names("")?.into_iter().find(|name| name != layout::JOURNAL);
    // A process may have ended between making these and locking them.
    let inside = disk.names(layout::JOURNAL)?.into_iter().find(|name| name != "partial");
    let deeper = disk.names(disk::PARTIAL)?.into_iter().next();
    Ok(stray.or(inside.map(|name| format!("{}/{name}", layout::JOURNAL))).or(deeper))
}

/// Whether `dir` holds the record of `slot`'s end.
pub(super) fn holds_end(dir: &Path, slot: SlotId) -> Result<bool, JournalError> {
    let found = record::read::<Terminal>(&Disk::new(dir), layout::END)?;
    Ok(matches!(found, Found::Record(end) if end.slot == slot))
}

/// What `dir` says of `slot`, where its acceptance can be read.
pub(super) fn told(dir: &Path, slot: SlotId) -> Result<Option<FolderTold>, JournalError> {
    let found = record::read::<AcceptedRecord>(&Disk::new(dir), layout::ACCEPTED)?;
    let Found::Record(accepted) = found else { return Ok(None) };
    if accepted.slot != slot {
        return Ok(None);
    }
    Ok(Some(FolderTold {
        slot,
        recipe: accepted.text.into_bytes().into(),
        key: Key { recipe: accepted.recipe_sha256, bundle: accepted.bundle_sha256 },
        accepted_at: Duration::from_micros(accepted.at),
        deadline: Duration::from_micros(accepted.deadline),
        traceparent: accepted.traceparent,
        end: ended(dir, slot)?,
    }))
}

/// The end of `slot` in `dir`, and the artifacts of its finished stages.
pub(super) fn ended(dir: &Path, slot: SlotId) -> Result<Option<(Terminal, Vec<Artifact>)>, JournalError> {
    if !holds_end(dir, slot)? {
        return Ok(None);
    }
    let disk = Disk::new(dir);
    let Found::Record(accepted) = record::read::<AcceptedRecord>(&disk, layout::ACCEPTED)? else {
        return Ok(None);
    };
    let key = Key { recipe: accepted.recipe_sha256, bundle: accepted.bundle_sha256 };
    let Contents::Ours(held) = load::look(&disk, slot, &key)? else { return Ok(None) };
    let Held { accepted, artifacts, end, .. } = *held;
    let artifacts = std::iter::once(accepted.file).chain(artifacts.into_values().flatten()).collect();
    Ok(end.map(|end| (end, artifacts)))
}

impl Inner {
    pub(super) fn open(dir: &Path, slot: SlotId, key: Key) -> Result<(Self, FolderState), JournalError> {
        let (disk, lock, made) = locked(dir)?;
        let inner =
            Self { disk, slot, key, made, state: Mutex::default(), work: Mutex::default(), _lock: lock };
        let standing = inner.load()?;
        Ok((inner, standing))
    }

    /// Opens a folder that holds `slot` accepted and not ended; stages of another bundle are done again.
    pub(super) fn resume(
        dir: &Path,
        slot: SlotId,
        bundle: Sha256,
    ) -> Result<Option<(Self, FolderState)>, JournalError> {
        let seen = Disk::new(dir);
        if !seen.path(layout::ACCEPTED).exists() || holds_end(dir, slot)? {
            return Ok(None);
        }
        // Only now: a folder that is done with, or another's, is never touched.
        let (disk, lock, made) = locked(dir)?;
        let path = disk.path(layout::ACCEPTED);
        let accepted = match record::read::<AcceptedRecord>(&disk, layout::ACCEPTED)? {
            Found::Record(accepted) => accepted,
            Found::Newer(version) => return Err(JournalError::Newer { file: path, version }),
            Found::Damaged(what) => return Err(JournalError::Corrupt { path, what }),
            Found::Nothing => return Ok(None),
        };
        if accepted.slot != slot {
            let what =
                format!("it is the acceptance of slot {}, in the folder of slot {slot}", accepted.slot);
            return Err(JournalError::Corrupt { path, what });
        }
        let had = Key { recipe: accepted.recipe_sha256, bundle: accepted.bundle_sha256 };
        let state = Mutex::default();
        let mut inner = Self { disk, slot, key: had, made, state, work: Mutex::default(), _lock: lock };
        let standing = inner.load()?;
        if matches!(standing, FolderState::Ended(_)) {
            return Ok(None);
        }
        Ok(Some(if had.bundle == bundle {
            (inner, standing)
        } else {
            let standing = inner.rendered_with(bundle)?;
            (inner, standing)
        }))
    }

    /// An accepted slot stays accepted when the node's bundle changes; what the other one made of it goes.
    fn rendered_with(&mut self, bundle: Sha256) -> Result<FolderState, JournalError> {
        let state = self.state().clone();
        let why = format!("the bundle is another ({bundle:.12}, it was {:.12})", self.key.bundle);
        self.clear()?;
        if let Some(mut accepted) = state.accepted {
            accepted.bundle_sha256 = bundle;
            record::write(&self.disk, layout::ACCEPTED, &accepted)?;
        }
        self.key.bundle = bundle;
        self.load()?;
        let damaged = state.artifacts.into_keys().map(|stage| (stage, why.clone())).collect();
        Ok(FolderState::Resumable { done: Vec::new(), damaged })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Replaced whole or in single fields that hold by themselves, so a panic elsewhere leaves it readable.
        self.state.lock()
    }

    /// One piece of work at a time; what a panic left half done is on the disk, which every next one looks at.
    fn working(&self) -> MutexGuard<'_, ()> {
        self.work.lock()
    }

    pub(super) fn misuse(&self, what: Misuse) -> JournalError {
        JournalError::misuse(self.slot, what, Some(self.disk.root()))
    }

    pub(super) fn standing(&self) -> FolderState {
        let state = self.state();
        match (&state.end, &state.accepted, &state.occupied) {
            (Some(end), ..) => FolderState::Ended(end.clone()),
            (None, Some(_), _) => {
                let done = state.artifacts.keys().copied().collect();
                FolderState::Resumable { done, damaged: Vec::new() }
            }
            (None, None, Some(why)) => FolderState::Replaced { why: why.clone() },
            (None, None, None) => FolderState::New,
        }
    }

    pub(super) fn artifacts(&self) -> Vec<Artifact> {
        let state = self.state();
        let recipe = state.accepted.as_ref().map(|accepted| accepted.file.clone());
        recipe.into_iter().chain(state.artifacts.values().flatten().cloned()).collect()
    }

    /// Reads the folder into the state.
    fn load(&self) -> Result<FolderState, JournalError> {
        let (state, standing) = match load::load(&self.disk, self.slot, &self.key)? {
            Contents::Nothing => (State::default(), FolderState::New),
            Contents::Other(why) => {
                (State { occupied: Some(why.clone()), ..State::default() }, FolderState::Replaced { why })
            }
            Contents::Ours(held) => {
                let Held { accepted, outputs, artifacts, damaged, end } = *held;
                let done = Stage::ALL.into_iter().filter(|stage| outputs.has(*stage)).collect();
                let state = State { occupied: None, accepted: Some(accepted), end: end.clone(), artifacts };
                (state, end.map_or(FolderState::Resumable { done, damaged }, FolderState::Ended))
            }
        };
        *self.state() = state;
        Ok(standing)
    }

    pub(super) fn reopen(&self, deadline: Option<Deadline>) -> Result<FolderState, JournalError> {
        let _working = self.working();
        let disk = &self.disk;
        if let Ok(Found::Record(end)) = record::read::<Terminal>(disk, layout::END) {
            let ending = match end.ending {
                Ending::Completed { .. } => Some("completed"),
                Ending::Failed { cause: Failure::Rejected, .. } => Some("rejected"),
                Ending::Failed { .. } | Ending::Cancelled { .. } => None,
            };
            if let Some(ending) = ending {
                return Err(JournalError::Final { dir: disk.root().to_owned(), ending });
            }
        }
        let accepted = self.state().accepted.clone();
        if let (Some(mut accepted), Some(deadline)) = (accepted, deadline) {
            accepted.at = to_wall(clock::now());
            accepted.deadline = to_wall(deadline.instant());
            record::write(disk, layout::ACCEPTED, &accepted)?;
        }
        disk.remove(layout::END)?;
        self.load()
    }

    pub(super) fn accept(&self, accepted: &Accepted) -> Result<(), JournalError> {
        let _working = self.working();
        let state = self.state().clone();
        if accepted.slot != self.slot {
            return Err(self.misuse(Misuse::OtherSlot));
        }
        if state.accepted.is_some() {
            return Err(self.misuse(if state.end.is_some() { Misuse::Ended } else { Misuse::Open }));
        }
        let text = std::str::from_utf8(&accepted.recipe)
            .map_err(|source| JournalError::NotText { slot: self.slot, source })?;
        if state.occupied.is_some() {
            self.clear()?;
        }
        let record = AcceptedRecord {
            slot: accepted.slot,
            recipe_sha256: self.key.recipe,
            bundle_sha256: self.key.bundle,
            at: to_wall(accepted.at),
            deadline: to_wall(accepted.deadline.instant()),
            traceparent: accepted.traceparent.clone(),
            file: self.disk.write(layout::RECIPE, text.as_bytes())?,
            text: text.to_owned(),
        };
        record::write(&self.disk, layout::ACCEPTED, &record)?;
        *self.state() = State { accepted: Some(record), ..State::default() };
        Ok(())
    }

    /// Takes another rendering away; its acceptance stays until this one's takes its place.
    fn clear(&self) -> Result<(), JournalError> {
        self.disk.remove(layout::RESULT)?;
        self.disk.remove(layout::END)?;
        Stage::ALL.into_iter().rev().try_for_each(|stage| load::tidy(&self.disk, stage))
    }

    pub(super) fn stage_done(&self, output: &StageOutput, video: Option<&Path>) -> Result<(), JournalError> {
        let _working = self.working();
        if !self.is_open() {
            return Err(self.misuse(Misuse::NotOpen));
        }
        let stage = output.stage();
        let kept = keep::keep(&self.disk, output, video);
        let mut state = self.state();
        for stage in layout::with_what_follows(stage) {
            state.artifacts.remove(stage);
        }
        state.artifacts.insert(stage, kept?);
        Ok(())
    }

    /// Takes in what another node has finished of the slot, where nothing is finished here. Answers with the stages that are
    /// left out, and why.
    pub(super) fn take_in(
        &self,
        archives: &[(Stage, Vec<u8>)],
    ) -> Result<Vec<(Stage, String)>, JournalError> {
        let _working = self.working();
        if !self.is_open() || !self.state().artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let unfit = |(stage, archive): &(Stage, Vec<u8>)| {
            let unpacked = share::unpack(&self.disk, &self.key, *stage, archive);
            unpacked.err().map(|why| (*stage, why.to_string()))
        };
        let mut left_out: Vec<_> = archives.iter().filter_map(unfit).collect();
        if let FolderState::Resumable { damaged, .. } = self.load()? {
            left_out.extend(damaged);
        }
        Ok(left_out)
    }

    pub(super) fn terminal(&self, terminal: &Terminal) -> Result<(), JournalError> {
        let _working = self.working();
        if terminal.slot != self.slot {
            return Err(self.misuse(Misuse::OtherSlot));
        }
        if !self.is_open() {
            // The second end: the first stays.
            return if self.state().end.is_some() { Ok(()) } else { Err(self.misuse(Misuse::NotOpen)) };
        }
        record::write(&self.disk, layout::END, terminal)?;
        self.state().end = Some(terminal.clone());
        Ok(())
    }

    /// The slot with its outputs and when it was accepted, in microseconds since the Unix epoch; `None` if it is not open.
    /// Takes no file away: whoever works on the slot at the same time is not disturbed.
    pub(super) fn read(&self) -> Result<Option<(u64, OpenSlot)>, JournalError> {
        let _working = self.working();
        let Some(known) = self.open_record() else { return Ok(None) };
        let contents = match load::look(&self.disk, self.slot, &self.key)? {
            Contents::Nothing | Contents::Other(_) => {
                // Damaged under a process that knows it: what was promised stays promised.
                record::write(&self.disk, layout::ACCEPTED, &known)?;
                load::look(&self.disk, self.slot, &self.key)?
            }
            ours => ours,
        };
        let Contents::Ours(mut held) = contents else {
            let what = "it cannot be read back after it was written again".to_owned();
            return Err(JournalError::Corrupt { path: self.disk.path(layout::ACCEPTED), what });
        };
        load::void(&mut held);
        let mut state = self.state();
        for stage in held.damaged.iter().flat_map(|(stage, _)| layout::with_what_follows(*stage)) {
            state.artifacts.remove(stage);
        }
        Ok(Some((held.accepted.at, open_slot(&held.accepted, held.outputs))))
    }

    fn open_record(&self) -> Option<AcceptedRecord> {
        let state = self.state();
        state.accepted.clone().filter(|_| state.end.is_none())
    }

    fn is_open(&self) -> bool {
        let state = self.state();
        state.accepted.is_some() && state.end.is_none()
    }

    pub(super) fn clear_unused(&self) {
        let _working = self.working();
        if self.standing() != FolderState::New {
            return;
        }
        // As far as the disk lets us: what is left is an empty folder that the next opening takes.
        let _ = self.disk.remove(layout::LOCK);
        for folder in [disk::PARTIAL, layout::JOURNAL] {
            self.disk.remove_empty_folder(folder);
        }
        if self.made {
            self.disk.remove_empty_folder("");
        }
    }
}

fn open_slot(record: &AcceptedRecord, outputs: Outputs) -> OpenSlot {
    let accepted = Accepted {
        slot: record.slot,
        recipe: record.text.as_bytes().into(),
        deadline: Deadline::at(from_wall(record.deadline)),
        at: from_wall(record.at),
        traceparent: record.traceparent.clone(),
    };
    OpenSlot { accepted, outputs }
}
