//! `vortex-node check`: everything that a node needs, looked at before it is started, in one table.
//!
//! Owns the order of the checks and how they are told; what is looked at is in one file per subject. Loads no model and
//! leaves nothing behind but the data folder and, where no weights are configured, the made-up ones in it.

mod driver;
mod finding;
mod machine;
mod memory;
mod weights;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFlags, Context, Failed, Style};
use crate::app::crash_loop;
use crate::client::local::Serving;
use crate::config::{DirSource, Inputs, Loaded, Problems, load};
use crate::exit::Exit;
use finding::{Finding, Verdict};

#[cfg(test)]
mod tests;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckCommand {
    /// Bundle of weights, a folder or its bundle.toml [default: the setting `bundle`]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Skip the hashes of the weights, which read every byte
    #[arg(long)]
    quick: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

/// What is looked at besides what the settings say.
struct Asked<'a> {
    bundle: Option<&'a Path>,
    quick: bool,
    /// Another library than the loader's `libnvidia-ml.so.1`.
    nvml: Option<&'a Path>,
    /// Beside a node that may run: nothing is written, made up or opened on a card, whose memory a context would take.
    looks_only: bool,
}

/// What the checks say, without hashes and without changing anything, as `--json` answers it.
pub(super) fn look_only(inputs: &Inputs) -> Value {
    let asked = Asked { bundle: None, quick: true, nvml: None, looks_only: true };
    let (findings, exit) = check(inputs, &asked);
    json!({ "ok": exit == Exit::Success, "checks": findings })
}

impl CheckCommand {
    /// Looks and answers. Exit code 0 where nothing is wrong, 1 where something is, 2 where the settings are.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let asked =
            Asked { bundle: self.bundle.as_deref(), quick: self.quick, nvml: None, looks_only: false };
        let (findings, exit) = check(&self.config.inputs(std::env::vars_os()), &asked);
        if self.json {
            let is_good = exit == Exit::Success;
            context.console.json(&json!({ "ok": is_good, "checks": findings }))?;
        } else {
            print(&findings, context)?;
        }
        Ok(exit)
    }
}

/// Everything, in the order in which a node would stumble over it.
fn check(inputs: &Inputs, asked: &Asked<'_>) -> (Vec<Finding>, Exit) {
    let loaded = match load(inputs) {
        Ok(loaded) => loaded,
        Err(problems) => return (refused(&problems), Exit::BadInput),
    };
    let mut findings = vec![configuration(&loaded)];
    let settings = &loaded.settings;
    let (places, about_devices) = memory::devices(settings, asked.nvml, asked.looks_only);
    findings.extend(about_devices);
    let (bundle, about_bundle) = weights::bundle(&loaded, asked.bundle, asked.looks_only);
    findings.extend(memory::limits(settings, bundle.as_ref(), &places));
    // A model is planned alike for every card.
    if let (Some(bundle), Some(device)) = (&bundle, places.iter().find_map(|place| place.device.as_ref())) {
        findings.extend(memory::plans(settings, bundle, device));
    }
    findings.extend(about_bundle);
    if let Some(bundle) = &bundle {
        findings.push(weights::files(bundle, asked.quick));
        findings.push(weights::tensors(bundle));
        findings.extend(weights::vocabulary(bundle));
        findings.push(weights::voices(&loaded.voices, bundle));
    }
    findings.extend(if asked.looks_only {
        machine::data_folder_as_it_is(&settings.data_dir)
    } else {
        machine::data_folder(&settings.data_dir)
    });
    findings.extend(crash_loop(settings).as_ref().map(machine::earlier_processes));
    findings.push(machine::clock());
    if asked.looks_only
        && Serving::read(&settings.data_dir).is_ok_and(|said| said.is_some_and(|it| it.is_running()))
    {
        let told = format!(
            "{}: not tried, a node serves from {}",
            settings.http.listen,
            settings.data_dir.display()
        );
        findings.push(Finding::ok("port", told));
    } else {
        findings.push(machine::port(settings.http.listen));
    }
    findings.push(machine::node_key(&settings.key_file()));
    findings.push(machine::threads());
    let is_wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    (findings, if is_wrong { Exit::Failure } else { Exit::Success })
}

fn configuration(loaded: &Loaded) -> Finding {
    let all = loaded.effective.len();
    let own = loaded.effective.iter().filter(|row| row.source != crate::config::Origin::Default).count();
    let dir = loaded.dir.display();
    let found =
        format!("profile {}, {own} of {all} settings are not the built-in ones", loaded.settings.profile);
    Finding::ok(
        "configuration",
        match loaded.dir_source {
            DirSource::Nowhere => format!("{found}; there is no folder {dir}, nor a shipped one"),
            source => format!("{found}, from {dir} ({source})"),
        },
    )
}

fn refused(problems: &Problems) -> Vec<Finding> {
    let advice = "correct it where it comes from, which stands in brackets; nothing else was looked at";
    problems.0.iter().map(|problem| Finding::wrong("configuration", problem.to_string(), advice)).collect()
}

fn print(findings: &[Finding], context: &mut Context<'_>) -> Result<(), Failed> {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or_default();
    for Finding { check, verdict, found, advice } in findings {
        let word = context.console.paint(verdict.style(), format!("{:8}", verdict.name()));
        writeln!(context.console.out(), "{word}  {check:width$}  {found}")?;
        if let Some(advice) = advice {
            let advice = context.console.paint(Style::Strong, advice);
            writeln!(context.console.out(), "{:8}  {:width$}  -> {advice}", "", "")?;
        }
    }
    let count = |wanted: Verdict| findings.iter().filter(|finding| finding.verdict == wanted).count();
    let (wrong, doubtful) = (count(Verdict::Wrong), count(Verdict::Doubtful));
    writeln!(context.console.out(), "\n{} checks: {wrong} wrong, {doubtful} doubtful", findings.len())?;
    Ok(())
}
