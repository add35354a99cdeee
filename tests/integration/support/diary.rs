//! A subscriber that hears everything of a rehearsed node, with the time of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vortex_node::clock;
use vortex_node::events::{Event, EventKind, Subscriber};
use vortex_node::rehearse::{Pace, Report, Scenario, rehearse};
use vortex_node::types::{DeviceId, SlotId, Stage};

/// What slots and cards told, in order.
#[derive(Default)]
pub struct Diary {
    pub slots: Mutex<Vec<(Instant, Event)>>,
    pub cards: Mutex<Vec<(DeviceId, EventKind)>>,
}

impl Subscriber for Diary {
    fn hear(&self, event: &Event) {
        match (event.slot, event.device) {
            (Some(_), _) => self.slots.lock().unwrap().push((clock::now(), event.clone())),
            (None, Some(device)) => self.cards.lock().unwrap().push((device, event.kind.clone())),
            (None, None) => {}
        }
    }
}

impl Diary {
    /// The cards of each slot, in the order in which the slots came in first.
    pub fn ways(&self) -> Vec<(SlotId, Vec<DeviceId>)> {
        let mut ways: Vec<(SlotId, Vec<DeviceId>)> = Vec::new();
        for (_, event) in self.slots.lock().unwrap().iter() {
            let (EventKind::Accepted { .. }, Some(slot), Some(device)) =
                (&event.kind, event.slot, event.device)
            else {
                continue;
            };
            match ways.iter_mut().find(|(known, _)| *known == slot) {
                Some((_, way)) => way.push(device),
                None => ways.push((slot, vec![device])),
            }
        }
        ways
    }

    /// From acceptance to completion of every slot that only ever was on `card`, by slot.
    pub fn elapsed_on(&self, card: DeviceId) -> Vec<(SlotId, Duration)> {
        let ways = self.ways();
        let stayed =
            |slot: SlotId| ways.iter().any(|(of, way)| *of == slot && way.iter().all(|it| *it == card));
        let ended = |(_, event): &(Instant, Event)| match (&event.kind, event.slot) {
            (EventKind::GenerationComplete { elapsed, .. }, Some(slot)) if stayed(slot) => {
                Some((slot, *elapsed))
            }
            _ => None,
        };
        let mut all: Vec<_> = self.slots.lock().unwrap().iter().filter_map(ended).collect();
        all.sort();
        all
    }

    /// How often each stage of `slot` began.
    pub fn began(&self, slot: SlotId, stage: Stage) -> usize {
        let is_it = |(_, event): &&(Instant, Event)| {
            let is_stage = matches!(event.kind, EventKind::StageBegan { stage: which, .. } if which == stage);
            is_stage && event.slot == Some(slot)
        };
        self.slots.lock().unwrap().iter().filter(is_it).count()
    }

    /// The cards on which an actor went down, or pressure changed, or nothing could be seen.
    pub fn troubled(&self) -> Vec<DeviceId> {
        let is_trouble = |event: &EventKind| {
            matches!(
                event,
                EventKind::ActorDown { .. }
                    | EventKind::MemoryPressure(_)
                    | EventKind::Blind { .. }
                    | EventKind::CardLost { .. }
            )
        };
        let cards = self.cards.lock().unwrap();
        let mut all: Vec<DeviceId> =
            cards.iter().filter(|(_, event)| is_trouble(event)).map(|(card, _)| *card).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Plays `scenario` in accelerated time, and what was told meanwhile. Whatever happens, nothing is lost.
pub fn play_with_diary(scenario: &Scenario) -> (Report, Arc<Diary>) {
    let diary = Arc::new(Diary::default());
    let report = rehearse(scenario, Pace::Accelerated, vec![diary.clone()]).unwrap();
    assert_eq!((report.lost, report.leases_leaked, report.broken_off), (0, 0, false), "{report}");
    (report, diary)
}
