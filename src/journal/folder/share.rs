//! A finished stage as one archive, for the same slot's folder on another node: the files that its record names, the record,
//! and what all of it was made from.
//!
//! Owns the archive's form and what is taken out of one. Whoever wrote it is not known here: names, sizes and hashes are
//! checked before anything is written, and opening the folder checks the files again.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::record::{self, AcceptedRecord, AudioRecord, Found, ImageRecord, VerifyRecord, VideoRecord};
use super::{Key, keep, layout};
use crate::journal::{Artifact, JournalError};
use crate::types::{Sha256, SlotId, Stage};

/// The archive's own file.
const ORIGIN: &str = "origin.json";
/// An archive is held in memory as a whole, on both sides.
const MOST: u64 = 256 << 20;
/// Far more than a video has keyframes.
const MOST_FILES: usize = 4096;
/// Of a name that is not accepted so much is shown.
const MOST_SHOWN: usize = 100;

/// What the stage was made from: the same on both sides, or the archive is another rendering's.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    stage: Stage,
    recipe_sha256: Sha256,
    bundle_sha256: Sha256,
    /// Of the records of the stages that it came of.
    of: BTreeMap<Stage, Sha256>,
}

/// Why an archive is left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// What it holds.
    #[error("{0}")]
    Archive(String),
    /// The folder.
    #[error(transparent)]
    Disk(#[from] JournalError),
}

/// What a stage is made from, beside the recipe and the bundle; none where it is not for others.
const fn came_of(stage: Stage) -> Option<&'static [Stage]> {
    match stage {
        Stage::Audio | Stage::Image => Some(&[]),
        Stage::Video => Some(&[Stage::Audio, Stage::Image]),
        Stage::Verify => Some(&[Stage::Video]),
        // Whoever goes on makes its own.
        Stage::Package => None,
    }
}

/// The archive of a finished stage; none where the stage is not finished, not for others, or too large. Reads only, beside
/// whoever writes.
pub(super) fn pack(disk: &Disk, slot: SlotId, stage: Stage) -> Result<Option<Vec<u8>>, JournalError> {
    let Found::Record(accepted) = record::read::<AcceptedRecord>(disk, layout::ACCEPTED)? else {
        return Ok(None);
    };
    let key = Key { recipe: accepted.recipe_sha256, bundle: accepted.bundle_sha256 };
    let Some(origin) = origin(disk, &key, stage)?.filter(|_| accepted.slot == slot) else { return Ok(None) };
    let name = layout::record(stage);
    let Some(record) = disk.read(name)? else { return Ok(None) };
    let Ok(artifacts) = named(stage, &record) else { return Ok(None) };
    if artifacts.iter().map(|artifact| artifact.bytes.get()).fold(0, u64::saturating_add) > MOST {
        return Ok(None);
    }
    let failed = |error| JournalError::io(disk.path(name), "packed", error);
    let mut files = vec![(ORIGIN.to_owned(), serde_json::to_vec(&origin).map_err(|it| failed(it.into()))?)];
    for artifact in artifacts {
        match disk.read(&artifact.name)? {
            Some(bytes) if Sha256::of(&bytes) == artifact.sha256 => files.push((artifact.name, bytes)),
            Some(_) | None => return Ok(None),
        }
    }
    // A stage that is done again loses its record first, and with it what came of it.
    if disk.read(name)?.as_ref() != Some(&record) {
        return Ok(None);
    }
    files.push((name.to_owned(), record));
    archive(&files).map(Some).map_err(failed)
}

/// Puts a stage into the folder out of an archive: all of it, or nothing.
pub(super) fn unpack(disk: &Disk, key: &Key, stage: Stage, archive: &[u8]) -> Result<(), Unfit> {
    let wrong = |why: &str| Unfit::Archive(why.to_owned());
    let mut files = taken_apart(stage, archive).map_err(Unfit::Archive)?;
    let expected = origin(disk, key, stage)?.ok_or_else(|| wrong("what it came of is not finished here"))?;
    let found = files.remove(ORIGIN).ok_or_else(|| wrong("it does not say what it was made from"))?;
    if serde_json::from_slice::<Origin>(&found).ok() != Some(expected) {
        return Err(wrong("it was made from another recipe, bundle or stage"));
    }
    let name = layout::record(stage);
    let record = files.remove(name).ok_or_else(|| wrong("it holds no record"))?;
    let artifacts = named(stage, &record).map_err(Unfit::Archive)?;
    let mut sound = Vec::with_capacity(artifacts.len());
    for Artifact { name, sha256, .. } in artifacts {
        let bytes = files.remove(&name).filter(|bytes| Sha256::of(bytes) == sha256);
        let bytes = bytes.ok_or_else(|| Unfit::Archive(format!("{name} is missing or damaged")))?;
        sound.push((name, bytes));
    }
    if let Some(name) = files.keys().next() {
        return Err(Unfit::Archive(format!("its record does not name {name}")));
    }
    if stage == Stage::Video {
        disk.folder(layout::KEYFRAMES)?;
    }
    for (name, bytes) in sound {
        disk.write(&name, &bytes)?;
    }
    disk.write(name, &record)?;
    Ok(())
}

/// What a stage of this folder is made from; none where that is not finished.
fn origin(disk: &Disk, key: &Key, stage: Stage) -> Result<Option<Origin>, JournalError> {
    let Some(before) = came_of(stage) else { return Ok(None) };
    let mut of = BTreeMap::new();
    for before in before {
        let Some(record) = disk.read(layout::record(*before))? else { return Ok(None) };
        of.insert(*before, Sha256::of(&record));
    }
    Ok(Some(Origin { stage, recipe_sha256: key.recipe, bundle_sha256: key.bundle, of }))
}

/// The files that a stage's record names, under the names that they have in every folder.
fn named(stage: Stage, bytes: &[u8]) -> Result<Vec<Artifact>, String> {
    let name = layout::record(stage);
    let only = |artifact: Artifact, name: &str| {
        (artifact.name == name)
            .then(|| vec![artifact])
            .ok_or_else(|| "its record names another file".to_owned())
    };
    match stage {
        Stage::Audio => only(whole::<AudioRecord>(name, bytes)?.sound, layout::AUDIO),
        Stage::Image => only(whole::<ImageRecord>(name, bytes)?.picture, layout::IMAGE),
        Stage::Video => {
            let record = whole::<VideoRecord>(name, bytes)?;
            let frames = record.keyframes.iter().map(|it| (&it.picture, layout::keyframe(it.index)));
            let video = [(&record.video, layout::VIDEO.to_owned())];
            let are_usual = frames.chain(video).all(|(artifact, name)| artifact.name == name);
            are_usual
                .then(|| keep::of_video(&record))
                .ok_or_else(|| "its record names other files".to_owned())
        }
        Stage::Verify => whole::<VerifyRecord>(name, bytes).map(|_| Vec::new()),
        Stage::Package => Err("it is not for others".to_owned()),
    }
}

fn whole<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, String> {
    match record::parse(name, bytes) {
        Found::Record(record) => Ok(record),
        Found::Damaged(why) => Err(why),
        Found::Newer(version) => Err(format!("its record is of version {version}, a newer node's")),
        Found::Nothing => Err("it holds no record".to_owned()),
    }
}

fn archive(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice())?;
    }
    tar.into_inner()
}

/// The files of an archive, each of a name that the stage can have.
fn taken_apart(stage: Stage, archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let mut files = BTreeMap::new();
    let mut tar = tar::Archive::new(archive);
    // Raw: what stands for a longer name or a hole in a file is an entry of another kind, and refused as such.
    for entry in tar.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let shown: String = name.chars().take(MOST_SHOWN).collect();
        if entry.header().entry_type() != tar::EntryType::Regular || !is_of(stage, &name) {
            return Err(format!("{shown:?} is no file of stage {stage}"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 != entry.size() {
            return Err(format!("{shown:?} is cut off"));
        }
        if files.len() >= MOST_FILES {
            return Err(format!("it holds more than {MOST_FILES} files"));
        }
        if files.insert(name, bytes).is_some() {
            return Err(format!("{shown:?} is there twice"));
        }
    }
    Ok(files)
}

/// Whether a stage's archive can have a file of this name.
fn is_of(stage: Stage, name: &str) -> bool {
    let keyframe = || {
        let below = name.strip_prefix(layout::KEYFRAMES).and_then(|rest| rest.strip_prefix('/'));
        below.is_some_and(layout::is_keyframe)
    };
    let is_artifact = match stage {
        Stage::Audio => name == layout::AUDIO,
        Stage::Image => name == layout::IMAGE,
        Stage::Video => name == layout::VIDEO || keyframe(),
        Stage::Verify | Stage::Package => false,
    };
    is_artifact || name == ORIGIN || name == layout::record(stage)
}
