//! A disk that is full or fails, at every write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::steps::{Step, Steps};
use super::*;

/// A second is enough; this is for machines that do much else.
const LIMIT: Duration = Duration::from_secs(60);

/// An index whose disk fails at `step` while the switch is on.
fn failing(dir: &Path, step: Step, kind: io::ErrorKind) -> (Index, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&fails);
    let steps = Steps::hook(move |at| {
        let failed = at == step && fails.load(Ordering::SeqCst);
        if failed { Err(io::Error::from(kind)) } else { Ok(()) }
    });
    (Index::open_with(dir, settings(), &NoFolders, steps).unwrap().0, switch)
}

#[test]
fn a_full_disk_answers_everybody_and_keeps_nothing_half() {
    for step in [Step::LogWrite, Step::Written, Step::Commit] {
        let dir = folder();
        let (index, full) = failing(dir.path(), step, io::ErrorKind::StorageFull);
        let mut told = index.subscribe();
        index.accept(slot(1)).wait().unwrap();
        full.store(true, Ordering::SeqCst);
        let refused: Vec<_> = (2..10).map(|number| index.accept(slot(number))).collect();
        let ended = index.end(end(1, State::Completed));
        index.event(event(None, "kept for later", false));
        for refused in refused {
            let error = refused.wait().unwrap_err();
            assert!(matches!(error, IndexError::NoRoom { .. }) && error.is_storage(), "{step:?}: {error}");
            assert!(error.to_string().contains("make room"), "{error}");
        }
        assert!(matches!(ended.wait(), Err(IndexError::NoRoom { .. })));
        assert!(index.health().error.is_some());
        assert_eq!(row(&index, 1).state, State::Queued);
        assert_eq!(index.slot(id(2)).unwrap(), None);
        assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).count(), 1);
        full.store(false, Ordering::SeqCst);
        index.accept(slot(2)).wait().unwrap();
        assert_eq!(index.end(end(1, State::Failed)).wait().unwrap(), EndOutcome::Ended);
        let kinds: Vec<_> =
            std::iter::from_fn(|| told.try_recv().ok()).map(|it| it.kind.to_string()).collect();
        assert_eq!(kinds, ["kept for later", "accepted", "failed"]);
        assert_eq!(index.health(), IndexHealth { group: index.health().group, ..IndexHealth::default() });
        let killed = folder();
        copy(dir.path(), killed.path());
        for dir in [dir.path(), killed.path()] {
            if dir == killed.path() {
                let (again, report) = open(dir);
                assert_eq!(report.repairs(), [""; 0], "{step:?}");
                assert_eq!((row(&again, 1).state, row(&again, 2).order), (State::Failed, 2));
            }
        }
        drop(index);
    }
}

#[test]
fn a_disk_that_takes_writes_again_is_noticed_by_itself_and_not_before() {
    let dir = folder();
    let (index, full) = failing(dir.path(), Step::LogWrite, io::ErrorKind::StorageFull);
    full.store(true, Ordering::SeqCst);
    assert!(index.accept(slot(1)).wait().is_err());
    // What changes nothing shows nothing: it fails as well, and the error stays.
    assert!(index.forget_tombstones(at(0)).wait().is_err());
    assert!(index.health().error.is_some());
    full.store(false, Ordering::SeqCst);
    // Nobody calls: the writer tries once a second.
    let limit = crate::clock::now() + LIMIT;
    while index.health().error.is_some() {
        assert!(crate::clock::now() < limit, "{:?}", index.health());
        std::thread::yield_now();
    }
    drop(index);
    let (index, report) = open(dir.path());
    assert_eq!((report.repairs(), report.open), (Vec::new(), 0));
    assert!(matches!(index.accept(slot(1)).wait().unwrap(), Acceptance::Accepted { order: 1 }));
}

#[test]
fn a_log_that_cannot_be_synced_goes_on_in_another_file() {
    let dir = folder();
    let (index, fails) = failing(dir.path(), Step::LogSync, io::ErrorKind::Other);
    index.accept(slot(1)).wait().unwrap();
    fails.store(true, Ordering::SeqCst);
    // The next file's own sync is sound: the group is in both, and nobody notices.
    index.accept(slot(2)).wait().unwrap();
    fails.store(false, Ordering::SeqCst);
    index.accept(slot(3)).wait().unwrap();
    let killed = folder();
    copy(dir.path(), killed.path());
    std::fs::remove_file(killed.path().join("index.sqlite3")).unwrap();
    let (again, report) = open(killed.path());
    assert_eq!((report.loss, report.generation), (None, index.generation()));
    assert_eq!(again.counts().unwrap().slots, [(State::Queued, 3)].into());
    assert_eq!(kept(&again), kept(&index));
}

#[test]
fn a_log_folder_that_is_gone_holds_up_writes_until_it_is_back() {
    let dir = folder();
    let (index, fails) = failing(dir.path(), Step::LogSync, io::ErrorKind::Other);
    let mut told = index.subscribe();
    index.accept(slot(1)).wait().unwrap();
    let (log, away) = (dir.path().join("log"), dir.path().join("away"));
    std::fs::rename(&log, &away).unwrap();
    fails.store(true, Ordering::SeqCst);
    // The index has it, the log has not: not answered as accepted, not told, and nothing goes before it.
    assert!(index.accept(slot(2)).wait().is_err());
    assert!(index.accept(slot(3)).wait().is_err());
    assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).count(), 1);
    let killed = folder();
    copy(dir.path(), killed.path());
    std::fs::rename(killed.path().join("away"), killed.path().join("log")).unwrap();
    std::fs::rename(&away, &log).unwrap();
    fails.store(false, Ordering::SeqCst);
    assert!(matches!(index.accept(slot(2)).wait().unwrap(), Acceptance::Known(_)));
    index.accept(slot(3)).wait().unwrap();
    let heard: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).filter_map(|it| it.sequence).collect();
    assert_eq!(heard, [2, 3]);
    // Killed in between, it is there once, or not at all; here it is.
    let (again, report) = open(killed.path());
    assert_eq!((report.repairs(), report.loss), (Vec::new(), None));
    assert!(matches!(again.accept(slot(2)).wait().unwrap(), Acceptance::Known(_)));
    assert_eq!(again.end(end(2, State::Failed)).wait().unwrap(), EndOutcome::Ended);
}

#[test]
fn what_nobody_waits_for_is_bounded_while_the_disk_is_full() {
    let dir = folder();
    let (index, full) = failing(dir.path(), Step::LogWrite, io::ErrorKind::StorageFull);
    full.store(true, Ordering::SeqCst);
    for number in 0..30_000 {
        index.event(event(None, &number.to_string(), false));
    }
    assert!(index.flush().wait().is_err() || index.health().error.is_some());
    full.store(false, Ordering::SeqCst);
    index.flush().wait().unwrap();
    let (kept, dropped) = (index.counts().unwrap().events, index.health().dropped);
    assert_eq!(kept + dropped, 30_000);
    assert!(dropped >= 9_000, "{dropped}");
}

#[test]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    drop(open(dir.path()));
    let set = |mode| {
        for part in ["", "log", "backup"] {
            let path = dir.path().join(part);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o500);
    // Root may write everywhere.
    let root = std::fs::write(dir.path().join("probe"), "").is_ok();
    let opened = Index::open(dir.path(), settings(), &NoFolders);
    set(0o700);
    if root {
        return;
    }
    let error = opened.unwrap_err();
    assert!(matches!(error, IndexError::ReadOnly { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
}

/// On a file system of a few megabytes that nobody else fills, named by this variable:
/// `mount -t tmpfs -o size=16m none DIR`.
const SMALL_DISK: &str = "VORTEX_NODE_TEST_SMALL_DISK";

#[test]
fn a_disk_that_is_really_full_is_told_and_used_again_when_it_is_not() {
    let Some(small) = std::env::var_os(SMALL_DISK) else { return };
    let small = Path::new(&small);
    let (little, much) = (small.join("little"), small.join("much"));
    std::fs::write(&little, vec![1; 700_000]).unwrap();
    std::fs::write(&much, vec![1; 10_000_000]).unwrap();
    let dir = small.join("journal");
    let (index, report) = open(&dir);
    let large = |number: u128| {
        let mut slot = slot(number);
        slot.recipe = vec![b'r'; 20_000].into();
        slot
    };
    let mut accepted = Vec::new();
    let fill = |numbers: std::ops::Range<u128>, accepted: &mut Vec<u128>| {
        let answers: Vec<_> = numbers.map(|number| (number, index.accept(large(number)))).collect();
        let mut refused = 0;
        for (number, answer) in answers {
            match answer.wait() {
                Ok(_) => accepted.push(number),
                Err(error) => {
                    assert!(matches!(error, IndexError::NoRoom { .. }), "{error}");
                    refused += 1;
                }
            }
        }
        refused
    };
    let mut next = 0;
    while fill(next..next + 5, &mut accepted) == 0 {
        next += 5;
    }
    assert!(accepted.len() > 10);
    let full = folder();
    copy(&dir, full.path());
    std::fs::remove_file(&little).unwrap();
    assert_eq!(fill(1000..1005, &mut accepted), 0);
    // For a backup there is no room yet, which closing says and which loses nothing.
    assert!(matches!(index.close().wait(), Err(IndexError::NoRoom { .. })));
    drop(index);
    std::fs::remove_file(&much).unwrap();
    let (index, after) = open(&dir);
    assert_eq!((after.generation, after.repairs(), after.loss), (report.generation, Vec::new(), None));
    accepted.iter().for_each(|number| assert_eq!(row(&index, *number).state, State::Queued));
    drop(index);
    // And killed while it was full.
    let (index, after) = open(full.path());
    assert_eq!((after.repairs(), after.loss), (Vec::new(), None));
    let before = accepted.iter().filter(|number| **number < 1000);
    before.for_each(|number| assert_eq!(index.recipe(id(*number)).unwrap(), Some(large(*number).recipe)));
}
