//! `weights convert`: published pickles to safetensors, once.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::{Context, Failed, Style};
use crate::contract::Run;
use crate::exit::Exit;
use crate::models::weights::pickle::{self, Converted};
use crate::types::with_path;

/// Arguments of `weights convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// .pth or .pt files, or folders to look through
    #[arg(required = true, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Folder for the .safetensors files; what lies in a folder keeps its place there [default: beside each file]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl Convert {
    /// Converts everything that can be, and answers for each file; exit code 1 where one could not be.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let mut pairs = Vec::new();
        for from in &self.from {
            let root = if from.is_dir() { from.as_path() } else { from.parent().unwrap_or(Path::new("")) };
            for file in checkpoints(from)? {
                let inside = file.strip_prefix(root).unwrap_or(&file);
                let to = self.out.as_ref().map_or_else(|| file.clone(), |out| out.join(inside));
                pairs.push((file.clone(), to.with_extension("safetensors")));
            }
        }
        if let Some((from, to)) = pairs.iter().enumerate().find_map(|(place, (from, to))| {
            pairs[..place].iter().any(|(_, other)| other == to).then_some((from, to))
        }) {
            let (from, to) = (from.display(), to.display());
            return Err(Failed::bad_input(format!("{from}: another file would become {to} as well")));
        }
        let mut is_good = true;
        let mut answers = Vec::new();
        for (from, to) in &pairs {
            let converted = pickle::convert(from, to, &Run::unobserved());
            is_good &= converted.is_ok();
            if self.json {
                let answer = match &converted {
                    Ok(Converted { tensors, written }) => {
                        json!({"tensors": tensors, "bytes": written.size, "sha256": written.sha256.to_string()})
                    }
                    Err(error) => json!({"error": error.chain()}),
                };
                answers.push(with_path(with_path(answer, "from", from), "to", to));
                continue;
            }
            let (from, to) = (from.display(), to.display());
            match converted {
                Ok(Converted { tensors, written }) => {
                    let good = context.console.paint(Style::Good, "ok");
                    let (size, hash) = (written.size, written.sha256);
                    let out = context.console.out();
                    writeln!(
                        out,
                        "{good}     {from} → {to}\n       {tensors} tensors, {size}, sha256 {hash}"
                    )?;
                }
                Err(error) => {
                    let bad = context.console.paint(Style::Bad, "wrong");
                    writeln!(context.console.out(), "{bad}  {from}\n       {}", error.chain())?;
                }
            }
        }
        if self.json {
            context.console.json(&json!({"ok": is_good, "files": answers}))?;
        }
        Ok(if is_good { Exit::Success } else { Exit::Failure })
    }
}

/// The file itself, or every checkpoint at any depth below the folder, in order of name.
fn checkpoints(path: &Path) -> Result<Vec<PathBuf>, Failed> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| Failed::bad_input(format!("{} cannot be read: {error}", path.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        let is_checkpoint =
            entry.extension().is_some_and(|extension| extension == "pth" || extension == "pt");
        if entry.is_dir() {
            found.extend(checkpoints(&entry)?);
        } else if is_checkpoint {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}
