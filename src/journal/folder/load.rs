//! Reads a slot folder: checks every finished stage against its record, undoes what is damaged, hands out the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::Disk;
use super::keep::of_video;
use super::record::{
    self, AcceptedRecord, AudioRecord, Found, ImageRecord, PackageRecord, VerifyRecord, VideoRecord,
};
use super::{Key, layout};
use crate::contract::{Animation, Keyframe, Painting, Speech};
use crate::journal::{Artifact, Ending, JournalError, Outputs, StageOutput, Terminal};
use crate::media::{png, wav};
use crate::types::{SlotId, Stage};

/// What a folder holds.
pub(super) enum Contents {
    /// No slot.
    Nothing,
    /// Another rendering, and why it is another.
    Other(String),
    /// This one.
    Ours(Box<Held>),
}

/// A slot, as far as it got.
pub(super) struct Held {
    pub accepted: AcceptedRecord,
    pub outputs: Outputs,
    /// Of finished stages.
    pub artifacts: BTreeMap<Stage, Vec<Artifact>>,
    /// What was damaged, now undone.
    pub damaged: Vec<(Stage, String)>,
    pub end: Option<Terminal>,
}

/// Reads everything, and leaves the folder as its records say: before anybody works on the slot.
pub(super) fn load(disk: &Disk, slot: SlotId, key: &Key) -> Result<Contents, JournalError> {
    let mut contents = look(disk, slot, key)?;
    if let Contents::Ours(held) = &mut contents {
        if disk.misfit(&held.accepted.file).is_some() {
            disk.write(layout::RECIPE, held.accepted.text.as_bytes())?;
        }
        settle(disk, held)?;
    }
    Ok(contents)
}

/// Reads everything and changes nothing: what is damaged is told, and still there.
pub(super) fn look(disk: &Disk, slot: SlotId, key: &Key) -> Result<Contents, JournalError> {
    let accepted =
        match known(disk, record::read::<AcceptedRecord>(disk, layout::ACCEPTED)?, layout::ACCEPTED)? {
            Found::Record(accepted) => accepted,
            Found::Damaged(why) => return Ok(Contents::Other(why)),
            Found::Nothing | Found::Newer(_) => {
                let stray = Stage::ALL.map(layout::record).into_iter().find(|name| disk.path(name).exists());
                let missing = stray.map(|name| format!("{} is missing beside {name}", layout::ACCEPTED));
                return Ok(missing.map_or(Contents::Nothing, Contents::Other));
            }
        };
    if let Some(why) = other(&accepted, slot, key) {
        return Ok(Contents::Other(why));
    }
    let end = match known(disk, record::read::<Terminal>(disk, layout::END)?, layout::END)? {
        Found::Record(end) => Some(end),
        Found::Damaged(_) | Found::Nothing | Found::Newer(_) => None,
    };
    let mut held =
        Held { accepted, outputs: Outputs::default(), artifacts: BTreeMap::new(), damaged: Vec::new(), end };
    for stage in Stage::ALL {
        match stage_of(disk, stage)? {
            Found::Record((output, artifacts)) => {
                held.outputs.put(output);
                held.artifacts.insert(stage, artifacts);
            }
            Found::Damaged(why) => held.damaged.push((stage, why)),
            Found::Nothing | Found::Newer(_) => {}
        }
    }
    missing_records(&mut held);
    Ok(Contents::Ours(Box::new(held)))
}

/// Why the rendering in the folder is not `slot`'s of `key`.
fn other(accepted: &AcceptedRecord, slot: SlotId, key: &Key) -> Option<String> {
    let had = accepted.slot;
    let of_another = (had != slot).then(|| format!("the slot is another ({slot}, it was {had})"));
    let changed = [
        ("the recipe", accepted.recipe_sha256, key.recipe),
        ("the bundle", accepted.bundle_sha256, key.bundle),
    ];
    let changed = changed
        .into_iter()
        .filter(|(_, had, asked)| had != asked)
        .map(|(what, had, asked)| format!("{what} is another ({asked:.12}, it was {had:.12})"));
    let changed: Vec<String> = of_another.into_iter().chain(changed).collect();
    (!changed.is_empty()).then(|| changed.join("; "))
}

/// A stage without a record, of which later ones are done, has lost it.
fn missing_records(held: &mut Held) {
    let completed = matches!(&held.end, Some(Terminal { ending: Ending::Completed { .. }, .. }));
    for stage in Stage::ALL {
        let is_done = |other: &Stage| held.outputs.has(*other);
        let told = held.damaged.iter().any(|(other, _)| *other == stage);
        let follows = layout::with_what_follows(stage).iter().any(is_done);
        if !held.outputs.has(stage) && !told && (follows || completed) {
            held.damaged.push((stage, format!("{} is missing", layout::record(stage))));
        }
    }
}

/// Undoes what is damaged, and takes away what no record names.
fn settle(disk: &Disk, held: &mut Held) -> Result<(), JournalError> {
    if held.end.is_some() && held.damaged.is_empty() {
        return Ok(());
    }
    disk.remove(layout::END)?;
    void(held);
    // The latest first: what is left when this is cut short is still in order.
    for stage in Stage::ALL.into_iter().rev().filter(|stage| !held.outputs.has(*stage)) {
        tidy(disk, stage)?;
    }
    disk.remove(layout::RESULT)
}

/// Of a slot that goes on: no end, and no output of what is damaged or came of it.
pub(super) fn void(held: &mut Held) {
    held.end = None;
    // Without an end the package may not have reached whoever waits for it; making it again costs nothing.
    let package = [Stage::Package];
    let void = held.damaged.iter().flat_map(|(stage, _)| layout::with_what_follows(*stage)).chain(&package);
    for stage in void {
        match stage {
            Stage::Audio => held.outputs.speech = None,
            Stage::Image => held.outputs.painting = None,
            Stage::Video => held.outputs.animation = None,
            Stage::Verify => held.outputs.judgement = None,
            Stage::Package => held.outputs.parcel = None,
        }
        held.artifacts.remove(stage);
    }
}

/// Takes away a stage's record, and then its artifacts.
pub(super) fn tidy(disk: &Disk, stage: Stage) -> Result<(), JournalError> {
    disk.remove(layout::record(stage))?;
    match stage {
        Stage::Audio => disk.remove(layout::AUDIO),
        Stage::Image => disk.remove(layout::IMAGE),
        Stage::Video => {
            disk.remove(layout::VIDEO)?;
            for name in disk.names(layout::KEYFRAMES)?.iter().filter(|name| layout::is_keyframe(name)) {
                disk.remove(&format!("{}/{name}", layout::KEYFRAMES))?;
            }
            disk.remove_empty_folder(layout::KEYFRAMES);
            Ok(())
        }
        // The result belongs to the slot as a whole: a failed one has one too, and it is written before the record.
        Stage::Verify | Stage::Package => Ok(()),
    }
}

/// Refuses what a newer node has written.
fn known<T>(disk: &Disk, found: Found<T>, name: &str) -> Result<Found<T>, JournalError> {
    match found {
        Found::Newer(version) => Err(JournalError::Newer { file: disk.path(name), version }),
        other => Ok(other),
    }
}

type Kept = (StageOutput, Vec<Artifact>);

/// One stage's output, whole.
fn stage_of(disk: &Disk, stage: Stage) -> Result<Found<Kept>, JournalError> {
    let name = layout::record(stage);
    match stage {
        Stage::Audio => checked(disk, known(disk, record::read(disk, name)?, name)?, audio),
        Stage::Image => checked(disk, known(disk, record::read(disk, name)?, name)?, image),
        Stage::Video => checked(disk, known(disk, record::read(disk, name)?, name)?, video),
        Stage::Verify => checked(disk, known(disk, record::read(disk, name)?, name)?, verify),
        Stage::Package => checked(disk, known(disk, record::read(disk, name)?, name)?, package),
    }
}

fn checked<R>(
    disk: &Disk,
    found: Found<R>,
    output: impl FnOnce(&Disk, R) -> Result<Kept, Broken>,
) -> Result<Found<Kept>, JournalError> {
    Ok(match found {
        Found::Record(record) => match output(disk, record) {
            Ok(kept) => Found::Record(kept),
            Err(Broken::Damaged(why)) => Found::Damaged(why),
            Err(Broken::Disk(error)) => return Err(error),
        },
        Found::Damaged(why) => Found::Damaged(why),
        Found::Newer(version) => Found::Newer(version),
        Found::Nothing => Found::Nothing,
    })
}

enum Broken {
    Damaged(String),
    Disk(JournalError),
}

/// The bytes of an artifact that is as it was written.
fn sound(disk: &Disk, artifact: &Artifact) -> Result<Vec<u8>, Broken> {
    if let Some(why) = disk.misfit(artifact) {
        return Err(Broken::Damaged(why));
    }
    let bytes = disk.read(&artifact.name).map_err(Broken::Disk)?;
    bytes.ok_or_else(|| Broken::Damaged(format!("{} is missing", artifact.name)))
}

fn undecodable(artifact: &Artifact) -> impl FnOnce(&dyn std::fmt::Display) -> Broken {
    let name = artifact.name.clone();
    move |error| Broken::Damaged(format!("{name} is {error}"))
}

fn audio(disk: &Disk, record: AudioRecord) -> Result<Kept, Broken> {
    let wrong = undecodable(&record.sound);
    let pcm = wav::decode(&sound(disk, &record.sound)?).map_err(|error| wrong(&error))?;
    let speech = Speech { pcm, timeline: record.timeline, warnings: record.warnings };
    Ok((StageOutput::Speech(Arc::new(speech)), vec![record.sound]))
}

fn image(disk: &Disk, record: ImageRecord) -> Result<Kept, Broken> {
    let wrong = undecodable(&record.picture);
    let image = png::decode(&sound(disk, &record.picture)?).map_err(|error| wrong(&error))?;
    let painting = Painting { image, warnings: record.warnings };
    Ok((StageOutput::Painting(Arc::new(painting)), vec![record.picture]))
}

fn video(disk: &Disk, record: VideoRecord) -> Result<Kept, Broken> {
    // Never read whole: nobody here needs its bytes.
    if let Some(why) = disk.misfit(&record.video) {
        return Err(Broken::Damaged(why));
    }
    let artifacts = of_video(&record);
    let keyframe = |keyframe: &record::KeyframeRecord| {
        let wrong = undecodable(&keyframe.picture);
        let image = png::decode(&sound(disk, &keyframe.picture)?).map_err(|error| wrong(&error))?;
        Ok(Keyframe { index: keyframe.index, image })
    };
    let keyframes = record.keyframes.iter().map(keyframe).collect::<Result<_, Broken>>()?;
    let VideoRecord { frames, rendered, batch, warnings, .. } = record;
    let animation = Animation { frames, rendered, batch, keyframes, warnings };
    Ok((StageOutput::Animation(Arc::new(animation)), artifacts))
}

fn verify(_: &Disk, record: VerifyRecord) -> Result<Kept, Broken> {
    Ok((StageOutput::Judgement(Arc::new(record.judgement)), Vec::new()))
}

fn package(disk: &Disk, record: PackageRecord) -> Result<Kept, Broken> {
    if let Some(why) = record.result.as_ref().and_then(|result| disk.misfit(result)) {
        return Err(Broken::Damaged(why));
    }
    Ok((StageOutput::Parcel(Arc::new(record.parcel)), Vec::new()))
}
