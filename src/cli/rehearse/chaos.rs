//! `vortex-node rehearse --chaos`: scenarios from seeds, on every core, failures kept as files.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;

use crate::cli::{Context, Failed};
use crate::exit::Exit;
use crate::rehearse::chaos::{Bounds, Chaos, Found, Told};
use crate::telemetry::Terminal;

/// Seeds where none are named: a quarter of a minute on two cores.
const SEEDS: Range<u64> = 0..500;

/// Arguments of `rehearse --chaos`.
#[derive(Debug, Args)]
pub(super) struct ChaosFlags {
    /// Play random scenarios instead, each from its seed; what fails is made smaller and kept as a file to replay
    #[arg(long)]
    chaos: bool,
    /// Seeds to play, the first and the one after the last; 0..500 where neither these nor --minutes are given
    #[arg(long, value_name = "A..B", requires = "chaos", overrides_with = "seeds")]
    seeds: Option<Seeds>,
    /// Begin no new seed after so many minutes
    #[arg(long, value_name = "M", requires = "chaos", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: Option<u64>,
    /// Begin no new seed after so many failures
    #[arg(long, value_name = "N", requires = "chaos", default_value = "10", overrides_with = "failures")]
    failures: NonZeroUsize,
    /// Folder for the files chaos-SEED.toml of what failed
    #[arg(long, value_name = "FOLDER", requires = "chaos", default_value = ".", overrides_with = "out")]
    out: PathBuf,
}

/// A range of seeds.
#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let accepted = "accepted: two whole numbers, the smaller first, such as 0..500";
        let (first, end) = text.split_once("..").ok_or(accepted)?;
        match (first.trim().parse(), end.trim().parse()) {
            (Ok(first), Ok(end)) if first < end => Ok(Self(first..end)),
            _ => Err(accepted.to_owned()),
        }
    }
}

/// Plays. Exit code 0 where no seed failed, 1 where one did.
pub(super) fn play(flags: &ChaosFlags, json: bool, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let seeds = match (&flags.seeds, flags.minutes) {
        (Some(Seeds(seeds)), _) => seeds.clone(),
        (None, Some(_)) => 0..u64::MAX,
        (None, None) => SEEDS,
    };
    let out = &flags.out;
    std::fs::create_dir_all(out)
        .map_err(|error| Failed::bad_input(format!("--out {}: {error}", out.display())))?;
    let chaos = Chaos {
        within: flags.minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        failures: flags.failures,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        bounds: Bounds::FIXED,
        seeds,
    };
    let bar = bar(&chaos);
    let shown = AtomicUsize::new(0);
    let unwritten = Mutex::new(None);
    let console = Mutex::new(&mut *context.console);
    let report = chaos.play(&|told| match told {
        Told::Played { played, failed } => {
            bar.set_position(played);
            // Each would draw the bar once more.
            if shown.swap(failed, Ordering::Relaxed) != failed {
                bar.set_message(format!("{failed} failed"));
            }
        }
        Told::Found(found) => {
            if let Err(error) = keep(out, found) {
                unwritten.lock().get_or_insert(error);
            }
        }
        Told::Slow { seed, since } => {
            // Told at once: it may never end. A complaint that cannot be written changes nothing.
            let told = || writeln!(console.lock().err(), "seed {seed} has been playing for {since:.0?}");
            let _ = bar.suspend(told);
        }
    });
    bar.finish_and_clear();
    if json {
        context.console.json(&report)?;
    } else {
        writeln!(context.console.out(), "{report}")?;
    }
    if let Some(error) = unwritten.into_inner() {
        return Err(Failed::failure(error));
    }
    for found in &report.found {
        writeln!(context.console.err(), "kept: {}", out.join(found.file_name()).display())?;
    }
    Ok(if report.passed() { Exit::Success } else { Exit::Failure })
}

fn keep(folder: &Path, found: &Found) -> Result<(), String> {
    let file = folder.join(found.file_name());
    std::fs::write(&file, &found.text).map_err(|error| format!("{} was not written: {error}", file.display()))
}

/// A bar over the seeds on a terminal; without an end where only the time is bounded.
fn bar(chaos: &Chaos) -> ProgressBar {
    if !Terminal::of(&std::io::stderr()).moves_cursor() {
        return ProgressBar::hidden();
    }
    let within = chaos.within.map(|within| format!(" of {} min", within.as_secs() / 60)).unwrap_or_default();
    let (bar, style) = match chaos.seeds.end {
        u64::MAX => (
            ProgressBar::new_spinner(),
            format!("{{spinner}} {{pos}} scenarios {{rate}} {{elapsed}}{within} {{msg}}"),
        ),
        end => {
            let bar = ProgressBar::new(end - chaos.seeds.start);
            (bar, format!("{{wide_bar}} {{pos:>7}}/{{len}} {{rate}} {{elapsed}}{within} {{msg}}"))
        }
    };
    // A template that cannot be read would be a mistake here; the plain bar serves as well.
    if let Ok(style) = ProgressStyle::with_template(&style) {
        let rate = |state: &ProgressState, to: &mut dyn Write| {
            // A line of a bar that cannot be written is drawn again soon.
            let _ = write!(to, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate));
    }
    bar.with_message("0 failed")
}
