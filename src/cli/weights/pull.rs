//! `weights pull`: a bundle's files from their model hub.

mod fetch;

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Chosen, progress};
use crate::cli::{Context, Failed, Style};
use crate::contract::Run;
use crate::exit::Exit;
use crate::models::bundle::{Bundle, FileEntry, Hub, Sha256, verify};
use crate::models::weights::pickle;
use crate::types::Bytes;
use fetch::{Fetch, Patience};

/// Arguments of `weights pull`.
#[derive(Debug, Args)]
pub(super) struct Pull {
    #[command(flatten)]
    chosen: Chosen,
    /// The hub's address (by default <https://huggingface.co>)
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT")]
    endpoint: Option<String>,
    /// How often in a row a file may fail without a single byte coming
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
}

impl Pull {
    /// Fetches what is not there yet; what was interrupted goes on where it stopped.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (bundle, models) = self.chosen.open()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failed::failure(format!("no runtime for the network: {error}")))?;
        let patience = Patience { retries: self.retries, ..Patience::default() };
        let fetch = Fetch::new(self.endpoint.as_deref(), patience)?;
        let mut failed = 0usize;
        for model in models {
            let entry = bundle.model(model)?;
            for (role, file) in entry.entries() {
                let outcome = runtime.block_on(pull(&fetch, &bundle, entry.hub.as_ref(), file));
                let (style, word, more) = match &outcome {
                    Ok(Outcome::There) => (Style::Faint, "there", String::new()),
                    Ok(Outcome::Fetched(size)) => (Style::Good, "ok", format!(" ({size})")),
                    Err(error) => (Style::Bad, "wrong", format!("\n       {error}")),
                };
                failed += usize::from(outcome.is_err());
                let word = context.console.paint(style, format!("{word:5}"));
                writeln!(context.console.out(), "{word}  {model:12}  {role:28}  {}{more}", file.path)?;
            }
        }
        Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
    }
}

enum Outcome {
    /// It was there already, with its hash.
    There,
    /// It came, with its hash.
    Fetched(Bytes),
}

async fn pull(
    fetch: &Fetch,
    bundle: &Bundle,
    hub: Option<&Hub>,
    file: &FileEntry,
) -> Result<Outcome, String> {
    let path = bundle.folder.join(&file.path);
    if path.exists() {
        let (found, _) = hash(&path)?;
        if found == file.sha256 {
            return Ok(Outcome::There);
        }
        // Whatever it is, it may be somebody's only copy.
        return Err(format!(
            "{} is there with another sha256: expected {}, found {found}; move it away to fetch it again",
            path.display(),
            file.sha256
        ));
    }
    let hub = hub.ok_or(
        "the bundle names no hub for this model (hub = { repo = \"owner/name\", revision = \"…\" })",
    )?;
    let Some((published, expected)) =
        file.remote.as_ref().and_then(|remote| Some((&remote.path, remote.sha256?)))
    else {
        let remote =
            file.remote.as_ref().map_or_else(|| below_first_folder(&file.path), |remote| &remote.path);
        let part = beside(&path, ".part");
        let size = fetch.file(hub, remote, &part).await?;
        accept(&part, &path, file.sha256)?;
        return Ok(Outcome::Fetched(size));
    };
    // A published pickle, converted once. It stays beside its conversion only as long as that takes.
    let pickled = beside(&path, ".pickle");
    if !pickled.exists() {
        let part = beside(&pickled, ".part");
        fetch.file(hub, published, &part).await?;
        accept(&part, &pickled, expected)?;
    }
    let part = beside(&path, ".part");
    pickle::convert(&pickled, &part, &Run::unobserved()).map_err(|error| error.chain())?;
    let size = accept(&part, &path, file.sha256)?;
    std::fs::remove_file(&pickled)
        .map_err(|error| format!("{} cannot be removed: {error}", pickled.display()))?;
    Ok(Outcome::Fetched(size))
}

/// Gives `part` its final name if it hashes to `expected`; else removes it.
fn accept(part: &Path, path: &Path, expected: Sha256) -> Result<Bytes, String> {
    let (found, size) = hash(part)?;
    let failed = |error: std::io::Error| format!("{}: {error}", part.display());
    if found != expected {
        std::fs::remove_file(part).map_err(failed)?;
        return Err(format!(
            "what came is not what the bundle describes: expected sha256 {expected}, found {found}"
        ));
    }
    std::fs::rename(part, path).map_err(failed)?;
    Ok(size)
}

fn hash(path: &Path) -> Result<(Sha256, Bytes), String> {
    let length = std::fs::metadata(path).map_or(0, |found| found.len());
    let bar = progress::bytes(Bytes::new(length), &format!("hashing {}", path.display()));
    let hashed = verify::hash(path, |piece| bar.inc(piece.get()));
    bar.finish_and_clear();
    hashed.map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// How the hub knows a file that names no other path: a bundle keeps each model in a folder of its own.
fn below_first_folder(path: &str) -> &str {
    path.split_once('/').map_or(path, |(_, rest)| rest)
}
