//! Where a pass spends its time, by the spans that the kernels open for profiles.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer as _, layer};
use vortex_node::clock::now;

/// All spans of one name and shape.
#[derive(Clone, Debug)]
pub struct Layer {
    pub name: &'static str,
    pub shape: String,
    pub calls: usize,
    /// Seconds without those of spans inside, added over threads.
    pub own: f64,
}

/// Records while it is told to; otherwise a span costs a look at a flag.
pub struct Spans(Arc<Shared>);

#[derive(Default)]
struct Shared {
    records: AtomicBool,
    found: Mutex<Found>,
}

/// Calls and own seconds by name and shape.
type Found = BTreeMap<(&'static str, String), (usize, f64)>;

struct Recorder(Arc<Shared>);

struct Shape(String);

thread_local! {
    /// Open spans: since when, and how long those inside took.
    static OPEN: RefCell<Vec<(Instant, f64)>> = const { RefCell::new(Vec::new()) };
}

impl Spans {
    /// For the whole process.
    pub fn install() -> Self {
        let shared = Arc::new(Shared::default());
        let asked = Arc::clone(&shared);
        let filter = dynamic_filter_fn(move |meta, _| {
            meta.target() == "profile" && asked.records.load(Ordering::Relaxed)
        });
        tracing_subscriber::registry().with(Recorder(Arc::clone(&shared)).with_filter(filter)).init();
        Self(shared)
    }

    /// The spans of `work`, the longest first.
    pub fn of(&self, work: impl FnOnce()) -> Vec<Layer> {
        self.0.records.store(true, Ordering::Relaxed);
        work();
        self.0.records.store(false, Ordering::Relaxed);
        let found = std::mem::take(&mut *self.0.found.lock().unwrap());
        let layer = |((name, shape), (calls, own))| Layer { name, shape, calls, own };
        let mut layers: Vec<Layer> = found.into_iter().map(layer).collect();
        layers.sort_by(|a, b| b.own.total_cmp(&a.own));
        layers
    }
}

impl Visit for Shape {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let gap = if self.0.is_empty() { "" } else { ", " };
        write!(self.0, "{gap}{field} {value:?}").unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> layer::Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut shape = Shape(String::new());
        attributes.record(&mut shape);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(shape);
        }
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        OPEN.with_borrow_mut(|open| open.push((now(), 0.0)));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let ended = now();
        let Some((began, inside)) = OPEN.with_borrow_mut(Vec::pop) else { return };
        let took = ended.duration_since(began).as_secs_f64();
        OPEN.with_borrow_mut(|open| open.last_mut().into_iter().for_each(|outer| outer.1 += took));
        let Some(span) = context.span(id) else { return };
        let shape = span.extensions().get::<Shape>().map_or_else(String::new, |shape| shape.0.clone());
        let mut found = self.0.found.lock().unwrap();
        let entry = found.entry((span.name(), shape)).or_default();
        *entry = (entry.0 + 1, entry.1 + took - inside);
    }
}
