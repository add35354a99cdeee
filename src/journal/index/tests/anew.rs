//! A slot that is handed in again: of a higher epoch it begins anew, and a log that is put in makes the same of it.

use std::num::NonZeroU32;

use super::super::change::{self, Change, Record};
use super::super::rows::{StateRow, get_state, put_state, state_number};
use super::super::tables::Tables;
use super::super::{apply, schema};
use super::*;
use crate::types::WorkId;

fn work(number: u128, epoch: u32) -> Option<WorkId> {
    let epoch = NonZeroU32::new(epoch).unwrap();
    Some(WorkId { epoch, ..WorkId::first(id(number)) })
}

fn of(number: u128, epoch: u32) -> NewSlot {
    NewSlot { work: work(number, epoch), origin: "nats".to_owned(), ..slot(number) }
}

#[test]
fn an_ended_slot_of_a_higher_epoch_begins_anew() {
    let dir = folder();
    let (index, _) = open(dir.path());
    let accept = |new: NewSlot| index.accept(new).wait().unwrap();
    // The first came in by HTTP.
    assert_eq!(accept(slot(1)), Acceptance::Accepted { order: 1 });
    assert_eq!(accept(slot(2)), Acceptance::Accepted { order: 2 });
    // Open, it is known whatever the epoch.
    assert!(matches!(accept(of(1, 2)), Acceptance::Known(row) if row.order == 1));
    index.end(end(1, State::Failed)).wait().unwrap();
    // A row without an epoch is of the first.
    assert!(matches!(accept(of(1, 1)), Acceptance::Known(row) if row.state == State::Failed));
    assert!(matches!(accept(slot(1)), Acceptance::Known(_)));
    let other = NewSlot { recipe_sha256: crate::types::Sha256::of(b"another"), ..of(1, 2) };
    assert!(matches!(accept(other), Acceptance::Conflict { .. }));

    assert_eq!(accept(of(1, 2)), Acceptance::Accepted { order: 3 });
    let anew = row(&index, 1);
    assert_eq!((anew.order, anew.state, anew.work, anew.end), (3, State::Queued, work(1, 2), None));
    assert_eq!(index.recipe(id(1)).unwrap().as_deref(), Some(&*slot(1).recipe));
    assert_eq!(index.open_slots().unwrap().iter().map(|it| it.row.order).collect::<Vec<_>>(), [2, 3]);
    let counts = index.counts().unwrap();
    assert_eq!(counts.slots, [(State::Queued, 2)].into());

    assert_eq!(index.end(end(1, State::Superseded)).wait().unwrap(), EndOutcome::Ended);
    assert!(matches!(accept(of(1, 2)), Acceptance::Known(row) if row.state == State::Superseded));
    assert_eq!(accept(of(1, 3)), Acceptance::Accepted { order: 4 });
    drop(index);
    let (index, report) = open_again(dir.path());
    assert_eq!((report.findings.as_slice(), row(&index, 1).work), (&[][..], work(1, 3)));
}

#[test]
fn what_has_expired_begins_anew_with_a_higher_epoch_only() {
    let dir = folder();
    let (index, _) = open(dir.path());
    let accept = |new: NewSlot| index.accept(new).wait().unwrap();
    accept(of(1, 2));
    // Nothing is to be delivered.
    index.end(EndRecord { event: None, ..end(1, State::Superseded) }).wait().unwrap();
    assert_eq!(index.expirable().unwrap()[0].state, State::Superseded);
    index.expire(id(1), at(50)).wait().unwrap();
    assert!(matches!(accept(of(1, 2)), Acceptance::Expired(it) if it.work == work(1, 2)));
    assert!(matches!(accept(slot(1)), Acceptance::Expired(_)));
    let other = NewSlot { recipe_sha256: crate::types::Sha256::of(b"another"), ..of(1, 3) };
    assert!(matches!(accept(other), Acceptance::Expired(_)));
    assert_eq!(accept(of(1, 3)), Acceptance::Accepted { order: 2 });
    assert_eq!((row(&index, 1).state, index.counts().unwrap().tombstones), (State::Queued, 0));
}

#[test]
fn a_log_that_is_put_in_makes_the_same_of_it() {
    let dir = folder();
    let (index, _) = open(dir.path());
    index.accept(slot(1)).wait().unwrap();
    index.end(EndRecord { event: None, ..end(1, State::Failed) }).wait().unwrap();
    index.accept(of(1, 2)).wait().unwrap();
    index.end(EndRecord { event: None, ..end(1, State::Superseded) }).wait().unwrap();
    index.expire(id(1), at(50)).wait().unwrap();
    index.accept(of(1, 3)).wait().unwrap();
    let (was, events) = (row(&index, 1), kept(&index));
    let left = folder();
    copy(dir.path(), left.path());
    for name in ["index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"] {
        let _ = std::fs::remove_file(left.path().join(name));
    }
    let (again, report) = open(left.path());
    assert_eq!((report.loss, report.open), (None, 1), "{:?}", report.findings);
    assert_eq!((row(&again, 1), kept(&again)), (was, events));
    assert_eq!(again.recipe(id(1)).unwrap().as_deref(), Some(&*slot(1).recipe));
}

/// Tables in memory in which `records` were made.
fn made(records: &[Record]) -> (rusqlite::Connection, StateRow) {
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, Path::new("index.sqlite3"), schema::MIGRATIONS).unwrap();
    let mut state = StateRow::new(Generation::random());
    let mut tables = Tables::new(&connection, &mut state);
    records.iter().for_each(|record| apply::apply(&mut tables, record).unwrap());
    put_state(&connection, &state).unwrap();
    (connection, state)
}

#[test]
fn changes_that_are_made_twice_change_nothing_the_second_time() {
    let accept = |order, new| Record { change: Change::Accept { order, slot: Box::new(new) }, event: None };
    let end = Record { change: Change::End { end: Box::new(end(1, State::Failed)) }, event: None };
    let first = [accept(1, slot(1)), end, accept(2, of(1, 2))];
    let (connection, state) = made(&first);
    let (again, twice) = made(&[&first[..], &[first[2].clone(), first[0].clone()]].concat());
    assert_eq!(read::find(&again, id(1)).unwrap(), read::find(&connection, id(1)).unwrap());
    assert_eq!((twice.sum, twice.order), (state.sum, state.order));
    // Where the end of the lower epoch was lost, the higher one is not.
    let (holed, _) = made(&[first[0].clone(), first[2].clone()]);
    let Some(Found::Slot(row)) = read::find(&holed, id(1)).unwrap() else { panic!() };
    assert_eq!((row.order, row.work, row.state), (2, work(1, 2), State::Queued));
    assert_eq!(get_state(&holed).unwrap().unwrap().order, 2);
}

#[test]
fn what_was_written_before_there_were_networks_is_read() {
    let row: SlotRow = serde_json::from_str(
        r#"{"order":1,"slot":"00000000-0000-0000-0000-000000000001","state":"completed","recipe_sha256":"HASH",
            "bundle_sha256":"HASH","accepted_at":{"secs":1800000001,"nanos":0},"deadline":null,"traceparent":null,
            "webhook":null,"origin":"http","cancel_requested_at":null,"began_at":null,"device":null,"attempts":1,
            "end":null,"upload":null}"#.replace("HASH", &"ab".repeat(32)).as_str(),
    ).unwrap();
    assert_eq!((row.work, row.state), (None, State::Completed));
    let tombstone: Tombstone = serde_json::from_str(
        r#"{"slot":"00000000-0000-0000-0000-000000000001","recipe_sha256":"HASH","state":"failed",
            "expired_at":{"secs":1800000001,"nanos":0}}"#
            .replace("HASH", &"ab".repeat(32))
            .as_str(),
    )
    .unwrap();
    assert_eq!(tombstone.work, None);
    // What no network names is written as before.
    let written = serde_json::to_string(&row).unwrap();
    assert!(!written.contains("work"), "{written}");
    let json =
        r#"{"change":"accept","order":1,"slot":"00000000-0000-0000-0000-000000000001","recipe_sha256":"HASH",
        "bundle_sha256":"HASH","accepted_at":{"secs":1800000001,"nanos":0},"deadline":null,"traceparent":null,
        "webhook":null,"origin":"http"}"#
            .replace("HASH", &"ab".repeat(32));
    let mut payload = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    payload.extend(1u32.to_le_bytes());
    payload.extend(json.as_bytes());
    payload.push(b'r');
    let records = change::decode(&payload).unwrap();
    let [Record { change: Change::Accept { slot, .. }, .. }] = &records[..] else { panic!("{records:?}") };
    assert_eq!((slot.work, &*slot.recipe), (None, &b"r"[..]));
    // And what one does name comes back.
    let mut payload = Vec::new();
    let named = Record { change: Change::Accept { order: 1, slot: Box::new(of(1, 7)) }, event: None };
    change::encode(&named, &mut payload).unwrap();
    let Change::Accept { slot, .. } = &change::decode(&payload).unwrap()[0].change else { panic!() };
    assert_eq!(slot.work, work(1, 7));
}

#[test]
fn numbers_of_states_never_change() {
    let numbers = State::ALL.map(|state| (state.name(), state_number(state)));
    let released = [("queued", 0), ("running", 1), ("completed", 2), ("failed", 3), ("cancelled", 4)];
    assert_eq!(numbers[..5], released);
    assert_eq!(numbers[5..], [("superseded", 5)]);
}
