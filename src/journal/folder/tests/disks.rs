//! Damage, full disks, folders of others.

use super::*;

/// A kind of damage.
type Change = (&'static str, fn(&Path));

#[tokio::test]
async fn a_damaged_file_undoes_its_stage_and_what_came_of_it() {
    use Stage::{Audio, Image, Package, Verify, Video};
    for (name, stage, left) in [
        ("audio.wav", Audio, vec![Image]),
        ("actor.png", Image, vec![Audio]),
        ("video.mp4", Video, vec![Audio, Image]),
        ("keyframes/00011.png", Video, vec![Audio, Image]),
        ("result.json", Package, vec![Audio, Image, Video, Verify]),
        ("journal/audio.json", Audio, vec![Image]),
        ("journal/image.json", Image, vec![Audio]),
        ("journal/video.json", Video, vec![Audio, Image]),
        ("journal/verify.json", Verify, vec![Audio, Image, Video]),
        ("journal/package.json", Package, vec![Audio, Image, Video, Verify]),
    ] {
        let changes: [Change; 3] = [
            ("missing", |path| fs::remove_file(path).unwrap()),
            ("cut", |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }),
            ("changed", |path| {
                let mut bytes = fs::read(path).unwrap();
                // A digit or letter becomes another, so that JSON stays JSON.
                let place = bytes.iter().rposition(u8::is_ascii_alphanumeric).unwrap_or(bytes.len() / 2);
                bytes[place] ^= 1;
                fs::write(path, bytes).unwrap();
            }),
        ];
        for (kind, change) in changes {
            let dir = complete().await;
            let before = files(dir.path());
            change(&dir.path().join(name));
            let (journal, standing) = open(dir.path(), "a").unwrap();
            let FolderState::Resumable { done, damaged } = standing else {
                panic!("{name} {kind}: {standing:?}")
            };
            assert_eq!(done, left, "{name} {kind}");
            let told: Vec<Stage> = damaged.iter().map(|(stage, _)| *stage).collect();
            assert_eq!(told, [stage], "{name} {kind}: {damaged:?}");
            assert!(damaged[0].1.contains(name), "{damaged:?}");
            finish(dir.path(), &journal).await.unwrap();
            assert_eq!(files(dir.path()), before, "{name} {kind}");
        }
    }
}

#[tokio::test]
async fn a_damaged_recipe_is_put_back_and_a_damaged_acceptance_begins_anew() {
    let dir = complete().await;
    fs::write(dir.path().join("recipe.json"), b"{}").unwrap();
    assert_eq!(open(dir.path(), "a").unwrap().1, FolderState::Ended(completed()));
    assert_eq!(fs::read(dir.path().join("recipe.json")).unwrap(), RECIPE_TEXT);
    fs::write(dir.path().join("journal/end.json"), b"{").unwrap();
    assert!(
        matches!(open(dir.path(), "a").unwrap().1, FolderState::Resumable { done, .. } if done.len() == 4)
    );
    fs::write(dir.path().join("journal/accepted.json"), b"{").unwrap();
    assert!(
        matches!(open(dir.path(), "a").unwrap().1, FolderState::Replaced { why } if why.contains("is damaged"))
    );
    fs::remove_file(dir.path().join("journal/accepted.json")).unwrap();
    assert!(
        matches!(open(dir.path(), "a").unwrap().1, FolderState::Replaced { why } if why.contains("is missing"))
    );
}

#[tokio::test]
async fn what_nobody_finished_is_swept_away_and_what_others_put_there_is_not() {
    let dir = complete().await;
    for name in ["journal/partial/video-3.mp4", "journal/partial/.tmpAb3", ".tmpXy", "notes.txt"] {
        fs::write(dir.path().join(name), b"half").unwrap();
    }
    assert_eq!(open(dir.path(), "a").unwrap().1, FolderState::Ended(completed()));
    let odd: Vec<String> =
        files(dir.path()).into_iter().map(|(name, _)| name).filter(|n| !n.contains("json")).collect();
    assert_eq!(
        odd,
        ["actor.png", "audio.wav", "keyframes/00000.png", "keyframes/00011.png", "notes.txt", "video.mp4"]
    );
}

#[tokio::test]
async fn folders_of_others_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), b"x").unwrap();
    let refused = open(dir.path(), "a").unwrap_err().to_string();
    assert!(refused.contains("thesis.tex"), "{refused}");
    assert_eq!(files(dir.path()).len(), 1);
    assert!(!dir.path().join("journal").exists());
    let file = dir.path().join("thesis.tex");
    assert!(matches!(open(&file, "a"), Err(JournalError::NotAFolder(_))));
    assert!(matches!(open(&file.join("below"), "a"), Err(JournalError::Io { .. })));
    let unwritable = Path::new("/proc/self/slot");
    let refused = open(unwritable, "a").unwrap_err().to_string();
    assert!(refused.contains("/proc/self/slot") && refused.contains("cannot be made"), "{refused}");
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_number_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = open(dir.path(), "a").unwrap();
    let refused = open(dir.path(), "a").unwrap_err();
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    drop(first);
    assert!(open(dir.path(), "a").is_ok());
}

#[tokio::test]
async fn the_records_of_a_newer_node_are_left_alone() {
    for name in ["journal/accepted.json", "journal/video.json", "journal/end.json"] {
        let dir = complete().await;
        let path = dir.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        let before = files(dir.path());
        let refused = open(dir.path(), "a").unwrap_err().to_string();
        assert!(refused.contains(name) && refused.contains("format version 2"), "{refused}");
        assert_eq!(files(dir.path()), before);
    }
}

/// Whatever step finds the disk full: a clear error, no half file, and the next run goes on.
#[tokio::test]
async fn a_disk_that_fills_up_anywhere_leaves_nothing_half_done() {
    let whole = files(complete().await.path());
    let mut steps = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path(), "a").unwrap();
        journal.folder.inner.disk.fuse.fill_at(steps);
        let Err(error) = finish(dir.path(), &journal).await else { break };
        assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("cannot be"), "{error}");
        assert!(error.to_string().contains("no storage space"), "{error}");
        for (name, bytes) in files(dir.path()) {
            let is_encoders = name.starts_with("journal/partial/video-");
            assert!(is_encoders || whole.contains(&(name.clone(), bytes)), "step {steps}: {name}");
        }
        drop(journal);
        let (journal, standing) = open(dir.path(), "a").unwrap();
        assert!(
            !matches!(standing, FolderState::Resumable { damaged, .. } if !damaged.is_empty()),
            "step {steps}"
        );
        finish(dir.path(), &journal).await.unwrap();
        assert_eq!(files(dir.path()), whole, "step {steps}");
        steps += 1;
    }
    assert!(steps > 30, "{steps}");
}

/// A file system of its own, in memory; none, with a word about it, where mounting one is not allowed.
struct Mounted(TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        if !mount.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: mounting a small file system ({options}) needs root");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_file_system_says_so() {
    let Some(mounted) = Mounted::new("size=256k") else { return };
    let slot_dir = mounted.0.path().join("slot");
    let (journal, _) = open(&slot_dir, "a").unwrap();
    journal.accept(&accepted()).await.unwrap();
    let pcm = Pcm { sample_rate: SAMPLE_RATE, samples: vec![0.1; 240_000] };
    let timeline = Timeline::new(SAMPLE_RATE, 240_000, vec![]).unwrap();
    let speech = StageOutput::Speech(Arc::new(Speech { pcm, timeline, warnings: vec![] }));
    let error = journal.stage_done(slot(), &speech).await.unwrap_err();
    assert!(matches!(error, JournalError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("audio.wav cannot be written: No space left"), "{error}");
    assert!(!slot_dir.join("audio.wav").exists());
    // What fits is still kept.
    finish(&slot_dir, &journal).await.unwrap();
}

#[tokio::test]
async fn a_file_system_without_inodes_says_that_and_not_that_it_is_full() {
    let Some(mounted) = Mounted::new("size=4m,nr_inodes=24") else { return };
    let slot_dir = mounted.0.path().join("slot");
    let (journal, _) = open(&slot_dir, "a").unwrap();
    walk(&slot_dir, &journal, Stage::Audio).await.unwrap();
    let filler = |number: u32| mounted.0.path().join(number.to_string());
    let fillers = (0..100).take_while(|number| fs::File::create(filler(*number)).is_ok()).count() as u32;
    let error = journal.stage_done(slot(), &output(Stage::Image)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, JournalError::OutOfInodes { inodes: 24, .. }), "{error:?}");
    for part in ["actor.png cannot be written", "out of inodes", "none of 24"] {
        assert!(text.contains(part), "{text}");
    }
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    // A new slot is told the same.
    let other = SlotFolders::under(mounted.0.path());
    let refused = other.prepare(slot(), key("b")).unwrap_err();
    assert!(matches!(refused, JournalError::OutOfInodes { .. }), "{refused:?}");
    // With room again, the slot goes on.
    (0..fillers).for_each(|number| fs::remove_file(filler(number)).unwrap());
    finish(&slot_dir, &journal).await.unwrap();
}

#[test]
fn a_folder_that_reaches_into_another_file_system_is_refused_and_both_are_named() {
    let Some(mounted) = Mounted::new("size=256k") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(mounted.0.path(), dir.path().join("journal")).unwrap();
    let error = open(dir.path(), "a").unwrap_err();
    assert!(
        matches!(&error, JournalError::OtherFileSystem { part, .. } if part.ends_with("journal")),
        "{error:?}"
    );
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    assert_eq!(fs::read_dir(mounted.0.path()).unwrap().count(), 0, "nothing is left there");
}

#[test]
fn errors_of_the_system_are_told_apart_and_kept_as_sources() {
    let of = |error: io::Error| JournalError::io("/tmp/some/slot/journal/lock".into(), "locked", error);
    let of_system = |number: rustix::io::Errno| of(io::Error::from_raw_os_error(number.raw_os_error()));
    let cases = [
        (of_system(rustix::io::Errno::NOLCK), "gives no locks"),
        (of_system(rustix::io::Errno::DQUOT), "quota"),
        (of_system(rustix::io::Errno::ACCESS), "Permission denied"),
        (of(io::ErrorKind::StorageFull.into()), "make room"),
    ];
    assert!(matches!(
        &cases.each_ref().map(|(error, _)| error),
        [
            JournalError::NoLocks { .. },
            JournalError::QuotaUsedUp { .. },
            JournalError::Io { .. },
            JournalError::DiskFull { .. }
        ]
    ));
    for (error, says) in cases {
        let text = error.to_string();
        assert!(
            text.contains("/tmp/some/slot/journal/lock cannot be locked") && text.contains(says),
            "{text}"
        );
        let source = std::error::Error::source(&error).unwrap();
        assert!(text.contains(&source.to_string()) && source.is::<io::Error>(), "{text}");
    }
}
