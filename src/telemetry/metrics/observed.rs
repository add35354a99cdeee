//! What is asked of the running node when somebody wants to know.
//!
//! Owns the last answer, which all instruments of one collection share: the node is asked once a scrape.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use parking_lot::{Mutex, RwLock};

use super::attributes;
use super::definition::Metric;
use crate::clock;
use crate::types::SlotId;

/// An answer that is older is asked for again; all instruments of one collection come within it.
const FRESH: Duration = Duration::from_secs(1);

/// The running node, as metrics see it.
pub(crate) trait Source: Send + Sync {
    /// Tells everything that metrics ask for. May block for a moment, as on a disk.
    fn observe(&self, seen: &mut Observations);

    /// When a slot is due, since the Unix epoch; none where it has no deadline or is not known any more.
    fn deadline(&self, slot: SlotId) -> Option<Duration>;
}

/// Answers of one moment.
#[derive(Debug, Default)]
pub(crate) struct Observations(HashMap<&'static str, Vec<(Vec<KeyValue>, f64)>>);

impl Observations {
    /// `metric` with these values of its labels is `value`.
    pub(crate) fn set(&mut self, metric: &Metric, values: &[&str], value: f64) {
        self.0.entry(metric.name).or_default().push((attributes(metric, values), value));
    }

    /// What was told of `metric`.
    pub(crate) fn of(&self, metric: &Metric) -> &[(Vec<KeyValue>, f64)] {
        self.0.get(metric.name).map_or(&[], Vec::as_slice)
    }
}

/// Asks a source, and keeps its last answer for a moment.
#[derive(Default)]
pub(super) struct Asked {
    source: RwLock<Option<Weak<dyn Source>>>,
    last: Mutex<Option<(Instant, Arc<Observations>)>>,
}

impl Asked {
    /// From now on `source` is asked, as long as it is there.
    pub(super) fn set_source(&self, source: Weak<dyn Source>) {
        *self.source.write() = Some(source);
    }

    /// Whoever is asked, where there is somebody.
    pub(super) fn source(&self) -> Option<Arc<dyn Source>> {
        self.source.read().as_ref()?.upgrade()
    }

    /// Asks now.
    pub(super) fn refresh(&self) -> Arc<Observations> {
        let mut seen = Observations::default();
        if let Some(source) = self.source() {
            source.observe(&mut seen);
        }
        let seen = Arc::new(seen);
        *self.last.lock() = Some((clock::now(), Arc::clone(&seen)));
        seen
    }

    /// The last answer, or a new one where that is old.
    pub(super) fn latest(&self) -> Arc<Observations> {
        let last = self.last.lock().clone();
        match last {
            Some((at, seen)) if clock::now().saturating_duration_since(at) < FRESH => seen,
            _ => self.refresh(),
        }
    }
}
