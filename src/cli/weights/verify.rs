//! `weights verify`: a bundle's folder against its description and its networks.

use clap::Args;
use serde_json::{Value, json};

use super::{Chosen, progress};
use crate::cli::{Context, Failed, Style};
use crate::exit::Exit;
use crate::models::bundle::verify::{self, CheckedFile, CheckedNetwork, CheckedPart, Standing};
use crate::types::{Bytes, with_path};

/// Arguments of `weights verify`.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    chosen: Chosen,
    /// Look at every value too: NaN and infinite weights are wrong
    #[arg(long)]
    finite: bool,
    /// Names, shapes and values only: skip the hashes, which read every byte
    #[arg(long)]
    no_hash: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Checks and answers.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (bundle, models) = self.chosen.open()?;
        let files = if self.no_hash {
            Vec::new()
        } else {
            let lengths =
                models.iter().filter_map(|model| bundle.models.get(model)).flat_map(|entry| entry.entries());
            let length =
                |path: &str| std::fs::metadata(bundle.folder.join(path)).map_or(0, |found| found.len());
            let total: Bytes = lengths.map(|(_, file)| Bytes::new(length(&file.path))).sum();
            let bar = progress::bytes(total, "hashing");
            let files = verify::files(&bundle, &models, |piece| bar.inc(piece.get()));
            bar.finish_and_clear();
            files
        };
        let networks = verify::networks(&bundle, &models, self.finite);
        let parts = verify::parts(&bundle, &models);
        let is_good = parts.iter().all(|part| part.outcome.is_ok())
            && files.iter().all(|file| matches!(file.standing, Standing::Sound))
            && networks.iter().all(is_sound);
        if self.json {
            let answer = json!({
                "ok": is_good, "bundle": bundle.name,
                "files": files.iter().map(file_json).collect::<Vec<_>>(),
                "networks": networks.iter().map(network_json).collect::<Vec<_>>(),
                "parts": parts.iter().map(part_json).collect::<Vec<_>>(),
            });
            context.console.json(&with_path(answer, "folder", &bundle.folder))?;
        } else {
            files.iter().try_for_each(|file| file_row(file, context))?;
            networks.iter().try_for_each(|network| network_row(network, context))?;
            parts.iter().try_for_each(|part| part_row(part, context))?;
            let (style, verdict) = if is_good { (Style::Good, "sound") } else { (Style::Bad, "not sound") };
            let verdict = context.console.paint(style, verdict);
            writeln!(context.console.out(), "bundle {} is {verdict}", bundle.name)?;
        }
        Ok(if is_good { Exit::Success } else { Exit::Failure })
    }
}

fn is_sound(network: &CheckedNetwork) -> bool {
    network.not_finite.is_empty() && network.outcome.as_ref().is_ok_and(|misfits| misfits.is_usable())
}

fn file_row(file: &CheckedFile, context: &mut Context<'_>) -> Result<(), Failed> {
    let (style, verdict, why) = match &file.standing {
        Standing::Sound => (Style::Good, "ok", String::new()),
        Standing::WrongHash { expected, found } => {
            (Style::Bad, "wrong", format!("\n       expected sha256 {expected}, found {found}"))
        }
        Standing::Unknown { found } => {
            let why = format!("\n       neither the bundle nor a lock says its sha256; found {found}");
            (Style::Bad, "wrong", why)
        }
        Standing::Unreadable(error) => (Style::Bad, "gone", format!("\n       {error}")),
    };
    let verdict = context.console.paint(style, format!("{verdict:5}"));
    let (model, role, size, path) = (file.model, &file.role, file.size, file.path.display());
    writeln!(context.console.out(), "{verdict}  {model:12}  {role:28}  {size:>9}  {path}{why}")?;
    Ok(())
}

fn network_row(network: &CheckedNetwork, context: &mut Context<'_>) -> Result<(), Failed> {
    let mut lines = Vec::new();
    let mut surplus = 0;
    match &network.outcome {
        Ok(misfits) => {
            lines.extend(misfits.missing.iter().chain(&misfits.wrong).map(ToString::to_string));
            surplus = misfits.surplus.len();
            lines.extend(misfits.surplus.iter().map(|name| format!("surplus tensor {name:?}")));
        }
        Err(error) => lines.push(error.chain()),
    }
    lines.extend(network.not_finite.iter().map(ToString::to_string));
    let (style, verdict) = match (is_sound(network), surplus) {
        (false, _) => (Style::Bad, "wrong"),
        (true, 0) => (Style::Good, "ok"),
        (true, _) => (Style::Doubtful, "ok"),
    };
    let verdict = context.console.paint(style, format!("{verdict:5}"));
    let (model, role, asked) = (network.model, &network.role, network.asked);
    writeln!(context.console.out(), "{verdict}  {model:12}  {role:28}  {asked} tensors asked for")?;
    for line in lines {
        writeln!(context.console.out(), "       {line}")?;
    }
    Ok(())
}

fn part_row(part: &CheckedPart, context: &mut Context<'_>) -> Result<(), Failed> {
    let (style, verdict, why) = match &part.outcome {
        Ok(()) => (Style::Good, "ok", String::new()),
        Err(error) => (Style::Bad, "wrong", format!("\n       {}", error.chain())),
    };
    let verdict = context.console.paint(style, format!("{verdict:5}"));
    let (model, role) = (part.model, part.role);
    writeln!(context.console.out(), "{verdict}  {model:12}  {role:28}  read as a load reads it{why}")?;
    Ok(())
}

fn part_json(part: &CheckedPart) -> Value {
    let error = part.outcome.as_ref().err().map(|error| error.chain());
    json!({"model": part.model, "role": part.role, "ok": part.outcome.is_ok(), "error": error})
}

fn file_json(file: &CheckedFile) -> Value {
    let (standing, found) = match &file.standing {
        Standing::Sound => ("ok", Value::Null),
        Standing::WrongHash { found, .. } => ("wrong_hash", json!(found)),
        Standing::Unknown { found } => ("unknown_hash", json!(found)),
        Standing::Unreadable(error) => ("unreadable", json!(error.to_string())),
    };
    let answer = json!({"model": file.model, "role": file.role, "bytes": file.size, "standing": standing,
                        "expected": file.expected, "found": found});
    with_path(answer, "path", &file.path)
}

fn network_json(network: &CheckedNetwork) -> Value {
    let texts = |list: &[_]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
    let not_finite = texts(&network.not_finite);
    let mut value = json!({"model": network.model, "role": network.role, "ok": is_sound(network),
                           "asked": network.asked, "not_finite": not_finite});
    match &network.outcome {
        Ok(misfits) => {
            value["missing"] = json!(texts(&misfits.missing));
            value["wrong"] = json!(texts(&misfits.wrong));
            value["surplus"] = json!(misfits.surplus);
        }
        Err(error) => value["error"] = json!(error.chain()),
    }
    value
}
