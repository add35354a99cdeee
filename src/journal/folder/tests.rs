//! A slot's folder, as the store hands it out, through everything that can happen to it. [`kills`] ends real processes at
//! every file operation.

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock;
use crate::contract::{Animation, Keyframe, Painting, Speech, Warning};
use crate::journal::{
    CancelCause, Ending, Failure, Journal, Judgement, Opened, Outputs, Parcel, SlotFolders,
};
use crate::media::wav;
use crate::types::{Deadline, Pcm, Phoneme, Resolution, RgbImage, SAMPLE_RATE, Sha256, Stage, Timeline};

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

    pub(in crate::journal) fn fill_at(&self, step: i64) {
        self.left.store(step, Ordering::SeqCst);
    }
}

const RECIPE_TEXT: &[u8] = b"// a comment\n{\"recipe_id\": \"x\"}\n";
const VIDEO_BYTES: &[u8] = b"frames and sound";

/// An encoder that has closed its file in `dir` whenever it is asked, or never will.
async fn encoder(dir: PathBuf, result: Result<(), String>) -> Result<PathBuf, AnyError> {
    result?;
    let path = dir.join("journal/partial/video-1.mp4");
    fs::write(&path, VIDEO_BYTES).unwrap();
    Ok(path)
}

/// A store of one slot, whose folder is named; the journal of that slot.
#[derive(Debug)]
struct Only {
    store: SlotFolders,
    folder: Arc<SlotFolder>,
}

impl Deref for Only {
    type Target = SlotFolders;

    fn deref(&self) -> &SlotFolders {
        &self.store
    }
}

fn slot() -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(7))
}

fn key(recipe: &str) -> Key {
    Key { recipe: Sha256::of(recipe.as_bytes()), bundle: Sha256::of(b"bundle") }
}

fn open(dir: &Path, recipe: &str) -> Result<(Only, FolderState), JournalError> {
    open_for(dir, key(recipe))
}

fn open_for(dir: &Path, key: Key) -> Result<(Only, FolderState), JournalError> {
    let store = SlotFolders::new();
    store.place(slot(), dir);
    let (folder, standing) = patiently(|| store.prepare(slot(), key))?;
    Ok((Only { store, folder }, standing))
}

/// Other tests start processes: between fork and exec these hold every open file of this one, locks too.
pub(in crate::journal) fn patiently<T>(
    open: impl Fn() -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    for _ in 0..100_000 {
        match open() {
            Err(JournalError::Busy { pid, .. }) if pid == Some(std::process::id()) => {
                std::thread::yield_now()
            }
            opened => return opened,
        }
    }
    open()
}

fn accepted() -> Accepted {
    accepted_of(slot())
}

pub(in crate::journal) fn accepted_of(slot: SlotId) -> Accepted {
    let now = clock::now();
    let deadline = Deadline::after(now, Duration::from_secs(3600)).unwrap();
    Accepted { slot, recipe: RECIPE_TEXT.into(), deadline, at: now, traceparent: None }
}

fn image(seed: u8) -> RgbImage {
    let size = Resolution::new(24, 16).unwrap();
    let data = (0..size.rgb_bytes().get()).map(|place| (place as u8).wrapping_mul(seed)).collect();
    RgbImage::new(size, data).unwrap()
}

pub(in crate::journal) fn output(stage: Stage) -> StageOutput {
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
    terminal_of(slot(), ending)
}

pub(in crate::journal) fn terminal_of(slot: SlotId, ending: Ending) -> Terminal {
    Terminal { slot, ending, elapsed: Duration::new(3, 141_592_653), breakdown: Default::default() }
}

fn completed() -> Terminal {
    terminal(Ending::Completed { deadline_met: true })
}

fn failed(cause: Failure) -> Terminal {
    terminal(Ending::Failed { cause, stage: Some(Stage::Image), message: "no".into() })
}

/// What the orchestrator does, from wherever the folder stands, up to `last`.
async fn walk(dir: &Path, journal: &Only, last: Stage) -> Result<(), JournalError> {
    walk_of(&journal.store, slot(), dir, last).await
}

pub(in crate::journal) async fn walk_of(
    store: &SlotFolders,
    slot: SlotId,
    dir: &Path,
    last: Stage,
) -> Result<(), JournalError> {
    let Opened { slots: open, mut unread } = store.open().await?;
    if let Some((_, error)) = unread.pop() {
        return Err(error);
    }
    let outputs = match open.into_iter().find(|open| open.accepted.slot == slot) {
        Some(open) => open.outputs,
        None => {
            store.accept(&accepted_of(slot)).await?;
            Outputs::default()
        }
    };
    for stage in Stage::ALL.into_iter().filter(|stage| *stage <= last && !outputs.has(*stage)) {
        if stage == Stage::Package {
            fs::write(dir.join("result.json"), b"{}").unwrap();
        }
        if stage == Stage::Video {
            store.get(slot).unwrap().encoding(encoder(dir.to_owned(), Ok(())));
        }
        store.stage_done(slot, &output(stage)).await?;
    }
    Ok(())
}

/// And its end.
async fn finish(dir: &Path, journal: &Only) -> Result<(), JournalError> {
    walk(dir, journal, Stage::Package).await?;
    journal.terminal(&completed()).map_ok(drop).await
}

/// Every file of a folder but those that time and process are in.
pub(in crate::journal) fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
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
    assert_eq!(standing, FolderState::New);
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
        assert_eq!((standing, journal.folder.artifacts()), (FolderState::New, vec![]));
        assert!(journal.open().await.unwrap().slots.is_empty());
        journal.accept(&before).await.unwrap();
        walk(&new, &journal, Stage::Verify).await.unwrap();
        journal.before_exit().await.unwrap();
    }
    let (journal, standing) = open(&new, "a").unwrap();
    let done = vec![Stage::Audio, Stage::Image, Stage::Video, Stage::Verify];
    assert_eq!(standing, FolderState::Resumable { done: done.clone(), damaged: vec![] });
    assert_eq!((journal.folder.slot(), journal.folder.dir()), (slot(), &*new));
    let open = journal.open().await.unwrap().slots;
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
    let names: Vec<String> = journal.folder.artifacts().into_iter().map(|artifact| artifact.name).collect();
    let expected =
        ["recipe.json", "audio.wav", "actor.png", "keyframes/00000.png", "keyframes/00011.png", "video.mp4"];
    assert_eq!(names, expected);
    assert!(
        journal.folder.artifacts().iter().all(|artifact| journal
            .folder
            .inner
            .disk
            .misfit(artifact)
            .is_none())
    );
    assert_eq!(fs::read(new.join("video.mp4")).unwrap(), VIDEO_BYTES);
}

#[tokio::test]
async fn an_ended_slot_stays_ended_and_is_not_offered() {
    let dir = complete().await;
    let before = files(dir.path());
    let (journal, standing) = open(dir.path(), "a").unwrap();
    assert_eq!(standing, FolderState::Ended(completed()));
    assert!(journal.open().await.unwrap().slots.is_empty());
    let refused = journal.accept(&accepted()).await.unwrap_err();
    assert!(refused.to_string().contains("has ended"), "{refused}");
    journal.terminal(&failed(Failure::Timeout)).await.unwrap();
    assert!(journal.stage_done(slot(), &output(Stage::Audio)).await.is_err());
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
        journal.terminal(&end).await.unwrap();
        drop(journal);
        let (journal, standing) = open(dir.path(), "a").unwrap();
        assert_eq!(standing, FolderState::Ended(end));
        let deadline = Deadline::after(clock::now(), Duration::from_secs(7200)).unwrap();
        match journal.folder.reopen(Some(deadline)) {
            Ok(standing) => {
                assert!(again);
                let done = vec![Stage::Audio, Stage::Image];
                assert_eq!(standing, FolderState::Resumable { done, damaged: vec![] });
                assert!(!dir.path().join("result.json").exists());
                let left = journal.open().await.unwrap().slots[0].accepted.deadline.remaining(clock::now());
                assert!(left > Duration::from_secs(7000), "{left:?}");
                finish(dir.path(), &journal).await.unwrap();
            }
            Err(error) => assert!(!again && matches!(error, JournalError::Final { .. }), "{error}"),
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
        let FolderState::Replaced { why } = standing else { panic!("{standing:?}") };
        assert!(why.contains("the recipe is another") && !why.contains("bundle"), "{why}");
        assert!(journal.open().await.unwrap().slots.is_empty());
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
    let (_, standing) = open_for(dir.path(), other).unwrap();
    assert!(matches!(standing, FolderState::Replaced { why } if why.contains("the bundle is another")));
}

#[tokio::test]
async fn writes_come_in_the_order_they_were_asked_for_and_a_lost_video_fails_its_stage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), "a").unwrap();
    // None is waited for before the next is asked for.
    journal.folder.encoding(encoder(dir.path().to_owned(), Ok(())));
    let mut writes = vec![journal.accept(&accepted())];
    writes.extend(Stage::ALL.map(|stage| journal.stage_done(slot(), &output(stage))));
    writes.push(journal.terminal(&completed()).map_ok(drop));
    for write in writes.into_iter().rev() {
        write.await.unwrap();
    }
    drop(journal);
    assert_eq!(open(dir.path(), "a").unwrap().1, FolderState::Ended(completed()));

    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), "a").unwrap();
    walk(dir.path(), &journal, Stage::Image).await.unwrap();
    let unasked = journal.stage_done(slot(), &output(Stage::Video)).await.unwrap_err();
    assert!(matches!(unasked, JournalError::Misuse { what: Misuse::NoVideo, .. }), "{unasked}");
    journal.folder.encoding(encoder(dir.path().to_owned(), Err("3 of 12 frames".into())));
    let error = journal.stage_done(slot(), &output(Stage::Video)).await.unwrap_err();
    assert!(error.to_string().contains("the video for"), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "3 of 12 frames");
    assert!(!dir.path().join("video.mp4").exists() && !dir.path().join("keyframes").exists());
}

/// A card is lost while another card's slot stands between its result and its end: reading what is open disturbs nobody.
#[tokio::test]
async fn reading_what_is_open_takes_nothing_from_a_slot_that_is_being_worked_on() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), "a").unwrap();
    walk(dir.path(), &journal, Stage::Package).await.unwrap();
    let before = files(dir.path());
    let open_slots = journal.open().await.unwrap().slots;
    assert!(open_slots[0].outputs.has(Stage::Verify) && !open_slots[0].outputs.has(Stage::Package));
    assert_eq!(files(dir.path()), before);
    journal.terminal(&completed()).await.unwrap();
    drop(journal);
    assert_eq!(open(dir.path(), "a").unwrap().1, FolderState::Ended(completed()));
    assert!(dir.path().join("result.json").exists());
}

#[tokio::test]
async fn an_acceptance_that_is_damaged_under_its_process_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), "a").unwrap();
    walk(dir.path(), &journal, Stage::Image).await.unwrap();
    let path = dir.path().join("journal/accepted.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..40]).unwrap();
    assert_eq!(journal.open().await.unwrap().slots.len(), 1);
    assert_eq!(fs::read(&path).unwrap(), whole);
}
