//! The journal of the service: the index is the truth for acceptance, order and endings, a slot's folder for what its
//! stages brought.
//!
//! Owns what is known of a slot between its hand-in and its acceptance, and the order of the two writes of an end: the
//! folder's first, then the index's, so that a slot that counts as ended has its result. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::events::row;
use super::network::Claims;
use super::table::{NewView, SlotTable};
use super::traces::Tracing;
use super::views::{self, wants};
use crate::clock;
use crate::events::{Event, EventKind};
use crate::journal::index::{
    Acceptance, ArtifactRow, EndRecord, EndRow, Found, Index, IndexError, NewSlot, OpenRow, SlotRow, State,
    WebhookTarget,
};
use crate::journal::{
    Accepted, Artifact, Ending, Journal, JournalError, JournalFuture, Key, OpenSlot, Opened, Outputs,
    Recorded, SlotFolders, StageOutput, TakenUp, Terminal,
};
use crate::sink;
use crate::types::{Deadline, Sha256, SlotId, Stage, WorkId};

mod network;
mod writes;

/// For a slot whose recipe names no deadline: longer than any slot takes, short enough for every clock.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// After so long an end that could not be written is tried again.
const END_AGAIN: Duration = Duration::from_secs(1);

/// What the journal's seam does not carry of a slot that is handed in.
#[derive(Clone, Debug)]
pub(super) struct HandedIn {
    /// Of the canonical recipe.
    pub(super) recipe_sha256: Sha256,
    /// Since the Unix epoch, where the recipe names one.
    pub(super) deadline: Option<Duration>,
    /// Where its events go.
    pub(super) webhook: Option<WebhookTarget>,
    /// The door that it came in by.
    pub(super) origin: String,
    /// The rendering of a network that it is.
    pub(super) work: Option<WorkId>,
    /// Stages that are finished already.
    pub(super) done: Vec<Stage>,
}

/// The journal; one per process.
pub(super) struct ServiceJournal(Arc<Parts>);

struct Parts {
    index: Index,
    folders: Arc<SlotFolders>,
    table: Arc<SlotTable>,
    /// The bundle that slots are rendered with.
    bundle: Sha256,
    /// Whether artifacts go to a store.
    uploads: bool,
    /// How long an ended slot's files are kept at least.
    keep: Duration,
    tracing: Tracing,
    /// What is claimed of a network.
    claims: Arc<Claims>,
    handed_in: Mutex<HashMap<SlotId, HandedIn>>,
    /// Whether the slots of earlier processes are counted as taken up.
    taken_up: Mutex<bool>,
    /// Slots whose folders are being made, and what is to be written into them then, in the order of the calls: an output
    /// that came before another one would take that one away as void.
    making: Mutex<HashMap<SlotId, Vec<writes::Write>>>,
}

/// What the journal is made of.
pub(super) struct JournalParts {
    pub(super) index: Index,
    pub(super) folders: Arc<SlotFolders>,
    pub(super) table: Arc<SlotTable>,
    pub(super) bundle: Sha256,
    pub(super) uploads: bool,
    pub(super) keep: Duration,
    pub(super) tracing: Tracing,
    pub(super) claims: Arc<Claims>,
}

impl ServiceJournal {
    pub(super) fn new(parts: JournalParts) -> Self {
        let JournalParts { index, folders, table, bundle, uploads, keep, tracing, claims } = parts;
        let (handed_in, taken_up, making) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Parts {
            index,
            folders,
            table,
            bundle,
            uploads,
            keep,
            tracing,
            claims,
            handed_in,
            taken_up,
            making,
        }))
    }

    /// A slot is about to be asked for; what is said of it is taken when it is accepted, else [taken back](Self::forget).
    pub(super) fn hand_in(&self, slot: SlotId, handed_in: HandedIn) {
        self.0.handed_in.lock().insert(slot, handed_in);
    }

    /// The slot was refused.
    pub(super) fn forget(&self, slot: SlotId) {
        self.0.handed_in.lock().remove(&slot);
    }
}

impl From<IndexError> for JournalError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

fn stopped(parts: &Parts) -> impl FnOnce(tokio::task::JoinError) -> JournalError + use<> {
    let dir = parts.folders.root().map(ToOwned::to_owned).unwrap_or_default();
    move |source| JournalError::Stopped { dir, source }
}

/// Has `work` done where it may block.
async fn blocking<T: Send + 'static>(
    parts: &Arc<Parts>,
    work: impl FnOnce(&Parts) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let shared = Arc::clone(parts);
    tokio::task::spawn_blocking(move || work(&shared))
        .await
        .unwrap_or_else(|error| Err(stopped(parts)(error)))
}

impl Journal for ServiceJournal {
    fn accept(&self, accepted: &Accepted) -> JournalFuture {
        let (parts, accepted) = (Arc::clone(&self.0), accepted.clone());
        let slot = accepted.slot;
        let handed_in = parts.handed_in.lock().remove(&slot);
        let Some(HandedIn { recipe_sha256, deadline, webhook, origin, work, done }) = handed_in else {
            let misuse = JournalError::misuse(slot, crate::journal::Misuse::NotPrepared, None);
            return JournalFuture::ready(Err(misuse));
        };
        let (mut accepted_at, mut attempts) = (clock::unix_time(), 1);
        let new = NewSlot {
            slot,
            recipe: Arc::clone(&accepted.recipe),
            recipe_sha256,
            bundle_sha256: parts.bundle,
            accepted_at,
            deadline,
            traceparent: accepted.traceparent.clone(),
            webhook: webhook.clone(),
            origin,
            work,
            event: None,
        };
        let written = parts.index.accept(new);
        JournalFuture::going(async move {
            match written.await? {
                Acceptance::Accepted { .. } => {}
                // Its work has come to this node again: it goes on where it was.
                Acceptance::Known(row) if work.is_some() && row.work == work && !row.state.is_final() => {
                    parts.index.taken_up(slot);
                    attempts = row.attempts.saturating_add(1);
                    accepted_at = row.accepted_at;
                }
                // Whoever handed it in looked before; this is somebody who was as fast.
                Acceptance::Known(_) | Acceptance::Conflict { .. } | Acceptance::Expired(_) => {
                    return Err(JournalError::misuse(slot, crate::journal::Misuse::Open, None));
                }
            }
            parts.table.accepted(NewView {
                slot,
                recipe_sha256: recipe_sha256.to_string(),
                accepted_at,
                deadline,
                attempts,
                trace_id: accepted.traceparent.as_ref().map(views::trace_id),
                done,
                webhook,
            });
            let key = Key { recipe: recipe_sha256, bundle: parts.bundle };
            parts.folders.plan(accepted, key);
            Ok(())
        })
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture {
        let (output, stage) = (output.clone(), output.stage());
        let written = self.0.in_folder(slot, move |folder| folder.stage_done(&output));
        network::shared(&self.0, slot, stage, written)
    }

    fn terminal(&self, terminal: &Terminal) -> JournalFuture<Recorded> {
        let (parts, terminal) = (Arc::clone(&self.0), terminal.clone());
        let slot = terminal.slot;
        // It was stopped because its claim was lost: that is no end.
        if matches!(terminal.ending, Ending::Cancelled { .. }) && parts.claims.is_lost(slot) {
            return JournalFuture::going(async move { Ok(network::left(&parts, slot).await) });
        }
        // Begun now, in the order of the calls. A slot that has no folder, nor is about to have one, ends without.
        let kept = parts.has_folder(slot).then(|| {
            let terminal = terminal.clone();
            parts.in_folder(slot, move |folder| folder.terminal(&terminal))
        });
        JournalFuture::going(async move {
            let mut artifacts = Vec::new();
            if let Some(kept) = kept {
                kept.await?;
                let kept = move |parts: &Parts| {
                    let folder = parts.folders.ensure(slot)?;
                    Ok(with_result(folder.artifacts(), folder.dir()))
                };
                artifacts = blocking(&parts, kept).await?;
            }
            let recorded = network::told_and_ended(&parts, &terminal, artifacts).await?;
            // What was written is safe; a folder that cannot be let go of costs some memory until the process ends.
            let _ = blocking(&parts, move |parts| parts.folders.release(slot)).await;
            Ok(recorded)
        })
    }

    fn tries_ends_again(&self) -> Option<Duration> {
        // A full disk has room again while the process goes on.
        Some(END_AGAIN)
    }

    fn open(&self) -> JournalFuture<Opened> {
        let parts = Arc::clone(&self.0);
        JournalFuture::going(async move {
            let (opened, ended) = blocking(&parts, take_up).await?;
            for (terminal, artifacts) in ended {
                if parts.claims.has_network() {
                    // It may take as long as the network is away.
                    tokio::spawn(network::told_late(Arc::clone(&parts), terminal, artifacts));
                } else {
                    end(&parts, &terminal, artifacts).await?;
                }
            }
            Ok(opened)
        })
    }

    fn before_exit(&self) -> JournalFuture {
        let parts = Arc::clone(&self.0);
        let settled = parts.folders.before_exit();
        JournalFuture::going(async move {
            settled.await?;
            Ok(parts.index.flush().await?)
        })
    }
}

/// The artifacts of finished stages and, where it is there, the signed result. Blocks on the disk.
fn with_result(mut artifacts: Vec<Artifact>, dir: &std::path::Path) -> Vec<Artifact> {
    let result = std::fs::File::open(dir.join(sink::FILE_NAME)).and_then(Sha256::of_reader);
    if let Ok((sha256, bytes)) = result
        && !artifacts.iter().any(|artifact| artifact.name == sink::FILE_NAME)
    {
        artifacts.push(Artifact { name: sink::FILE_NAME.to_owned(), sha256, bytes });
    }
    artifacts
}

/// Writes the end of a slot into the index and shows it.
async fn end(parts: &Arc<Parts>, terminal: &Terminal, artifacts: Vec<Artifact>) -> Result<(), JournalError> {
    let slot = terminal.slot;
    let at = clock::unix_time();
    let shown = parts.table.get(slot);
    let kind = EventKind::from(terminal);
    let event = row(&Event { at, device: None, slot: Some(slot), kind }).map(|mut event| {
        let webhook = parts.table.webhook(slot);
        event.deliver_to = webhook.filter(|it| wants(it, &event.kind, true)).map(|it| it.url);
        event
    });
    let record = end_of(terminal, &artifacts, at);
    // In a network the files are in the store before the end is.
    let upload = parts.uploads && !parts.claims.has_network() && record.state == State::Completed;
    let record = EndRecord { upload, event, ..record };
    parts.index.end(record).await?;
    let keep = parts.keep;
    let found = blocking(parts, move |parts| Ok(parts.index.slot(slot)?)).await?;
    if let Some(Found::Slot(row)) = found {
        let mut view = views::of_row(&row, keep);
        if let Some(shown) = shown {
            // The index knows how long stages took; this process also knows when.
            view.stages = shown.stages;
        }
        parts.table.ended(slot, view);
    }
    Ok(())
}

/// The end of a slot as the index has it; without an event, and with nothing to upload.
pub(super) fn end_of(terminal: &Terminal, artifacts: &[Artifact], at: Duration) -> EndRecord {
    let (state, cause, stage, message, deadline_met) = match &terminal.ending {
        Ending::Completed { deadline_met } => (State::Completed, None, None, None, Some(*deadline_met)),
        Ending::Failed { cause, stage, message } => {
            (State::Failed, Some(cause.name()), *stage, Some(message.clone()), None)
        }
        Ending::Cancelled { cause } => (State::Cancelled, Some(cause.name()), None, None, None),
    };
    let row_of = |artifact: &Artifact| ArtifactRow {
        name: artifact.name.clone(),
        sha256: artifact.sha256,
        bytes: artifact.bytes.get(),
    };
    let seconds = |stage: Stage| (stage, terminal.breakdown[stage].as_secs_f64());
    let end = EndRow {
        at,
        deadline_met,
        cause: cause.map(str::to_owned),
        stage,
        message,
        elapsed: terminal.elapsed,
        stage_seconds: Stage::ALL.into_iter().map(seconds).collect(),
        artifacts: artifacts.iter().map(row_of).collect(),
    };
    EndRecord { slot: terminal.slot, state, end, upload: false, event: None }
}

/// What an earlier process accepted and did not end, and of these what has its end in its folder already.
#[expect(clippy::type_complexity, reason = "two lists of pairs, taken apart at once")]
fn take_up(parts: &Parts) -> Result<(Opened, Vec<(Terminal, Vec<Artifact>)>), JournalError> {
    let (mut opened, mut ended) = (Opened::default(), Vec::new());
    let is_first = !std::mem::replace(&mut *parts.taken_up.lock(), true);
    for OpenRow { row, recipe } in parts.index.open_slots()? {
        let slot = row.slot;
        // It waits for its work to come to this node again.
        if row.work.is_some() && !parts.claims.holds(slot) {
            parts.table.left(waiting(&row));
            continue;
        }
        let deadline = row.deadline.unwrap_or_else(|| row.accepted_at.saturating_add(NO_DEADLINE));
        let accepted = Accepted {
            slot,
            recipe,
            deadline: Deadline::at(moment(deadline)),
            at: moment(row.accepted_at),
            traceparent: row.traceparent.clone(),
        };
        let key = Key { recipe: row.recipe_sha256, bundle: parts.bundle };
        let outputs = match parts.folders.take_up(accepted.clone(), key) {
            Ok(TakenUp::Open(outputs)) => outputs,
            Ok(TakenUp::Ended(terminal, artifacts)) => {
                let artifacts = match parts.folders.dir_of(slot) {
                    Some(dir) => with_result(artifacts, &dir),
                    None => artifacts,
                };
                ended.push((terminal, artifacts));
                continue;
            }
            Err(error) => {
                opened.unread.push((slot, error));
                continue;
            }
        };
        let known = parts.table.is_open(slot);
        if is_first && !known {
            parts.index.taken_up(slot);
        }
        let attempts = row.attempts.saturating_add(u32::from(is_first));
        parts.tracing.take_up(slot, row.traceparent.as_ref(), attempts);
        parts.table.accepted(NewView {
            slot,
            recipe_sha256: row.recipe_sha256.to_string(),
            accepted_at: row.accepted_at,
            deadline: row.deadline,
            attempts,
            trace_id: row.traceparent.as_ref().map(views::trace_id),
            done: done(&outputs),
            webhook: row.webhook,
        });
        opened.slots.push(OpenSlot { accepted, outputs });
    }
    Ok((opened, ended))
}

/// How a slot is shown that nobody here works on.
fn waiting(row: &SlotRow) -> NewView {
    NewView {
        slot: row.slot,
        recipe_sha256: row.recipe_sha256.to_string(),
        accepted_at: row.accepted_at,
        deadline: row.deadline,
        attempts: row.attempts,
        trace_id: row.traceparent.as_ref().map(views::trace_id),
        done: Vec::new(),
        webhook: row.webhook.clone(),
    }
}

fn done(outputs: &Outputs) -> Vec<Stage> {
    Stage::ALL.into_iter().filter(|stage| outputs.has(*stage)).collect()
}

/// A moment on the wall clock, on this process's monotonic one; now, where that does not reach it.
fn moment(wall: Duration) -> Instant {
    let (now, present) = (clock::now(), clock::unix_time());
    match wall.checked_sub(present) {
        Some(ahead) => now.checked_add(ahead),
        None => now.checked_sub(present.saturating_sub(wall)),
    }
    .unwrap_or(now)
}
