//! `vortex-node result`: check what a slot handed over, or show it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failed, Style};
use crate::exit::Exit;
use crate::sink::{self, Manifest, Outcome, PublicKey, Verification};
use crate::types::with_path;

/// Arguments of `result`.
#[derive(Debug, Args)]
pub struct ResultCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check the signature, every file, and that nothing contradicts itself; exit code 1 where something is wrong, 2
    /// where there is no result
    Verify {
        /// The folder that a slot was rendered into
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The node that must have signed it, 64 hexadecimal digits; otherwise the one that the result names
        #[arg(long, value_name = "HEX")]
        key: Option<PublicKey>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a result says, unchecked
    Show {
        /// The folder that a slot was rendered into
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

impl ResultCommand {
    /// Does what was asked.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::Verify { dir, key, json } => verify(&dir, key, json, context),
            What::Show { dir, json } => show(&dir, json, context),
        }
    }
}

fn verify(
    dir: &Path,
    key: Option<PublicKey>,
    as_json: bool,
    context: &mut Context<'_>,
) -> Result<Exit, Failed> {
    let found = sink::verify(dir, key).map_err(|error| Failed::bad_input(error.to_string()))?;
    let is_good = found.is_good();
    if as_json {
        let node = found.manifest.as_ref().map(|manifest| manifest.node.id);
        let status = found.manifest.as_ref().map(|manifest| status(&manifest.outcome));
        let answer = json!({
            "ok": is_good, "node": node, "status": status, "problems": found.problems, "warnings": found.warnings,
        });
        context.console.json(&with_path(answer, "dir", dir))?;
    } else {
        report(dir, key, &found, context)?;
    }
    Ok(if is_good { Exit::Success } else { Exit::Failure })
}

fn report(
    dir: &Path,
    key: Option<PublicKey>,
    found: &Verification,
    context: &mut Context<'_>,
) -> Result<(), Failed> {
    for (style, label, problems) in
        [(Style::Bad, "wrong", &found.problems), (Style::Doubtful, "beside", &found.warnings)]
    {
        let label = context.console.paint(style, format!("{label:7}"));
        for problem in problems {
            writeln!(context.console.out(), "{label} {problem}")?;
        }
    }
    let (style, verdict) =
        if found.is_good() { (Style::Good, "holds") } else { (Style::Bad, "does not hold") };
    let verdict = context.console.paint(style, verdict);
    writeln!(context.console.out(), "the result in {} {verdict}", dir.display())?;
    let Some(manifest) = found.manifest.as_ref().filter(|_| found.is_good()) else { return Ok(()) };
    let (count, status, node) = (manifest.artifacts.len(), status(&manifest.outcome), manifest.node.id);
    writeln!(context.console.out(), "{status}, {count} files, signed by node {node}")?;
    if key.is_none() {
        // Anyone can sign with a key of their own.
        writeln!(context.console.out(), "whether that is a node to trust, --key tells")?;
    }
    Ok(())
}

fn show(dir: &Path, as_json: bool, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let manifest = sink::read(dir).map_err(|error| Failed::bad_input(error.to_string()))?;
    if as_json {
        context.console.json(&manifest)?;
    } else {
        print(&manifest, context)?;
    }
    Ok(Exit::Success)
}

fn print(manifest: &Manifest, context: &mut Context<'_>) -> Result<(), Failed> {
    let good = manifest.outcome == Outcome::Completed;
    let style = if good { Style::Good } else { Style::Bad };
    let status = context.console.paint(style, status(&manifest.outcome));
    let met = match (manifest.deadline, manifest.deadline_met) {
        (None, _) => "open",
        (Some(_), true) => "met",
        (Some(_), false) => "missed",
    };
    let out = context.console.out();
    writeln!(out, "slot {}: {status} in {:.1} s, deadline {met}", manifest.recipe_id, manifest.elapsed)?;
    if let Outcome::Failed { cause, stage, message, reasons } = &manifest.outcome {
        let stage = stage.map(|stage| format!(" in the {stage} stage")).unwrap_or_default();
        writeln!(out, "  {}{stage}: {message}", cause.name())?;
        reasons.iter().try_for_each(|reason| writeln!(out, "  {reason}"))?;
    }
    if let Outcome::Cancelled { cause } = &manifest.outcome {
        writeln!(out, "  cancelled: {}", cause.name())?;
    }
    let NodeLine { node, with } = line(manifest);
    writeln!(out, "  {node}\n  {with}")?;
    if let Some(verdict) = &manifest.verification {
        let (b, l, ensemble) = (verdict.clip_b, verdict.clip_l, verdict.ensemble);
        let passed = if verdict.passed { "passed" } else { "not passed" };
        writeln!(out, "  check {passed}: clip_b {b:.3}, clip_l {l:.3}, together {ensemble:.3}")?;
    }
    if let Some(frames) = &manifest.frames {
        let (total, fps, size, rendered) = (frames.total, frames.fps, frames.resolution, frames.rendered);
        writeln!(out, "  {total} frames of {size} at {fps} a second, {rendered} rendered")?;
    }
    for stage in &manifest.stages {
        let memory = stage.memory.map(|memory| format!(", peak {}", memory.peak)).unwrap_or_default();
        let (name, began, ended, attempts) = (stage.stage, stage.began, stage.ended, stage.attempts);
        if stage.resumed {
            writeln!(out, "  {name:8} by an earlier run")?;
        } else {
            writeln!(out, "  {name:8} {began:8.2} s to {ended:8.2} s, attempts {attempts}{memory}")?;
        }
    }
    for artifact in &manifest.artifacts {
        let (name, bytes, sha256) = (&artifact.name, artifact.bytes, artifact.sha256);
        writeln!(out, "  {name:22} {bytes:>9}  {sha256}")?;
    }
    for warning in &manifest.warnings {
        writeln!(out, "  {}: {}", warning.code, warning.message)?;
    }
    Ok(())
}

struct NodeLine {
    node: String,
    with: String,
}

fn line(manifest: &Manifest) -> NodeLine {
    let (node, bundle) = (&manifest.node, &manifest.bundle);
    NodeLine {
        node: format!("node {} ({})", node.id, node.version),
        with: format!(
            "bundle {} on {}, profile {}, {} threads, {} frames a batch",
            bundle.name, node.device, node.profile, node.threads, node.frame_batch
        ),
    }
}

fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Failed { .. } => "failed",
        Outcome::Cancelled { .. } => "cancelled",
    }
}
