//! The live picture: one bar per stage, side by side as they run, memory against its limits, time left.

use std::io;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Facts, notice};
use crate::app::Limits;
use crate::clock;
use crate::contract::{Progress, Unit};
use crate::events::{Event, EventKind};
use crate::types::{Bytes, ModelId, PerStage, Stage};

/// Bars on standard error.
pub(in crate::cli::render) struct Live {
    bars: MultiProgress,
    models: ProgressBar,
    stages: PerStage<ProgressBar>,
    began: PerStage<Option<Instant>>,
    memory: ProgressBar,
    facts: Facts,
}

impl Live {
    /// Nothing has begun.
    pub(super) fn new(facts: Facts) -> Self {
        let bars = MultiProgress::new();
        let bar = |name: &str, template: &str| {
            let bar = bars.add(ProgressBar::no_length());
            // A template that cannot be read would be a mistake here; the plain bar serves as well.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(name.to_owned());
            bar
        };
        let models = bar("models", "{prefix:8} {bar:28.cyan} {msg}");
        models.set_length(ModelId::ALL.len() as u64);
        models.set_message("loading");
        let stages = PerStage::from_fn(|stage: Stage| bar(stage.name(), "{prefix:8} {bar:28.green} {msg}"));
        let memory = bar("memory", "{prefix:8} {bar:28.yellow} {msg}");
        memory.set_length(facts.limits.hard.get());
        Self { bars, models, stages, began: PerStage::default(), memory, facts }
    }

    /// A line above the bars.
    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        self.bars.println(text)
    }

    /// Shows what happened.
    pub(super) fn hear(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::StageBegan { stage, attempt, .. } => {
                let again = if attempt.get() > 1 { format!(" (attempt {attempt})") } else { String::new() };
                self.began[*stage] = Some(clock::now());
                self.stages[*stage].set_message(format!("at work{again}"));
            }
            EventKind::StageProgress { stage, progress, .. } => self.step(*stage, *progress),
            EventKind::VideoProgress { progress } => self.step(Stage::Video, *progress),
            EventKind::AudioComplete { took } => self.done(Stage::Audio, *took, ""),
            EventKind::ImageComplete { took } => self.done(Stage::Image, *took, ""),
            EventKind::VideoComplete { took } => self.done(Stage::Video, *took, ""),
            EventKind::ClipComplete { took, summary } => self.done(Stage::Verify, *took, summary),
            EventKind::GenerationComplete { breakdown, .. } => {
                self.done(Stage::Package, breakdown.package, "");
            }
            EventKind::ModelReady { model, .. } => {
                self.models.inc(1);
                let all = self.models.position() >= ModelId::ALL.len() as u64;
                self.models.set_message(if all { "ready".to_owned() } else { format!("{model} is ready") });
            }
            EventKind::ActorRestarted { actor } if actor.parse::<ModelId>().is_ok() => {
                self.models.set_position(self.models.position().saturating_sub(1));
            }
            EventKind::CardLost { .. } => self.models.set_position(0),
            EventKind::Memory { sample } => self.memory(sample.used),
            _ => {}
        }
        match notice(event) {
            Some(text) => self.note(&text),
            None => Ok(()),
        }
    }

    fn step(&self, stage: Stage, progress: Progress) {
        let bar = &self.stages[stage];
        bar.set_length(u64::from(progress.total.max(1)));
        bar.set_position(u64::from(progress.done));
        let unit = match progress.unit {
            Unit::Parts => "parts",
            Unit::Sentences => "sentences",
            Unit::Steps => "steps",
            Unit::Frames => "frames",
            Unit::Images => "pictures",
        };
        let mut message = format!("{}/{} {unit}", progress.done, progress.total);
        if let Some(began) = self.began[stage].filter(|_| stage == Stage::Video) {
            let spent = clock::now().saturating_duration_since(began).as_secs_f64();
            message.push_str(&format!(", {:.1} frames/s", f64::from(progress.done) / spent.max(1e-3)));
        }
        bar.set_message(message);
    }

    fn done(&self, stage: Stage, took: Duration, more: &str) {
        let bar = &self.stages[stage];
        if bar.length().is_none() {
            bar.set_length(1);
        }
        bar.set_position(bar.length().unwrap_or(1));
        let colon = if more.is_empty() { "" } else { ": " };
        bar.abandon_with_message(format!("done in {:.1} s{colon}{more}", took.as_secs_f64()));
    }

    fn memory(&self, used: Bytes) {
        let Facts { limits: Limits { soft, hard }, deadline } = self.facts;
        self.memory.set_position(used.get().min(hard.get()));
        let left = deadline.map_or_else(
            || "no deadline".to_owned(),
            |deadline| format!("{:.0} s to the deadline", deadline.remaining(clock::now()).as_secs_f64()),
        );
        self.memory.set_message(format!("{used} used, soft {soft}, hard {hard}; {left}"));
    }

    /// Leaves the bars as they stand.
    pub(super) fn finish(&self) {
        for bar in std::iter::once(&self.models).chain(self.stages.values()).chain([&self.memory]) {
            bar.abandon();
        }
    }
}
