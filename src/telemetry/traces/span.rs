//! A span that has begun, and what becomes of it.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// Notes of a span; more say nothing new.
const MOST_NOTES: usize = 128;

/// A span's beginning.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) name: &'static str,
    pub(super) began: Duration,
    pub(super) kind: SpanKind,
    pub(super) attributes: Vec<KeyValue>,
    notes: SpanEvents,
    links: SpanLinks,
    status: Status,
    parent_is_remote: bool,
}

impl Draft {
    pub(super) fn new(name: &'static str, began: Duration) -> Self {
        Self {
            name,
            began,
            kind: SpanKind::Internal,
            attributes: Vec::new(),
            notes: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            parent_is_remote: false,
        }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<opentelemetry::Value>) -> Self {
        self.say(key, value);
        self
    }

    pub(super) fn say(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        self.attributes.push(KeyValue::new(key, value));
    }

    pub(super) fn below_remote(mut self, is_remote: bool) -> Self {
        self.parent_is_remote = is_remote;
        self
    }

    pub(super) fn link(&mut self, to: SpanContext) {
        self.links.links.push(Link::with_context(to));
    }

    pub(super) fn fail(&mut self, why: impl Into<String>) {
        self.status = Status::error(why.into());
    }

    pub(super) fn succeed(&mut self) {
        self.status = Status::Ok;
    }

    pub(super) fn note(&mut self, at: Duration, name: &'static str, attributes: Vec<KeyValue>) {
        if self.notes.events.len() < MOST_NOTES {
            self.notes.events.push(Event::new(name, moment(at), attributes, 0));
        } else {
            self.notes.dropped_count += 1;
        }
    }

    /// The whole span. It ends no earlier than it began, whatever the wall clock did.
    pub(super) fn end(self, at: Duration, trace: TraceId, id: SpanId, parent: SpanId) -> SpanData {
        let (start_time, end_time) = (moment(self.began), moment(at.max(self.began)));
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind,
            name: self.name.into(),
            start_time,
            end_time,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: self.notes,
            links: self.links,
            status: self.status,
            instrumentation_scope: InstrumentationScope::builder("vortex-node")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

/// On the wall clock.
fn moment(at: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(at).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A span's id, at random.
pub(super) fn new_id() -> SpanId {
    SpanId::from_bytes(getrandom::u64().unwrap_or(1).max(1).to_be_bytes())
}

/// A trace's id, at random.
pub(super) fn new_trace_id() -> TraceId {
    let mut id = [1; 16];
    // Without random numbers all such traces are one, which is better than none.
    let _ = getrandom::fill(&mut id);
    TraceId::from_bytes(id)
}
