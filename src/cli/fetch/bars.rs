//! Bars over what is fetched, on standard error: the file under way, and all together.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::api::views::ArtifactView;
use crate::cli::remote::plain;
use crate::telemetry::Terminal;

pub(super) struct Bars {
    /// Draws both.
    _bars: MultiProgress,
    file: ProgressBar,
    all: ProgressBar,
    /// Bytes of the files before the one under way.
    before: AtomicU64,
}

impl Bars {
    /// Over `total` bytes; hidden where standard error is no terminal that moves its cursor.
    pub(super) fn new(total: u64) -> Self {
        let bars = MultiProgress::new();
        if !Terminal::of(&std::io::stderr()).moves_cursor() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let bar = |total: u64, what: &str| {
            // Added first: a bar of its own would draw itself at once, and stay.
            let bar = bars.add(ProgressBar::new(total));
            let style = "{msg:24!} {wide_bar} {decimal_bytes:>9}/{decimal_total_bytes:9} {eta:>4}";
            // A template that cannot be read would be a mistake here; the plain bar serves as well.
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        };
        let (file, all) = (bar(0, ""), bar(total, "all"));
        Self { _bars: bars, file, all, before: AtomicU64::new(0) }
    }

    pub(super) fn begin(&self, artifact: &ArtifactView) {
        self.file.reset();
        self.file.set_length(artifact.bytes);
        self.file.set_message(plain(&artifact.name).into_owned());
    }

    /// So many bytes of the file under way are there.
    pub(super) fn reached(&self, bytes: u64) {
        self.file.set_position(bytes);
        self.all.set_position(self.before.load(Ordering::Relaxed) + bytes);
    }

    pub(super) fn end(&self, artifact: &ArtifactView) {
        self.before.fetch_add(artifact.bytes, Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.file.finish_and_clear();
        self.all.finish_and_clear();
    }
}
