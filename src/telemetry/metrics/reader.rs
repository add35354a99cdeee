//! The second reader of the instruments, beside the scrape's: for an export, whose owner also collects.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

/// Shared by the provider and who collects.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedReader(Arc<ManualReader>);

impl SharedReader {
    /// All instruments, with all that was counted so far.
    pub(super) fn all(&self) -> Result<ResourceMetrics, String> {
        let mut all = ResourceMetrics::default();
        self.0.collect(&mut all).map_err(|error| error.to_string())?;
        Ok(all)
    }
}

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, all: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(all)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
