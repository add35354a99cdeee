//! `weights convert`: published pickles to safetensors, once.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::{Context, Failed, Style};
use crate::contract::Run;
use crate::exit::Exit;
use crate::models::weights::pickle::{self, CONVERTER, Converted};
use crate::types::with_path;

/// How checkpoints are called that are looked for in folders; a file that is named itself may be called anything.
const SUFFIXES: [&str; 2] = ["pth", "pt"];
/// How a file begins that PyTorch has written since version 1.6: as a zip archive's.
const ZIP: &[u8] = b"PK\x03\x04";
/// How many files with other names are told of.
const TOLD: usize = 3;

/// Arguments of `weights convert`.
#[derive(Debug, Args)]
pub(super) struct Convert {
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
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
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
        if pairs.is_empty() {
            let looked: Vec<String> = self.from.iter().map(|from| from.display().to_string()).collect();
            return Err(Failed::bad_input(format!(
                "nothing to convert in {}: looked for files named {}, in folders inside it too{}",
                looked.join(", "),
                SUFFIXES.map(|suffix| format!("*.{suffix}")).join(", "),
                there(&self.from)
            )));
        }
        let mut is_good = true;
        let mut answers = Vec::new();
        for (from, to) in &pairs {
            let converted = pickle::convert(from, to, &Run::unobserved());
            is_good &= converted.is_ok();
            if self.json {
                let answer = match &converted {
                    Ok(Converted { tensors, written }) => {
                        json!({"tensors": tensors, "bytes": written.size, "sha256": written.sha256.to_string(),
                               "converter": CONVERTER})
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

/// What stands in the folders instead: checkpoints by other names, else safetensors, which need no conversion.
fn there(folders: &[PathBuf]) -> String {
    let all: Vec<PathBuf> =
        folders.iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path()).collect();
    let some = |is: &dyn Fn(&Path) -> bool| {
        let mut found: Vec<String> = all
            .iter()
            .filter(|path| path.is_file() && is(path))
            .map(|path| path.display().to_string())
            .collect();
        found.sort();
        found.truncate(TOLD);
        found.join(", ")
    };
    let begins = |path: &Path| {
        let mut first = [0; ZIP.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == ZIP
    };
    let others = some(&begins);
    if !others.is_empty() {
        return format!("; {others} may be checkpoints by other names: name each file itself");
    }
    let done = some(&|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    if done.is_empty() { String::new() } else { format!("; {done}: safetensors already") }
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
            entry.extension().is_some_and(|extension| SUFFIXES.iter().any(|suffix| extension == *suffix));
        if entry.is_dir() {
            found.extend(checkpoints(&entry)?);
        } else if is_checkpoint {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}
