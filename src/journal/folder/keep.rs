//! Writes a stage's output into the folder: the artifacts first, then the record that names them.
//!
//! A record present says that the stage is done; what fails on the way leaves neither.

use std::path::Path;

use super::disk::Disk;
use super::layout;
use super::load::tidy;
use super::record::{
    self, AudioRecord, ImageRecord, KeyframeRecord, PackageRecord, VerifyRecord, VideoRecord,
};
use crate::contract::{Animation, Painting, Speech};
use crate::journal::{Artifact, JournalError, StageOutput};
use crate::media::{png, wav};
use crate::types::{Bytes, RgbImage, Sha256, Stage};

/// Keeps `output`; `video` is its file where it is an animation. Hands back the stage's artifacts.
pub(super) fn keep(
    disk: &Disk,
    output: &StageOutput,
    video: Option<&Path>,
) -> Result<Vec<Artifact>, JournalError> {
    let stage = output.stage();
    // What an earlier run of the stage left, and what came of it, is void.
    for stage in layout::with_what_follows(stage) {
        tidy(disk, *stage)?;
    }
    let kept = match output {
        StageOutput::Speech(speech) => audio(disk, speech),
        StageOutput::Painting(painting) => image(disk, painting),
        StageOutput::Animation(animation) => self::video(disk, animation, video),
        StageOutput::Judgement(judgement) => {
            let record = VerifyRecord { judgement: judgement.as_ref().clone() };
            record::write(disk, layout::record(stage), &record).map(|()| Vec::new())
        }
        StageOutput::Parcel(parcel) => {
            let result = disk.read(layout::RESULT)?.map(|bytes| Artifact {
                name: layout::RESULT.to_owned(),
                sha256: Sha256::of(&bytes),
                bytes: Bytes::new(bytes.len() as u64),
            });
            let record = PackageRecord { parcel: parcel.as_ref().clone(), result };
            record::write(disk, layout::record(stage), &record).map(|()| Vec::new())
        }
    };
    if kept.is_err() {
        // As far as the disk still lets us; the next opening finishes it.
        let _ = tidy(disk, stage);
    }
    kept
}

fn audio(disk: &Disk, speech: &Speech) -> Result<Vec<Artifact>, JournalError> {
    let sound = disk.write(layout::AUDIO, &wav::encode(&speech.pcm))?;
    let record = AudioRecord {
        sound: sound.clone(),
        timeline: speech.timeline.clone(),
        warnings: speech.warnings.clone(),
    };
    record::write(disk, layout::record(Stage::Audio), &record)?;
    Ok(vec![sound])
}

fn image(disk: &Disk, painting: &Painting) -> Result<Vec<Artifact>, JournalError> {
    let picture = picture(disk, layout::IMAGE, &painting.image)?;
    let record = ImageRecord { picture: picture.clone(), warnings: painting.warnings.clone() };
    record::write(disk, layout::record(Stage::Image), &record)?;
    Ok(vec![picture])
}

fn video(disk: &Disk, animation: &Animation, file: Option<&Path>) -> Result<Vec<Artifact>, JournalError> {
    let missing = || {
        let source = std::io::Error::other("the encoder handed over no file");
        JournalError::io(disk.path(layout::VIDEO), "written", source)
    };
    disk.folder(layout::KEYFRAMES)?;
    let keyframes = animation
        .keyframes
        .iter()
        .map(|keyframe| {
            let picture = picture(disk, &layout::keyframe(keyframe.index), &keyframe.image)?;
            Ok(KeyframeRecord { index: keyframe.index, picture })
        })
        .collect::<Result<Vec<_>, JournalError>>()?;
    let video = disk.adopt(file.ok_or_else(missing)?, layout::VIDEO)?;
    let record = VideoRecord {
        video,
        frames: animation.frames,
        rendered: animation.rendered,
        batch: animation.batch,
        keyframes,
        warnings: animation.warnings.clone(),
    };
    record::write(disk, layout::record(Stage::Video), &record)?;
    Ok(of_video(&record))
}

/// The artifacts of a video: its keyframes, then itself.
pub(super) fn of_video(record: &VideoRecord) -> Vec<Artifact> {
    record.keyframes.iter().map(|keyframe| &keyframe.picture).chain([&record.video]).cloned().collect()
}

fn picture(disk: &Disk, name: &str, image: &RgbImage) -> Result<Artifact, JournalError> {
    let failed = |source| JournalError::io(disk.path(name), "encoded", source);
    disk.write(name, &png::encode(image).map_err(failed)?)
}
