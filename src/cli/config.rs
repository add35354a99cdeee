//! `vortex-node config`: the settings in force, and checking files.

pub mod kinds;
mod plan;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{ConfigFlags, Context, Failed, Style};
use crate::exit::Exit;
use crate::types::with_path;
use kinds::{Checked, check};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print every setting in force and where it comes from
    Show(Show),
    /// Check configuration files, whatever kind they are; exit code 2 where one is wrong
    Check(Check),
}

#[derive(Debug, Args)]
struct Show {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Debug, Args)]
struct Check {
    /// Files, or folders to look through
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl ConfigCommand {
    /// Only `show` needs settings.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        match &self.what {
            What::Show(show) => Some(&show.config),
            What::Check(_) => None,
        }
    }

    /// Does what was asked.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::Show(command) => show(&command, context),
            What::Check(command) => check_files(&command, context),
        }
    }
}

fn show(command: &Show, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let loaded = context.loaded()?.clone();
    let plan = plan::plan(&loaded);
    if command.json {
        let answer = json!({
            "config_dir_source": loaded.dir_source, "settings": loaded.effective,
            "memory_plan": plan.as_ref().ok().map(plan::Planned::json),
            "memory_plan_unknown": plan.as_ref().err(),
        });
        context.console.json(&with_path(answer, "config_dir", &loaded.dir))?;
        return Ok(Exit::Success);
    }
    let rows: Vec<(&str, String, String)> = loaded
        .effective
        .iter()
        .map(|row| (row.key.as_str(), row.value.to_string(), row.source.to_string()))
        .collect();
    let keys = rows.iter().map(|(key, _, _)| key.chars().count()).max().unwrap_or_default();
    let values = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or_default();
    for (key, value, source) in rows {
        let source = context.console.paint(Style::Faint, source);
        writeln!(context.console.out(), "{key:keys$}  {value:values$}  {source}")?;
    }
    let (dir, source) = (loaded.dir.display(), loaded.dir_source);
    writeln!(context.console.out(), "\nconfiguration folder: {dir} ({source})")?;
    match plan {
        Ok(plan) => plan.print(context.console)?,
        Err(why) => writeln!(context.console.out(), "memory plan: not known: {why}")?,
    }
    Ok(Exit::Success)
}

fn check_files(command: &Check, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let checked: Vec<Checked> = command.files.iter().flat_map(|path| check(path)).collect();
    let is_good = checked.iter().all(|file| file.problems.is_empty());
    if command.json {
        context.console.json(&json!({ "ok": is_good, "files": checked }))?;
    } else {
        for file in &checked {
            let (style, verdict) =
                if file.problems.is_empty() { (Style::Good, "ok") } else { (Style::Bad, "wrong") };
            let verdict = context.console.paint(style, format!("{verdict:5}"));
            let kind = file.kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
            writeln!(context.console.out(), "{verdict}  {}{kind}", file.path.display())?;
            for problem in &file.problems {
                writeln!(context.console.out(), "       {problem}")?;
            }
        }
    }
    Ok(if is_good { Exit::Success } else { Exit::BadInput })
}
