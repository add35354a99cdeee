//! What the service exports, and how its slots come to traces: what the variables of OpenTelemetry ask for, and what only the service knows of a
//! slot: when it was handed in, which trace it belongs to, what was done for it after its end.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;

use super::start::ServeError;
use crate::clock;
use crate::config::Http;
use crate::sink::store;
use crate::telemetry::export::{Export, ExportSettings, Losses};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::names::span;
use crate::telemetry::traces::{Said, Sampling, Traces, new_trace};
use crate::types::{SlotId, TraceParent};
use crate::webhooks;

/// For what has not been sent when the process ends.
const LAST: Duration = Duration::from_secs(Http::CLOSING.as_secs() / 3);

/// Traces and their way out, where somebody wants them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracing {
    pub(super) traces: Option<Arc<Traces>>,
    export: Option<Arc<Export>>,
}

impl Tracing {
    /// As the environment asks for, for the node that is called `instance`; its metrics beside it.
    pub(super) fn start(instance: &str) -> Result<(Self, Metrics), ServeError> {
        // What is not text cannot be meant for us; it is as good as a wrong value.
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let refused = |error: &dyn std::fmt::Display| ServeError::Access(error.to_string());
        let settings = ExportSettings::read(instance, |name| std::env::var_os(name).map(text))
            .map_err(|error| refused(&error))?;
        let names = std::env::vars_os().map(|(name, _)| text(name));
        for variable in ExportSettings::not_read(names) {
            tracing::warn!(variable, "this variable of OpenTelemetry is not read by this node");
        }
        let metrics =
            Metrics::new(settings.resource(), settings.metrics.is_some()).map_err(|error| refused(&error))?;
        let Some(export) = Export::start(&settings, metrics.collector()).map_err(|error| refused(&error))?
        else {
            return Ok((Self::default(), metrics));
        };
        let export = Arc::new(export);
        let traces = settings.traces.is_some().then(|| {
            let out = Arc::clone(&export);
            let sampling = Sampling { sampler: settings.sampler, parent_based: settings.parent_based };
            Arc::new(Traces::new(sampling, Arc::new(move |span| out.send_span(span))))
        });
        if settings.logs.is_some() {
            let (out, traces) = (Arc::clone(&export), traces.clone());
            let span_of = move |slot| traces.as_ref().and_then(|traces| traces.root_span(slot));
            let out = move |item| out.send_log(item);
            if !logs::begin(settings.resource(), Arc::new(out), Arc::new(span_of)) {
                tracing::warn!("the logs of this process are exported already, elsewhere");
            }
        }
        Ok((Self { traces, export: Some(export) }, metrics))
    }

    /// What was not exported; none where nothing is.
    pub(super) fn losses(&self) -> Option<&Losses> {
        self.export.as_ref().map(|export| export.losses())
    }

    /// The trace of a slot that is handed in: the caller's, or one of its own.
    pub(super) fn trace_of(&self, slot: SlotId, came: Option<TraceParent>) -> Option<TraceParent> {
        came.or_else(|| match &self.traces {
            Some(traces) => traces.new_trace(slot),
            None => new_trace(slot),
        })
    }

    /// It is asked for now.
    pub(super) fn expect(&self, slot: SlotId, traceparent: Option<&TraceParent>, began: Duration) {
        if let (Some(traces), Some(traceparent)) = (&self.traces, traceparent) {
            traces.expect(slot, traceparent.clone(), began);
        }
    }

    /// It was refused.
    pub(super) fn forget(&self, slot: SlotId) {
        if let Some(traces) = &self.traces {
            traces.forget(slot);
        }
    }

    /// An earlier process had it.
    pub(super) fn take_up(&self, slot: SlotId, traceparent: Option<&TraceParent>, attempts: u32) {
        if let (Some(traces), Some(traceparent)) = (&self.traces, traceparent) {
            traces.take_up(slot, traceparent.clone(), attempts);
        }
    }

    fn beside(&self, slot: SlotId, name: &'static str, took: Option<Duration>, said: Said) {
        if let Some(traces) = &self.traces {
            traces.beside(slot, name, (took, clock::unix_time()), said);
        }
    }

    /// Artifacts were handed over, or were not.
    pub(super) fn uploaded(&self, notice: &store::Notice) {
        let (slot, attributes, error) = match notice {
            store::Notice::Delivered { slot, files } => {
                let files = i64::try_from(*files).unwrap_or(i64::MAX);
                (*slot, vec![KeyValue::new("vortex.files", files)], None)
            }
            store::Notice::Failed { slot, attempts, error } => {
                (*slot, vec![KeyValue::new("vortex.attempt", i64::from(*attempts))], Some(error.clone()))
            }
            store::Notice::Undelivered { slot, error } => (*slot, Vec::new(), Some(error.clone())),
            _ => return,
        };
        // Waits and tries are its time, too.
        self.beside(slot, span::UPLOAD, None, Said { attributes, error });
    }

    /// A webhook's message was tried.
    pub(super) fn told(&self, notice: &webhooks::Notice) {
        let (slot, event, origin, attempts, took, error) = match notice {
            webhooks::Notice::Delivered { slot, event, origin, attempts, took } => {
                (*slot, event, origin, *attempts, *took, None)
            }
            webhooks::Notice::Failed { slot, event, origin, attempts, took, error, .. }
            | webhooks::Notice::Undelivered { slot, event, origin, attempts, took, error } => {
                (*slot, event, origin, *attempts, *took, Some(error.clone()))
            }
            webhooks::Notice::Trouble { .. } => return,
        };
        let attributes = vec![
            KeyValue::new("vortex.event", event.clone()),
            KeyValue::new("server.address", origin.clone()),
            KeyValue::new("vortex.attempt", i64::from(attempts)),
        ];
        self.beside(slot, span::WEBHOOK, Some(took), Said { attributes, error });
    }

    /// Sends what is left; the last thing that a process does.
    pub(super) async fn finish(&self) {
        let Some(export) = self.export.clone() else { return };
        let finished = tokio::task::spawn_blocking(move || export.finish(LAST)).await;
        if !matches!(finished, Ok(true)) {
            tracing::warn!("telemetry that the receiver does not take is lost");
        }
    }
}
