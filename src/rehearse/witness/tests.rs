use super::*;
use crate::vram::{ScriptedChange, ScriptedFault};

const CARD: DeviceId = DeviceId::Scripted(0);

fn witness() -> Witness {
    Witness::new(clock::now(), &Scenario::default(), Memory::default())
}

fn device(own: u64, others: u64) -> ScriptedDevice {
    let device = ScriptedDevice::new(Bytes::mb(12_800));
    device.apply(ScriptedChange::Overhead(Bytes::mb(own)));
    device.apply(ScriptedChange::Others(Bytes::mb(others)));
    device
}

async fn looks(witness: &Witness, device: &ScriptedDevice, count: u32) {
    for _ in 0..count {
        tokio::time::advance(LOOK).await;
        witness.look(CARD, device.figures());
    }
}

async fn answers(witness: &Witness, device: &ScriptedDevice, closed: bool, count: u32) {
    for _ in 0..count {
        looks(witness, device, ASK_EVERY).await;
        witness.heard_answer(CARD, closed.then(|| "pressure".to_owned()), device.figures());
    }
}

fn told(witness: &Witness, kind: EventKind, slot: Option<SlotId>) {
    witness.hear(&Event { at: Duration::ZERO, device: Some(CARD), slot, kind });
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn own_use_above_the_hard_limit_is_timed_to_the_first_remedy_and_to_relief() {
    let witness = witness();
    looks(&witness, &device(11_600, 0), 31).await;
    told(&witness, EventKind::ModelTrimmed { model: crate::types::ModelId::Flux, freed: Bytes::ZERO }, None);
    looks(&witness, &device(11_600, 0), 10).await;
    told(&witness, EventKind::Escalated { exit: crate::exit::Exit::DeviceLost, cause: String::new() }, None);
    looks(&witness, &device(11_600, 0), 20).await;
    looks(&witness, &device(9_000, 0), 5).await;
    let seen = witness.observed();
    assert_eq!(
        (seen.until_remedy, seen.until_relief),
        (seconds(40), seconds(60)),
        "a trim of nothing is no remedy"
    );
    // The time before the first look is nobody's.
    assert_eq!(seen.above_hard, Above { any: seconds(60), own: seconds(60) });
}

#[tokio::test(start_paused = true)]
async fn others_memory_is_no_time_of_our_own() {
    let witness = witness();
    looks(&witness, &device(7_000, 5_000), 31).await;
    let seen = witness.observed();
    assert_eq!((seen.until_remedy, seen.until_relief), (Duration::ZERO, Duration::ZERO));
    assert_eq!(seen.above_hard, Above { any: seconds(30), own: Duration::ZERO });
}

#[tokio::test(start_paused = true)]
async fn time_in_which_a_played_fault_of_the_probe_blinds_does_not_count_and_all_other_time_does() {
    let (witness, device) = (witness(), device(11_900, 0));
    looks(&witness, &device, 11).await;
    device.apply(ScriptedChange::Fault(Some(ScriptedFault::Frozen)));
    looks(&witness, &device, 600).await;
    device.apply(ScriptedChange::Fault(None));
    let stale_after = Scenario::default().device.stale_after;
    looks(&witness, &device, stale_after.as_secs() as u32 + 20).await;
    assert_eq!(witness.observed().until_relief, seconds(10 + 20), "what was before and what comes after");
}

#[tokio::test(start_paused = true)]
async fn open_slots_of_which_nothing_is_told_are_a_standstill_of_their_own() {
    let waiting = async |own: u64, others: u64| {
        let (witness, device) = (witness(), device(own, others));
        told(&witness, EventKind::Accepted { eta: Duration::ZERO, resumed: false }, Some(slot_id(1)));
        looks(&witness, &device, 31).await;
        let began = EventKind::StageBegan {
            stage: crate::types::Stage::Audio,
            model: None,
            attempt: crate::types::AttemptId::FIRST,
        };
        told(&witness, began, Some(slot_id(1)));
        looks(&witness, &device, 21).await;
        told(
            &witness,
            EventKind::SlotCancelled { cause: crate::journal::CancelCause::Requested },
            Some(slot_id(1)),
        );
        looks(&witness, &device, 100).await;
        witness.observed().not_working.map(|it| it.lasted)
    };
    assert_eq!(waiting(8_000, 0).await, Some(seconds(30)));
    // 6.8 GB of models, 0.5 for the process itself, 1.5 for the largest run: beside 3 GB of others it cannot begin.
    assert_eq!(waiting(7_300, 3_000).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_standstill_counts_where_nothing_but_the_node_stands_in_the_way() {
    for (own, others, counts) in [
        (11_200, 0, true),
        (8_000, 0, true),
        (11_200, 1_000, true),
        (8_000, 4_000, false),
        (500, 6_000, false),
        (8_000, 1_000, true),
    ] {
        let (witness, device) = (witness(), device(own, others));
        answers(&witness, &device, true, 11).await;
        let stood = witness.observed().not_accepting.map(|it| it.lasted);
        assert_eq!(stood, counts.then(|| seconds(50)), "own {own} MB, others' {others} MB");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standstill_ends_with_an_open_slot_a_yes_or_an_excuse_and_goes_on_in_the_next_process() {
    let (witness, device) = (witness(), device(11_200, 0));
    answers(&witness, &device, true, 5).await;
    witness.begin();
    answers(&witness, &device, true, 4).await;
    assert_eq!(witness.observed().not_accepting.map(|it| it.lasted), Some(seconds(40)));
    told(&witness, EventKind::Accepted { eta: Duration::ZERO, resumed: false }, Some(slot_id(1)));
    answers(&witness, &device, true, 30).await;
    told(
        &witness,
        EventKind::SlotCancelled { cause: crate::journal::CancelCause::Requested },
        Some(slot_id(1)),
    );
    answers(&witness, &device, true, 3).await;
    answers(&witness, &device, false, 1).await;
    answers(&witness, &device, true, 3).await;
    let crowd = |others| device.apply(ScriptedChange::Others(Bytes::mb(others)));
    crowd(5_000);
    device.apply(ScriptedChange::Overhead(Bytes::mb(500)));
    answers(&witness, &device, true, 30).await;
    crowd(0);
    answers(&witness, &device, true, 3).await;
    assert_eq!(witness.observed().not_accepting.map(|it| it.lasted), Some(seconds(40)));
}
