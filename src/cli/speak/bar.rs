//! The bar over loading and speaking, on standard error; nothing where that is no terminal, or one that cannot move its
//! cursor.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use crate::contract::{CancelFlag, Observe, Progress, Run, Unit};
use crate::telemetry::Terminal;

/// One bar for both.
pub(super) struct Bar(Arc<Steps>);

struct Steps(ProgressBar);

/// Nothing is done yet.
pub(super) fn begun() -> Bar {
    if !Terminal::of(&std::io::stderr()).moves_cursor() {
        return Bar(Arc::new(Steps(ProgressBar::hidden())));
    }
    let bar = ProgressBar::new(0);
    // A template that cannot be read would be a mistake here; the plain bar serves as well.
    if let Ok(style) = ProgressStyle::with_template("{msg:8} {bar:28.green} {pos}/{len}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    Bar(Arc::new(Steps(bar)))
}

impl Bar {
    /// Shows every step of what runs with it.
    pub(super) fn run(&self) -> Run {
        Run::new(CancelFlag::new(), Arc::<Steps>::clone(&self.0))
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.0.0.finish_and_clear();
    }
}

impl Observe for Steps {
    fn step(&self, progress: Progress) {
        self.0.set_message(if progress.unit == Unit::Sentences { "speaking" } else { "loading" });
        self.0.set_length(u64::from(progress.total));
        self.0.set_position(u64::from(progress.done));
    }
}
