//! `weights adopt`: the bundle around weights that people have already.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::progress;
use crate::cli::{Context, Failed, Style};
use crate::exit::Exit;
use crate::models::adopt::{self, Adopted, AdoptedFile, Choice, Doing, Request};
use crate::models::bundle::FILE_NAME;
use crate::types::{ModelId, with_path};

/// Arguments of `weights adopt`.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// Folders to look through, or single files; where two files serve for one role, name the one that is meant
    #[arg(required = true, value_name = "FOLDER")]
    from: Vec<PathBuf>,
    /// Folder of the bundle: its bundle.toml, links to the files, and what has to be converted or made up
    /// [default: the first FOLDER]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Only these models, separated by commas: flux, liveportrait, kokoro, clip_b, clip_l [default: all that are there]
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Vec<ModelId>,
    /// Write over a bundle.toml, and links of an earlier run, that are there
    #[arg(long)]
    replace: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl Adopt {
    /// Adopts and tells; exit code 1 where no model is whole, or one that was asked for is not.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if let Some(missing) = self.from.iter().find(|from| !from.exists()) {
            return Err(Failed::bad_input(format!("{}: no such file or folder", missing.display())));
        }
        let into = match (&self.into, self.from.first()) {
            (Some(into), _) => into.clone(),
            (None, Some(first)) if first.is_dir() => first.clone(),
            (None, _) => {
                return Err(Failed::bad_input(
                    "a single file has no room for a bundle: name its folder with --into",
                ));
            }
        };
        let description = into.join(FILE_NAME);
        if description.exists() && !self.replace {
            return Err(Failed::bad_input(format!(
                "{} is there already; name another folder with --into, or let it be replaced with --replace",
                description.display()
            )));
        }
        let models = if self.models.is_empty() { ModelId::ALL.to_vec() } else { self.models.clone() };
        let request = Request { from: &self.from, into: &into, models: &models, replace: self.replace };
        let mut bar = ProgressBar::hidden();
        let adopted = adopt::adopt(&request, |doing| match doing {
            Doing::Look(_) => {}
            Doing::Convert(path) => bar = progress::bytes(crate::types::Bytes::ZERO, &name(path)),
            Doing::Hash(path, size) => bar = progress::bytes(size, &name(path)),
            Doing::Hashed(piece) => bar.inc(piece.get()),
        })?;
        bar.finish_and_clear();
        let is_good = adopted.bundle.is_some() && (self.models.is_empty() || adopted.left_out.is_empty());
        if self.json {
            let answer = as_json(&adopted, is_good);
            context.console.json(&with_path(answer, "folder", &into))?;
        } else {
            print(&adopted, &into, context)?;
        }
        Ok(if is_good { Exit::Success } else { Exit::Failure })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn print(adopted: &Adopted, into: &Path, context: &mut Context<'_>) -> Result<(), Failed> {
    for (model, entry) in adopted.bundle.iter().flat_map(|bundle| &bundle.models) {
        let title = context.console.paint(Style::Strong, model);
        writeln!(context.console.out(), "{title}: {}, budget {}", entry.precision, entry.budget)?;
        for file in adopted.files.iter().filter(|file| file.model == *model) {
            let AdoptedFile { role, way, size, .. } = file;
            let what = match (&file.from, file.about) {
                (Some(from), _) => from.display().to_string(),
                (None, about) => about.unwrap_or_default().to_owned(),
            };
            writeln!(context.console.out(), "  {role:28}  {:9}  {size:>9}  {what}", way.name())?;
        }
    }
    for (model, why) in &adopted.left_out {
        let title = context.console.paint(Style::Doubtful, format!("{model}: left out"));
        writeln!(context.console.out(), "{title}: {why}")?;
    }
    for Choice { model, role, taken, left, why } in &adopted.choices {
        let (taken, left) = (taken.display(), left.display());
        writeln!(context.console.out(), "chosen for {model}.{role}: {taken}, not {left}: {why}")?;
    }
    for (path, why) in &adopted.unused {
        writeln!(context.console.out(), "not used: {}\n       {why}", path.display())?;
    }
    let out = context.console.out();
    match &adopted.bundle {
        Some(bundle) => {
            let models: Vec<&str> = bundle.models.keys().map(|model| model.name()).collect();
            writeln!(out, "wrote {} with {}", into.join(FILE_NAME).display(), models.join(", "))?;
        }
        None => writeln!(out, "wrote nothing: no model is whole")?,
    }
    Ok(())
}

fn as_json(adopted: &Adopted, is_good: bool) -> Value {
    let file = |file: &AdoptedFile| {
        let value = json!({"model": file.model, "role": file.role, "path": file.path, "way": file.way.name(),
                           "bytes": file.size, "about": file.about});
        match &file.from {
            Some(from) => with_path(value, "from", from),
            None => value,
        }
    };
    let choice = |choice: &Choice| {
        let value = json!({"model": choice.model, "role": choice.role, "why": choice.why});
        with_path(with_path(value, "taken", &choice.taken), "left", &choice.left)
    };
    let models = adopted.bundle.iter().flat_map(|bundle| &bundle.models);
    let models: Vec<Value> = models
        .map(|(model, entry)| json!({"model": model, "precision": entry.precision, "budget": entry.budget}))
        .collect();
    let left_out: Vec<Value> =
        adopted.left_out.iter().map(|(model, why)| json!({"model": model, "why": why})).collect();
    let unused: Vec<Value> =
        adopted.unused.iter().map(|(path, why)| with_path(json!({"why": why}), "path", path)).collect();
    json!({"ok": is_good, "written": adopted.bundle.is_some(), "models": models,
           "files": adopted.files.iter().map(file).collect::<Vec<_>>(), "left_out": left_out,
           "choices": adopted.choices.iter().map(choice).collect::<Vec<_>>(), "unused": unused})
}
