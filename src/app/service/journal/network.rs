//! Slots of a network in the journal: whose end the network decides, and which wait here for their work to come again.

use std::sync::Arc;
use std::time::Duration;

use super::{Parts, ServiceJournal, blocking, end, end_of, moment, row, waiting, with_result};
use crate::app::service::network::Verdict;
use crate::app::service::views::{self, wants};
use crate::clock;
use crate::events::{Event, EventKind};
use crate::journal::index::{EndRecord, EndRow, Found, SlotRow, State};
use crate::journal::{
    Accepted, Artifact, Ending, Failure, JournalError, JournalFuture, Key, Outputs, Recorded, TakenUp,
    Terminal,
};
use crate::types::{Deadline, SlotId, Stage, WorkId};

/// Tells the network of an end, and writes down what comes of it.
pub(super) async fn told_and_ended(
    parts: &Arc<Parts>,
    terminal: &Terminal,
    artifacts: Vec<Artifact>,
) -> Result<Recorded, JournalError> {
    let slot = terminal.slot;
    let work = match parts.claims.has_network() {
        true => open(parts, slot).await?.and_then(|row| row.work),
        false => None,
    };
    let dir = parts.folders.dir_of(slot);
    let recorded = match parts.claims.conclude(terminal, work, &artifacts, dir).await {
        Verdict::Stands => {
            end(parts, terminal, artifacts).await?;
            Recorded::Ended
        }
        Verdict::Superseded { by } => {
            supersede(parts, terminal, artifacts, &by).await?;
            Recorded::Superseded { by }
        }
        // It takes no place until its work comes again.
        Verdict::Lost => return Ok(left(parts, slot).await),
    };
    parts.claims.recorded(slot, &recorded);
    Ok(recorded)
}

/// The same for a slot that a process before this one had ended in its folder.
pub(super) async fn told_late(parts: Arc<Parts>, terminal: Terminal, artifacts: Vec<Artifact>) {
    let told = told_and_ended(&parts, &terminal, artifacts).await;
    logged(terminal.slot, "the end of a slot is not recorded", told);
}

/// A slot whose claim was lost: it stays open, and is shown as waiting.
pub(super) async fn left(parts: &Arc<Parts>, slot: SlotId) -> Recorded {
    if let Some(Some(row)) = logged(slot, "a slot that is left cannot be read", open(parts, slot).await) {
        parts.table.left(waiting(&row));
    }
    parts.claims.recorded(slot, &Recorded::Left);
    Recorded::Left
}

/// Writes into the index that another's result was first.
async fn supersede(
    parts: &Arc<Parts>,
    terminal: &Terminal,
    artifacts: Vec<Artifact>,
    by: &str,
) -> Result<(), JournalError> {
    let at = clock::unix_time();
    let record = end_of(terminal, &artifacts, at);
    let end = EndRow {
        deadline_met: None,
        cause: None,
        stage: None,
        message: Some(format!("the result of {by} was first")),
        ..record.end
    };
    write(parts, EndRecord { state: State::Superseded, end, ..record }, at, by).await
}

async fn write(parts: &Arc<Parts>, record: EndRecord, at: Duration, by: &str) -> Result<(), JournalError> {
    let slot = record.slot;
    let kind = EventKind::SlotSuperseded { by: by.to_owned() };
    let event = row(&Event { at, device: None, slot: Some(slot), kind }).map(|mut event| {
        let webhook = parts.table.webhook(slot);
        event.deliver_to = webhook.filter(|it| wants(it, &event.kind, true)).map(|it| it.url);
        event
    });
    parts.index.end(EndRecord { event, ..record }).await?;
    let found = blocking(parts, move |parts| Ok(parts.index.slot(slot)?)).await?;
    if let Some(Found::Slot(row)) = found {
        parts.table.ended(slot, views::of_row(&row, parts.keep));
    }
    Ok(())
}

/// Where other nodes are to have what is finished, once it is `written`.
pub(super) fn shared(
    parts: &Arc<Parts>,
    slot: SlotId,
    stage: Stage,
    written: JournalFuture,
) -> JournalFuture {
    if !parts.claims.has_network() {
        return written;
    }
    let parts = Arc::clone(parts);
    written.map_ok(move |()| parts.claims.finished(slot, stage, &parts.folders))
}

/// The row of an open slot.
async fn open(parts: &Arc<Parts>, slot: SlotId) -> Result<Option<Box<SlotRow>>, JournalError> {
    let found = blocking(parts, move |parts| Ok(parts.index.slot(slot)?)).await?;
    Ok(match found {
        Some(Found::Slot(row)) if !row.state.is_final() => Some(row),
        _ => None,
    })
}

/// What is left of a slot in its folder.
async fn in_folder(parts: &Arc<Parts>, row: &SlotRow) -> Result<TakenUp, JournalError> {
    let (slot, recipe) = (row.slot, row.recipe_sha256);
    let far = Duration::from_secs(30 * 24 * 3600);
    let deadline = row.deadline.unwrap_or_else(|| row.accepted_at.saturating_add(far));
    let (at, traceparent) = (moment(row.accepted_at), row.traceparent.clone());
    let taken = move |parts: &Parts| {
        let bytes = parts.index.recipe(slot)?.unwrap_or_else(|| Arc::from([]));
        let accepted =
            Accepted { slot, recipe: bytes, deadline: Deadline::at(moment(deadline)), at, traceparent };
        parts.folders.take_up(accepted, Key { recipe, bundle: parts.bundle })
    };
    blocking(parts, taken).await
}

fn logged<T>(slot: SlotId, what: &str, outcome: Result<T, JournalError>) -> Option<T> {
    outcome.map_err(|error| tracing::error!(%slot, %error, "{what}")).ok()
}

impl ServiceJournal {
    /// Outputs of finished stages of an open slot whose work has come again.
    pub(in crate::app::service) async fn kept(&self, slot: SlotId) -> Outputs {
        let kept = async {
            match open(&self.0, slot).await? {
                Some(row) => in_folder(&self.0, &row).await.map(Some),
                None => Ok(None),
            }
        };
        match logged(slot, "what is finished of a slot cannot be read; it begins anew", kept.await).flatten()
        {
            Some(TakenUp::Open(outputs)) => outputs,
            Some(TakenUp::Ended(..)) | None => Outputs::default(),
        }
    }

    /// Ends an open slot that has ended in its folder, if it has: the network is told now.
    pub(in crate::app::service) async fn ended_in_folder(&self, slot: SlotId) -> Option<Recorded> {
        let done = async {
            let Some((terminal, artifacts)) = self.end_in_folder(slot).await? else { return Ok(None) };
            told_and_ended(&self.0, &terminal, artifacts).await.map(Some)
        };
        logged(slot, "a slot that had ended is not told", done.await).flatten()
    }

    /// Ends an open slot as it has ended in its folder, whose result stands in the network; false where the folder has no
    /// end.
    pub(in crate::app::service) async fn ends_as_in_folder(&self, slot: SlotId) -> bool {
        let done = async {
            let Some((terminal, artifacts)) = self.end_in_folder(slot).await? else { return Ok(false) };
            end(&self.0, &terminal, artifacts).await.map(|()| true)
        };
        logged(slot, "the end of a slot is not recorded", done.await).unwrap_or(false)
    }

    /// Tells the network how a slot ended that has ended here before; none where nothing is left of it.
    pub(in crate::app::service) async fn tell_again(&self, slot: SlotId) -> Option<Recorded> {
        let parts = &self.0;
        let told = async {
            let found = blocking(parts, move |parts| Ok(parts.index.slot(slot)?)).await?;
            let Some(Found::Slot(row)) = found else { return Ok(None) };
            let TakenUp::Ended(terminal, artifacts) = in_folder(parts, &row).await? else { return Ok(None) };
            let dir = parts.folders.dir_of(slot);
            let artifacts = match &dir {
                Some(dir) => with_result(artifacts, dir),
                None => artifacts,
            };
            let work = row.work.or_else(|| Some(WorkId::first(slot)));
            let recorded = match parts.claims.conclude(&terminal, work, &artifacts, dir).await {
                Verdict::Stands => Recorded::Ended,
                Verdict::Superseded { by } => Recorded::Superseded { by },
                Verdict::Lost => Recorded::Left,
            };
            parts.claims.recorded(slot, &recorded);
            Ok(Some(recorded))
        };
        logged(slot, "a slot that had ended is not told", told.await).flatten()
    }

    /// Ends an open slot: `by` has its result.
    pub(in crate::app::service) async fn supersede(&self, slot: SlotId, by: &str) {
        let done = async {
            let Some(row) = open(&self.0, slot).await? else { return Ok(()) };
            let terminal = stopped(&row, Ending::Cancelled { cause: crate::journal::CancelCause::Shutdown });
            supersede(&self.0, &terminal, Vec::new(), by).await
        };
        if logged(slot, "that another's result was first is not recorded", done.await).is_some() {
            self.let_go(slot).await;
        }
    }

    /// Ends an open slot of the network whose work never came again.
    pub(in crate::app::service) async fn expire(&self, slot: SlotId) {
        let done = async {
            let Some(row) = open(&self.0, slot).await? else { return Ok(()) };
            let message = "its work was not given to this node again by its deadline".to_owned();
            let ending = Ending::Failed { cause: Failure::Deadline, stage: None, message };
            end(&self.0, &stopped(&row, ending), Vec::new()).await
        };
        if logged(slot, "the end of a slot that has expired is not recorded", done.await).is_some() {
            self.let_go(slot).await;
        }
    }

    async fn end_in_folder(&self, slot: SlotId) -> Result<Option<(Terminal, Vec<Artifact>)>, JournalError> {
        let Some(row) = open(&self.0, slot).await? else { return Ok(None) };
        let TakenUp::Ended(terminal, artifacts) = in_folder(&self.0, &row).await? else { return Ok(None) };
        let folders = Arc::clone(&self.0.folders);
        let with = move |_: &Parts| {
            let dir = folders.dir_of(slot);
            Ok(dir.map_or_else(|| artifacts.clone(), |dir| with_result(artifacts.clone(), &dir)))
        };
        Ok(Some((terminal, blocking(&self.0, with).await?)))
    }

    /// Its folder is not needed any more; where it is open by its own record it stays locked until the process ends.
    async fn let_go(&self, slot: SlotId) {
        let _ = blocking(&self.0, move |parts| parts.folders.release(slot)).await;
    }
}

/// The end of a slot that nobody works on.
fn stopped(row: &SlotRow, ending: Ending) -> Terminal {
    let elapsed = clock::unix_time().saturating_sub(row.accepted_at);
    Terminal { slot: row.slot, ending, elapsed, breakdown: Default::default() }
}
