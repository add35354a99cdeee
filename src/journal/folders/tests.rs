//! Several slots in one store: side by side, refused, left by an earlier process.

use std::fs;

use tempfile::TempDir;

use super::super::folder::tests::{accepted_of, files, output, patiently, terminal_of, walk_of};
use super::*;
use crate::journal::{CancelCause, Ending};
use crate::types::Stage;

fn slot(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number))
}

fn bundle() -> Sha256 {
    Sha256::of(b"bundle")
}

fn key(slot: SlotId) -> Key {
    Key { recipe: Sha256::of(slot.uuid().as_bytes()), bundle: bundle() }
}

fn prepare(store: &SlotFolders, slot: SlotId) -> (Arc<SlotFolder>, FolderState) {
    patiently(|| store.prepare(slot, key(slot))).unwrap()
}

fn store() -> (TempDir, SlotFolders) {
    let root = tempfile::tempdir().unwrap();
    let store = SlotFolders::under(&root.path().join("slots"));
    (root, store)
}

fn completed(slot: SlotId) -> Terminal {
    terminal_of(slot, Ending::Completed { deadline_met: true })
}

fn cancelled(slot: SlotId) -> Terminal {
    terminal_of(slot, Ending::Cancelled { cause: CancelCause::Requested })
}

async fn rendered(store: &SlotFolders, slot: SlotId) -> Result<(), JournalError> {
    let folder = prepare(store, slot).0;
    walk_of(store, slot, folder.dir(), Stage::Package).await?;
    store.terminal(&completed(slot)).map_ok(drop).await
}

/// Whatever file operation of one slot finds its disk full, the other is rendered as if it were alone.
#[tokio::test]
async fn of_two_slots_at_once_one_with_a_full_disk_does_not_disturb_the_other() {
    let (whole, well, ill) = (store(), slot(1), slot(2));
    let mut alone = Vec::new();
    for slot in [well, ill] {
        rendered(&whole.1, slot).await.unwrap();
        alone.push(files(&whole.1.dir_of(slot).unwrap()));
    }
    let mut failures = 0;
    for step in 0.. {
        let (_root, store) = store();
        let (folder, standing) = prepare(&store, well);
        let (full, _) = prepare(&store, ill);
        assert_eq!(standing, FolderState::New);
        assert_ne!(folder.dir(), full.dir());
        full.fill_at(step);
        let (first, second) = tokio::join!(rendered(&store, well), rendered(&store, ill));
        first.unwrap();
        assert!(files(folder.dir()) == alone[0], "step {step}");
        match second {
            Ok(()) => break,
            Err(error) => assert!(matches!(error, JournalError::DiskFull { .. }), "{error:?}"),
        }
        failures += 1;
        // The ill one is where it was, and goes on once there is room.
        full.fill_at(-1);
        rendered(&store, ill).await.unwrap();
        assert!(files(full.dir()) == alone[1], "step {step}");
        assert!(files(folder.dir()) == alone[0], "step {step}");
    }
    assert!(failures > 30, "{failures}");
}

/// The writes of two slots, asked for in turns and none waited for, each in the order of its own.
#[tokio::test]
async fn a_slot_that_waits_for_its_encoder_holds_nobody_up() {
    let (_root, store) = store();
    let (slow, quick) = (slot(1), slot(2));
    let (slow_folder, _) = prepare(&store, slow);
    let (quick_folder, _) = prepare(&store, quick);
    let (closes, closed) = tokio::sync::oneshot::channel::<PathBuf>();
    slow_folder.encoding(async { closed.await.map_err(Into::into) });
    let mut writes = vec![store.accept(&accepted_of(slow))];
    let mut quick_writes = vec![store.accept(&accepted_of(quick))];
    for stage in [Stage::Audio, Stage::Image] {
        writes.push(store.stage_done(slow, &output(stage)));
        quick_writes.push(store.stage_done(quick, &output(stage)));
    }
    writes.push(store.stage_done(slow, &output(Stage::Video)));
    quick_writes.push(store.terminal(&cancelled(quick)).map_ok(drop));
    for write in quick_writes {
        write.await.unwrap();
    }
    assert_eq!(quick_folder.standing(), FolderState::Ended(cancelled(quick)));
    assert!(!slow_folder.dir().join("video.mp4").exists());
    let path = slow_folder.partial_video();
    fs::write(&path, b"frames").unwrap();
    closes.send(path).unwrap();
    for write in writes {
        write.await.unwrap();
    }
    assert_eq!(fs::read(slow_folder.dir().join("video.mp4")).unwrap(), b"frames");
}

#[tokio::test]
async fn a_slot_that_is_considered_or_refused_leaves_no_folder() {
    let (root, store) = store();
    let refused = slot(1);
    // Asked about, and never prepared.
    assert!(store.dir_of(refused).unwrap().starts_with(root.path()));
    assert!(store.get(refused).is_none());
    for error in [
        store.accept(&accepted_of(refused)).await.unwrap_err(),
        store.stage_done(refused, &output(Stage::Audio)).await.unwrap_err(),
        store.terminal(&completed(refused)).await.unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::Misuse { what: Misuse::NotPrepared, .. }), "{error:?}");
        assert!(error.to_string().contains(&refused.to_string()), "{error}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    // Prepared, and then not accepted.
    let (folder, _) = prepare(&store, refused);
    assert!(folder.dir().join("journal/lock").exists());
    store.release(refused).unwrap();
    assert!(!folder.dir().exists() && store.get(refused).is_none());
    drop(folder);
    // A folder that was there stays, empty as it was.
    let given = root.path().join("given");
    fs::create_dir(&given).unwrap();
    store.place(refused, &given);
    prepare(&store, refused);
    store.release(refused).unwrap();
    assert_eq!(fs::read_dir(&given).unwrap().count(), 0);
    // Without a root, only named slots have a place.
    let error = SlotFolders::new().prepare(slot(9), key(slot(9))).unwrap_err();
    assert!(matches!(error, JournalError::Misuse { what: Misuse::NoPlace, .. }), "{error:?}");
}

#[tokio::test]
async fn two_slots_never_share_a_folder() {
    let (root, store) = store();
    let dir = root.path().join("one");
    store.place(slot(1), &dir);
    store.place(slot(2), &dir);
    prepare(&store, slot(1));
    store.accept(&accepted_of(slot(1))).await.unwrap();
    let refused = store.prepare(slot(2), key(slot(2))).unwrap_err();
    assert!(matches!(refused, JournalError::Busy { .. }), "{refused:?}");
    assert!(refused.to_string().starts_with("another slot of this process"), "{refused}");
    // The same recipe and bundle for another slot are another rendering too.
    store.terminal(&completed(slot(1))).await.unwrap();
    store.release(slot(1)).unwrap();
    let (_, standing) = patiently(|| store.prepare(slot(2), key(slot(1)))).unwrap();
    assert!(matches!(standing, FolderState::Replaced { why } if why.contains("the slot is another")));
}

#[tokio::test]
async fn a_prepared_slot_keeps_its_folder_until_it_is_released() {
    let (_root, store) = store();
    let (folder, _) = prepare(&store, slot(1));
    store.accept(&accepted_of(slot(1))).await.unwrap();
    store.stage_done(slot(1), &output(Stage::Audio)).await.unwrap();
    let (again, standing) = store.prepare(slot(1), key(slot(1))).unwrap();
    assert!(Arc::ptr_eq(&folder, &again));
    assert_eq!(standing, FolderState::Resumable { done: vec![Stage::Audio], damaged: vec![] });
    let other = store.prepare(slot(1), key(slot(2))).unwrap_err();
    assert!(matches!(other, JournalError::Misuse { what: Misuse::OtherRendering, .. }), "{other:?}");
    let open = store.release(slot(1)).unwrap_err();
    assert!(matches!(open, JournalError::Misuse { what: Misuse::Open, .. }), "{open:?}");
    store.terminal(&completed(slot(1))).await.unwrap();
    assert_eq!(folder.standing(), FolderState::Ended(completed(slot(1))));
    store.release(slot(1)).unwrap();
    // The first end stays, whoever tells another.
    store.terminal(&cancelled(slot(1))).await.unwrap();
    drop((folder, again));
    // Its package was never made, so it is not as complete as its end says.
    assert!(matches!(prepare(&store, slot(1)).1, FolderState::Resumable { .. }));
}

#[tokio::test]
async fn a_new_process_goes_on_with_every_open_slot_and_with_no_other() {
    let (root, first) = store();
    let stages = [(slot(5), None), (slot(3), Some(Stage::Verify)), (slot(8), Some(Stage::Audio))];
    for (slot, last) in stages {
        let (folder, _) = prepare(&first, slot);
        first.accept(&accepted_of(slot)).await.unwrap();
        if let Some(last) = last {
            walk_of(&first, slot, folder.dir(), last).await.unwrap();
        }
    }
    rendered(&first, slot(1)).await.unwrap();
    prepare(&first, slot(2));
    fs::write(root.path().join("slots/notes.txt"), b"mine").unwrap();
    // What one process has, another leaves alone.
    let second = SlotFolders::under(&root.path().join("slots"));
    let early = second.resume(bundle()).unwrap();
    assert!(early.slots.is_empty());
    assert_eq!(early.failed.len(), 3);
    assert!(early.failed.iter().all(|(_, error)| matches!(error, JournalError::Busy { .. })));
    let ended = files(&first.dir_of(slot(1)).unwrap());
    drop(first);
    // One acceptance is damaged: its slot is told, the others go on.
    let broken = second.dir_of(slot(8)).unwrap();
    fs::write(broken.join("journal/accepted.json"), b"{").unwrap();
    let resumed = resume(&second);
    let standings: Vec<_> =
        resumed.slots.iter().map(|(folder, standing)| (folder.slot(), standing.clone())).collect();
    let done = vec![Stage::Audio, Stage::Image, Stage::Video, Stage::Verify];
    let as_left = |done| FolderState::Resumable { done, damaged: vec![] };
    assert_eq!(standings, [(slot(3), as_left(done)), (slot(5), as_left(vec![]))]);
    let [(dir, error)] = &resumed.failed[..] else { panic!("{:?}", resumed.failed) };
    assert_eq!(*dir, broken);
    assert!(matches!(error, JournalError::Corrupt { path, .. } if path.ends_with("journal/accepted.json")));
    // In the order in which they were accepted.
    let open = second.open().await.unwrap().slots;
    assert_eq!(open.iter().map(|it| it.accepted.slot).collect::<Vec<_>>(), [slot(5), slot(3)]);
    assert!(open[1].outputs.has(Stage::Verify));
    assert_eq!(files(&second.dir_of(slot(1)).unwrap()), ended);
    for number in [3, 5] {
        rendered(&second, slot(number)).await.unwrap();
    }
    second.before_exit().await.unwrap();
    assert!(second.open().await.unwrap().slots.is_empty());
}

fn resume(store: &SlotFolders) -> Resumed {
    for _ in 0..100_000 {
        let resumed = store.resume(bundle()).unwrap();
        if !resumed.failed.iter().any(|(_, error)| matches!(error, JournalError::Busy { .. })) {
            return resumed;
        }
        // A test beside this one holds the locks between fork and exec; what could be opened stays so.
        assert!(resumed.slots.is_empty(), "half of them were open already");
        std::thread::yield_now();
    }
    store.resume(bundle()).unwrap()
}

#[tokio::test]
async fn an_accepted_slot_stays_accepted_when_the_bundle_changes() {
    let (root, first) = store();
    let (folder, _) = prepare(&first, slot(1));
    walk_of(&first, slot(1), folder.dir(), Stage::Video).await.unwrap();
    drop((folder, first));
    let second = SlotFolders::under(&root.path().join("slots"));
    let mut resumed = patiently(|| second.resume(Sha256::of(b"newer")).and_then(first_failure)).unwrap();
    let (folder, standing) = resumed.slots.remove(0);
    let FolderState::Resumable { done, damaged } = standing else { panic!("{standing:?}") };
    assert!(done.is_empty());
    assert_eq!(damaged.iter().map(|it| it.0).collect::<Vec<_>>(), [Stage::Audio, Stage::Image, Stage::Video]);
    assert!(damaged[0].1.contains("the bundle is another"), "{damaged:?}");
    assert!(!folder.dir().join("audio.wav").exists() && !folder.dir().join("video.mp4").exists());
    assert_eq!(second.open().await.unwrap().slots.len(), 1);
    walk_of(&second, slot(1), folder.dir(), Stage::Package).await.unwrap();
    second.terminal(&completed(slot(1))).await.unwrap();
    drop((folder, second));
    let third = SlotFolders::under(&root.path().join("slots"));
    assert!(third.resume(bundle()).unwrap().slots.is_empty());
}

fn first_failure(mut resumed: Resumed) -> Result<Resumed, JournalError> {
    match resumed.failed.pop() {
        Some((_, error)) => Err(error),
        None => Ok(resumed),
    }
}

#[tokio::test]
async fn a_slot_that_comes_again_after_its_end_begins_at_nothing() {
    let (_root, store) = store();
    let (ended, other) = (slot(1), slot(2));
    for slot in [ended, other] {
        rendered(&store, slot).await.unwrap();
    }
    let dir = store.dir_of(ended).unwrap();
    let kept = files(&store.dir_of(other).unwrap());
    store.renew(ended).unwrap();
    assert!(!dir.exists() && store.get(ended).is_none());
    assert!(files(&store.dir_of(other).unwrap()) == kept, "the other slot's folder stays");
    // Again, and of a slot that never was: nothing happens.
    store.renew(ended).unwrap();
    store.renew(slot(9)).unwrap();
    assert!(!store.dir_of(slot(9)).unwrap().exists());

    store.plan(accepted_of(ended), key(ended));
    let folder = store.ensure(ended).unwrap();
    assert_eq!(folder.standing(), FolderState::Resumable { done: vec![], damaged: vec![] });
    walk_of(&store, ended, folder.dir(), Stage::Package).await.unwrap();
    store.terminal(&cancelled(ended)).await.unwrap();
    drop(folder);
    // Let go of and known to nobody, it goes as well.
    store.release(ended).unwrap();
    store.renew(ended).unwrap();
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_slot_that_is_open_is_not_renewed() {
    let (root, store) = store();
    let open = slot(1);
    let (folder, _) = prepare(&store, open);
    store.accept(&accepted_of(open)).await.unwrap();
    store.stage_done(open, &output(Stage::Audio)).await.unwrap();
    let error = store.renew(open).unwrap_err();
    assert!(matches!(error, JournalError::Misuse { what: Misuse::Open, .. }), "{error:?}");
    assert!(folder.dir().join("audio.wav").exists() && store.get(open).is_some());
    // Nor is one that an earlier process left: its stages count.
    drop((folder, store));
    let store = SlotFolders::under(&root.path().join("slots"));
    store.renew(open).unwrap();
    store.plan(accepted_of(open), key(open));
    let folder = patiently(|| store.ensure(open)).unwrap();
    assert_eq!(folder.standing(), FolderState::Resumable { done: vec![Stage::Audio], damaged: vec![] });
}
