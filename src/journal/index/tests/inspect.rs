//! A look at an index that others have open, that was left behind, or that is damaged.

use super::super::inspect::{Inspection, databases};
use super::super::samples::{end, event, id, slot};
use super::super::*;
use super::{copy, folder, open};

fn everything_in(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files =
        std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let mut files: Vec<_> = files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn path(dir: &Path) -> std::path::PathBuf {
    databases(dir)[0].1.clone()
}

/// Three slots, the first of which has ended.
fn fill(index: &Index) {
    for number in 1..=3 {
        index.accept(slot(number)).wait().unwrap();
    }
    index.end(end(1, State::Failed)).wait().unwrap();
}

#[test]
fn it_tells_the_newest_first_beside_the_writer_and_changes_nothing() {
    // What an address could take for its own stands in the name.
    let root = folder();
    let dir = root.path().join("a?mode=rw&b%20#c");
    let (index, _) = open(&dir);
    fill(&index);
    // Within one process, SQLite's shared memory is one, and notes who reads; another process can only read it.
    let kept = || -> Vec<_> {
        everything_in(&dir).into_iter().filter(|(path, _)| !path.ends_with("index.sqlite3-shm")).collect()
    };
    let before = kept();
    let look = Inspection::open(&path(&dir)).unwrap();
    assert_eq!(look.damage().unwrap(), None);
    let events = look.newest_events(3, usize::MAX);
    let numbers: Vec<_> = events.rows.iter().map(|event| event.sequence.unwrap()).collect();
    assert_eq!((numbers, events.more, events.damaged, events.error), (vec![4, 3, 2], true, 0, None));
    assert_eq!(look.newest_events(10, 0).rows.len(), 0);
    let slots = look.newest_slots(10);
    let told: Vec<_> = slots.rows.iter().map(|row| (row.slot, row.state)).collect();
    assert_eq!(told, [(id(3), State::Queued), (id(2), State::Queued), (id(1), State::Failed)]);
    assert_eq!(look.newest_deliveries(10).rows[0].slot, id(1));
    assert_eq!(look.counts().unwrap(), index.counts().unwrap());
    assert_eq!(look.state().unwrap().unwrap()["sequence"], 4);
    assert_eq!(look.unread(), None);
    assert!(kept() == before, "a file is another than before");
    // Beside an open look, the writer goes on, and what it writes is of a later moment.
    index.event(event(None, "drain", false));
    index.flush().wait().unwrap();
    assert_eq!(look.newest_events(10, usize::MAX).rows.len(), 4);
    assert_eq!(Inspection::open(&path(&dir)).unwrap().newest_events(10, usize::MAX).rows.len(), 5);
}

#[test]
fn what_a_killed_process_left_in_the_wal_is_told_without_recovering_it() {
    let (root, left) = (folder(), folder());
    let (index, _) = open(root.path());
    fill(&index);
    copy(root.path(), left.path());
    let before = everything_in(left.path());
    let look = Inspection::open(&path(left.path())).unwrap();
    assert_eq!((look.newest_slots(10).rows.len(), look.damage().unwrap()), (3, None));
    drop(look);
    assert!(everything_in(left.path()) == before, "a file is another than before");
    // Without its shared memory, the WAL is left out, and that is said.
    std::fs::remove_file(left.path().join("index.sqlite3-shm")).unwrap();
    let before = everything_in(left.path());
    let look = Inspection::open(&path(left.path())).unwrap();
    assert!(look.unread().unwrap().contains("index.sqlite3-wal"), "{:?}", look.unread());
    drop(look);
    assert!(everything_in(left.path()) == before, "a file is another than before");
}

#[test]
fn damaged_rows_are_passed_over_and_counted() {
    let root = folder();
    let (index, _) = open(root.path());
    fill(&index);
    index.close().wait().unwrap();
    drop(index);
    let file = path(root.path());
    let mut bytes = std::fs::read(&file).unwrap();
    // In the text of one event; SQLite itself sees nothing of it.
    let told = b"{\"event\":\"failed\"}";
    let at = bytes.windows(told.len()).position(|window| window == told).unwrap();
    bytes[at + 11] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let look = Inspection::open(&file).unwrap();
    assert!(look.damage().unwrap().is_some());
    let events = look.newest_events(10, usize::MAX);
    assert_eq!((events.rows.len(), events.damaged, events.error), (3, 1, None));
    assert_eq!(look.newest_slots(10).rows.len(), 3);

    std::fs::write(&file, vec![7; 4096]).unwrap();
    let told = Inspection::open(&file).map(|look| look.newest_events(10, usize::MAX).error);
    assert!(told.as_ref().is_err() || told.as_ref().is_ok_and(|error| error.is_some()), "{told:?}");
    std::fs::remove_file(&file).unwrap();
    assert!(Inspection::open(&file).is_err());
}
