//! What a start makes of a folder in which something is damaged or missing.

use super::*;

/// A journal in which five slots were accepted, then a backup was made, then one ended and another was accepted; and what it
/// looks like to a process that starts after this one was killed.
fn killed() -> (TempDir, Vec<Arc<KeptEvent>>, Generation) {
    let dir = folder();
    let (index, report) = open(dir.path());
    for number in 1..=5 {
        index.accept(slot(number)).wait().unwrap();
    }
    index.back_up().wait().unwrap();
    index.flush().wait().unwrap();
    index.end(end(1, State::Failed)).wait().unwrap();
    index.accept(slot(6)).wait().unwrap();
    index.begun(id(2), at(3), "cpu");
    index.flush().wait().unwrap();
    let killed = folder();
    copy(dir.path(), killed.path());
    (killed, kept(&index), report.generation)
}

/// Everything is there that [`killed`] had answered.
fn assert_whole(index: &Index, events: &[Arc<KeptEvent>]) {
    assert_eq!(row(index, 1).end, Some(end(1, State::Failed).end));
    let open = index.open_slots().unwrap();
    let expected: Vec<_> = (2..=6).map(|number| (number as u64, slot(number).recipe)).collect();
    assert_eq!(open.into_iter().map(|it| (it.row.order, it.recipe)).collect::<Vec<_>>(), expected);
    assert_eq!(row(index, 2).state, State::Running);
    assert_eq!(kept(index), events);
    assert_eq!(index.outbox_of(id(1)).unwrap().len(), 1);
}

/// It is told once, and the journal goes on.
fn goes_on(dir: &Path, index: Index) {
    let generation = index.generation();
    let sequence = index.sequence();
    assert!(matches!(index.accept(slot(100)).wait().unwrap(), Acceptance::Accepted { .. }));
    assert_eq!(index.sequence(), sequence + 1);
    drop(index);
    let (index, report) = open(dir);
    assert_eq!((report.findings, report.generation), (Vec::new(), generation));
    assert!(matches!(index.accept(slot(100)).wait().unwrap(), Acceptance::Known(_)));
}

#[test]
fn a_killed_journal_comes_back_whole_and_says_nothing() {
    let (dir, events, generation) = killed();
    let (index, report) = open(dir.path());
    assert_eq!((report.findings.as_slice(), report.generation), (&[][..], generation));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn a_log_file_that_was_only_begun_is_nothing() {
    for length in [0, 20, 36] {
        let (dir, events, generation) = killed();
        // The process ended before its header was whole.
        std::fs::write(dir.path().join("log/0000000077.log"), vec![0; length]).unwrap();
        let (index, report) = open(dir.path());
        assert_eq!((report.repairs(), report.generation), (Vec::new(), generation), "{length}");
        assert_whole(&index, &events);
        goes_on(dir.path(), index);
        // So may the very first one.
        let dir = folder();
        drop(open(dir.path()));
        std::fs::write(dir.path().join("log/0000000001.log"), vec![0; length]).unwrap();
        let (index, report) = open(dir.path());
        assert_eq!(report.repairs(), [""; 0], "{length}");
        goes_on(dir.path(), index);
    }
}

#[test]
fn a_lost_wal_is_made_good_by_the_log() {
    let (dir, events, generation) = killed();
    std::fs::remove_file(dir.path().join("index.sqlite3-wal")).unwrap();
    let (index, report) = open(dir.path());
    // The main file is from before the first slot, and the log from after the backup.
    assert!(matches!(
        report.findings[..],
        [Finding::IndexStale { .. }, Finding::Rebuilt { from_backup: true, groups: 3, folders: 0 }]
    ));
    assert_eq!((report.generation, report.loss), (generation, None));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn the_end_of_a_wal_is_made_good_by_the_log() {
    let (dir, events, generation) = killed();
    let wal = dir.path().join("index.sqlite3-wal");
    let length = wal.metadata().unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&wal).unwrap();
    // Two groups have a few pages each.
    file.set_len(length - 3 * 4120).unwrap();
    let (index, report) = open(dir.path());
    assert!(
        matches!(report.findings[..], [Finding::Replayed { answered: true, .. }]),
        "{:?}",
        report.findings
    );
    assert_eq!((report.repairs().len(), report.generation, report.loss), (1, generation, None));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn a_lost_index_is_built_from_backup_and_log() {
    let (dir, events, generation) = killed();
    for name in ["index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let (index, report) = open(dir.path());
    let rebuilt = Finding::Rebuilt { from_backup: true, groups: 3, folders: 0 };
    assert_eq!(report.findings, [Finding::IndexMissing, rebuilt]);
    assert_eq!((report.generation, report.loss), (generation, None));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn without_a_backup_a_whole_log_is_enough() {
    let dir = folder();
    let (index, report) = open(dir.path());
    index.accept(slot(1)).wait().unwrap();
    index.end(end(1, State::Completed)).wait().unwrap();
    let events = kept(&index);
    drop(index);
    std::fs::remove_file(dir.path().join("index.sqlite3")).unwrap();
    let (index, again) = open(dir.path());
    assert_eq!((again.generation, again.loss), (report.generation, None));
    assert_eq!(kept(&index), events);
    assert_eq!(row(&index, 1).state, State::Completed);
}

/// A digit within a row that was never written again, so that no older copy of it lies about.
fn place_in_row(bytes: &[u8]) -> usize {
    let needle = b"{\"order\":5,\"slot\":\"0";
    bytes.windows(needle.len()).rposition(|window| window == needle).unwrap() + needle.len() - 1
}

#[test]
fn a_payload_bit_that_sqlite_does_not_notice_is_noticed() {
    let (dir, events, generation) = killed();
    // Without its WAL in the main file nothing would be to be found there.
    drop(open(dir.path()));
    let path = dir.path().join("index.sqlite3");
    let bytes = std::fs::read(&path).unwrap();
    let mut damaged = bytes.clone();
    damaged[place_in_row(&bytes)] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let intact: String = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok");
    let (index, report) = open(dir.path());
    match &report.findings[..] {
        [Finding::IndexDamaged { what, set_aside }, Finding::Rebuilt { from_backup: true, .. }] => {
            assert!(what.contains("checksum"), "{what}");
            assert_eq!(std::fs::read(set_aside.join("index.sqlite3")).unwrap(), damaged);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((report.generation, report.loss), (generation, None));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn rows_of_an_older_page_are_noticed() {
    let (dir, events, _) = killed();
    drop(open(dir.path()));
    // As where a checkpoint was cut short and the WAL is gone: sound in itself, and a row is missing.
    let connection = rusqlite::Connection::open(dir.path().join("index.sqlite3")).unwrap();
    connection.execute("DELETE FROM outbox", []).unwrap();
    connection.close().unwrap();
    let (index, report) = open(dir.path());
    assert!(
        matches!(&report.findings[..], [Finding::IndexDamaged { what, .. }, _] if what.contains("rows are missing"))
    );
    assert_whole(&index, &events);
}

#[test]
fn a_lost_log_is_begun_anew() {
    let (dir, events, generation) = killed();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let (index, report) = open(dir.path());
    assert_eq!(report.findings, [Finding::LogMissing]);
    assert_eq!((report.generation, report.loss), (generation, None));
    assert_whole(&index, &events);
    drop(index);
    // The new one has what comes from now on, and the backup what was before.
    std::fs::remove_file(dir.path().join("index.sqlite3")).unwrap();
    let (index, report) = open(dir.path());
    assert_eq!((report.generation, report.loss), (generation, None));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn what_is_written_during_a_backup_stays_in_the_log() {
    use super::super::steps::{Step, Steps};
    let dir = folder();
    let during: Arc<parking_lot::Mutex<Option<Index>>> = Arc::default();
    let hook = Arc::clone(&during);
    let steps = Steps::hook(move |at| {
        // Between the snapshot and the moment when the writer hears of it.
        if at == Step::BackedUp
            && let Some(index) = hook.lock().take()
        {
            (11..15).for_each(|number| drop(index.accept(slot(number)).wait().unwrap()));
        }
        Ok(())
    });
    let short = IndexSettings { log_file: Bytes::new(500), ..settings() };
    let (index, _) = Index::open_with(dir.path(), short, &NoFolders, steps).unwrap();
    (1..5).for_each(|number| drop(index.accept(slot(number)).wait().unwrap()));
    *during.lock() = Some(index.clone());
    index.back_up().wait().unwrap();
    index.flush().wait().unwrap();
    let killed = folder();
    copy(dir.path(), killed.path());
    std::fs::remove_file(killed.path().join("index.sqlite3")).unwrap();
    let (again, report) = open(killed.path());
    assert!(report.findings.contains(&Finding::Rebuilt { from_backup: true, groups: 4, folders: 0 }));
    assert_eq!((report.loss, report.open, kept(&again)), (None, 8, kept(&index)));
}

#[test]
fn a_damaged_log_is_set_aside() {
    let (dir, events, generation) = killed();
    let log = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&log, &bytes).unwrap();
    let (index, report) = open(dir.path());
    assert!(matches!(report.findings[..], [Finding::LogDamaged { .. }]), "{:?}", report.findings);
    assert_eq!((report.repairs().len(), report.generation, report.loss), (1, generation, None));
    assert_whole(&index, &events);
    goes_on(dir.path(), index);
}

#[test]
fn what_both_have_lost_is_told_until_somebody_knows() {
    let (dir, _, generation) = killed();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    for name in ["index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let hint = Hint(vec![
        // The folders know of the slot that came after the backup, of an end, and nothing of the others.
        FolderSlot { accepted: without_event(6), end: None },
        FolderSlot { accepted: without_event(1), end: Some(end(1, State::Failed)) },
        FolderSlot { accepted: without_event(2), end: None },
    ]);
    let (index, report) = Index::open(dir.path(), settings(), &hint).unwrap();
    let loss = report.loss.unwrap();
    assert!(loss.since.is_some());
    assert_eq!(
        report.findings,
        [
            Finding::IndexMissing,
            Finding::Rebuilt { from_backup: true, groups: 0, folders: 2 },
            Finding::Lost(loss),
            Finding::LogMissing,
        ]
    );
    assert!(report.repairs()[2].contains("until an operator acknowledges it"));
    assert_ne!(report.generation, generation);
    assert_eq!(row(&index, 1).state, State::Failed);
    assert_eq!((row(&index, 6).order, row(&index, 2).state), (6, State::Queued));
    let old = EventCursor { generation, sequence: 2 };
    assert!(index.events_after(Some(old), None, 9).unwrap().gap);
    drop(index);
    // A start later nothing is wrong, and it is still to be acknowledged.
    let (index, report) = open(dir.path());
    assert_eq!((report.findings.as_slice(), report.loss, index.loss()), (&[][..], Some(loss), Some(loss)));
    index.acknowledge_loss().wait().unwrap();
    assert_eq!(index.loss(), None);
    drop(index);
    let (index, report) = open(dir.path());
    assert_eq!((report.findings.as_slice(), report.loss), (&[][..], None));
    goes_on(dir.path(), index);
}

struct Hint(Vec<FolderSlot>);

impl FoldersHint for Hint {
    fn slots(&self) -> Box<dyn Iterator<Item = FolderSlot> + '_> {
        Box::new(self.0.iter().cloned())
    }
}

fn without_event(number: u128) -> NewSlot {
    NewSlot { event: None, ..slot(number) }
}

#[test]
fn a_wal_and_a_log_that_are_both_gone_are_a_loss() {
    let (dir, _, generation) = killed();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    std::fs::remove_file(dir.path().join("index.sqlite3-wal")).unwrap();
    // The main file is sound, and from before the first slot; only the mark tells. The backup is newer.
    let (index, report) = open(dir.path());
    assert!(report.loss.is_some(), "{:?}", report.findings);
    assert_ne!(report.generation, generation);
    assert_eq!(row(&index, 5).state, State::Queued);
    goes_on(dir.path(), index);
}

#[test]
fn nothing_but_a_mark_is_a_loss_without_a_time() {
    let (dir, ..) = killed();
    for name in ["log", "backup"] {
        std::fs::remove_dir_all(dir.path().join(name)).unwrap();
    }
    for name in ["index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let (index, report) = open(dir.path());
    assert_eq!(report.loss.map(|loss| loss.since), Some(None));
    assert!(report.findings.contains(&Finding::Rebuilt { from_backup: false, groups: 0, folders: 0 }));
    goes_on(dir.path(), index);
}

#[test]
fn a_hole_in_the_log_of_a_lost_index_is_told_and_what_follows_it_is_kept() {
    let (dir, ..) = killed();
    let log = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    // In the first record after the backup: the end of slot 1.
    bytes[80] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    std::fs::remove_file(dir.path().join("index.sqlite3")).unwrap();
    let (index, report) = open(dir.path());
    assert!(report.loss.is_some_and(|loss| loss.since.is_some()));
    assert_eq!(row(&index, 1).state, State::Queued);
    assert_eq!((row(&index, 6).order, row(&index, 2).state), (6, State::Running));
    goes_on(dir.path(), index);
}

#[test]
fn a_lost_mark_is_written_again() {
    let (dir, events, generation) = killed();
    std::fs::remove_file(dir.path().join("mark")).unwrap();
    let (index, report) = open(dir.path());
    assert_eq!((report.findings.as_slice(), report.generation), (&[][..], generation));
    assert_whole(&index, &events);
    assert!(dir.path().join("mark").exists());
}

#[test]
fn a_newer_nodes_index_is_left_alone() {
    let dir = folder();
    drop(open(dir.path()));
    let path = dir.path().join("index.sqlite3");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let change =
        "UPDATE state SET body = replace(body, '\"format\":1', '\"format\":2'); PRAGMA user_version = 2;";
    connection.execute_batch(change).unwrap();
    connection.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Index::open(dir.path(), settings(), &NoFolders).unwrap_err();
    assert!(matches!(error, IndexError::Newer { version: 2, known: 1, .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!dir.path().join("set-aside").exists());
}

#[test]
fn a_damaged_backup_is_not_built_from() {
    let (dir, ..) = killed();
    let backup = dir.path().join("backup/index.sqlite3");
    let mut bytes = std::fs::read(&backup).unwrap();
    let place = place_in_row(&bytes);
    bytes[place] ^= 1;
    std::fs::write(&backup, &bytes).unwrap();
    std::fs::remove_file(dir.path().join("index.sqlite3")).unwrap();
    let (index, report) = open(dir.path());
    assert!(matches!(report.findings[0], Finding::BackupDamaged { .. }), "{:?}", report.findings);
    // Of the five slots before it nothing is left; the one after it is in the log.
    assert!(report.loss.is_some());
    assert_eq!(row(&index, 6).state, State::Queued);
    drop(index);
}

#[test]
fn a_start_that_is_cut_short_is_finished_by_the_next() {
    use super::super::steps::{Step, Steps};
    for both in [false, true] {
        for step in [Step::Backup, Step::BackedUp, Step::SetAside, Step::Rebuilt, Step::LogBegun] {
            let (dir, events, generation) = killed();
            std::fs::remove_file(dir.path().join("index.sqlite3")).unwrap();
            if both {
                std::fs::remove_dir_all(dir.path().join("log")).unwrap();
            }
            let stop =
                Steps::hook(move |at| if at == step { Err(std::io::Error::other("cut")) } else { Ok(()) });
            drop(Index::open_with(dir.path(), settings(), &NoFolders, stop));
            let (index, report) = open(dir.path());
            if both {
                assert!(index.loss().is_some(), "{step:?}: {:?}", report.findings);
                assert_ne!(report.generation, generation);
                assert_eq!(index.counts().unwrap().slots, [(State::Queued, 5)].into(), "{step:?}");
            } else {
                assert_eq!((report.generation, report.loss), (generation, None), "{step:?}");
                assert_whole(&index, &events);
            }
            goes_on(dir.path(), index);
        }
    }
}
