//! OTLP, by gRPC or by protobuf over HTTP.

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol as Wire, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::settings::{Protocol, SignalSettings};
use super::{LogItem, Receive};

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A certificate that cannot be used.
    #[error("{variable}: the certificates in it cannot be used: {reason}")]
    Certificate {
        /// The variable that names its file.
        variable: String,
        /// Why.
        reason: String,
    },
    /// The exporter cannot be made.
    #[error("telemetry cannot be exported to {endpoint}: {reason}")]
    Exporter {
        /// Where it was to go.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The thread cannot be started.
    #[error("the thread that exports cannot be started: {source}")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}

/// A receiver of OTLP, through the library's exporter for one signal. It connects when there is something to send, and has
/// to be made inside the runtime that it runs in.
pub(super) struct Otlp<E>(E);

impl Otlp<SpanExporter> {
    pub(super) fn spans(settings: &SignalSettings, resource: &Resource) -> Result<Self, BuildError> {
        let built = match settings.protocol {
            Protocol::Grpc => grpc(SpanExporter::builder().with_tonic(), settings).build(),
            Protocol::Http => http(SpanExporter::builder().with_http(), settings)?.build(),
        };
        let mut exporter = built.map_err(|error| failed(settings, &error))?;
        exporter.set_resource(resource);
        Ok(Self(exporter))
    }
}

impl Otlp<LogExporter> {
    pub(super) fn logs(settings: &SignalSettings, resource: &Resource) -> Result<Self, BuildError> {
        let built = match settings.protocol {
            Protocol::Grpc => grpc(LogExporter::builder().with_tonic(), settings).build(),
            Protocol::Http => http(LogExporter::builder().with_http(), settings)?.build(),
        };
        let mut exporter = built.map_err(|error| failed(settings, &error))?;
        exporter.set_resource(resource);
        Ok(Self(exporter))
    }
}

impl Otlp<MetricExporter> {
    /// Who sends stands in what is sent.
    pub(super) fn metrics(settings: &SignalSettings) -> Result<Self, BuildError> {
        let built = match settings.protocol {
            Protocol::Grpc => grpc(MetricExporter::builder().with_tonic(), settings).build(),
            Protocol::Http => http(MetricExporter::builder().with_http(), settings)?.build(),
        };
        built.map(Self).map_err(|error| failed(settings, &error))
    }
}

fn failed(settings: &SignalSettings, error: &ExporterBuildError) -> BuildError {
    BuildError::Exporter { endpoint: settings.endpoint.clone(), reason: error.to_string() }
}

fn grpc<B: WithExportConfig + WithTonicConfig>(builder: B, settings: &SignalSettings) -> B {
    let builder = builder.with_endpoint(settings.endpoint.clone()).with_timeout(settings.timeout);
    if !settings.endpoint.starts_with("https:") {
        return builder;
    }
    let mut tls = ClientTlsConfig::new().with_enabled_roots();
    if let Some((_, pem)) = &settings.certificate {
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    builder.with_tls_config(tls)
}

fn http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    settings: &SignalSettings,
) -> Result<B, BuildError> {
    Ok(builder
        .with_http_client(client(settings)?)
        .with_protocol(Wire::HttpBinary)
        .with_endpoint(settings.endpoint.clone())
        .with_timeout(settings.timeout))
}

fn client(settings: &SignalSettings) -> Result<reqwest::Client, BuildError> {
    let mut builder =
        reqwest::Client::builder().timeout(settings.timeout).redirect(reqwest::redirect::Policy::none());
    if let Some((variable, pem)) = &settings.certificate {
        let unusable = |error: &dyn std::fmt::Display| BuildError::Certificate {
            variable: variable.clone(),
            reason: error.to_string(),
        };
        let all = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| unusable(&error))?;
        if all.is_empty() {
            return Err(unusable(&"it holds none"));
        }
        for one in all {
            builder = builder.add_root_certificate(one);
        }
    }
    builder.build().map_err(|error| BuildError::Exporter {
        endpoint: settings.endpoint.clone(),
        reason: error.to_string(),
    })
}

impl Receive for Otlp<SpanExporter> {
    type Batch = [SpanData];

    async fn send(&mut self, batch: &[SpanData]) -> Result<(), String> {
        self.0.export(batch.to_vec()).await.map_err(|error| error.to_string())
    }
}

impl Receive for Otlp<LogExporter> {
    type Batch = [LogItem];

    async fn send(&mut self, batch: &[LogItem]) -> Result<(), String> {
        let items: Vec<_> = batch.iter().map(|(record, scope)| (record, scope)).collect();
        self.0.export(LogBatch::new(&items)).await.map_err(|error| error.to_string())
    }
}

impl Receive for Otlp<MetricExporter> {
    type Batch = ResourceMetrics;

    async fn send(&mut self, batch: &ResourceMetrics) -> Result<(), String> {
        self.0.export(batch).await.map_err(|error| error.to_string())
    }
}
