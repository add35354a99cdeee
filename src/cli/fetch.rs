//! `vortex-node fetch`: files of a slot from a node, or from a network's artifact store, into a folder.

mod bars;
pub(super) mod network;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::network::{NatsFlags, StoreFlags};
use super::remote::{RemoteFlags, Signals, block_on, count, plain, slot_id};
use super::{ConfigFlags, Console, Context, Failed, Style};
use crate::api::views::ArtifactView;
use crate::client::{Client, ClientError, Fetched};
use crate::exit::Exit;
use crate::types::{Bytes, SlotId, with_path};

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct FetchCommand {
    /// Slot whose files are wanted
    #[arg(value_name = "ID", value_parser = slot_id)]
    id: SlotId,
    /// Files that are wanted, by their names or the folders they are in; all if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Folder to put them into [default: renders/ and the slot's id]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// Of this replica, with --nats [default: the first that has ended, of the slot's newest epoch]
    #[arg(long, value_name = "N")]
    replica: Option<NonZeroU32>,
    #[command(flatten)]
    network: NatsFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

impl FetchCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Fetches. Exit code 0 where every file is there with its hash, 1 where one is not, 2 where there is no such slot or
    /// file, 130 where it was interrupted; what has come by then is gone on with by the next run.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let folder = self.out.clone().unwrap_or_else(|| Path::new("renders").join(self.id.to_string()));
        if self.network.ask_network(&self.remote)? {
            return network::fetch(&self, &folder, context);
        }
        if let Some(flag) = [("--replica", self.replica.is_some()), ("--store", self.store.store.is_some())]
            .iter()
            .find_map(|(flag, given)| given.then_some(flag))
        {
            return Err(Failed::bad_input(format!("{flag} is for the network; accepted: with --nats")));
        }
        let client = self.remote.connect(context)?;
        let came = block_on(async {
            let slot = client.slot(self.id).await?;
            if slot.artifacts.is_empty() {
                let is_final = slot.state.is_final();
                let why = if is_final { "it left no files" } else { "its files are there once it has ended" };
                let (id, state) = (plain(&slot.id), slot.state.name());
                return Err(Failed::failure(format!("slot {id} is {state}: {why}")));
            }
            let wanted = chosen(self.id, &slot.artifacts, &self.names)?;
            let mut signals = Signals::listen()?;
            into(&client, &wanted, &folder, &mut signals).await
        })??;
        let exit = verdict(&came);
        if self.json {
            let files: Vec<Value> = came.iter().map(|one| one.json(self.id, &folder)).collect();
            let answer = json!({ "ok": exit == Exit::Success, "id": self.id, "files": files });
            context.console.json(&with_path(answer, "dir", &folder))?;
        } else {
            report(&came, &folder, exit, context.console)?;
        }
        Ok(exit)
    }
}

/// Those of a slot's `artifacts` that `names` ask for.
fn chosen(slot: SlotId, artifacts: &[ArtifactView], names: &[String]) -> Result<Vec<ArtifactView>, Failed> {
    let is_meant = |artifact: &ArtifactView, name: &str| {
        artifact.name == name
            || artifact
                .name
                .strip_prefix(name.trim_end_matches('/'))
                .is_some_and(|rest| rest.starts_with('/'))
    };
    for name in names {
        if !artifacts.iter().any(|artifact| is_meant(artifact, name)) {
            let there: Vec<&str> = artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
            let nearest = crate::types::nearest(name, there.iter().copied());
            let mean =
                nearest.map(|nearest| format!(" (did you mean {:?}?)", plain(nearest))).unwrap_or_default();
            let there = there.join(", ");
            return Err(Failed::bad_input(format!(
                "slot {slot} has no file {name:?}{mean}; it has: {}",
                plain(&there)
            )));
        }
    }
    let wanted = artifacts
        .iter()
        .filter(|artifact| names.is_empty() || names.iter().any(|name| is_meant(artifact, name)));
    Ok(wanted.cloned().collect())
}

/// What became of one file.
pub(super) struct Came {
    artifact: ArtifactView,
    /// None where it was not begun, since the command was interrupted.
    pub(super) ended: Result<Fetched, Missing>,
}

/// Why a file is not there.
pub(super) enum Missing {
    Failed(ClientError),
    Interrupted,
}

impl Came {
    /// For machines.
    pub(super) fn json(&self, id: SlotId, folder: &Path) -> Value {
        let mut answer = json!({
            "event": "fetched", "slot": id, "name": self.artifact.name, "sha256": self.artifact.sha256,
            "bytes": self.artifact.bytes,
        });
        match &self.ended {
            Ok(Fetched::There) => answer["resumed"] = json!(self.artifact.bytes),
            Ok(Fetched::Came { resumed }) => answer["resumed"] = json!(resumed),
            Err(Missing::Failed(error)) => answer["error"] = json!(error.to_string()),
            Err(Missing::Interrupted) => answer["error"] = json!("interrupted"),
        }
        if self.ended.is_ok() {
            answer = with_path(answer, "path", &folder.join(&self.artifact.name));
        }
        answer
    }

    /// What is to be said on standard error, where it is not there.
    pub(super) fn complaint(&self, console: &Console) -> Option<String> {
        match &self.ended {
            Ok(_) | Err(Missing::Interrupted) => None,
            Err(Missing::Failed(error)) => {
                let label = console.paint_err(Style::Bad, "error:");
                let (name, told) = (plain(&self.artifact.name), error.to_string());
                let name = if told.contains(name.as_ref()) { String::new() } else { format!("{name}: ") };
                Some(format!("{label} {name}{told}"))
            }
        }
    }
}

/// Fetches `artifacts` from a node into `folder`.
pub(super) async fn into(
    client: &Client,
    artifacts: &[ArtifactView],
    folder: &Path,
    signals: &mut Signals,
) -> Result<Vec<Came>, Failed> {
    each(artifacts, signals, async |artifact, reached| client.fetch(artifact, folder, reached).await).await
}

/// Fetches `artifacts` by `fetch`, one after the other; what fails does not keep the others.
async fn each(
    artifacts: &[ArtifactView],
    signals: &mut Signals,
    fetch: impl AsyncFn(&ArtifactView, &(dyn Fn(u64) + Sync)) -> Result<Fetched, ClientError>,
) -> Result<Vec<Came>, Failed> {
    let total: u64 = artifacts.iter().map(|artifact| artifact.bytes).fold(0, u64::saturating_add);
    let bars = bars::Bars::new(total);
    let (mut came, mut is_over) = (Vec::new(), false);
    for artifact in artifacts {
        if is_over {
            came.push(Came { artifact: artifact.clone(), ended: Err(Missing::Interrupted) });
            continue;
        }
        bars.begin(artifact);
        let reached = |bytes: u64| bars.reached(bytes);
        let ended = tokio::select! {
            ended = fetch(artifact, &reached) => ended.map_err(Missing::Failed),
            () = signals.next() => Err(Missing::Interrupted),
        };
        is_over = matches!(ended, Err(Missing::Interrupted));
        bars.end(artifact);
        came.push(Came { artifact: artifact.clone(), ended });
    }
    bars.clear();
    Ok(came)
}

/// The exit code that these add up to.
pub(super) fn verdict(came: &[Came]) -> Exit {
    let interrupted = |one: &Came| matches!(one.ended, Err(Missing::Interrupted));
    if came.iter().any(interrupted) {
        Exit::Interrupted
    } else if came.iter().all(|one| one.ended.is_ok()) {
        Exit::Success
    } else {
        Exit::Failure
    }
}

/// The one that tells more: an interruption, then a failure.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Success || other == Exit::Interrupted { other } else { one }
}

fn report(came: &[Came], folder: &Path, exit: Exit, console: &mut Console) -> Result<(), Failed> {
    for one in came {
        if let Some(told) = one.complaint(console) {
            writeln!(console.err(), "{told}")?;
            continue;
        }
        let (style, word) = match one.ended {
            Ok(Fetched::There) => (Style::Faint, "there"),
            Ok(Fetched::Came { .. }) => (Style::Good, "ok"),
            Err(_) => (Style::Doubtful, "not"),
        };
        let word = console.paint(style, format!("{word:5}"));
        let (name, size) = (plain(&one.artifact.name), Bytes::new(one.artifact.bytes));
        writeln!(console.out(), "{word}  {name:28}  {size}")?;
    }
    if exit == Exit::Interrupted {
        writeln!(console.err(), "interrupted: the same command goes on from there")?;
    } else {
        let good = came.iter().filter(|one| one.ended.is_ok()).count();
        writeln!(console.out(), "{} in {}", count(good, "file"), folder.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
