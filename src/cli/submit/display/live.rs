//! Bars: one for each recipe, with its place in the queue, its stages, and the time that is left.

use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::ended;
use crate::cli::remote::length;
use crate::cli::submit::job::{Job, Stand};
use crate::clock;

/// Bars on standard error.
pub(in crate::cli::submit) struct Live {
    bars: MultiProgress,
    slots: Vec<ProgressBar>,
}

/// A bar's length: finer than any terminal shows.
const WHOLE: u64 = 1_000;
/// Columns of a recipe's name.
const NAME: usize = 18;

impl Live {
    pub(super) fn new(jobs: &[Job]) -> Self {
        let bars = MultiProgress::new();
        let slots = jobs.iter().map(|job| {
            let bar = bars.add(ProgressBar::new(WHOLE));
            // A template that cannot be read would be a mistake here; the plain bar serves as well.
            if let Ok(style) = ProgressStyle::with_template("{prefix:18!} {bar:22.green} {wide_msg}") {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(short(&job.document.name));
            bar.set_message("not in yet");
            bar
        });
        let slots = slots.collect();
        Self { bars, slots }
    }

    /// A line above the bars.
    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        self.bars.println(text)
    }

    pub(super) fn show(&self, at: usize, job: &Job) {
        let Some(bar) = self.slots.get(at).filter(|bar| !bar.is_finished()) else { return };
        match &job.stand {
            Stand::Pending(when) => {
                let left = when.saturating_duration_since(clock::now());
                let again =
                    if left.is_zero() { String::new() } else { format!(", again in {}", length(left)) };
                bar.set_message(format!("not in yet{again}"));
            }
            Stand::Open(open) => {
                bar.set_position((open.share() * WHOLE as f64) as u64);
                let left = open.left(clock::now()).map(|left| format!(", about {} left", length(left)));
                bar.set_message(format!("{}{}", open.now_doing(), left.unwrap_or_default()));
            }
            Stand::Ended(view) => {
                if view.state == crate::api::views::SlotState::Completed {
                    bar.set_position(WHOLE);
                }
                bar.abandon_with_message(ended(view));
            }
            Stand::Refused(error) => {
                let told = error.to_string();
                bar.abandon_with_message(told.lines().next().unwrap_or_default().to_owned());
            }
        }
    }

    pub(super) fn finish(&self) {
        self.slots.iter().for_each(ProgressBar::abandon);
    }
}

/// The end of a path, which tells recipes apart, in the columns that there are.
fn short(name: &str) -> String {
    let name = crate::client::plain(name);
    let count = name.chars().count();
    if count <= NAME {
        return name.into_owned();
    }
    let kept: String = name.chars().skip(count - NAME + 1).collect();
    format!("…{kept}")
}
