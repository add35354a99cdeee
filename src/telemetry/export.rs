//! Sends traces, metrics and logs to a receiver: a thread of its own with a runtime of its own, behind bounded queues.
//!
//! Owns the thread and the counts of what was lost. Whoever hands something over never waits: where a queue is full it is
//! counted and gone. A batch that the receiver does not take is tried again a few times, while the queue fills. What the
//! thread does itself is kept out of what it sends.

mod otlp;
mod periodic;
mod queue;
pub mod settings;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use otlp::BuildError;
use otlp::Otlp;
pub use periodic::Collect;
use periodic::Periodic;
use queue::Queue;
pub use settings::{ExportSettings, SettingsError};

/// What can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Points of metrics.
    Metrics,
    /// Records of logs.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// As addresses and labels have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// What was lost, and why.
#[derive(Debug, Default)]
pub struct Losses {
    dropped: [AtomicU64; Signal::ALL.len()],
    failures: [AtomicU64; Signal::ALL.len()],
}

impl Losses {
    /// Spans or records that were never sent: the queue was full, or the receiver took none for too long. Metrics are never
    /// lost, because each export holds all that was counted so far.
    pub fn dropped(&self, signal: Signal) -> u64 {
        self.dropped[signal as usize].load(Ordering::Relaxed)
    }

    /// Tries that the receiver did not take.
    pub fn failures(&self, signal: Signal) -> u64 {
        self.failures[signal as usize].load(Ordering::Relaxed)
    }

    fn lose(&self, signal: Signal, count: usize) {
        self.dropped[signal as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    fn fail(&self, signal: Signal) {
        self.failures[signal as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What takes batches: the protocol, or a list in tests.
trait Receive: Send + 'static {
    /// What is sent at once.
    type Batch: ?Sized + Sync;

    /// Sends one; why not where it was not taken.
    fn send(&mut self, batch: &Self::Batch) -> impl Future<Output = Result<(), String>> + Send;
}

/// A record of a log, and who wrote it.
pub type LogItem = (SdkLogRecord, InstrumentationScope);

/// The way out. What is left when it is dropped may be lost; see [`finish`](Self::finish).
pub struct Export {
    spans: Option<Queue<SpanData>>,
    logs: Option<Queue<LogItem>>,
    losses: Arc<Losses>,
    stop: watch::Sender<bool>,
    ended: parking_lot::Mutex<Option<blocking::Receiver<()>>>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("losses", &self.losses).finish_non_exhaustive()
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Export {
    /// Starts the thread for what `settings` ask for; none where they ask for nothing. Metrics are what `collect` gives.
    /// The receiver need not be there.
    pub fn start(settings: &ExportSettings, collect: Option<Collect>) -> Result<Option<Self>, BuildError> {
        if settings.is_off() {
            return Ok(None);
        }
        let runtime = runtime()?;
        let (stop, stopped) = watch::channel(false);
        let (losses, resource) = (Arc::<Losses>::default(), settings.resource());
        let mut tasks: Vec<Task> = Vec::new();
        // Connections belong to the runtime that they are made in.
        let inside = runtime.enter();
        let mut spans = None;
        if let Some(signal) = &settings.traces {
            let receiver = Otlp::spans(signal, &resource)?;
            let (queue, sender) = queue::new(Signal::Traces, receiver, settings.span_batches, &losses);
            tasks.push(Box::pin(sender.run(stopped.clone())));
            spans = Some(queue);
        }
        let mut logs = None;
        if let Some(signal) = &settings.logs {
            let receiver = Otlp::logs(signal, &resource)?;
            let (queue, sender) = queue::new(Signal::Logs, receiver, settings.log_batches, &losses);
            tasks.push(Box::pin(sender.run(stopped.clone())));
            logs = Some(queue);
        }
        if let (Some(signal), Some(collect)) = (&settings.metrics, collect) {
            let receiver = Otlp::metrics(signal)?;
            let periodic = Periodic::new(collect, receiver, settings.metric_interval, Arc::clone(&losses));
            tasks.push(Box::pin(periodic.run(stopped)));
        }
        drop(inside);
        let ended = parking_lot::Mutex::new(Some(start(runtime, tasks)?));
        Ok(Some(Self { spans, logs, losses, stop, ended }))
    }

    /// Hands a span over. Never waits.
    pub fn send_span(&self, span: SpanData) {
        if let Some(queue) = &self.spans {
            queue.send(span);
        }
    }

    /// Hands a record of a log over. Never waits.
    pub fn send_log(&self, item: LogItem) {
        if let Some(queue) = &self.logs {
            queue.send(item);
        }
    }

    /// What was lost so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Sends what is left, for at most `patience`; whether all of it was sent or given up. Blocks: the last thing that a
    /// process does.
    pub fn finish(&self, patience: Duration) -> bool {
        let Some(ended) = self.ended.lock().take() else { return true };
        self.stop.send_replace(true);
        ended.recv_timeout(patience).is_ok()
    }
}

/// Runs `tasks` on a thread of their own; tells when all have ended.
fn start(runtime: tokio::runtime::Runtime, tasks: Vec<Task>) -> Result<blocking::Receiver<()>, BuildError> {
    let (done, ended) = blocking::channel();
    let thread = move || {
        // Nothing of what happens here is a span or a record of its own.
        let _suppressed = Context::enter_telemetry_suppressed_scope();
        runtime.block_on(async {
            let mut running: JoinSet<()> = tasks.into_iter().collect();
            while running.join_next().await.is_some() {}
        });
        // Who waits may have given up.
        let _ = done.send(());
    };
    std::thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(thread)
        .map_err(|source| BuildError::Thread { source })?;
    Ok(ended)
}

fn runtime() -> Result<tokio::runtime::Runtime, BuildError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| BuildError::Thread { source })
}

/// The end was asked for, or nobody is left who could.
async fn end(stopped: &mut watch::Receiver<bool>) {
    // Closed is an end as well.
    let _ = stopped.wait_for(|is_end| *is_end).await;
}

/// Tells of a receiver that is away, now and then.
struct Told {
    signal: Signal,
    last: Option<std::time::Instant>,
}

impl Told {
    /// This often.
    const EVERY: Duration = Duration::from_secs(60);

    const fn new(signal: Signal) -> Self {
        Self { signal, last: None }
    }

    fn tell(&mut self, error: &str, losses: &Losses) {
        let now = crate::clock::now();
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < Self::EVERY) {
            return;
        }
        self.last = Some(now);
        let (signal, dropped) = (self.signal.name(), losses.dropped(self.signal));
        let failures = losses.failures(self.signal);
        tracing::warn!(
            signal,
            error,
            dropped,
            failures,
            "the receiver of telemetry does not take it; slots go on without"
        );
    }
}

#[cfg(test)]
mod tests;
