//! Watches a rehearsed node from outside: what its devices truly hold, whether they take anything in, and for how long not.
//!
//! Believes nothing that the node says of itself. Memory is the scripted device's own account, which knows what is this
//! process's and what is others'; whether a device accepts is asked as a client would. Owns the longest times of both. What
//! counts as the node's own fault is defined here, in [`Witness::excused`]. Steers nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ractor::rpc::CallResult;

use super::report::{Above, Standstill};
use super::scenario::Scenario;
use super::scripted_pipeline::{recipe, slot_id};
use super::theatre::Memory;
use crate::actors::admission::{Refusal, Request};
use crate::actors::handle::NodeHandle;
use crate::actors::messages::OrchestratorMsg;
use crate::actors::registry::ModelState;
use crate::actors::tree::DeviceTree;
use crate::clock;
use crate::events::{Event, EventKind, Fault, Subscriber};
use crate::types::{Bytes, Deadline, DeviceId, SlotId};
use crate::vram::{ScriptedDevice, ScriptedFigures};

/// Between two looks at memory: the shortest of times that matter here is a minute.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two questions whether something would be taken in.
const ASK_EVERY: u32 = 5;
/// For an answer from memory; longer, and whoever asked takes it for a no.
const ANSWER: Duration = Duration::from_secs(5);

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) above_soft: Above,
    pub(super) above_hard: Above,
    pub(super) until_remedy: Duration,
    pub(super) until_relief: Duration,
    pub(super) not_accepting: Option<Standstill>,
}

#[derive(Default)]
struct Card {
    looked: Option<Instant>,
    /// Since when own use has stood at the hard limit, and whether anything was done about it since.
    above: Option<(Instant, bool)>,
    closed: Option<Instant>,
}

#[derive(Default)]
struct Seen {
    all: Observed,
    cards: HashMap<DeviceId, Card>,
    open: HashMap<SlotId, DeviceId>,
}

/// The watch over one rehearsal, all its processes and devices.
pub(super) struct Witness {
    start: Instant,
    soft: Bytes,
    hard: Bytes,
    /// Below this, pressure clears.
    floor: Bytes,
    /// What this process may hold before any job.
    resident: Bytes,
    played: Memory,
    seen: Mutex<Seen>,
}

impl Witness {
    /// Over `scenario`, whose misfortunes so far are `played`.
    pub(super) fn new(start: Instant, scenario: &Scenario, played: Memory) -> Self {
        let device = &scenario.device;
        let budgets: Bytes = scenario.parts.values().map(|part| part.budget.max(part.resident)).sum();
        Self {
            start,
            soft: device.soft_limit,
            hard: device.hard_limit,
            floor: device.soft_limit.saturating_sub(device.hysteresis),
            resident: budgets.saturating_add(device.overhead),
            played,
            seen: Mutex::default(),
        }
    }

    /// What was seen so far.
    pub(super) fn observed(&self) -> Observed {
        self.seen.lock().all.clone()
    }

    /// Watches one process for ever. Its devices are empty and nothing is open there at first; a standstill goes on from
    /// one process to the next.
    pub(super) async fn watch(self: Arc<Self>, handle: NodeHandle, devices: Vec<(DeviceId, ScriptedDevice)>) {
        self.begin();
        let mut looks = 0u32;
        loop {
            tokio::time::sleep(LOOK).await;
            looks = looks.wrapping_add(1);
            for (tree, (id, device)) in handle.cards().iter().zip(&devices) {
                if !tree.is_up() {
                    // Given up, or standing by.
                    self.seen.lock().cards.remove(id);
                    continue;
                }
                self.look(*id, device.figures());
                if looks.is_multiple_of(ASK_EVERY) {
                    let answer = closed(tree).await;
                    self.heard_answer(*id, answer, device.figures());
                }
            }
        }
    }

    fn begin(&self) {
        let mut seen = self.seen.lock();
        seen.open.clear();
        for card in seen.cards.values_mut() {
            (card.looked, card.above) = (None, None);
        }
    }

    /// Whether something stands in the way that is not the node's: a probe that the scenario plays as faulty, so that
    /// nothing can be known; a load that the scenario makes fail; memory of others without which there would be no
    /// pressure, or with which not every model could be loaded. Use of this process's own that alone keeps pressure up is
    /// never excused.
    fn excused(&self, device: DeviceId, figures: &ScriptedFigures) -> bool {
        let Self { floor, hard, resident, .. } = *self;
        let all = figures.own.saturating_add(figures.others);
        let crowded = all >= floor || resident.saturating_add(figures.others) > hard;
        let by_others = figures.others > Bytes::ZERO && figures.own < floor && crowded;
        figures.fault.is_some() || by_others || self.played.load_fails_on(device)
    }

    fn look(&self, device: DeviceId, figures: ScriptedFigures) {
        let now = clock::now();
        let mut seen = self.seen.lock();
        let Seen { all, cards, .. } = &mut *seen;
        let card = cards.entry(device).or_default();
        let passed = now.saturating_duration_since(card.looked.replace(now).unwrap_or(now));
        let (own, used) = (figures.own, figures.own.saturating_add(figures.others));
        for (above, limit) in [(&mut all.above_soft, self.soft), (&mut all.above_hard, self.hard)] {
            above.any += if used >= limit { passed } else { Duration::ZERO };
            above.own += if own >= limit { passed } else { Duration::ZERO };
        }
        // Whoever is made blind by the scenario cannot know.
        if own < self.hard || figures.fault.is_some() {
            card.above = None;
        } else {
            let (since, done) = *card.above.get_or_insert((now, false));
            let stood = now.saturating_duration_since(since);
            all.until_relief = all.until_relief.max(stood);
            if !done {
                all.until_remedy = all.until_remedy.max(stood);
            }
        }
        if self.excused(device, &figures) {
            card.closed = None;
        }
    }

    fn heard_answer(&self, device: DeviceId, closed: Option<String>, figures: ScriptedFigures) {
        let now = clock::now();
        let mut seen = self.seen.lock();
        let busy = seen.open.values().any(|on| *on == device);
        let Seen { all, cards, .. } = &mut *seen;
        let card = cards.entry(device).or_default();
        let Some(cause) = closed.filter(|_| !busy && !self.excused(device, &figures)) else {
            card.closed = None;
            return;
        };
        let since = *card.closed.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        let longest = all.not_accepting.as_ref().map(|it| it.lasted).unwrap_or_default();
        if lasted > longest {
            let since = since.saturating_duration_since(self.start);
            let ScriptedFigures { own, others, .. } = figures;
            let cause = format!("{cause}; own use {own}, others' {others}");
            all.not_accepting = Some(Standstill { device, since, lasted, cause });
        }
    }
}

/// Why `tree` takes nothing in, if so: asked for a slot that has all the time in the world. What is only late or has to
/// wait its turn is taken in sooner or later.
async fn closed(tree: &DeviceTree) -> Option<String> {
    let now = clock::now();
    let Some(orchestrator) = tree.registry().orchestrator() else {
        return Some("no orchestrator".to_owned());
    };
    let deadline = Deadline::after(now, Duration::from_secs(86_400)).unwrap_or(Deadline::at(now));
    let request = Request { slot: slot_id(u64::MAX), recipe: recipe(0), deadline, traceparent: None };
    let asked =
        orchestrator.call(|reply| OrchestratorMsg::Consider(Box::new(request), reply), Some(ANSWER)).await;
    match asked {
        Ok(CallResult::Success(Err(
            refusal @ (Refusal::Pressure { .. } | Refusal::NotReady { .. } | Refusal::Draining),
        ))) => {
            let states = tree.registry().states();
            let down = states.iter().filter(|(_, state)| {
                !matches!(state, ModelState::Ready | ModelState::Busy | ModelState::Trimming)
            });
            let down: Vec<String> =
                down.map(|(model, state)| format!(" {} {}", model.name(), state.name())).collect();
            Some(format!("{}{}", refusal.name(), down.join(",")))
        }
        Ok(CallResult::Success(_)) => None,
        Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Some("no answer".to_owned()),
    }
}

/// Whether something was done about memory: it was freed, a model is restarted for it, or the device is given up.
fn is_remedy(kind: &EventKind) -> bool {
    match kind {
        EventKind::ModelTrimmed { freed, .. } => *freed > Bytes::ZERO,
        EventKind::ActorDown { fault, .. } => {
            matches!(fault, Fault::Victim | Fault::Leak | Fault::MemoryKept)
        }
        EventKind::MemoryRemedy(_)
        | EventKind::VictimChosen(_)
        | EventKind::Escalated { .. }
        | EventKind::CardLost { .. } => true,
        _ => false,
    }
}

impl Subscriber for Witness {
    fn hear(&self, event: &Event) {
        if let (EventKind::Accepted { .. }, Some(slot), Some(device)) =
            (&event.kind, event.slot, event.device)
        {
            self.seen.lock().open.insert(slot, device);
        } else if event.kind.ends_slot()
            && let Some(slot) = event.slot
        {
            self.seen.lock().open.remove(&slot);
        } else if is_remedy(&event.kind)
            && let Some(device) = event.device
            && let Some(Card { above: Some((_, done)), .. }) = self.seen.lock().cards.get_mut(&device)
        {
            *done = true;
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
