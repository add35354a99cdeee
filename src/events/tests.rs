use serde_json::{Value, json};

use super::*;
use crate::contract::{Progress, Unit};
use crate::exit::Exit;
use crate::types::{AttemptId, Bytes, ModelId, PerStage, Stage};
use crate::vram::policy::{Crossing, Level};
use crate::vram::policy::{MemoryRemedy, PressureCause};

fn told(slot: bool, kind: EventKind) -> Value {
    let slot = slot.then(|| SlotId::new(uuid::Uuid::from_u128(7)));
    let event = Event { at: Duration::from_millis(1500), device: Some(DeviceId::Cuda(1)), slot, kind };
    serde_json::to_value(event).unwrap()
}

#[test]
fn an_event_is_one_object_with_its_name_time_device_and_slot() {
    let kind = EventKind::AudioComplete { took: Duration::from_millis(2500) };
    let slot = uuid::Uuid::from_u128(7);
    let expected =
        json!({ "event": "audio_complete", "at": 1.5, "device": "cuda:1", "slot": slot, "took": 2.5 });
    assert_eq!(told(true, kind), expected);
    let crossing =
        Crossing { from: Level::Normal, to: Level::Soft, used: Bytes::new(3), limit: Bytes::new(2) };
    let pressure = told(false, EventKind::MemoryPressure(crossing));
    assert_eq!((&pressure["event"], &pressure["level"]), (&json!("memory_pressure"), &json!("soft")));
    assert!(pressure.get("slot").is_none());
}

#[test]
fn names_and_units_that_machines_read_stay_as_they_are() {
    let second = Duration::from_secs(1);
    let rows = [
        (EventKind::Accepted { eta: second, resumed: true }, "accepted", "eta", json!(1.0)),
        (
            EventKind::StageBegan { stage: Stage::Image, model: None, attempt: AttemptId::FIRST },
            "stage_began",
            "stage",
            json!("image"),
        ),
        (
            EventKind::VideoProgress { progress: Progress::new(Unit::Frames, 1, 2) },
            "video_progress",
            "progress",
            json!({ "unit": "frames", "done": 1, "total": 2 }),
        ),
        (
            EventKind::GenerationComplete {
                elapsed: second,
                breakdown: PerStage::from_array([second; 5]).into(),
                deadline_met: true,
            },
            "generation_complete",
            "breakdown",
            json!({ "audio": 1.0, "image": 1.0, "video": 1.0, "verify": 1.0, "package": 1.0 }),
        ),
        (
            EventKind::ActorDown { actor: "flux", fault: Fault::MemoryKept, message: String::new() },
            "actor_down",
            "fault",
            json!("memory_kept"),
        ),
        (EventKind::SlotSuperseded { by: "another".to_owned() }, "slot_superseded", "by", json!("another")),
        (EventKind::SlotLeft, "slot_left", "by", Value::Null),
        (
            EventKind::ModelReady { model: ModelId::ClipB, after: None },
            "model_ready",
            "model",
            json!("clip_b"),
        ),
        (
            EventKind::ModelTrimmed { model: ModelId::Flux, freed: Bytes::new(5) },
            "model_trimmed",
            "freed",
            json!(5),
        ),
        (
            EventKind::Escalated { exit: Exit::DeviceLost, cause: String::new() },
            "escalated",
            "exit",
            json!(71),
        ),
        (
            EventKind::CardLost { exit: Exit::DeviceLost, next: None, others: Vec::new() },
            "card_lost",
            "next",
            Value::Null,
        ),
        (
            EventKind::MemoryRemedy { remedy: MemoryRemedy::GiveUpDevice, used: None, budget: None },
            "memory_remedy",
            "remedy",
            json!("give_up_device"),
        ),
        (
            EventKind::MemoryRemedy {
                remedy: MemoryRemedy::Restart(ModelId::Flux),
                used: Some(Bytes::mb(5800)),
                budget: Some(Bytes::gb(5)),
            },
            "memory_remedy",
            "model",
            json!("flux"),
        ),
        (
            EventKind::MemoryRemedy {
                remedy: MemoryRemedy::PlanRestart(ModelId::Flux),
                used: Some(Bytes::mb(5800)),
                budget: Some(Bytes::gb(5)),
            },
            "memory_remedy",
            "used",
            json!(5_800_000_000u64),
        ),
        (
            EventKind::PressureCaused { cause: PressureCause::Others, unexplained: Bytes::ZERO },
            "pressure_caused",
            "cause",
            json!("others"),
        ),
        (
            EventKind::AdmissionChanged { closed: Some(Closed::NotReady) },
            "admission_changed",
            "closed",
            json!("not_ready"),
        ),
    ];
    for (kind, name, field, value) in rows {
        let found = told(false, kind);
        assert_eq!((&found["event"], &found[field]), (&json!(name), &value), "{found}");
    }
}

#[test]
fn every_subscriber_hears_every_event_once_and_in_order() {
    let (first, second) = (tokio::sync::mpsc::unbounded_channel(), tokio::sync::mpsc::unbounded_channel());
    let bus = Bus::new(vec![std::sync::Arc::new(Forward(first.0)), std::sync::Arc::new(Forward(second.0))]);
    let slot = SlotId::new(uuid::Uuid::from_u128(7));
    bus.on(DeviceId::Cpu).tell(EventKind::AdmissionChanged { closed: None });
    bus.tell_of(slot, EventKind::EndNotKept { message: "full".to_owned() });
    for mut heard in [first.1, second.1] {
        let (one, two) = (heard.try_recv().unwrap(), heard.try_recv().unwrap());
        assert_eq!(
            (one.device, one.slot, one.kind),
            (Some(DeviceId::Cpu), None, EventKind::AdmissionChanged { closed: None })
        );
        assert_eq!((two.device, two.slot), (None, Some(slot)));
        assert!(two.kind.ends_slot() && heard.try_recv().is_err());
    }
}
