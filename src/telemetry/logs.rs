//! Log lines as records of OpenTelemetry, for who receives them beside standard error.
//!
//! Owns the layer that hands every line on which the filter lets through, and puts a slot's lines into the slot's trace.
//! Does nothing until [`begin`] says where records go.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as Spans;
use tracing_subscriber::registry::LookupSpan;

use super::names::span::SLOT;
use crate::types::SlotId;

/// Where records go. Called where lines are written, so it must not wait.
pub type Out = Arc<dyn Fn((SdkLogRecord, InstrumentationScope)) + Send + Sync>;
/// The span that a slot's lines belong to.
pub type SpanOf = Arc<dyn Fn(SlotId) -> Option<SpanContext> + Send + Sync>;

/// What the process's layer hands on to, once there is something.
static PROCESS: OnceLock<Bridge> = OnceLock::new();

/// Parts that send what is exported, or are used to; their lines would lead to more of them.
const NOT_OURS: [&str; 6] = ["h2", "hyper", "opentelemetry", "reqwest", "rustls", "tonic"];

/// From now on every line that is written goes to `out` as well, as of `resource`; false where one goes somewhere already.
pub fn begin(resource: Resource, out: Out, span_of: SpanOf) -> bool {
    PROCESS.set(Bridge::new(resource, out, span_of)).is_ok()
}

/// Hands lines on.
pub(super) struct Bridge {
    lines: OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>,
    span_of: SpanOf,
    /// Its logger lives as long.
    _provider: SdkLoggerProvider,
}

impl Bridge {
    pub(super) fn new(resource: Resource, out: Out, span_of: SpanOf) -> Self {
        let provider =
            SdkLoggerProvider::builder().with_resource(resource).with_log_processor(HandOn(out)).build();
        Self { lines: OpenTelemetryTracingBridge::new(&provider), span_of, _provider: provider }
    }
}

struct HandOn(Out);

impl fmt::Debug for HandOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandOn")
    }
}

impl LogProcessor for HandOn {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        (self.0)((record.clone(), scope.clone()));
    }

    /// What is queued is sent by its owner.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The layer.
pub(super) struct ExportedLogs(&'static OnceLock<Bridge>);

impl ExportedLogs {
    /// Of the process; see [`begin`].
    pub(super) const fn of_process() -> Self {
        Self(&PROCESS)
    }

    #[cfg(test)]
    pub(super) const fn of(bridge: &'static OnceLock<Bridge>) -> Self {
        Self(bridge)
    }
}

/// Kept by a slot's span.
struct InSlot(SlotId);

impl<S> Layer<S> for ExportedLogs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, spans: Spans<'_, S>) {
        if self.0.get().is_none() || attributes.metadata().name() != SLOT {
            return;
        }
        let mut found = FoundSlot(None);
        attributes.record(&mut found);
        if let (Some(slot), Some(span)) = (found.0, spans.span(id)) {
            span.extensions_mut().insert(InSlot(slot));
        }
    }

    fn on_event(&self, event: &Event<'_>, spans: Spans<'_, S>) {
        let Some(bridge) = self.0.get() else { return };
        let part = event.metadata().target().split("::").next().unwrap_or_default();
        if NOT_OURS.contains(&part) {
            return;
        }
        let span = slot_of(event, &spans).and_then(|slot| (bridge.span_of)(slot));
        let _inside = span.map(|span| Context::current().with_remote_span_context(span).attach());
        bridge.lines.on_event(event, spans);
    }
}

/// The slot that a line names, or in whose span it is written.
fn slot_of<S>(event: &Event<'_>, spans: &Spans<'_, S>) -> Option<SlotId>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut found = FoundSlot(None);
    if event.fields().any(|field| field.name() == "slot") {
        event.record(&mut found);
    }
    found.0.or_else(|| {
        let mut around = spans.event_scope(event)?;
        around.find_map(|span| span.extensions().get::<InSlot>().map(|within| within.0))
    })
}

struct FoundSlot(Option<SlotId>);

impl Visit for FoundSlot {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "slot" {
            self.0 = format!("{value:?}").parse().ok();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "slot" {
            self.0 = value.parse().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry::logs::AnyValue;
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const SLOT_ID: &str = "9a4d2a6e-6d5c-4b8f-9d6e-000000000001";

    #[test]
    fn lines_become_records_and_a_slots_lines_are_in_its_trace() {
        static BRIDGE: OnceLock<Bridge> = OnceLock::new();
        let subscriber =
            tracing_subscriber::registry().with(EnvFilter::new("info")).with(ExportedLogs::of(&BRIDGE));
        let taken: Arc<Mutex<Vec<SdkLogRecord>>> = Arc::default();
        let out = Arc::clone(&taken);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before anybody asked");
            let context = SpanContext::new(
                TraceId::from(7u128),
                SpanId::from(9u64),
                TraceFlags::SAMPLED,
                true,
                TraceState::NONE,
            );
            let begun = BRIDGE.set(Bridge::new(
                Resource::builder_empty().build(),
                Arc::new(move |(record, _)| out.lock().unwrap().push(record)),
                Arc::new(move |slot: SlotId| (slot.to_string() == SLOT_ID).then(|| context.clone())),
            ));
            assert!(begun.is_ok());
            tracing::info!(answer = 42, "of no slot");
            tracing::debug!("too fine");
            tracing::warn!(target: "hyper::client", "of the way out");
            tracing::error!(slot = %SLOT_ID.parse::<SlotId>().unwrap(), "names it");
            tracing::info_span!(SLOT, slot = %SLOT_ID).in_scope(|| {
                tracing::info_span!("stage").in_scope(|| tracing::info!("within it"));
            });
            tracing::info!(slot = "another-1", "of one that is not known");
        });
        let records = taken.lock().unwrap();
        let bodies: Vec<String> = records
            .iter()
            .map(|record| match record.body() {
                Some(AnyValue::String(text)) => text.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(bodies, ["of no slot", "names it", "within it", "of one that is not known"]);
        let traces: Vec<Option<u128>> = records
            .iter()
            .map(|record| record.trace_context().map(|it| u128::from_be_bytes(it.trace_id.to_bytes())))
            .collect();
        assert_eq!(traces, [None, Some(7), Some(7), None]);
        assert_eq!(records[1].severity_text(), Some("ERROR"));
    }
}
