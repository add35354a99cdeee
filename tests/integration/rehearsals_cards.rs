//! Several cards through the real tree, with played models: where slots go, what one card's misfortune does to another's
//! slots, and what becomes of a lost card's.

use std::time::Duration;

use vortex_node::actors::handle::ActorName;
use vortex_node::events::EventKind;
use vortex_node::rehearse::scenario::{Arrivals, Fault, RunFault};
use vortex_node::rehearse::{Pace, Scenario, rehearse};
use vortex_node::types::{Bytes, DeviceId, ModelId, Stage};
use vortex_node::vram::ScriptedFault;

use crate::support::diary::play_with_diary;

const FIRST: DeviceId = DeviceId::Scripted(0);
const SECOND: DeviceId = DeviceId::Scripted(1);

/// `count` slots, `every` so many seconds one, on two cards.
fn two_cards(count: u64, every: u64) -> Scenario {
    let arrivals = Arrivals {
        at: Duration::from_secs(10),
        count,
        every: Duration::from_secs(every),
        deadline: Duration::from_secs(1800),
        patient: true,
        cancel_after: None,
    };
    let mut scenario = Scenario { arrivals: vec![arrivals], ..Scenario::default() };
    scenario.device.count = std::num::NonZeroU32::new(2).unwrap();
    scenario
}

fn on(device: DeviceId, fault: Fault) -> Fault {
    Fault::On(device, Box::new(fault))
}

#[test]
fn slots_that_come_at_once_are_spread_by_what_the_cards_have_left() {
    let (report, diary) = play_with_diary(&two_cards(4, 0));
    let first: Vec<DeviceId> = diary.ways().iter().map(|(_, way)| way[0]).collect();
    assert_eq!(first, [FIRST, SECOND, FIRST, SECOND], "{report}");
    assert_eq!(report.completed, 4, "{report}");
    // Two on each card overlap as two on one do.
    assert_eq!(diary.elapsed_on(FIRST).len(), 2);
    assert!(
        diary.elapsed_on(FIRST).iter().zip(diary.elapsed_on(SECOND)).all(|(one, other)| one.1 == other.1)
    );
}

#[test]
fn a_card_that_another_process_fills_gets_slots_only_when_the_free_one_is_at_work() {
    let others =
        Fault::Others { at: Duration::from_secs(1), lasts: Duration::from_secs(600), bytes: Bytes::mb(2200) };
    let (report, diary) = play_with_diary(&Scenario { faults: vec![on(FIRST, others)], ..two_cards(3, 30) });
    // Each comes when the one before has ended.
    assert!(diary.ways().iter().all(|(_, way)| way == &[SECOND]), "{:?}\n{report}", diary.ways());
}

#[test]
fn a_card_under_pressure_is_passed_over() {
    let others =
        Fault::Others { at: Duration::from_secs(1), lasts: Duration::from_secs(60), bytes: Bytes::mb(4100) };
    let (report, diary) = play_with_diary(&Scenario { faults: vec![on(FIRST, others)], ..two_cards(4, 0) });
    assert!(diary.ways().iter().all(|(_, way)| way == &[SECOND]), "{:?}\n{report}", diary.ways());
    assert!(report.refused.is_empty() && report.completed == 4, "{report}");
}

/// Whatever befalls the second card, the first one's slots are as if nothing had happened.
#[test]
fn one_cards_misfortune_does_not_touch_the_others_slots() {
    let undisturbed = play_with_diary(&two_cards(4, 0)).1.elapsed_on(FIRST);
    assert_eq!(undisturbed.len(), 2);
    let at = Duration::from_millis(20_300);
    let lasts = Duration::from_secs(40);
    let run = |how| Fault::Run { stage: Stage::Video, slot: 1, slots: 4, attempts: 1, how };
    let misfortunes = [
        ("a model crashes", run(RunFault::Panic)),
        ("a model runs out of memory", run(RunFault::OutOfMemory)),
        ("an actor is killed", Fault::Kill { actor: ActorName::Model(ModelId::LivePortrait), at }),
        ("its models' supervisor is killed", Fault::Kill { actor: ActorName::Models, at }),
        ("its orchestrator is killed", Fault::Kill { actor: ActorName::Orchestrator, at }),
        ("its watchdog is killed", Fault::Kill { actor: ActorName::Watchdog, at }),
        ("the hard limit is crossed", Fault::Others { at, lasts, bytes: Bytes::mb(4400) }),
        ("NVML vanishes", Fault::Probe { at, lasts, how: ScriptedFault::Missing }),
        ("NVML lies", Fault::Probe { at, lasts, how: ScriptedFault::UsedAboveTotal }),
    ];
    for (what, fault) in misfortunes {
        let (report, diary) =
            play_with_diary(&Scenario { faults: vec![on(SECOND, fault)], ..two_cards(4, 0) });
        assert_eq!(diary.elapsed_on(FIRST), undisturbed, "{what}:\n{report}");
        assert_eq!(report.accepted, 4, "{what}:\n{report}");
        assert!(diary.troubled().iter().all(|card| *card == SECOND), "{what}: {:?}", diary.troubled());
        assert!(report.restarts.keys().all(|actor| actor.starts_with("scripted:1/")), "{what}:\n{report}");
        assert_eq!(report.exits, [0], "{what}:\n{report}");
    }
}

#[test]
fn a_lost_cards_slots_finish_on_the_other_from_their_last_finished_stage() {
    let at = Duration::from_secs(24);
    let hang = Fault::Run { stage: Stage::Audio, slot: 1, slots: 6, attempts: 1, how: RunFault::Hang };
    let poison = Fault::Run { stage: Stage::Video, slot: 1, slots: 6, attempts: 1, how: RunFault::Poison };
    // How often the first slot that moves is animated: a run that the card takes along is made again.
    for (what, fault, exit, animated) in [
        ("a thread hangs", hang, 71, 1),
        ("its context is poisoned", poison, 71, 2),
        ("its root is killed", Fault::Kill { actor: ActorName::Node, at }, 71, 2),
        (
            "a model is given up",
            Fault::Load { model: ModelId::Kokoro, after: 1, times: 500, unusable: false },
            70,
            0,
        ),
    ] {
        let mut faults = vec![on(SECOND, fault)];
        if exit == 70 {
            faults.push(on(SECOND, Fault::Kill { actor: ActorName::Model(ModelId::Kokoro), at }));
        }
        let (report, diary) = play_with_diary(&Scenario { faults, ..two_cards(6, 0) });
        assert_eq!((report.accepted, report.completed), (6, 6), "{what}:\n{report}");
        assert_eq!(report.cards_lost, [("scripted:1".to_owned(), exit)].into(), "{what}:\n{report}");
        assert_eq!(report.exits, [0], "{what}:\n{report}");
        let ways = diary.ways();
        let moved: Vec<_> = ways.iter().filter(|(_, way)| way == &[SECOND, FIRST]).collect();
        assert!(!moved.is_empty() && report.resumed == moved.len() as u64, "{what}: {ways:?}\n{report}");
        assert!(ways.iter().all(|(_, way)| way.last() == Some(&FIRST) || exit == 70), "{what}: {ways:?}");
        if exit == 71 {
            // The first of them had its picture: it is not made again.
            let (slot, _) = moved[0];
            assert_eq!(diary.began(*slot, Stage::Image), 1, "{what}");
            assert_eq!(diary.began(*slot, Stage::Video), animated, "{what}");
        }
    }
}

#[test]
fn slots_of_a_lost_card_are_shared_by_those_that_are_left() {
    let at = Duration::from_secs(24);
    let faults = vec![on(DeviceId::Scripted(2), Fault::Kill { actor: ActorName::Node, at })];
    let mut scenario = Scenario { faults, ..two_cards(12, 0) };
    scenario.device.count = std::num::NonZeroU32::new(3).unwrap();
    let (report, diary) = play_with_diary(&scenario);
    assert_eq!((report.completed, report.resumed), (12, 4), "{report}");
    let to = |card| diary.ways().iter().filter(|(_, way)| way.len() == 2 && way[1] == card).count();
    assert_eq!((to(FIRST), to(SECOND)), (2, 2), "{:?}\n{report}", diary.ways());
}

#[test]
fn killing_any_actor_of_one_card_or_the_root_at_any_point_loses_nothing() {
    let actors = [
        ActorName::Root,
        ActorName::Node,
        ActorName::Watchdog,
        ActorName::Models,
        ActorName::Orchestrator,
        ActorName::Model(ModelId::Flux),
        ActorName::Model(ModelId::ClipL),
    ];
    for actor in actors {
        for half in 0..60 {
            let at = Duration::from_millis(137 + 500 * half);
            let faults = vec![on(SECOND, Fault::Kill { actor, at })];
            let (report, _) = play_with_diary(&Scenario { faults, processes: 1, ..two_cards(4, 2) });
            assert_eq!((report.accepted, report.completed), (4, 4), "{actor:?} killed at {at:?}:\n{report}");
            let exits: &[u8] = if actor == ActorName::Root { &[71, 0] } else { &[0] };
            assert_eq!(report.exits, exits, "{actor:?} killed at {at:?}:\n{report}");
        }
    }
}

#[test]
fn the_last_card_takes_the_process_along_and_the_next_one_finishes_everything() {
    for gap in [0, 40, 700, 9_000] {
        let at = Duration::from_millis(21_000);
        let kill = |at| Fault::Kill { actor: ActorName::Node, at };
        let faults = vec![on(FIRST, kill(at)), on(SECOND, kill(at + Duration::from_millis(gap)))];
        let (report, _) = play_with_diary(&Scenario { faults, processes: 1, ..two_cards(5, 0) });
        assert_eq!(
            (report.completed, report.exits.as_slice()),
            (5, [71, 0].as_slice()),
            "{gap} ms:\n{report}"
        );
    }
}

#[test]
fn a_slot_that_is_taken_back_or_asked_for_twice_is_found_on_its_card() {
    let mut scenario = two_cards(4, 0);
    scenario.arrivals[0].cancel_after = Some(Duration::from_secs(5));
    let (report, _) = play_with_diary(&scenario);
    assert_eq!(report.cancelled.values().sum::<u64>(), 4, "{report}");
}

#[test]
fn two_cards_in_real_time_use_threads_and_end_the_same() {
    let mut scenario = two_cards(6, 0);
    for part in scenario.parts.values_mut() {
        (part.load, part.canary, part.run) =
            (Duration::from_millis(20), Duration::from_millis(5), Duration::from_millis(30));
    }
    scenario.arrivals[0].at = Duration::from_millis(200);
    scenario.device.sample_every = Duration::from_millis(50);
    scenario.settle = Duration::from_millis(10);
    (scenario.stall, scenario.grace) = (Duration::from_millis(100), Duration::from_millis(100));
    let hang = Fault::Run { stage: Stage::Image, slot: 1, slots: 6, attempts: 1, how: RunFault::Hang };
    scenario.faults = vec![on(SECOND, hang)];
    let report = rehearse(&scenario, Pace::RealTime, Vec::new()).unwrap();
    assert!(report.completed == 6 && report.lost == 0 && report.exits == [0], "{report}");
    assert_eq!(report.cards_lost.get("scripted:1"), Some(&71), "{report}");
}

#[test]
fn a_card_on_standby_holds_nothing_until_it_takes_over() {
    let at = Duration::from_secs(24);
    let faults = vec![on(FIRST, Fault::Kill { actor: ActorName::Node, at })];
    let mut scenario = Scenario { faults, ..two_cards(2, 0) };
    scenario.device.standby = true;
    let (report, diary) = play_with_diary(&scenario);
    assert!(diary.ways().iter().all(|(_, way)| way == &[FIRST, SECOND]), "{:?}\n{report}", diary.ways());
    assert_eq!((report.completed, report.exits.as_slice()), (2, [0].as_slice()), "{report}");
    let cards = diary.cards.lock().unwrap();
    let first_of = |card| cards.iter().position(|(device, _)| *device == card).unwrap();
    let lost = cards.iter().position(|(_, event)| matches!(event, EventKind::CardLost { .. })).unwrap();
    assert!(
        first_of(FIRST) < lost && lost < first_of(SECOND),
        "the second was looked at before it was needed"
    );
    // Sound and picture were there: only the video is made anew.
    let (slot, _) = diary.ways()[0];
    assert_eq!((diary.began(slot, Stage::Image), diary.began(slot, Stage::Video)), (1, 2), "{report}");
}
