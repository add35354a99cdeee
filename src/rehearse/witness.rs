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
use crate::journal::Outputs;
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
    pub(super) not_working: Option<Standstill>,
}

/// How long something has lasted, without the time in which the scenario kept the node from knowing.
#[derive(Clone, Copy)]
struct Lasting {
    since: Instant,
    looked: Instant,
    lasted: Duration,
}

impl Lasting {
    fn begin(now: Instant) -> Self {
        Self { since: now, looked: now, lasted: Duration::ZERO }
    }

    fn go_on(&mut self, now: Instant, counts: bool) -> Duration {
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        self.lasted += if counts { passed } else { Duration::ZERO };
        self.lasted
    }
}

#[derive(Default)]
struct Card {
    looked: Option<Instant>,
    /// Own use has stood at the hard limit, and whether anything was done about it.
    above: Option<(Lasting, bool)>,
    /// Nothing was taken in though nothing was open.
    closed: Option<Lasting>,
    /// Nothing was told of any open slot.
    silent: Option<Lasting>,
    /// Until then nothing could be known.
    blind_until: Option<Instant>,
}

impl Card {
    fn is_blind(&self, now: Instant) -> bool {
        self.blind_until.is_some_and(|until| now <= until)
    }
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
    /// The most that a run takes beside.
    workspace: Bytes,
    /// How old what was seen last may be.
    stale_after: Duration,
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
            workspace: scenario.parts.values().map(|part| part.workspace).max().unwrap_or_default(),
            stale_after: device.stale_after,
            played,
            seen: Mutex::default(),
        }
    }

    /// What was seen so far.
    pub(super) fn observed(&self) -> Observed {
        self.seen.lock().all.clone()
    }

    /// Watches one process for ever.
    pub(super) async fn watch(self: Arc<Self>, handle: NodeHandle, devices: Vec<(DeviceId, ScriptedDevice)>) {
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

    /// A process begins: its devices are empty, and nothing is open there yet. A standstill goes on from one process to
    /// the next.
    pub(super) fn begin(&self) {
        let mut seen = self.seen.lock();
        seen.open.clear();
        for card in seen.cards.values_mut() {
            (card.looked, card.above, card.silent) = (None, None, None);
        }
    }

    /// Whether something stands in the way that is not the node's: a load that the scenario makes fail; memory of others
    /// without which there would be no pressure, or with which not every model could be loaded beside what is `needed`.
    /// Use of this process's own that alone keeps pressure up is never excused. A probe that the scenario plays as faulty
    /// excuses nothing: the time in which nothing could be known does not count, what was before and comes after does.
    fn excused(&self, device: DeviceId, figures: &ScriptedFigures, needed: Bytes) -> bool {
        let Self { floor, hard, resident, .. } = *self;
        let all = figures.own.saturating_add(figures.others);
        let whole = resident.saturating_add(figures.others).saturating_add(needed);
        let crowded = all >= floor || whole > hard;
        let by_others = figures.others > Bytes::ZERO && figures.own < floor && crowded;
        by_others || self.played.load_fails_on(device)
    }

    fn look(&self, device: DeviceId, figures: ScriptedFigures) {
        let now = clock::now();
        let mut seen = self.seen.lock();
        let Seen { all, cards, open } = &mut *seen;
        let card = cards.entry(device).or_default();
        let passed = now.saturating_duration_since(card.looked.replace(now).unwrap_or(now));
        let (own, used) = (figures.own, figures.own.saturating_add(figures.others));
        for (above, limit) in [(&mut all.above_soft, self.soft), (&mut all.above_hard, self.hard)] {
            above.any += if used >= limit { passed } else { Duration::ZERO };
            above.own += if own >= limit { passed } else { Duration::ZERO };
        }
        if figures.fault.is_some() {
            card.blind_until = now.checked_add(self.stale_after);
        }
        let is_blind = card.is_blind(now);
        if own < self.hard {
            card.above = None;
        } else {
            let (standing, done) = card.above.get_or_insert((Lasting::begin(now), false));
            let stood = standing.go_on(now, !is_blind);
            all.until_relief = all.until_relief.max(stood);
            if !*done {
                all.until_remedy = all.until_remedy.max(stood);
            }
        }
        if self.excused(device, &figures, Bytes::ZERO) {
            card.closed = None;
        }
        if self.excused(device, &figures, self.workspace) || !open.values().any(|on| *on == device) {
            card.silent = None;
        } else {
            let silent = card.silent.get_or_insert(Lasting::begin(now));
            let lasted = silent.go_on(now, !is_blind);
            longest(&mut all.not_working, lasted, || {
                let since = silent.since.saturating_duration_since(self.start);
                Standstill {
                    device,
                    since,
                    lasted,
                    cause: format!("own use {own}, others' {}", figures.others),
                }
            });
        }
    }

    fn heard_answer(&self, device: DeviceId, closed: Option<String>, figures: ScriptedFigures) {
        let now = clock::now();
        let mut seen = self.seen.lock();
        let busy = seen.open.values().any(|on| *on == device);
        let Seen { all, cards, .. } = &mut *seen;
        let card = cards.entry(device).or_default();
        let Some(cause) = closed.filter(|_| !busy && !self.excused(device, &figures, Bytes::ZERO)) else {
            card.closed = None;
            return;
        };
        let is_blind = card.is_blind(now);
        let closed = card.closed.get_or_insert(Lasting::begin(now));
        let lasted = closed.go_on(now, !is_blind);
        longest(&mut all.not_accepting, lasted, || {
            let since = closed.since.saturating_duration_since(self.start);
            let ScriptedFigures { own, others, .. } = figures;
            let cause = format!("{cause}; own use {own}, others' {others}");
            Standstill { device, since, lasted, cause }
        });
    }
}

/// Keeps the longest standstill.
fn longest(kept: &mut Option<Standstill>, lasted: Duration, it: impl FnOnce() -> Standstill) {
    if lasted > kept.as_ref().map(|it| it.lasted).unwrap_or_default() {
        *kept = Some(it());
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
    let (slot, recipe, outputs) = (slot_id(u64::MAX), recipe(0), Outputs::default());
    let request = Request { slot, recipe, deadline, traceparent: None, outputs };
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
        EventKind::MemoryRemedy { .. } | EventKind::Escalated { .. } | EventKind::CardLost { .. } => true,
        _ => false,
    }
}

impl Subscriber for Witness {
    fn hear(&self, event: &Event) {
        if let Some(slot) = event.slot {
            let mut seen = self.seen.lock();
            // Whatever is told of a slot says that its device is at work.
            let device = seen.open.get(&slot).copied();
            if let Some(card) = device.and_then(|device| seen.cards.get_mut(&device)) {
                card.silent = None;
            }
        }
        if let (EventKind::Accepted { .. }, Some(slot), Some(device)) =
            (&event.kind, event.slot, event.device)
        {
            self.seen.lock().open.insert(slot, device);
        } else if event.kind.settles_slot()
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
