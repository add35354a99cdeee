//! A result of a network into a folder: the record from its stream, checked, and the files that it names from the store.
//!
//! Anybody who may write to the stream could claim anything; what the node has signed decides.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Came, FetchCommand, chosen, each, report, verdict};
use crate::api::views::ArtifactView;
use crate::cli::network::{Target, ends};
use crate::cli::remote::{Signals, block_on, plain};
use crate::cli::{Context, Failed};
use crate::client::{ClientError, Fetched, place};
use crate::exit::Exit;
use crate::files::{Existing, Readers, write_whole};
use crate::network::results::{self, EndState, ResultRecord};
use crate::network::{Session, overview};
use crate::sink::store::{GetError, Store};
use crate::sink::{self, Outcome, PublicKey};
use crate::types::{Sha256, SlotId, with_path};

pub(super) fn fetch(
    command: &FetchCommand,
    folder: &Path,
    context: &mut Context<'_>,
) -> Result<Exit, Failed> {
    let target = command.network.find(command.remote.certificates(), context)?;
    let store = command.store.open(context)?;
    let (record, came) = block_on(async {
        let record = record(command, &target).await?;
        let mut signals = Signals::listen()?;
        let came = files(&store, &record, &target.known, &command.names, folder, &mut signals).await?;
        Ok::<_, Failed>((record, came))
    })??;
    let exit = verdict(&came);
    if command.json {
        let files: Vec<Value> = came.iter().map(|one| one.json(command.id, folder)).collect();
        let answer = json!({
            "ok": exit == Exit::Success,
            "id": command.id,
            "work": record.work.to_string(),
            "node": record.node,
            "state": record.state,
            "files": files,
        });
        context.console.json(&with_path(answer, "dir", folder))?;
    } else {
        report(&came, folder, exit, context.console)?;
        let (_, how) = ends(&record);
        writeln!(context.console.err(), "{}: {how}", record.work)?;
    }
    Ok(exit)
}

/// The result that is meant.
async fn record(command: &FetchCommand, target: &Target) -> Result<ResultRecord, Failed> {
    let (id, session) = (command.id, target.open().await?);
    let mut found = results::of_slot(&session, id).await?;
    if let Some(replica) = command.replica {
        found.retain(|record| record.work.replica == replica);
    }
    match results::highest(&found) {
        Some(record) => Ok(record.clone()),
        None => Err(none(command, &session, id).await?),
    }
}

/// Why there is none.
async fn none(command: &FetchCommand, session: &Session, id: SlotId) -> Result<Failed, Failed> {
    let known = overview::of_slot(session, id).await?;
    if known.is_unknown() {
        return Ok(Failed::bad_input(format!("the network knows no slot {id}")));
    }
    let Some(replica) = command.replica else {
        return Ok(Failed::failure(format!("slot {id} has not ended: its files are there once it has")));
    };
    let has = known.renderings.iter().any(|rendering| rendering.work.replica == replica);
    Ok(if has {
        Failed::failure(format!(
            "replica {replica} of slot {id} has not ended: its files are there once it has"
        ))
    } else {
        let there: Vec<String> = known.renderings.iter().map(|it| it.work.replica.to_string()).collect();
        Failed::bad_input(format!("slot {id} has no replica {replica}; it has: {}", there.join(", ")))
    })
}

/// Fetches what `record` names and `names` ask for, and the signed result where all is asked for. Only what a node of
/// `known` has signed (any node, where none is listed) gets into the folder.
pub(in crate::cli) async fn files(
    store: &Store,
    record: &ResultRecord,
    known: &[PublicKey],
    names: &[String],
    folder: &Path,
    signals: &mut Signals,
) -> Result<Vec<Came>, Failed> {
    let work = record.work;
    let Some(text) = &record.result else {
        let (_, how) = ends(record);
        return Err(Failed::failure(format!("{work} left no files: it is {how}")));
    };
    check(record, text, known).map_err(|wrong| {
        Failed::failure(format!("the result of {work} is refused: {wrong}; nothing was fetched"))
    })?;
    let mut all: Vec<ArtifactView> = record.artifacts.iter().map(view).collect();
    all.push(ArtifactView {
        name: sink::FILE_NAME.to_owned(),
        sha256: Sha256::of(text.as_bytes()).to_string(),
        bytes: text.len() as u64,
        url: String::new(),
    });
    let wanted = chosen(work.slot, &all, names)?;
    each(&wanted, signals, async |artifact, reached| {
        let came = one(store, artifact, text, folder).await;
        reached(artifact.bytes);
        came
    })
    .await
}

fn view(artifact: &results::ResultArtifact) -> ArtifactView {
    ArtifactView {
        name: artifact.name.clone(),
        sha256: artifact.sha256.to_string(),
        bytes: artifact.bytes.get(),
        url: artifact.address.clone(),
    }
}

/// Whether the node that `record` names has signed just this.
fn check(record: &ResultRecord, text: &str, known: &[PublicKey]) -> Result<(), String> {
    let manifest = sink::signed(text).map_err(|error| error.to_string())?;
    let node = manifest.node.id;
    if node.to_string() != record.node {
        return Err(format!(
            "it says that it is of node {}, and node {node} has signed it",
            plain(&record.node)
        ));
    }
    if !known.is_empty() && !known.contains(&node) {
        return Err(format!("node {node} is not among the known ones (the setting network.nodes)"));
    }
    if manifest.recipe_id != record.work.slot {
        return Err(format!("it is signed as that of slot {}", manifest.recipe_id));
    }
    let state = match manifest.outcome {
        Outcome::Completed => EndState::Completed,
        Outcome::Failed { .. } => EndState::Failed,
        Outcome::Cancelled { .. } => EndState::Cancelled,
    };
    if state != record.state {
        return Err(format!("it says {}, and what is signed is {state}", record.state));
    }
    let named: Vec<_> = record.artifacts.iter().map(|it| (it.name.as_str(), it.sha256, it.bytes)).collect();
    let signed: Vec<_> =
        manifest.artifacts.iter().map(|it| (it.name.as_str(), it.sha256, it.bytes)).collect();
    if let Some((name, ..)) = named.iter().find(|it| !signed.contains(it)) {
        return Err(format!("it names {:?}, which is not signed so", plain(name)));
    }
    match signed.iter().find(|it| !named.contains(it)) {
        Some((name, ..)) => Err(format!("it does not say where {:?} is", plain(name))),
        None => Ok(()),
    }
}

async fn one(
    store: &Store,
    artifact: &ArtifactView,
    result: &str,
    folder: &Path,
) -> Result<Fetched, ClientError> {
    let (path, is_there) = place(artifact, folder).await?;
    if is_there {
        return Ok(Fetched::There);
    }
    if artifact.url.is_empty() {
        let write = |file: &mut std::fs::File| file.write_all(result.as_bytes());
        write_whole(&path, Existing::Keep, Readers::Umask, write)
            .map_err(|error| ClientError::File(format!("{} cannot be written: {error}", path.display())))?;
        return Ok(Fetched::Came { resumed: 0 });
    }
    let sha256 = artifact.sha256.parse().map_err(|wrong: &str| ClientError::Artifact(wrong.to_owned()))?;
    let came = store.get_to(&artifact.url, sha256, artifact.bytes, &path).await;
    came.map(|()| Fetched::Came { resumed: 0 }).map_err(|error| match error {
        error @ GetError::Local { .. } => ClientError::File(error.to_string()),
        error => ClientError::Artifact(plain(&error.to_string()).into_owned()),
    })
}
