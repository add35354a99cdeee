//! `vortex-node diagnose`: one archive for a bug report, of a node that runs, hangs, or has died.
//!
//! Owns the order of what is gathered and how it is told; each subject is in one file. Changes nothing: it takes no lock,
//! opens the journal for reading only, and makes no folder, no weights and no context on a card. Whatever cannot be had, or
//! not in time, is named in the archive instead, which is written all the same.

mod archive;
mod folder;
mod journal;
mod machine;
mod node;
mod readme;
mod recipes;
mod scrub;
mod secrets;
mod slots;
mod step;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::check::look_only;
use super::remote::{RemoteFlags, count, plain};
use super::{ConfigFlags, Context, Failed, Style};
use crate::app::service::{JOURNAL, SLOTS};
use crate::clock;
use crate::config::{Loaded, Problems, Settings, load, load_despite_problems};
use crate::exit::Exit;
use crate::files::{Existing, Readers, write_whole};
use crate::telemetry::Terminal;
use crate::types::{Bytes, with_path};
use archive::Archive;
use journal::Journal;
use node::Places;
use recipes::Texts;
use slots::Slots;
use step::within;

/// As a file's name: standard output.
const STANDARD_OUTPUT: &str = "-";
/// For the checks: the heads of all weights are read from a disk that may be slow.
const CHECK: Duration = Duration::from_secs(60);
/// For a disk to say whether a folder is there.
const DISK: Duration = Duration::from_secs(5);

/// Arguments of `diagnose`.
#[derive(Debug, Args)]
#[command(after_help = "\
It holds: what `vortex-node check` says, without hashing weights; the settings in force; versions of program, system and \
driver; the journal's newest events, slots and webhook messages, and whether it is sound; records and results of the newest \
50 slots, without sound, picture and video; a listing of data_dir; and what the node answers, where one runs. Scripts, \
prompts and other texts of recipes are left out unless --with-recipes. Tokens, keys, webhook secrets, credentials, and paths \
and queries of web addresses are always left out.

It changes nothing, needs no running node, and may be run beside one. Exit code 0 where the archive was written, also where \
parts of it could not be had: those are listed.")]
pub struct DiagnoseCommand {
    /// The archive, which must not be there yet; - is standard output [default: vortex-node-diagnose-TIME.tar.gz in the
    /// current folder]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Put the recipes' texts in: scripts, prompts, concepts
    #[arg(long)]
    with_recipes: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

impl DiagnoseCommand {
    /// Gathers and writes. Exit code 0 where the archive is there, 1 where it cannot be written, 2 where its name is taken.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let now = clock::unix_time();
        let folder = format!("vortex-node-diagnose-{}", time(now));
        if self.out.as_deref() == Some(Path::new(STANDARD_OUTPUT)) {
            return self.pour(folder, now, context);
        }
        let path = self.out.clone().unwrap_or_else(|| format!("{folder}.tar.gz").into());
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        // Told before anybody waits. This file has no name, or loses it at once.
        let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        tempfile::tempfile_in(beside).map_err(|error| unwritten(&path, &error))?;

        let archive = self.gather(folder, now);
        let (readme, index) = (readme::text(&archive, now, self.with_recipes), readme::index(&archive, now));
        let written =
            write_whole(&path, Existing::Keep, Readers::Owner, |file| archive.write(&readme, &index, file));
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => taken(&path),
            _ => unwritten(&path, &error),
        })?;
        let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
        if self.json {
            let answer = json!({
                "bytes": bytes, "with_recipes": self.with_recipes,
                "files": archive.entries().collect::<Vec<_>>(), "missing": archive.missing(),
            });
            context.console.json(&with_path(answer, "path", &path))?;
        } else {
            let name = context.console.paint(Style::Strong, path.display());
            writeln!(context.console.out(), "{name}: {}, {}\n", Bytes::new(bytes), files(&archive))?;
            write!(context.console.out(), "{}", self.told(&archive))?;
            writeln!(context.console.out(), "Look before you send it: tar -xzf {}", path.display())?;
        }
        Ok(Exit::Success)
    }

    /// Gathers onto standard output: out of a container with nowhere to write, or off a full disk.
    fn pour(&self, folder: String, now: Duration, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if self.json || Terminal::of(&std::io::stdout()).is_terminal() {
            let why =
                "an archive on standard output is for a file or a pipe, and leaves no room there for --json";
            return Err(Failed::bad_input(why));
        }
        let archive = self.gather(folder, now);
        let (readme, index) = (readme::text(&archive, now, self.with_recipes), readme::index(&archive, now));
        archive.write(&readme, &index, context.console.out())?;
        // Where standard error is gone, whoever reads the archive finds the same in it.
        let _ = write!(context.console.err(), "{}\n\n{}", files(&archive), self.told(&archive));
        Ok(Exit::Success)
    }

    /// Everything, in the order in which a reader will want it.
    fn gather(&self, folder: String, now: Duration) -> Archive {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let inputs = self.config.inputs(std::env::vars_os());
        let loaded = load(&inputs);
        // Broken settings may be why the node does not start: what else they say is still needed.
        let known: Option<Settings> = match &loaded {
            Ok(loaded) => Some(loaded.settings.clone()),
            Err(_) => load_despite_problems(&inputs),
        };
        let bar = progress();
        let mut archive =
            Archive::new(folder, now, secrets::known(&environment, known.as_ref(), &self.remote));

        bar.set_message("the machine");
        machine::gather(&environment, &mut archive);
        bar.set_message("checks");
        archive.json(
            "settings.json",
            "the settings in force and where each comes from, or what is wrong",
            settings(&loaded),
        );
        match within(CHECK, move || look_only(&inputs)) {
            Ok(found) => {
                archive.json("check.json", "`vortex-node check`, without the hashes of the weights", found)
            }
            Err(why) => archive.miss("check.json", why),
        }
        let management = known.as_ref().and_then(|settings| settings.http.management);
        let data = known.ok_or_else(|| "the settings do not tell where it is".to_owned()).and_then(data_dir);
        let places = Places { remote: &self.remote, data: data.as_deref().ok(), management };
        let data = match &data {
            Ok(data) => data,
            Err(why) => {
                archive.miss("data-folder, journal, slots", format!("{why}; --data-dir names another"));
                let unknown = Texts::default();
                node::gather(&places, (!self.with_recipes).then_some(&unknown), &mut archive);
                return archive;
            }
        };
        bar.set_message("the data folder");
        folder::gather(data, &mut archive);
        bar.set_message("the journal");
        let journal = Journal::read(&data.join(JOURNAL));
        let folders = data.join(SLOTS);
        let slots = Slots::read(&folders, journal.slots());
        let texts = (!self.with_recipes).then(|| slots.texts(&folders, journal.told_of()));
        bar.set_message("the node");
        node::gather(&places, texts.as_ref(), &mut archive);
        bar.set_message("slots");
        journal.gather(texts.as_ref(), &mut archive);
        slots.gather(texts.as_ref(), &mut archive);
        bar.finish_and_clear();
        archive
    }

    /// What is in it, what is not, and what to know before it is sent.
    fn told(&self, archive: &Archive) -> String {
        let mut told = String::new();
        for (name, about) in readme::lines(archive) {
            told.push_str(&format!("  {name:34} {about}\n"));
        }
        if !archive.missing().is_empty() {
            told.push_str("\nnot in it:\n");
        }
        for missing in archive.missing() {
            told.push_str(&format!("  {}: {}\n", plain(&missing.part), plain(&missing.why)));
        }
        format!("{told}\n{}\n", readme::warning(self.with_recipes))
    }
}

fn files(archive: &Archive) -> String {
    count(archive.entries().count(), "file")
}

fn taken(path: &Path) -> Failed {
    Failed::bad_input(format!(
        "{} is there already; name another file by --out, or move it away",
        path.display()
    ))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failed {
    Failed::failure(format!(
        "{} cannot be written: {error}; name a file in a folder that can be written, on a disk with room, by --out",
        path.display()
    ))
}

/// The data folder, where it can be read.
fn data_dir(settings: Settings) -> Result<PathBuf, String> {
    let data = settings.data_dir;
    let asked = data.clone();
    match within(DISK, move || std::fs::read_dir(asked).map(drop)) {
        Ok(Ok(())) => Ok(data),
        Ok(Err(error)) => Err(format!("{} cannot be read: {error}", data.display())),
        Err(why) => Err(format!("{}: {why}", data.display())),
    }
}

fn settings(loaded: &Result<Loaded, Problems>) -> Value {
    match loaded {
        Ok(loaded) => {
            let answer = json!({ "config_dir_source": loaded.dir_source, "settings": loaded.effective });
            with_path(answer, "config_dir", &loaded.dir)
        }
        Err(problems) => {
            json!({ "problems": problems.0.iter().map(ToString::to_string).collect::<Vec<_>>() })
        }
    }
}

/// On a terminal, what is being gathered.
fn progress() -> ProgressBar {
    if Terminal::of(&std::io::stderr()).moves_cursor() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    }
}

/// A moment since the Unix epoch as UTC, for a file's name: `20261129T013000Z`.
fn time(at: Duration) -> String {
    let (days, second) = (at.as_secs() / 86_400, at.as_secs() % 86_400);
    // The civil date of a day, as Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms" have it: years begin in
    // March, so that the leap day is their last.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil_dates() {
        // By GNU date.
        for (seconds, told) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_795_915_800, "20261129T013000Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), told, "{seconds}");
        }
    }
}
