//! A folder through everything that can happen to it. [`kills`] ends real processes at every file operation.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::contract::{Animation, Keyframe, Painting, Speech, Warning};
use crate::journal::{CancelCause, Judgement, Parcel};
use crate::media::wav;
use crate::types::{Pcm, Phoneme, Resolution, RgbImage, SAMPLE_RATE, Sha256, Timeline};

mod disks;
mod kills;

/// Ends the process, or fills the disk, at one of the file operations to come.
#[derive(Debug)]
pub(in crate::journal::folder) struct Fuse {
    kills: bool,
    left: AtomicI64,
}

/// Before which file operation a child process is to kill itself.
const KILL_AT: &str = "VORTEX_TEST_KILL_AT";

impl Fuse {
    pub(in crate::journal::folder) fn from_environment() -> Self {
        let kill_at = std::env::var(KILL_AT).ok().and_then(|text| text.parse().ok());
        Self { kills: kill_at.is_some(), left: AtomicI64::new(kill_at.unwrap_or(i64::MAX)) }
    }

    pub(in crate::journal::folder) fn step(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return Ok(());
        }
        if self.kills {
            let pid = std::process::id().to_string();
            std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
            unreachable!("SIGKILL cannot be survived");
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn fill_at(&self, step: i64) {
        self.left.store(step, Ordering::SeqCst);
    }
}

const RECIPE_TEXT: &[u8] = b"// a comment\n{\"recipe_id\": \"x\"}\n";
const VIDEO_BYTES: &[u8] = b"frames and sound";

/// An encoder that has closed its file whenever it is asked, or never will.
struct Encoder(PathBuf, Result<(), String>);

impl Videos for Encoder {
    fn closed(&self, _: SlotId) -> Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send>> {
        let (path, result) = (self.0.join("journal/partial/video-1.mp4"), self.1.clone());
        Box::pin(async move {
            result?;
            fs::write(&path, VIDEO_BYTES).unwrap();
            Ok(path)
        })
    }
}

fn slot() -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(7))
}

fn key(recipe: &str) -> Key {
    Key { recipe: Sha256::of(recipe.as_bytes()), bundle: Sha256::of(b"bundle") }
}

fn open(dir: &Path, recipe: &str) -> Result<(Arc<FolderJournal>, Standing), FolderError> {
    let mut tries = 0;
    loop {
        let opened = FolderJournal::open(dir, key(recipe), Arc::new(Encoder(dir.to_owned(), Ok(()))));
        match opened {
            // Other tests start processes: between fork and exec these hold every open file of this one, locks too.
            Err(FolderError::Busy { pid, .. }) if pid == Some(std::process::id()) && tries < 100_000 => {
                tries += 1;
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

fn accepted() -> Accepted {
    let now = clock::now();
    let deadline = Deadline::after(now, Duration::from_secs(3600)).unwrap();
    Accepted { slot: slot(), recipe: RECIPE_TEXT.into(), deadline, at: now }
}

fn image(seed: u8) -> RgbImage {
    let size = Resolution::new(24, 16).unwrap();
    let data = (0..size.rgb_bytes().get()).map(|place| (place as u8).wrapping_mul(seed)).collect();
    RgbImage::new(size, data).unwrap()
}

fn output(stage: Stage) -> StageOutput {
    let warnings = vec![Warning::new("odd", "something")];
    match stage {
        Stage::Audio => {
            let samples = (0..2400).map(|place| (place as f32 * 0.1).sin() * 0.7).collect();
            let pcm = wav::quantised(&Pcm { sample_rate: SAMPLE_RATE, samples });
            let phonemes = vec![Phoneme { symbol: "ˈɑ".into(), start: 10, end: 2000 }];
            let timeline = Timeline::new(SAMPLE_RATE, 2400, phonemes).unwrap();
            StageOutput::Speech(Arc::new(Speech { pcm, timeline, warnings }))
        }
        Stage::Image => StageOutput::Painting(Arc::new(Painting { image: image(3), warnings })),
        Stage::Video => {
            let keyframes = [0, 11].map(|index| Keyframe { index, image: image(index as u8 + 5) }).into();
            StageOutput::Animation(Arc::new(Animation {
                frames: 12,
                rendered: 9,
                batch: 4,
                keyframes,
                warnings,
            }))
        }
        Stage::Verify => {
            // Numbers whose last bit a careless reader loses.
            let report = serde_json::json!({ "scores": [0.1 + 0.2, 1.0 / 3.0, 0.714_285_714_285_714_2f64] });
            StageOutput::Judgement(Arc::new(Judgement { summary: "passed".into(), report }))
        }
        Stage::Package => StageOutput::Parcel(Arc::new(Parcel { artifacts: vec!["result.json".into()] })),
    }
}

fn terminal(ending: Ending) -> Terminal {
    Terminal { slot: slot(), ending, elapsed: Duration::new(3, 141_592_653), breakdown: [Duration::ZERO; 5] }
}

fn completed() -> Terminal {
    terminal(Ending::Completed { deadline_met: true })
}

fn failed(cause: Failure) -> Terminal {
    terminal(Ending::Failed { cause, stage: Some(Stage::Image), message: "no".into() })
}

/// What the orchestrator does, from wherever the folder stands, up to `last`.
async fn walk(dir: &Path, journal: &FolderJournal, last: Stage) -> Result<(), JournalError> {
    let open = journal.open().wait().await?;
    let outputs = match open.into_iter().next() {
        Some(open) => open.outputs,
        None => {
            journal.accept(&accepted()).wait().await?;
            Outputs::default()
        }
    };
    for stage in Stage::ALL.into_iter().filter(|stage| *stage <= last && !outputs.has(*stage)) {
        if stage == Stage::Package {
            fs::write(dir.join("result.json"), b"{}").unwrap();
        }
        journal.stage_done(slot(), &output(stage)).wait().await?;
    }
    Ok(())
}

/// And its end.
async fn finish(dir: &Path, journal: &FolderJournal) -> Result<(), JournalError> {
    walk(dir, journal, Stage::Package).await?;
    journal.terminal(&completed()).wait().await
}

/// Every file of a folder but those that time and process are in.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if !["journal/lock", "journal/accepted.json"].contains(&name.as_str()) {
                files.push((name, fs::read(entry.path()).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn same(a: &StageOutput, b: &StageOutput) -> bool {
    match (a, b) {
        (StageOutput::Speech(a), StageOutput::Speech(b)) => a == b,
        (StageOutput::Painting(a), StageOutput::Painting(b)) => a == b,
        (StageOutput::Animation(a), StageOutput::Animation(b)) => a == b,
        (StageOutput::Judgement(a), StageOutput::Judgement(b)) => a == b,
        (StageOutput::Parcel(a), StageOutput::Parcel(b)) => a == b,
        _ => false,
    }
}

fn of(outputs: &Outputs, stage: Stage) -> Option<StageOutput> {
    match stage {
        Stage::Audio => outputs.speech.clone().map(StageOutput::Speech),
        Stage::Image => outputs.painting.clone().map(StageOutput::Painting),
        Stage::Video => outputs.animation.clone().map(StageOutput::Animation),
        Stage::Verify => outputs.judgement.clone().map(StageOutput::Judgement),
        Stage::Package => outputs.parcel.clone().map(StageOutput::Parcel),
    }
}

/// A folder that was rendered to its end.
async fn complete() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (journal, standing) = open(dir.path(), "a").unwrap();
    assert_eq!(standing, Standing::New);
    finish(dir.path(), &journal).await.unwrap();
    dir
}

#[tokio::test]
async fn what_was_kept_comes_back_in_another_process_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("made/on/the/way");
    let before = accepted();
    {
        let (journal, standing) = open(&new, "a").unwrap();
        assert_eq!((standing, journal.slot()), (Standing::New, None));
        assert!(journal.open().wait().await.unwrap().is_empty());
        journal.accept(&before).wait().await.unwrap();
        walk(&new, &journal, Stage::Verify).await.unwrap();
        journal.before_exit().wait().await.unwrap();
    }
    let (journal, standing) = open(&new, "a").unwrap();
    let done = vec![Stage::Audio, Stage::Image, Stage::Video, Stage::Verify];
    assert_eq!(standing, Standing::Resumable { done: done.clone(), damaged: vec![] });
    assert_eq!(journal.slot(), Some(slot()));
    let open = journal.open().wait().await.unwrap();
    let [OpenSlot { accepted, outputs }] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!((accepted.slot, &*accepted.recipe), (slot(), RECIPE_TEXT));
    for (found, expected) in
        [(accepted.deadline.instant(), before.deadline.instant()), (accepted.at, before.at)]
    {
        let off = found.max(expected) - found.min(expected);
        assert!(off < Duration::from_secs(1), "{off:?}");
    }
    for stage in done {
        assert!(same(&of(outputs, stage).unwrap(), &output(stage)), "{stage}");
    }
    let names: Vec<String> = journal.artifacts().into_iter().map(|artifact| artifact.name).collect();
    let expected =
        ["recipe.json", "audio.wav", "actor.png", "keyframes/00000.png", "keyframes/00011.png", "video.mp4"];
    assert_eq!(names, expected);
    assert!(journal.artifacts().iter().all(|artifact| journal.inner.disk.misfit(artifact).is_none()));
    assert_eq!(fs::read(new.join("video.mp4")).unwrap(), VIDEO_BYTES);
}

#[tokio::test]
async fn an_ended_slot_stays_ended_and_is_not_offered() {
    let dir = complete().await;
    let before = files(dir.path());
    let (journal, standing) = open(dir.path(), "a").unwrap();
    assert_eq!(standing, Standing::Ended(completed()));
    assert!(journal.open().wait().await.unwrap().is_empty());
    let refused = journal.accept(&accepted()).wait().await.unwrap_err();
    assert!(refused.0.contains("has ended"), "{refused}");
    journal.terminal(&failed(Failure::Timeout)).wait().await.unwrap();
    assert!(journal.stage_done(slot(), &output(Stage::Audio)).wait().await.is_err());
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn failed_and_cancelled_slots_are_tried_again_completed_and_rejected_ones_are_not() {
    for (end, again) in [
        (completed(), false),
        (failed(Failure::Rejected), false),
        (failed(Failure::Timeout), true),
        (terminal(Ending::Cancelled { cause: CancelCause::Requested }), true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path(), "a").unwrap();
        let last = if end == completed() { Stage::Package } else { Stage::Image };
        walk(dir.path(), &journal, last).await.unwrap();
        fs::write(dir.path().join("result.json"), b"{}").unwrap();
        journal.terminal(&end).wait().await.unwrap();
        drop(journal);
        let (journal, standing) = open(dir.path(), "a").unwrap();
        assert_eq!(standing, Standing::Ended(end));
        let deadline = Deadline::after(clock::now(), Duration::from_secs(7200)).unwrap();
        match journal.reopen(Some(deadline)) {
            Ok(standing) => {
                assert!(again);
                let done = vec![Stage::Audio, Stage::Image];
                assert_eq!(standing, Standing::Resumable { done, damaged: vec![] });
                assert!(!dir.path().join("result.json").exists());
                let left = journal.open().wait().await.unwrap()[0].accepted.deadline.remaining(clock::now());
                assert!(left > Duration::from_secs(7000), "{left:?}");
                finish(dir.path(), &journal).await.unwrap();
            }
            Err(error) => assert!(!again && matches!(error, FolderError::Final { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn another_recipe_or_bundle_takes_the_folder_over_once_it_is_accepted() {
    let dir = complete().await;
    fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
    let before = files(dir.path());
    {
        let (journal, standing) = open(dir.path(), "b").unwrap();
        let Standing::Replaced { why } = standing else { panic!("{standing:?}") };
        assert!(why.contains("the recipe is another") && !why.contains("bundle"), "{why}");
        assert!(journal.open().wait().await.unwrap().is_empty());
        assert_eq!(files(dir.path()), before, "nothing goes before the other is accepted");
        walk(dir.path(), &journal, Stage::Image).await.unwrap();
        let names: Vec<String> = files(dir.path()).into_iter().map(|(name, _)| name).collect();
        let left = [
            "actor.png",
            "audio.wav",
            "journal/audio.json",
            "journal/image.json",
            "notes.txt",
            "recipe.json",
        ];
        assert_eq!(names, left);
    }
    let other = Key { bundle: Sha256::of(b"other"), ..key("b") };
    let (_, standing) =
        FolderJournal::open(dir.path(), other, Arc::new(Encoder(dir.path().to_owned(), Ok(())))).unwrap();
    assert!(matches!(standing, Standing::Replaced { why } if why.contains("the bundle is another")));
}

#[tokio::test]
async fn writes_come_in_the_order_they_were_asked_for_and_a_lost_video_fails_its_stage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), "a").unwrap();
    // None is waited for before the next is asked for.
    let mut writes = vec![journal.accept(&accepted())];
    writes.extend(Stage::ALL.map(|stage| journal.stage_done(slot(), &output(stage))));
    writes.push(journal.terminal(&completed()));
    for write in writes.into_iter().rev() {
        write.wait().await.unwrap();
    }
    drop(journal);
    assert_eq!(open(dir.path(), "a").unwrap().1, Standing::Ended(completed()));

    let dir = tempfile::tempdir().unwrap();
    let encoder = Encoder(dir.path().to_owned(), Err("3 of 12 frames".into()));
    let (journal, _) = FolderJournal::open(dir.path(), key("a"), Arc::new(encoder)).unwrap();
    let error = walk(dir.path(), &journal, Stage::Video).await.unwrap_err();
    assert!(error.0.contains("3 of 12 frames"), "{error}");
    assert!(!dir.path().join("video.mp4").exists() && !dir.path().join("keyframes").exists());
}
