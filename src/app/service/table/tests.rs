use super::*;
use crate::contract::Unit;
use crate::types::{DeviceId, ModelId};

fn slot(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number))
}

fn accept(table: &SlotTable, number: u128) -> SlotId {
    table.accepted(new(number));
    slot(number)
}

fn new(number: u128) -> NewView {
    NewView {
        slot: slot(number),
        recipe_sha256: "0".repeat(64),
        accepted_at: Duration::from_secs(1000),
        deadline: None,
        attempts: 1,
        trace_id: None,
        done: Vec::new(),
        webhook: None,
    }
}

fn hear(table: &SlotTable, slot: SlotId, kind: EventKind) -> bool {
    let at = Duration::from_secs(2000);
    table.hear(&Event { at, device: Some(DeviceId::Cpu), slot: Some(slot), kind })
}

fn began(stage: Stage, attempt: AttemptId) -> EventKind {
    EventKind::StageBegan { stage, model: Some(ModelId::Kokoro), attempt }
}

#[test]
fn positions_move_up_as_slots_begin_and_end() {
    let table = SlotTable::default();
    let slots: Vec<SlotId> = (1..=3).map(|number| accept(&table, number)).collect();
    let positions =
        || slots.iter().map(|slot| table.get(*slot).and_then(|it| it.position)).collect::<Vec<_>>();
    assert_eq!(positions(), [Some(0), Some(1), Some(2)]);
    assert!(hear(&table, slots[0], began(Stage::Audio, AttemptId::FIRST)), "it begins");
    assert!(!hear(&table, slots[0], began(Stage::Image, AttemptId::FIRST)), "and begins once");
    assert_eq!(positions(), [None, Some(0), Some(1)]);
    assert_eq!(table.counts(), Counts { waiting: 2, running: 1, left: 0 });
    let view = table.get(slots[1]).unwrap();
    table.ended(slots[1], SlotView { state: SlotState::Cancelled, ..view });
    assert_eq!(positions(), [None, None, Some(0)]);
    assert_eq!(table.get(slots[1]).unwrap().state, SlotState::Cancelled);
    assert!(!table.is_open(slots[1]) && table.is_open(slots[2]));
}

#[test]
fn stages_show_what_was_heard_and_a_second_attempt_begins_anew() {
    let table = SlotTable::default();
    let slot = accept(&table, 1);
    hear(&table, slot, began(Stage::Video, AttemptId::FIRST));
    let progress = Progress::new(Unit::Frames, 3, 9);
    hear(&table, slot, EventKind::VideoProgress { progress });
    let video = || table.get(slot).unwrap().stages[Stage::Video as usize].clone();
    assert_eq!((video().state, video().done, video().total), (StageState::Running, Some(3), Some(9)));
    hear(&table, slot, EventKind::StageAgain { stage: Stage::Video, counted: true, message: String::new() });
    hear(&table, slot, EventKind::VideoProgress { progress });
    assert_eq!(video().state, StageState::Waiting, "late progress begins nothing");
    hear(&table, slot, began(Stage::Video, AttemptId::FIRST.next()));
    assert_eq!((video().attempt, video().done), (2, None));
    hear(&table, slot, EventKind::VideoComplete { took: Duration::ZERO });
    assert_eq!((video().state, video().ended_at), (StageState::Done, Some(2000.0)));
}

#[test]
fn late_events_do_not_open_an_ended_slot_again() {
    let table = SlotTable::default();
    let slot = accept(&table, 1);
    let view = table.get(slot).unwrap();
    table.ended(slot, SlotView { state: SlotState::Failed, ..view });
    assert!(!hear(&table, slot, began(Stage::Audio, AttemptId::FIRST)));
    assert_eq!(table.get(slot).unwrap().state, SlotState::Failed);
    assert_eq!(table.counts(), Counts::default());
}

#[test]
fn so_many_ended_slots_are_held_and_the_oldest_go() {
    let table = SlotTable::default();
    for number in 0..ENDED_KEPT as u128 + 2 {
        let slot = accept(&table, number);
        let view = table.get(slot).unwrap();
        table.ended(slot, view);
    }
    assert!(table.get(slot(0)).is_none() && table.get(slot(1)).is_none() && table.get(slot(2)).is_some());
    table.forget(slot(2));
    assert!(table.get(slot(2)).is_none());
}

#[test]
fn the_expected_end_comes_nearer_and_the_margin_says_what_is_left() {
    let table = SlotTable::default();
    let slot = slot(9);
    let now = clock::unix_time();
    table.accepted(NewView {
        slot,
        recipe_sha256: String::new(),
        accepted_at: now,
        deadline: Some(now + Duration::from_secs(100)),
        attempts: 1,
        trace_id: None,
        done: vec![Stage::Audio],
        webhook: None,
    });
    table.expect(slot, Duration::from_secs(60));
    let view = table.get(slot).unwrap();
    assert!(view.eta.is_some_and(|eta| (50.0..=60.0).contains(&eta)), "{view:?}");
    assert!(view.deadline_margin.is_some_and(|margin| (30.0..=40.5).contains(&margin)), "{view:?}");
    assert_eq!(view.stages[0].state, StageState::Done);
}

#[test]
fn a_slot_that_nobody_works_on_takes_no_place_until_it_comes_again() {
    let table = SlotTable::default();
    let (first, second) = (accept(&table, 1), accept(&table, 2));
    hear(&table, first, began(Stage::Audio, AttemptId::FIRST));
    table.left(new(1));
    table.left(new(3));
    assert_eq!(table.counts(), Counts { waiting: 1, running: 0, left: 2 });
    let view = table.get(first).unwrap();
    assert_eq!((view.state, view.position), (SlotState::Queued, None));
    assert!(table.is_open(first) && !table.is_at_work(first) && table.is_at_work(second));
    table.accepted(new(1));
    assert_eq!(table.counts(), Counts { waiting: 2, running: 0, left: 1 });
    assert_eq!(table.get(first).unwrap().position, Some(1), "behind those that waited meanwhile");
    table.ended(slot(3), SlotView { state: SlotState::Superseded, ..table.get(slot(3)).unwrap() });
    assert_eq!(table.counts().left, 0);
}
