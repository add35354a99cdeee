//! A profile of one command: which span ran when on which thread, as a file in Chrome's trace event format, which
//! <https://ui.perfetto.dev>, `chrome://tracing` and speedscope draw.
//!
//! Owns the file. Each thread gathers its finished spans as text and hands it over by the piece, so memory stays small and
//! threads hardly wait for each other. A file that cannot be written ends the recording, not what is recorded.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::clock;
use crate::profile::TARGET;

/// Text of a thread that is handed over at once.
const PIECE: usize = 1 << 16;

/// Why there is no profile, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[error("the profile {file} cannot be written: {source}", file = file.display())]
pub struct ProfileError {
    file: PathBuf,
    source: io::Error,
}

/// A profile that is being recorded.
pub struct Recording {
    path: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    /// Tells recordings of one process apart, for threads that outlive one.
    number: u64,
    began: Instant,
    out: Mutex<Out>,
    lanes: Mutex<Vec<Arc<Mutex<Lane>>>>,
}

/// The file, or why it is written no further.
struct Out {
    file: File,
    failed: Option<io::Error>,
}

/// One thread's part.
struct Lane {
    number: usize,
    text: String,
    /// Spans that are open, from the outermost.
    open: Vec<Instant>,
}

impl Out {
    fn write(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.file.write_all(text.as_bytes()).err();
        }
    }
}

impl Recording {
    /// Makes the file, in place of one that is there.
    pub fn begin(path: &Path) -> Result<Self, ProfileError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let opened = File::create(path).and_then(|mut file| file.write_all(b"[").map(|()| file));
        let file = opened.map_err(|source| ProfileError { file: path.to_owned(), source })?;
        let shared = Shared {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            began: clock::now(),
            out: Mutex::new(Out { file, failed: None }),
            lanes: Mutex::default(),
        };
        Ok(Self { path: path.to_owned(), shared: Arc::new(shared) })
    }

    /// Records what a subscriber sees.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
    ) -> impl Layer<S> + Send + Sync + use<S> {
        Recorder(Arc::clone(&self.shared))
    }

    /// Completes the file. Spans that are open still are not in it.
    pub fn finish(self) -> Result<(), ProfileError> {
        let mut out = self.shared.out.lock();
        for lane in self.shared.lanes.lock().iter() {
            out.write(&std::mem::take(&mut lane.lock().text));
        }
        // The one event without a comma behind it.
        out.write(
            "\n{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"vortex-node\"}}\n]\n",
        );
        match out.failed.take() {
            None => Ok(()),
            Some(source) => Err(ProfileError { file: self.path, source }),
        }
    }
}

impl Shared {
    /// Does something with this thread's part.
    fn with_lane(&self, act: impl FnOnce(&mut Lane)) {
        thread_local! {
            static LANE: RefCell<Option<(u64, Arc<Mutex<Lane>>)>> = const { RefCell::new(None) };
        }
        LANE.with_borrow_mut(|known| {
            let (_, lane) = match known {
                Some(known) if known.0 == self.number => known,
                other => other.insert((self.number, self.new_lane())),
            };
            act(&mut lane.lock());
        });
    }

    fn new_lane(&self) -> Arc<Mutex<Lane>> {
        let mut lanes = self.lanes.lock();
        let number = lanes.len() + 1;
        let thread = std::thread::current();
        let name = thread.name().map_or_else(|| format!("thread {number}"), str::to_owned);
        let text = format!(
            "\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{number},\"name\":\"thread_name\",\"args\":{{\"name\":{}}}}},",
            Value::from(name)
        );
        let lane = Arc::new(Mutex::new(Lane { number, text, open: Vec::new() }));
        lanes.push(Arc::clone(&lane));
        lane
    }

    fn micros(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.began).as_nanos() as f64 / 1e3
    }
}

struct Recorder(Arc<Shared>);

/// A span's fields as a JSON object.
struct Fields(String);

#[derive(Default)]
struct Gathered(Map<String, Value>);

impl Visit for Gathered {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::from(format!("{value:?}")));
    }
}

/// The span, where it is one of a profile.
fn recorded<'a, S: Subscriber + for<'b> LookupSpan<'b>>(
    id: &Id,
    context: &'a Context<'_, S>,
) -> Option<SpanRef<'a, S>> {
    context.span(id).filter(|span| span.metadata().target() == TARGET)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = recorded(id, &context) else { return };
        let mut gathered = Gathered::default();
        attributes.record(&mut gathered);
        if !gathered.0.is_empty() {
            span.extensions_mut().insert(Fields(Value::Object(gathered.0).to_string()));
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if recorded(id, &context).is_some() {
            self.0.with_lane(|lane| lane.open.push(clock::now()));
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = recorded(id, &context) else { return };
        let ended = clock::now();
        self.0.with_lane(|lane| {
            let Some(began) = lane.open.pop() else { return };
            let Lane { number, text, .. } = lane;
            let (at, name) = (self.0.micros(began), Value::from(span.name()));
            let took = ended.saturating_duration_since(began).as_nanos() as f64 / 1e3;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n{{\"ph\":\"X\",\"pid\":1,\"tid\":{number},\"ts\":{at:.1},\"dur\":{took:.1},\"name\":{name}"
            );
            if let Some(Fields(fields)) = span.extensions().get() {
                let _ = write!(text, ",\"args\":{fields}");
            }
            text.push_str("},");
            if text.len() >= PIECE {
                self.0.out.lock().write(text);
                text.clear();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::profile::timed;

    fn events(path: &Path) -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn spans_stand_in_the_file_by_thread_with_their_fields_and_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.json");
        let recording = Recording::begin(&path).unwrap();
        let subscriber = Arc::new(tracing_subscriber::registry().with(recording.layer()));
        let work = || {
            timed!("outer");
            for size in 0..2000 {
                timed!("inner", size = [size]);
            }
            let _other = tracing::info_span!("not of a profile").entered();
        };
        tracing::subscriber::with_default(Arc::clone(&subscriber), work);
        std::thread::Builder::new()
            .name("a \"second\"".to_owned())
            .spawn(move || tracing::subscriber::with_default(subscriber, work))
            .unwrap()
            .join()
            .unwrap();
        recording.finish().unwrap();

        let events = events(&path);
        let named = |name: &str| events.iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
        assert_eq!((named("outer").len(), named("inner").len()), (2, 4000));
        assert!(named("not of a profile").is_empty());
        let threads: Vec<_> =
            named("thread_name").iter().map(|event| event["args"]["name"].clone()).collect();
        assert!(threads.len() == 2 && threads.contains(&Value::from("a \"second\"")), "{threads:?}");
        let end = |event: &Value| event["ts"].as_f64().unwrap() + event["dur"].as_f64().unwrap();
        for outer in named("outer") {
            let inside: Vec<_> =
                named("inner").into_iter().filter(|event| event["tid"] == outer["tid"]).collect();
            assert_eq!(inside.len(), 2000);
            assert_eq!(inside[7]["args"]["size"], "[7]");
            let held = |event: &&&Value| {
                event["ts"].as_f64() >= outer["ts"].as_f64() && end(event) <= end(outer) + 0.2
            };
            assert_eq!(inside.iter().filter(held).count(), 2000);
        }
    }

    #[test]
    fn a_place_that_takes_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Recording::begin(&folder.path().join("missing/profile.json")).err().unwrap();
        assert!(error.to_string().contains("missing/profile.json cannot be written"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_ends_the_recording_and_nothing_else() {
        let recording = Recording::begin(Path::new("/dev/full"));
        // The system may take the first byte only later.
        let Ok(recording) = recording else { return };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recording.layer()), || {
            timed!("layer");
        });
        assert!(recording.finish().unwrap_err().to_string().contains("/dev/full"));
    }
}
