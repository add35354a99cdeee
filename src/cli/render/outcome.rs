//! What the command says in the end, and its exit code.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::RenderCommand;
use crate::cli::{Console, Failed, Style};
use crate::exit::Exit;
use crate::journal::{Ending, Terminal};
use crate::sink::{self, Manifest, Outcome};
use crate::types::{Bytes, with_path};

/// The slot has ended, well or not: its result stands in `folder`.
pub(super) fn ended(command: &RenderCommand, folder: &Path, console: &mut Console) -> Result<Exit, Failed> {
    let manifest = sink::read(folder).map_err(|error| Failed::failure(error.to_string()))?;
    let exit = match manifest.outcome {
        Outcome::Completed => Exit::Success,
        Outcome::Failed { .. } | Outcome::Cancelled { .. } => Exit::Failure,
    };
    if command.json {
        let peak = peak_resident().map(|bytes| bytes.get());
        line(console, json!({ "event": "result", "result": manifest, "peak_resident_bytes": peak }), folder)?;
    } else {
        told(&manifest, folder, console)?;
    }
    Ok(exit)
}

/// There was nothing left to do: the folder holds this very slot, ended for good.
pub(super) fn finished_before(
    command: &RenderCommand,
    folder: &Path,
    terminal: &Terminal,
    console: &mut Console,
) -> Result<Exit, Failed> {
    if !command.json {
        let how = if matches!(terminal.ending, Ending::Completed { .. }) { "rendered" } else { "rejected" };
        let text = format!("{} was {how} before; nothing is done again", folder.display());
        writeln!(console.err(), "{text}")?;
    }
    ended(command, folder, console)
}

/// A signal came first.
pub(super) fn interrupted(
    command: &RenderCommand,
    folder: &Path,
    console: &mut Console,
) -> Result<Exit, Failed> {
    if command.json {
        line(console, json!({ "event": "interrupted" }), folder)?;
    } else {
        let text = format!(
            "interrupted; finished stages are kept in {}: the same command takes them up again",
            folder.display()
        );
        let text = console.paint_err(Style::Doubtful, text);
        writeln!(console.err(), "{text}")?;
    }
    Ok(Exit::Interrupted)
}

/// The slot ended, and its end could not be written down.
pub(super) fn not_kept(folder: &Path, why: &str) -> Failed {
    let folder = folder.display();
    Failed::failure(format!(
        "{why}; finished stages are kept in {folder}: the same command takes them up again"
    ))
}

/// The tree ended before the slot did.
pub(super) fn gone(
    command: &RenderCommand,
    folder: &Path,
    exit: Exit,
    why: &str,
    console: &mut Console,
) -> Result<Exit, Failed> {
    let because = if why.is_empty() { "it gave no reason" } else { why };
    if command.json {
        line(console, json!({ "event": "gone", "exit": exit.code(), "cause": because }), folder)?;
    }
    let label = console.paint_err(Style::Bad, "error:");
    writeln!(
        console.err(),
        "{label} the node gave up: {because}; finished stages are kept in {}",
        folder.display()
    )?;
    Ok(exit)
}

fn line(console: &mut Console, answer: Value, folder: &Path) -> io::Result<()> {
    writeln!(console.out(), "{}", with_path(answer, "folder", folder))
}

fn told(manifest: &Manifest, folder: &Path, console: &mut Console) -> io::Result<()> {
    let file = |name: &str| folder.join(name).display().to_string();
    let has = |name: &str| manifest.artifacts.iter().any(|artifact| artifact.name == name);
    let headline = match &manifest.outcome {
        Outcome::Completed => console.paint(Style::Good, format!("rendered {}", file("video.mp4"))),
        Outcome::Failed { cause, stage, message, .. } => {
            let place = stage.map(|stage| format!(" in {stage}")).unwrap_or_default();
            console.paint(Style::Bad, format!("failed{place} ({}): {message}", cause.name()))
        }
        Outcome::Cancelled { cause } => {
            console.paint(Style::Doubtful, format!("cancelled ({})", cause.name()))
        }
    };
    writeln!(console.out(), "{headline}")?;
    if let Some(frames) = &manifest.frames {
        let seconds = f64::from(frames.total) / f64::from(frames.fps);
        let resolution = frames.resolution;
        let text = format!("{seconds:.2} s, {resolution}, {} frames/s, {} frames", frames.fps, frames.total);
        writeln!(console.out(), "video    {text} ({} rendered)", frames.rendered)?;
    }
    for (what, name) in [("sound", "audio.wav"), ("picture", "actor.png")] {
        if has(name) {
            writeln!(console.out(), "{what:8} {}", file(name))?;
        }
    }
    if let Some(verdict) = &manifest.verification {
        let how = if verdict.passed { "passed" } else { "not passed" };
        writeln!(
            console.out(),
            "check    {how}: clip_b {:.3}, clip_l {:.3}, together {:.3}",
            verdict.clip_b,
            verdict.clip_l,
            verdict.ensemble
        )?;
    }
    let stages: Vec<String> = manifest
        .stages
        .iter()
        .map(|ran| match ran.resumed {
            true => format!("{} kept", ran.stage),
            false => format!("{} {:.1}", ran.stage, ran.ended - ran.began),
        })
        .collect();
    writeln!(console.out(), "took     {:.1} s ({})", manifest.elapsed, stages.join(", "))?;
    writeln!(console.out(), "result   {}, signed by {}", file(sink::FILE_NAME), manifest.node.id)?;
    for warning in &manifest.warnings {
        let label = console.paint(Style::Doubtful, "warning ");
        writeln!(console.out(), "{label} {}", warning.message)?;
    }
    Ok(())
}

/// The most memory that this process has held at once, as far as the system tells.
fn peak_resident() -> Option<Bytes> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes::new(kib * 1024))
}
