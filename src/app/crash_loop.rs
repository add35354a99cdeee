//! Processes of one node that end with 71 again and again: counted in a small file of the data folder, told when the next
//! one starts, and slowed down.
//!
//! Owns that file. What it says is decided in `ends`, which is pure. Never fatal: a file that cannot be read is set aside,
//! one that cannot be written is told of.

mod ends;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use ends::CrashLoop;

use super::kept;
use crate::clock;
use crate::config::{RestartProcess, Settings};
use crate::events::{Bus, Event, EventKind, Subscriber};
use crate::exit::Exit;
use ends::Ends;

/// In the data folder.
pub(crate) const FILE: &str = "crashes.json";
/// What a file is called that cannot be read.
pub(crate) const SET_ASIDE: &str = "crashes.json.unreadable";

/// Keeps how this node's processes end.
pub(super) struct CrashRecord {
    file: PathBuf,
    settings: RestartProcess,
    /// As an earlier process left it.
    ends: Ends,
    /// What could not be read, and what became of it.
    trouble: Option<String>,
    started: Mutex<Option<Instant>>,
    /// Why a card was given up last.
    cause: Mutex<Option<String>>,
}

impl CrashRecord {
    /// Reads what earlier processes left.
    pub(super) fn read(settings: &Settings) -> Self {
        let file = settings.data_dir.join(FILE);
        let (ends, trouble) = match kept::read(&file) {
            Ok(ends) => (ends, None),
            Err(error) => {
                (Ends::default(), Some(kept::set_aside(&file, "how earlier processes ended", &error)))
            }
        };
        let (started, cause) = (Mutex::default(), Mutex::default());
        Self { file, settings: settings.restart.process, ends, trouble, started, cause }
    }

    /// What follows for a process that starts now, which waits before it loads where it `waits` at all.
    pub(super) fn standing(&self, waits: bool) -> Option<CrashLoop> {
        let standing = self.ends.standing(&self.settings, clock::unix_time())?;
        Some(if waits { standing } else { CrashLoop { delay: Duration::ZERO, ..standing } })
    }

    /// What could not be read.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The process begins: tells what earlier ones left.
    pub(super) fn begin(&self, standing: Option<&CrashLoop>, bus: &Bus) {
        *self.started.lock() = Some(clock::now());
        if let Some(message) = &self.trouble {
            bus.tell(EventKind::CrashRecordFailed { message: message.clone() });
        }
        if let Some(CrashLoop { count, within, cause, delay, alert }) = standing.cloned() {
            bus.tell(EventKind::CrashLoop { count, within, cause, delay, alert });
        }
    }

    /// The process ends: written before anybody hears of it.
    pub(super) fn end(&self, exit: Exit, bus: &Bus) {
        let lasted = self.started.lock().map(|at| clock::now().saturating_duration_since(at));
        let cause = self.cause.lock().take();
        let cause = cause.as_deref().unwrap_or("no part of the node said why");
        let mut ends = self.ends.clone();
        ends.ended(exit, cause, lasted.unwrap_or_default(), &self.settings, clock::unix_time());
        if ends == self.ends {
            return;
        }
        if let Err(error) = keep(&self.file, &ends) {
            let message = format!("{} cannot be written: {error}", self.file.display());
            bus.tell(EventKind::CrashRecordFailed { message });
        }
    }
}

impl Subscriber for CrashRecord {
    fn hear(&self, event: &Event) {
        if let EventKind::Escalated { exit: Exit::DeviceLost, cause } = &event.kind {
            let device = event.device.map(|device| format!("{device}: ")).unwrap_or_default();
            *self.cause.lock() = Some(format!("{device}{cause}"));
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}

/// What earlier processes of the node with these settings left, for whoever only wants to know: changes nothing. None too
/// where that cannot be read.
pub fn crash_loop(settings: &Settings) -> Option<CrashLoop> {
    let ends: Ends = kept::read(&settings.data_dir.join(FILE)).ok()?;
    ends.standing(&settings.restart.process, clock::unix_time())
}

fn keep(file: &Path, ends: &Ends) -> io::Result<()> {
    if ends.is_empty() {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    kept::write(file, ends)
}

#[cfg(test)]
mod tests;
