//! The standard `OTEL_*` variables: what they ask for, or every one that makes no sense, by name.
//!
//! Off unless an endpoint is named. A variable that is set to nothing counts as not set, as the specification has it; any
//! other value that is not understood is an error and not a default. Variables of things that this node does not have are
//! refused, too: whoever sets one expects something of it.

mod read;

use std::fmt;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use self::read::Reader;
use crate::telemetry::traces::Sampler;

/// The name under which a node is known, where no variable says another.
const SERVICE: &str = "vortex-node";
/// For one export, unless a variable says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Variables that this node cannot follow.
const REFUSED: &[(&str, &str)] = &[
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "client certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", "client certificates are not supported"),
    ("OTEL_CONFIG_FILE", "files of declarative configuration are not read"),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", "files of declarative configuration are not read"),
];

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub found: String,
    /// What would be accepted.
    pub accepted: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}; accepted: {}", self.variable, self.found, self.accepted)
    }
}

/// Variables that make no sense, all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError(pub Vec<Problem>);

/// How it goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    Http,
}

/// Where one signal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalSettings {
    /// The whole address.
    pub endpoint: String,
    /// How.
    pub protocol: Protocol,
    /// For one export.
    pub timeout: Duration,
    /// Certificates to trust as well, with the variable that names their file.
    pub certificate: Option<(String, Vec<u8>)>,
}

/// How a queue is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// So many may wait; more are counted and gone.
    pub queue: usize,
    /// So many go out at once.
    pub batch: usize,
    /// They wait this long for others to go out with.
    pub delay: Duration,
}

impl Batches {
    /// Unless variables say otherwise: what a hundred slots have to tell may wait while a receiver is away.
    pub const DEFAULT: Self = Self { queue: 4096, batch: 512, delay: Duration::from_millis(500) };
}

/// What the variables ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportSettings {
    /// Where traces go; none where they go nowhere.
    pub traces: Option<SignalSettings>,
    /// Where metrics go beside the scrape.
    pub metrics: Option<SignalSettings>,
    /// Where logs go beside standard error.
    pub logs: Option<SignalSettings>,
    /// Of spans.
    pub span_batches: Batches,
    /// Of records.
    pub log_batches: Batches,
    /// How often metrics are sent.
    pub metric_interval: Duration,
    /// Which traces.
    pub sampler: Sampler,
    /// Whether the caller decides, where a slot came with a trace.
    pub parent_based: bool,
    /// What is said of this process.
    pub attributes: Vec<(String, String)>,
}

impl ExportSettings {
    /// What `variable` says of each name, for the node that is called `instance` among those of one name.
    pub fn read(instance: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(&variable);
        let settings = reader.all(instance);
        let problems = reader.problems();
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError(problems)) }
    }

    /// Those of `names` that mean something to OpenTelemetry and nothing to this node.
    pub fn not_read(names: impl IntoIterator<Item = String>) -> Vec<String> {
        let is_unknown = |name: &String| name.starts_with("OTEL_") && !read::is_known(name);
        let mut unknown: Vec<String> = names.into_iter().filter(is_unknown).collect();
        unknown.sort_unstable();
        unknown
    }

    /// Whether nothing goes anywhere.
    pub const fn is_off(&self) -> bool {
        self.traces.is_none() && self.metrics.is_none() && self.logs.is_none()
    }

    /// Who sends.
    pub fn resource(&self) -> Resource {
        // Without the detectors: what they read has been read here, and checked.
        let all = self.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        Resource::builder_empty().with_attributes(all).build()
    }
}

#[cfg(test)]
mod tests;
