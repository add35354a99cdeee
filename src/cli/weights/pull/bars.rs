//! Bars on standard error: one for each file under way, and all together with the time left.

use std::cell::Cell;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::weights::progress::tail;
use crate::telemetry::Terminal;
use crate::types::Bytes;

/// All bars; hidden where standard error is no terminal that moves its cursor.
pub(super) struct Bars {
    bars: MultiProgress,
    all: ProgressBar,
    /// Bytes that are there, of all files.
    there: Cell<u64>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let bars = MultiProgress::new();
        if !Terminal::of(&std::io::stderr()).moves_cursor() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        // Of no use before it is known how much there is to come: it joins the others then.
        Self { bars, all: ProgressBar::hidden(), there: Cell::new(0) }
    }

    /// From now on over `total` bytes, of which `there` are from before.
    pub(super) fn begin(&self, total: Bytes, there: Bytes) {
        self.there.set(there.get());
        let all = &self.all;
        all.set_length(total.get());
        all.set_position(there.get());
        // What was there already says nothing about how fast the rest comes.
        all.reset_eta();
        style(all, "all", "{eta} left");
        self.bars.add(all.clone());
    }

    /// A bar over one file, above the one over all.
    pub(super) fn file(&self, name: &str, total: Bytes) -> FileBar<'_> {
        let bar = bar(total, name, "{decimal_bytes_per_sec}");
        FileBar { bars: self, bar: self.bars.insert_from_back(1, bar), reached: Cell::new(None) }
    }

    /// A bar over a file that is looked at.
    pub(super) fn hashing(&self, name: &str, total: Bytes) -> ProgressBar {
        self.bars.add(bar(total, &format!("hashing {name}"), "{eta} left"))
    }

    /// Does `what` with no bar in its way.
    pub(super) fn aside<T>(&self, what: impl FnOnce() -> T) -> T {
        self.bars.suspend(what)
    }

    pub(super) fn clear(&self) {
        self.all.finish_and_clear();
        // A hidden terminal cannot be cleared, and need not be.
        let _ = self.bars.clear();
    }
}

/// A bar that shows itself only among the others: one of its own would draw itself at once, and stay.
fn bar(total: Bytes, what: &str, last: &str) -> ProgressBar {
    let bar = ProgressBar::hidden();
    bar.set_length(total.get());
    style(&bar, what, last);
    bar
}

fn style(bar: &ProgressBar, what: &str, last: &str) {
    let template =
        format!("{{msg:40!}} {{wide_bar}} {{decimal_bytes:>10}}/{{decimal_total_bytes:10}} {last}");
    // A template that cannot be read would be a mistake here; the plain bar serves as well.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_message(tail(what, 40));
}

/// The bar over one file; it goes when it is dropped.
pub(super) struct FileBar<'a> {
    bars: &'a Bars,
    bar: ProgressBar,
    /// How much of it is in the sum; nothing has been told yet where none.
    reached: Cell<Option<u64>>,
}

impl FileBar<'_> {
    /// So many bytes of it are there.
    pub(super) fn reached(&self, bytes: Bytes) {
        let bytes = bytes.get();
        self.bar.set_position(bytes);
        // What was there at first is in the sum from the start.
        let before = self.reached.replace(Some(bytes)).unwrap_or(bytes);
        let there = self.bars.there.get().saturating_sub(before).saturating_add(bytes);
        self.bars.there.set(there);
        self.bars.all.set_position(there);
    }
}

impl Drop for FileBar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_follows_files_that_go_on_and_files_that_start_over() {
        let bars = Bars::new();
        bars.begin(Bytes::new(300), Bytes::new(40));
        let (one, other) = (bars.file("one", Bytes::new(100)), bars.file("other", Bytes::new(200)));
        one.reached(Bytes::new(40));
        other.reached(Bytes::new(0));
        assert_eq!(bars.all.position(), 40);
        one.reached(Bytes::new(90));
        other.reached(Bytes::new(30));
        assert_eq!(bars.all.position(), 120);
        one.reached(Bytes::new(0));
        assert_eq!(bars.all.position(), 30);
        one.reached(Bytes::new(100));
        assert_eq!(bars.all.position(), 130);
    }
}
