//! One trace per slot, built from what is told on the bus.
//!
//! Owns, of every open slot, the spans that have begun. A span goes out when it ends, with the times that the events carry;
//! actors know nothing of it, so their spans need no context to be carried along. Where sampling leaves a slot out its spans
//! are held until its end, and go out after all where it failed or was late. What is held is bounded.
//!
//! The root's id follows from the slot's id and from how many processes have had it. So a slot that is taken up by another
//! process gets a trace of its own that leads to the first one's root, and nothing has to be written down for that beyond
//! the `traceparent` in the journal.

mod open;
mod sampling;
mod span;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use self::open::Open;
pub use self::sampling::{Sampler, Sampling};
use self::span::Draft;
use crate::events::{Event, EventKind, Subscriber};
use crate::types::{SlotId, TraceParent};

/// Slots whose traces are known after their end, for what follows it: handing over and webhooks.
const ENDED_KEPT: usize = 4096;

/// Where finished spans go.
pub type Out = Arc<dyn Fn(SpanData) + Send + Sync>;

/// A slot that is about to be accepted, or taken up.
#[derive(Clone, Debug)]
struct Expected {
    traceparent: TraceParent,
    /// When it was handed in; none where an earlier process had it.
    began: Option<Duration>,
    /// How many processes have had it, this one included.
    attempts: u32,
}

/// Where an ended slot's trace is.
#[derive(Clone, Copy, Debug)]
struct Ended {
    trace: TraceId,
    root: SpanId,
    at: Duration,
}

#[derive(Default)]
struct State {
    expected: HashMap<SlotId, Expected>,
    open: HashMap<SlotId, Open>,
    ended: HashMap<SlotId, Ended>,
    /// The same, oldest first.
    order: VecDeque<SlotId>,
}

/// The traces of a process's slots.
pub struct Traces {
    state: Mutex<State>,
    sampling: Sampling,
    out: Out,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// The id of the root span of `slot` in the `attempt`th process that has it.
fn root_of(slot: SlotId, attempt: u32) -> SpanId {
    let mut hash = Sha256::new();
    hash.update(b"vortex-node root span");
    hash.update(slot.uuid().as_bytes());
    hash.update(attempt.to_be_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hash.finalize()[..8]);
    // An id of zeros is none.
    id[7] |= 1;
    SpanId::from_bytes(id)
}

/// What `traceparent` says, which was checked when it was read.
fn context_of(traceparent: &TraceParent) -> SpanContext {
    let mut parts = traceparent.as_str().split('-').skip(1);
    let mut next = || parts.next().unwrap_or_default();
    let trace = TraceId::from_hex(next()).unwrap_or(TraceId::INVALID);
    let parent = SpanId::from_hex(next()).unwrap_or(SpanId::INVALID);
    let flags = TraceFlags::new(u8::from_str_radix(next(), 16).unwrap_or_default());
    SpanContext::new(trace, parent, flags, true, TraceState::NONE)
}

/// A trace of `slot`'s own, for where nobody brings one and nothing is sent: it names the slot in logs and results.
pub fn new_trace(slot: SlotId) -> Option<TraceParent> {
    own_trace(slot, |_| false)
}

fn own_trace(slot: SlotId, sampled: impl FnOnce(TraceId) -> bool) -> Option<TraceParent> {
    let mut id = [0; 16];
    // Without random numbers there is no trace, and the slot goes on.
    getrandom::fill(&mut id).ok()?;
    let trace = TraceId::from_bytes(id);
    let flags = u8::from(sampled(trace));
    format!("00-{trace}-{}-{flags:02x}", root_of(slot, 1)).parse().ok()
}

/// What is sent along with a request about `slot`, so that its receiver's spans come below the slot's.
pub fn onward(slot: SlotId, journalled: &TraceParent) -> Option<TraceParent> {
    let context = context_of(journalled);
    let flags = context.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", context.trace_id(), root_of(slot, 1)).parse().ok()
}

impl Traces {
    /// Of nothing yet.
    pub fn new(sampling: Sampling, out: Out) -> Self {
        Self { state: Mutex::default(), sampling, out }
    }

    /// A trace of `slot`'s own, for where nobody brings one.
    pub fn new_trace(&self, slot: SlotId) -> Option<TraceParent> {
        own_trace(slot, |trace| self.sampling.by_itself(trace))
    }

    /// `slot` was handed in at `began`, and belongs to this trace where it is accepted.
    pub fn expect(&self, slot: SlotId, traceparent: TraceParent, began: Duration) {
        let expected = Expected { traceparent, began: Some(began), attempts: 1 };
        self.state.lock().expected.insert(slot, expected);
    }

    /// It was refused.
    pub fn forget(&self, slot: SlotId) {
        self.state.lock().expected.remove(&slot);
    }

    /// An earlier process had `slot`; this is the `attempts`th.
    pub fn take_up(&self, slot: SlotId, traceparent: TraceParent, attempts: u32) {
        let mut state = self.state.lock();
        if !state.open.contains_key(&slot) {
            // Asked twice before the slot is told of, the journal may not have counted this process yet.
            let expected = Expected { traceparent, began: None, attempts };
            let known = state.expected.entry(slot).or_insert_with(|| expected.clone());
            if known.attempts < attempts {
                *known = expected;
            }
        }
    }

    /// Something that was done for a slot beside its work, told when it is over: how long it took, or none where it took
    /// from the slot's end, and when that was.
    pub fn beside(
        &self,
        slot: SlotId,
        name: &'static str,
        (took, at): (Option<Duration>, Duration),
        said: Said,
    ) {
        let state = self.state.lock();
        let open = state.open.get(&slot).filter(|open| open.is_sampled());
        let open = open.map(|open| Ended { trace: open.trace(), root: open.root(), at });
        let Some(ended) = open.or_else(|| state.ended.get(&slot).copied()) else { return };
        drop(state);
        let mut draft = Draft::new(name, took.map_or(ended.at, |took| at.saturating_sub(took)));
        draft.attributes = said.attributes;
        if let Some(error) = said.error {
            draft.fail(error);
        }
        draft.kind = opentelemetry::trace::SpanKind::Client;
        (self.out)(draft.end(at, ended.trace, span::new_id(), ended.root));
    }

    /// The root span of `slot`, where it belongs to a trace that goes out; for what else is said of it.
    pub fn root_span(&self, slot: SlotId) -> Option<SpanContext> {
        let state = self.state.lock();
        let (trace, root) = if let Some(open) = state.open.get(&slot) {
            (open.trace(), open.root())
        } else if let Some(ended) = state.ended.get(&slot) {
            (ended.trace, ended.root)
        } else {
            let expected = state.expected.get(&slot).filter(|expected| expected.attempts == 1)?;
            (context_of(&expected.traceparent).trace_id(), root_of(slot, 1))
        };
        Some(SpanContext::new(trace, root, TraceFlags::SAMPLED, false, TraceState::NONE))
    }

    fn accepted(&self, state: &mut State, slot: SlotId, event: &Event) {
        if let Some(open) = state.open.get_mut(&slot) {
            // Another orchestrator, or another card, goes on with it.
            open.note(event.at, "taken_up", Vec::new());
            return;
        }
        let Some(expected) = state.expected.remove(&slot) else { return };
        let came = context_of(&expected.traceparent);
        // A trace that began here has its own root for a parent.
        let is_ours = came.span_id() == root_of(slot, 1);
        let sampled = if self.sampling.parent_based && !is_ours {
            came.is_sampled()
        } else {
            self.sampling.by_itself(came.trace_id())
        };
        let root = root_of(slot, expected.attempts);
        let open = if expected.attempts > 1 {
            // A trace of its own: the first one's spans ended with their process.
            let first = SpanContext::new(
                came.trace_id(),
                root_of(slot, 1),
                came.trace_flags(),
                true,
                TraceState::NONE,
            );
            Open::resumed(slot, span::new_trace_id(), root, first, event.at, sampled)
        } else {
            let parent = (!is_ours).then_some(came.span_id());
            let began = expected.began.unwrap_or(event.at);
            Open::accepted(slot, came.trace_id(), root, parent, (began, event.at), sampled)
        };
        state.open.insert(slot, open);
    }

    fn of_slot(&self, slot: SlotId, event: &Event) {
        let mut state = self.state.lock();
        if matches!(event.kind, EventKind::Accepted { .. }) {
            self.accepted(&mut state, slot, event);
        }
        let Some(open) = state.open.get_mut(&slot) else { return };
        open.hear(event);
        let spans = if event.kind.settles_slot() {
            let Some(open) = state.open.remove(&slot) else { return };
            let ended = Ended { trace: open.trace(), root: open.root(), at: event.at };
            let spans = open.end(event);
            // What belongs to a trace that nobody gets is not sent either.
            if !spans.is_empty() {
                state.remember(slot, ended);
            }
            spans
        } else {
            open.ready()
        };
        drop(state);
        spans.into_iter().for_each(|span| (self.out)(span));
    }

    /// What befalls a device befalls the slots on it.
    fn of_device(&self, event: &Event) {
        let Some((name, attributes)) = noted(&event.kind) else { return };
        let mut state = self.state.lock();
        for open in state.open.values_mut().filter(|open| open.is_on(event.device)) {
            open.note(event.at, name, attributes.clone());
        }
    }
}

/// What is said of something that was done beside a slot's work.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// About it.
    pub attributes: Vec<KeyValue>,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

impl State {
    fn remember(&mut self, slot: SlotId, ended: Ended) {
        if self.ended.insert(slot, ended).is_none() {
            self.order.push_back(slot);
        }
        while self.order.len() > ENDED_KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }
}

/// Events of a device that are worth a note in its slots' traces.
fn noted(kind: &EventKind) -> Option<(&'static str, Vec<KeyValue>)> {
    let bytes = |name: &'static str, bytes: crate::types::Bytes| {
        KeyValue::new(name, i64::try_from(bytes.get()).unwrap_or(i64::MAX))
    };
    match kind {
        EventKind::MemoryPressure(crossing) => Some((
            "memory_pressure",
            vec![
                KeyValue::new("from", crossing.from.name()),
                KeyValue::new("to", crossing.to.name()),
                bytes("used", crossing.used),
                bytes("limit", crossing.limit),
            ],
        )),
        EventKind::MemoryRemedy { remedy, used, budget } => {
            let mut attributes = vec![KeyValue::new("remedy", remedy.name())];
            attributes.extend(remedy.model().map(|model| KeyValue::new("model", model.name())));
            attributes.extend(used.map(|used| bytes("used", used)));
            attributes.extend(budget.map(|budget| bytes("budget", budget)));
            Some(("memory_remedy", attributes))
        }
        EventKind::ActorDown { actor, fault, message } => Some((
            "actor_down",
            vec![
                KeyValue::new("actor", *actor),
                KeyValue::new("fault", fault.name()),
                KeyValue::new("message", message.clone()),
            ],
        )),
        EventKind::ModelStalled { model, age } => Some((
            "model_stalled",
            vec![KeyValue::new("model", model.name()), KeyValue::new("age", age.as_secs_f64())],
        )),
        _ => None,
    }
}

impl Subscriber for Traces {
    fn hear(&self, event: &Event) {
        match event.slot {
            Some(slot) => self.of_slot(slot, event),
            None => self.of_device(event),
        }
    }

    /// How many steps a run made is among what its span says; the last one told is enough.
    fn wants_steps(&self) -> bool {
        true
    }
}

#[cfg(test)]
pub(super) mod tests;
