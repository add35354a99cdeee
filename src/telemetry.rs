//! Logs, metrics and traces: `tracing` events as JSON or for people, to standard error; counters and measures for a scrape;
//! one trace per slot; and all three over OTLP where somebody receives them.
//!
//! Owns the process's subscriber, every name of a log line in [`names`], and every metric. Messages are lower case without a
//! full stop; values are fields. Never decides anything and never writes to standard output, which belongs to a command's
//! answer.
//!
//! [traces]: crate::telemetry::traces
//!
#![doc = include_str!("telemetry/README.md")]

pub mod export;
mod log;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod profile;
mod terminal;
pub mod traces;

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;

pub use log::EventLog;
pub use terminal::Terminal;

use self::logs::ExportedLogs;
use self::profile::Recording;
use crate::config::{Telemetry, TelemetryFormat};
use crate::profile::TARGET;

/// Why logging could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The filter has been checked with the configuration, so this is a slip of ours.
    #[error("{0:?} is not a log filter: {1}")]
    Filter(String, String),
    /// The process has a subscriber already.
    #[error("logging is set up already")]
    Twice,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// One JSON object each.
    Json,
    /// For people, coloured or not.
    Human {
        /// With terminal colours.
        colour: bool,
    },
}

impl Lines {
    /// What `format` means where standard error is such a terminal, or none.
    pub fn new(format: TelemetryFormat, terminal: Terminal) -> Self {
        match format {
            TelemetryFormat::Json => Self::Json,
            TelemetryFormat::Auto if !terminal.is_terminal() => Self::Json,
            TelemetryFormat::Auto | TelemetryFormat::Human => Self::Human { colour: terminal.shows_colour() },
        }
    }
}

/// A subscriber that writes `lines` to `writer`.
///
/// A JSON line has `timestamp` (RFC 3339, UTC), `level`, `target`, `message`, the event's fields beside them, `span`
/// (the innermost, with its fields) and `spans` (from the outermost). Where the filter lets debug lines through, a span's
/// beginning and end have lines of their own (`new`, `close`, the latter with the time it was busy).
pub fn subscriber<W>(lines: Lines, filter: EnvFilter, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    refilterable(lines, filter, writer, None).0
}

/// Changes the filter of a subscriber that is in use.
type Refilter = Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// Of the process's subscriber, once there is one.
static REFILTER: OnceLock<Refilter> = OnceLock::new();

fn refilterable<W>(
    lines: Lines,
    filter: EnvFilter,
    writer: W,
    recording: Option<&Recording>,
) -> (Box<dyn tracing::Subscriber + Send + Sync>, Refilter)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let detailed = filter.max_level_hint().is_none_or(|level| level >= LevelFilter::DEBUG);
    let spans = if detailed { FmtSpan::NEW | FmtSpan::CLOSE } else { FmtSpan::NONE };
    let builder = tracing_subscriber::fmt().with_span_events(spans).with_writer(writer);
    // What no filter lets through reaches no layer. Spans alone make no lines.
    let recorded = recording.and_then(|_| format!("{TARGET}=trace").parse().ok());
    let filter = recorded.into_iter().fold(filter, EnvFilter::add_directive);
    // The same filter holds for what is exported.
    let exported = ExportedLogs::of_process();
    match lines {
        Lines::Json => {
            let builder = builder.json().flatten_event(true).with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            let subscriber = builder.finish().with(exported).with(recording.map(Recording::layer));
            (Box::new(subscriber), Box::new(move |filter| handle.reload(filter)))
        }
        Lines::Human { colour } => {
            let builder = builder.with_ansi(colour).with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            let subscriber = builder.finish().with(exported).with(recording.map(Recording::layer));
            (Box::new(subscriber), Box::new(move |filter| handle.reload(filter)))
        }
    }
}

fn parsed(filter: &str) -> Result<EnvFilter, InstallError> {
    EnvFilter::try_new(filter).map_err(|error| InstallError::Filter(filter.to_owned(), error.to_string()))
}

/// Makes standard error the place of this process's logs, and `recording` that of a profile where one is asked for.
pub fn install(settings: &Telemetry, recording: Option<&Recording>) -> Result<(), InstallError> {
    let lines = Lines::new(settings.format, Terminal::of(&std::io::stderr()));
    let (subscriber, refilter) = refilterable(lines, parsed(&settings.filter)?, std::io::stderr, recording);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InstallError::Twice)?;
    // A process has one subscriber, so nobody was here before.
    let _ = REFILTER.set(refilter);
    Ok(())
}

/// Which lines are written from now on. A process without logs has none afterwards either. Whether spans have lines of
/// their own stays as it was at the start.
pub fn refilter(filter: &str) -> Result<(), InstallError> {
    let filter = parsed(filter)?;
    if let Some(refilter) = REFILTER.get()
        && let Err(error) = refilter(filter)
    {
        tracing::warn!(%error, "the log filter cannot be changed");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
