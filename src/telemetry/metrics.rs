//! Metrics: what happens is counted, what stands is asked for, and a scrape shows both as Prometheus reads them.
//!
//! Owns the instruments, all made from one [definition]. Values come from the bus ([recorder]) and from the running node
//! ([observed]); nothing in the node calls a metric by itself. Labels are bounded: an id or a text never becomes one.

pub(crate) mod definition;
pub(crate) mod observed;
mod reader;
mod recorder;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use definition::{Kind, Metric, Origin};
use observed::{Asked, Source};
use reader::SharedReader;
use recorder::Recorder;

use super::export::Collect;
use crate::events::{Event, Subscriber};
use crate::types::DeviceId;

/// Who tells it, in OpenTelemetry's words.
const SCOPE: &str = "vortex-node";

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The exporter cannot be set up.
    #[error("metrics cannot be set up: {0}")]
    SetUp(String),
    /// They cannot be written as text.
    #[error("metrics cannot be written: {0}")]
    Text(#[from] prometheus::Error),
}

/// The metrics of a process; a subscriber of its bus.
pub struct Metrics {
    registry: Registry,
    asked: Arc<Asked>,
    recorder: Recorder,
    reader: Option<SharedReader>,
    /// Instruments live as long as it does.
    _provider: SdkMeterProvider,
}

/// What `metric` carries with these values of its labels, in their order.
fn attributes(metric: &Metric, values: &[&str]) -> Vec<KeyValue> {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values);
    labels.map(|(label, value)| KeyValue::new(label.key, label.values.bounded(value).to_owned())).collect()
}

impl Metrics {
    /// Nothing has happened yet. They are of `resource`, and can be [collected](Self::collector) where they are `exported`.
    pub fn new(resource: Resource, exported: bool) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError::SetUp(error.to_string()))?;
        let mut provider = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter);
        let reader = exported.then(SharedReader::default);
        if let Some(reader) = &reader {
            provider = provider.with_reader(reader.clone());
        }
        let provider = provider.build();
        let (meter, asked) = (provider.meter(SCOPE), Arc::new(Asked::default()));
        for metric in definition::ALL.iter().filter(|metric| metric.origin == Origin::Asked) {
            observe(&meter, metric, &asked);
        }
        let recorder = Recorder::new(&meter, Arc::clone(&asked));
        Ok(Self { registry, asked, recorder, reader, _provider: provider })
    }

    /// These devices serve; the node is asked from now on, as long as it is there.
    pub(crate) fn begin(&self, source: Weak<dyn Source>, devices: impl IntoIterator<Item = DeviceId>) {
        self.asked.set_source(source);
        devices.into_iter().for_each(|device| self.recorder.begin_device(device));
    }

    /// A group commit of the journal took this long.
    pub(crate) fn committed(&self, took: Duration) {
        self.recorder.committed(took);
    }

    /// What collects all of them for an export; none where they are not exported. Asks the node, and may block for a moment.
    pub(crate) fn collector(&self) -> Option<Collect> {
        let (reader, asked) = (self.reader.clone()?, Arc::clone(&self.asked));
        Some(Box::new(move || {
            asked.refresh();
            reader.all()
        }))
    }

    /// All of them, as Prometheus reads them. Asks the node, and may block for a moment.
    pub(crate) fn text(&self) -> Result<String, MetricsError> {
        self.asked.refresh();
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("exported", &self.reader.is_some()).finish_non_exhaustive()
    }
}

impl Subscriber for Metrics {
    fn hear(&self, event: &Event) {
        self.recorder.hear(event);
    }

    fn wants_steps(&self) -> bool {
        self.recorder.wants_steps()
    }
}

/// Makes the instrument of `metric`, whose values the node is asked for.
fn observe(meter: &Meter, metric: &'static Metric, asked: &Arc<Asked>) {
    let asked = Arc::clone(asked);
    let tell = move |instrument: &dyn AsyncInstrument<f64>| {
        for (attributes, value) in asked.latest().of(metric) {
            instrument.observe(*value, attributes);
        }
    };
    // The provider keeps instruments and their callbacks.
    match metric.kind {
        Kind::Counter => drop(
            meter
                .f64_observable_counter(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.about)
                .with_callback(tell)
                .build(),
        ),
        Kind::UpDownCounter => drop(
            meter
                .f64_observable_up_down_counter(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.about)
                .with_callback(tell)
                .build(),
        ),
        // A distribution cannot be asked for; a test keeps histograms among what is told.
        Kind::Gauge | Kind::Histogram(_) => drop(
            meter
                .f64_observable_gauge(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.about)
                .with_callback(tell)
                .build(),
        ),
    }
}
