//! What the index promises, against real files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::samples::{at, end, event, id, slot};
use super::*;
use crate::types::Bytes;

mod anew;
mod crash;
mod faults;
mod inspect;
mod kill;
mod start;

/// A folder in memory where there is one, since hundreds of syncs are waited for otherwise.
pub(super) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Without backups of its own accord.
pub(super) fn settings() -> IndexSettings {
    IndexSettings { backup_every: Duration::from_secs(1 << 30), ..IndexSettings::default() }
}

pub(super) fn open(dir: &Path) -> (Index, StartReport) {
    Index::open(dir, settings(), &NoFolders).unwrap()
}

/// As a process leaves it that is killed: with its files as they are. Its threads end in another folder.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Every kept event from the oldest.
pub(super) fn kept(index: &Index) -> Vec<Arc<KeptEvent>> {
    index.events_after(None, None, usize::MAX - 1).unwrap().events
}

fn row(index: &Index, number: u128) -> SlotRow {
    match index.slot(id(number)).unwrap() {
        Some(Found::Slot(row)) => *row,
        other => panic!("slot {number}: {other:?}"),
    }
}

#[test]
fn a_slot_is_accepted_once_and_ends_once() {
    let dir = folder();
    let (index, report) = open(dir.path());
    assert_eq!(report.findings, [Finding::New]);
    let mut told = index.subscribe();
    assert_eq!(index.accept(slot(1)).wait().unwrap(), Acceptance::Accepted { order: 1 });
    assert_eq!(told.try_recv().unwrap().sequence, Some(1));
    let known = index.accept(slot(1)).wait().unwrap();
    assert_eq!(known, Acceptance::Known(Box::new(row(&index, 1))));
    let mut other = slot(1);
    other.recipe_sha256 = crate::types::Sha256::of(b"another");
    let conflict = index.accept(other).wait().unwrap();
    assert_eq!(conflict, Acceptance::Conflict { recipe_sha256: slot(1).recipe_sha256 });
    assert_eq!(index.recipe(id(1)).unwrap().as_deref(), Some(&*slot(1).recipe));

    assert_eq!(index.end(end(1, State::Failed)).wait().unwrap(), EndOutcome::Ended);
    assert_eq!(index.end(end(1, State::Completed)).wait().unwrap(), EndOutcome::Before(State::Failed));
    let ended = row(&index, 1);
    assert_eq!((ended.state, ended.end), (State::Failed, Some(end(1, State::Failed).end)));
    assert_eq!(index.recipe(id(1)).unwrap(), None);
    // One event for each that happened, none for what changed nothing.
    assert_eq!(told.try_recv().unwrap().kind.as_ref(), "failed");
    assert!(told.try_recv().is_err());
    assert_eq!(index.outbox_of(id(1)).unwrap().len(), 1);
    assert!(matches!(index.end(end(2, State::Failed)).wait(), Err(IndexError::NotAccepted { .. })));
    assert!(matches!(index.end(end(1, State::Running)).wait(), Err(IndexError::NotAnEnd { .. })));
    assert!(matches!(index.accept(slot(1)).wait().unwrap(), Acceptance::Known(_)));
}

#[test]
fn a_stopped_index_comes_back_as_it_was() {
    let dir = folder();
    let (index, first) = open(dir.path());
    for number in 1..=3 {
        index.accept(slot(number)).wait().unwrap();
    }
    index.begun(id(2), at(5), "cuda:0");
    index.taken_up(id(3));
    assert_eq!(index.cancel_requested(id(3), at(6), None).wait().unwrap(), Cancellation::Requested);
    assert_eq!(index.cancel_requested(id(3), at(7), None).wait().unwrap(), Cancellation::Again);
    let mut ending = end(1, State::Completed);
    ending.upload = true;
    index.end(ending).wait().unwrap();
    let cancelled = index.cancel_requested(id(1), at(7), None).wait().unwrap();
    assert_eq!(cancelled, Cancellation::Ended(State::Completed));
    let rows: Vec<_> = (1..=3).map(|number| row(&index, number)).collect();
    let events = kept(&index);
    index.close().wait().unwrap();
    assert!(matches!(index.accept(slot(4)).wait(), Err(IndexError::Closed)));
    assert!(matches!(index.slot(id(1)), Err(IndexError::Closed)));
    drop(index);

    let (index, report) = open(dir.path());
    assert_eq!((report.findings.as_slice(), report.generation, report.open), (&[][..], first.generation, 2));
    assert_eq!(report.sequence, 4);
    assert_eq!((1..=3).map(|number| row(&index, number)).collect::<Vec<_>>(), rows);
    assert_eq!(kept(&index), events);
    assert_eq!(rows[1].device.as_deref(), Some("cuda:0"));
    assert_eq!((rows[1].state, rows[1].began_at), (State::Running, Some(at(5))));
    assert_eq!((rows[2].attempts, rows[2].cancel_requested_at), (2, Some(at(6))));
    let open = index.open_slots().unwrap();
    assert_eq!(open.iter().map(|open| open.row.slot).collect::<Vec<_>>(), [id(2), id(3)]);
    assert_eq!(open[0].recipe, slot(2).recipe);
    // Dropped without being closed, it loses nothing either.
    index.accept(slot(4)).wait().unwrap();
    drop(index);
    let (index, report) = open_again(dir.path());
    assert_eq!((report.findings.len(), row(&index, 4).order), (0, 4));
}

fn open_again(dir: &Path) -> (Index, StartReport) {
    open(dir)
}

#[test]
fn events_are_told_in_order_and_after_a_gap_that_is_said() {
    let dir = folder();
    let few = IndexSettings { events_kept: 100, ..settings() };
    let (index, _) = Index::open(dir.path(), few, &NoFolders).unwrap();
    let mut told = index.subscribe();
    for number in 0..250 {
        index.event(event((number % 5 == 0).then_some(7), &format!("kind {number}"), false));
    }
    index.transient(event(None, "progress", false));
    index.flush().wait().unwrap();
    let heard: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    let numbers: Vec<_> = heard.iter().filter_map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=250).collect::<Vec<_>>());
    assert_eq!(heard.iter().filter(|event| event.kind.as_ref() == "progress").count(), 1);
    index.flush().wait().unwrap();

    let cursor = |sequence| Some(EventCursor { generation: index.generation(), sequence });
    let page = index.events_after(cursor(200), None, 10).unwrap();
    assert_eq!((page.gap, page.more, page.events.len()), (false, true, 10));
    assert_eq!(page.events[0].as_ref(), heard.iter().find(|it| it.sequence == Some(201)).unwrap().as_ref());
    let gone = index.events_after(cursor(3), None, 1000).unwrap();
    assert_eq!((gone.gap, gone.more, gone.oldest), (true, false, Some(151)));
    assert_eq!(gone.events.len(), 100);
    // At the edge nothing is missing.
    assert!(!index.events_after(cursor(150), None, 1).unwrap().gap);
    let others = Some(EventCursor { generation: Generation::random(), sequence: 200 });
    assert!(index.events_after(others, None, 1).unwrap().gap);
    assert!(index.events_after(cursor(251), None, 1).unwrap().gap);
    assert!(!index.events_after(None, None, 1).unwrap().gap);
    let of_slot = index.events_after(cursor(200), Some(id(7)), 1000).unwrap();
    assert_eq!(
        of_slot.events.iter().filter_map(|it| it.sequence).collect::<Vec<_>>(),
        [201, 206, 211, 216, 221, 226, 231, 236, 241, 246]
    );
    assert_eq!(index.counts().unwrap().events, 100);
}

#[test]
fn pages_are_newest_first() {
    let dir = folder();
    let (index, _) = open(dir.path());
    for number in 1..=6 {
        index.accept(slot(number)).wait().unwrap();
    }
    index.end(end(2, State::Failed)).wait().unwrap();
    index.end(end(5, State::Cancelled)).wait().unwrap();
    let orders = |filter: SlotFilter| -> Vec<u64> {
        index.list(&filter).unwrap().iter().map(|row| row.order).collect()
    };
    assert_eq!(orders(SlotFilter { limit: 4, ..SlotFilter::default() }), [6, 5, 4, 3]);
    assert_eq!(orders(SlotFilter { limit: 4, before: Some(3), ..SlotFilter::default() }), [2, 1]);
    let ended = vec![State::Failed, State::Cancelled, State::Failed];
    assert_eq!(orders(SlotFilter { states: ended.clone(), limit: 9, before: None }), [5, 2]);
    assert_eq!(orders(SlotFilter { states: ended, limit: 1, before: Some(5) }), [2]);
    assert_eq!(index.position(6).unwrap(), 3);
    let counts = index.counts().unwrap();
    assert_eq!(counts.slots, [(State::Queued, 4), (State::Failed, 1), (State::Cancelled, 1)].into());
}

#[test]
fn deliveries_of_a_slot_come_one_after_the_other() {
    let dir = folder();
    let (index, _) = open(dir.path());
    for number in [1, 2] {
        index.accept(slot(number)).wait().unwrap();
        index.event(event(Some(number), "began", true));
        index.end(end(number, State::Completed)).wait().unwrap();
    }
    let due = |seconds| -> Vec<u64> {
        index.outbox_due(at(seconds), 10).unwrap().iter().map(|row| row.id).collect()
    };
    // Sequences: 1 accepted, 2 began, 3 completed; 4, 5, 6 of the second slot.
    assert_eq!(due(100), [2, 5]);
    index.outbox_mark(2, DeliveryMark::Retry { next_at: at(200), error: "503".into() }).wait().unwrap();
    assert_eq!(due(100), [5]);
    assert_eq!(due(200), [5, 2]);
    // A clock that was set back by more than any pause does not hold it up.
    assert_eq!(index.outbox_due(at(200) - settings().longest_pause * 2, 10).unwrap().len(), 2);
    index.outbox_mark(2, DeliveryMark::Delivered { at: at(201) }).wait().unwrap();
    index.outbox_mark(5, DeliveryMark::Undelivered { at: at(202), error: "gone".into() }).wait().unwrap();
    assert_eq!(due(300), [3, 6]);
    // What is settled stays so, unless somebody wants it again.
    index.outbox_mark(2, DeliveryMark::Retry { next_at: at(1), error: "late".into() }).wait().unwrap();
    assert_eq!(due(300), [3, 6]);
    let given_up = index.outbox(Some(Progress::Undelivered), None, 10).unwrap();
    assert_eq!((given_up.len(), given_up[0].id, given_up[0].error.as_deref()), (1, 5, Some("gone")));
    assert_eq!(index.outbox_newest(Some(Progress::Undelivered), 10).unwrap(), given_up);
    let newest = index.outbox_newest(None, 2).unwrap();
    assert_eq!(newest.iter().map(|row| row.id).collect::<Vec<_>>(), [6, 5]);
    index.outbox_mark(5, DeliveryMark::Again { at: at(250) }).wait().unwrap();
    assert_eq!(due(300), [3, 5]);
    assert_eq!(index.deliveries_pending().unwrap(), 3);
    assert!(matches!(
        index.outbox_mark(77, DeliveryMark::Delivered { at: at(1) }).wait(),
        Err(IndexError::NoDelivery { id: 77 })
    ));
}

#[test]
fn slots_expire_when_everything_is_delivered_and_leave_a_tombstone() {
    let dir = folder();
    let (index, _) = open(dir.path());
    index.accept(slot(1)).wait().unwrap();
    assert!(matches!(index.expire(id(1), at(50)).wait(), Err(IndexError::Open { .. })));
    let mut ending = end(1, State::Completed);
    ending.upload = true;
    index.end(ending).wait().unwrap();
    let hold = || index.expirable().unwrap()[0].hold;
    assert_eq!(hold(), retention::Hold::Pending);
    assert!(matches!(index.expire(id(1), at(50)).wait(), Err(IndexError::Undelivered { .. })));
    index.outbox_mark(2, DeliveryMark::Undelivered { at: at(40), error: "no".into() }).wait().unwrap();
    assert_eq!(hold(), retention::Hold::Pending);
    assert_eq!(index.store_due(at(40), 5).unwrap().len(), 1);
    assert_eq!(index.uploads_pending().unwrap(), (1, Some(at(31))));
    assert_eq!(index.uploads_waiting().unwrap(), 1);
    let addresses = [("video.mp4".to_owned(), "s3://bucket/video.mp4".to_owned())].into();
    index.store_mark(id(1), UploadMark::Done { addresses }, at(41)).wait().unwrap();
    assert_eq!(hold(), retention::Hold::Undelivered);
    assert_eq!(index.store_due(at(40), 5).unwrap(), []);
    assert_eq!(row(&index, 1).upload.unwrap().addresses["video.mp4"], "s3://bucket/video.mp4");
    index.outbox_mark(2, DeliveryMark::Again { at: at(42) }).wait().unwrap();
    index.outbox_mark(2, DeliveryMark::Delivered { at: at(43) }).wait().unwrap();
    assert_eq!(hold(), retention::Hold::Free);
    assert_eq!(index.expirable().unwrap()[0].bytes, Bytes::new(1000));

    index.expire(id(1), at(50)).wait().unwrap();
    index.expire(id(1), at(60)).wait().unwrap();
    let tombstone = Tombstone {
        slot: id(1),
        recipe_sha256: slot(1).recipe_sha256,
        state: State::Completed,
        expired_at: at(50),
        work: None,
    };
    assert_eq!(index.slot(id(1)).unwrap(), Some(Found::Expired(tombstone.clone())));
    assert_eq!(index.accept(slot(1)).wait().unwrap(), Acceptance::Expired(tombstone));
    assert_eq!(index.end(end(1, State::Failed)).wait().unwrap(), EndOutcome::Before(State::Completed));
    assert_eq!((index.expirable().unwrap().len(), index.outbox_of(id(1)).unwrap().len()), (0, 0));
    assert_eq!(index.forget_tombstones(at(50)).wait().unwrap(), 0);
    assert_eq!(index.forget_tombstones(at(51)).wait().unwrap(), 1);
    assert_eq!(index.slot(id(1)).unwrap(), None);
    assert!(matches!(index.expire(id(1), at(60)).wait(), Err(IndexError::NotAccepted { .. })));
}

#[test]
fn many_callers_share_a_commit_and_each_gets_its_own_answer() {
    let dir = folder();
    let (index, _) = open(dir.path());
    let mut told = index.subscribe();
    // Begun without a runtime, all before any is waited for.
    let accepted: Vec<_> = (0..500).map(|number| index.accept(slot(number % 250))).collect();
    let outcomes: Vec<_> = accepted.into_iter().map(|answer| answer.wait().unwrap()).collect();
    let orders: Vec<_> = outcomes
        .iter()
        .filter_map(|it| match it {
            Acceptance::Accepted { order } => Some(*order),
            _ => None,
        })
        .collect();
    assert_eq!(orders, (1..=250).collect::<Vec<_>>());
    assert!(matches!(outcomes[250], Acceptance::Known(_)));
    assert!(index.health().group < 250, "{:?}", index.health());
    let heard: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).filter_map(|it| it.sequence).collect();
    assert_eq!(heard, (1..=250).collect::<Vec<_>>());
}

#[test]
fn futures_are_awaited_on_a_runtime_as_well() {
    let dir = folder();
    let (index, _) = open(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert!(matches!(index.accept(slot(1)).await, Ok(Acceptance::Accepted { .. })));
        index.close().await.unwrap();
        assert!(matches!(index.flush().await, Err(IndexError::Closed)));
    });
}

#[test]
fn a_backup_takes_the_log_that_it_covers_away() {
    let dir = folder();
    let (index, _) =
        Index::open(dir.path(), IndexSettings { log_file: Bytes::new(2000), ..settings() }, &NoFolders)
            .unwrap();
    for number in 0..20 {
        index.accept(slot(number)).wait().unwrap();
    }
    let logs = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir.path().join("log")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    assert!(logs().len() > 3, "{:?}", logs());
    index.back_up().wait().unwrap();
    index.flush().wait().unwrap();
    assert_eq!(logs().len(), 1);
    assert!(index.health().backed_up_at.is_some());
    index.accept(slot(20)).wait().unwrap();
    drop(index);
    let (index, report) = open(dir.path());
    assert_eq!((report.findings.len(), report.open), (0, 21));
    drop(index);
}

#[test]
fn recipes_beyond_every_bound_are_refused() {
    let dir = folder();
    let (index, _) = open(dir.path());
    let mut large = slot(1);
    large.recipe = vec![0; MOST_OF_ONE + 1].into();
    assert!(matches!(index.accept(large).wait(), Err(IndexError::TooLarge { .. })));
    assert_eq!(index.slot(id(1)).unwrap(), None);
}
