//! Cancels slots of a network: a marker that stays, which nodes read before they begin and at each stage.

use serde_json::{Value, json};

use super::CancelCommand;
use crate::cli::network::{Target, ends};
use crate::cli::remote::{block_on, plain};
use crate::cli::{Context, Failed, Style};
use crate::clock;
use crate::exit::Exit;
use crate::network::cancels::{self, CancelMarker};
use crate::network::overview::{self, Rendering, SlotOverview, Standing};
use crate::network::results::{EndState, ResultRecord};
use crate::network::{Session, VERSION};
use crate::types::SlotId;

/// What became of one slot.
enum Done {
    /// There is none.
    Unknown,
    /// It had ended, by these renderings of its newest epoch.
    Ended(Vec<ResultRecord>),
    /// A marker stands now; of so many renderings that had not ended, so many were under way.
    Marked { marker: CancelMarker, open: usize, running: usize },
}

pub(super) fn cancel(command: &CancelCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let target = command.network.find(command.remote.certificates(), context)?;
    let all = block_on(each(command, &target))??;
    let (mut exit, mut answers) = (Exit::Success, Vec::new());
    for (id, done) in &all {
        let one = match done {
            Done::Unknown => Exit::BadInput,
            Done::Ended(records) if records.iter().all(|it| it.state == EndState::Cancelled) => Exit::Success,
            Done::Ended(_) => Exit::Failure,
            Done::Marked { .. } => Exit::Success,
        };
        if one != Exit::Success && exit != Exit::BadInput {
            exit = one;
        }
        if command.json {
            answers.push(answer(*id, done));
        } else {
            tell(*id, done, context)?;
        }
    }
    if command.json {
        context.console.json(&json!({ "ok": exit == Exit::Success, "slots": answers }))?;
    }
    Ok(exit)
}

async fn each(command: &CancelCommand, target: &Target) -> Result<Vec<(SlotId, Done)>, Failed> {
    let session = target.open().await?;
    let mut all = Vec::new();
    for id in &command.ids {
        all.push((*id, one(&session, *id, command.reason.as_deref()).await?));
    }
    Ok(all)
}

async fn one(session: &Session, slot: SlotId, reason: Option<&str>) -> Result<Done, Failed> {
    let found = overview::of_slot(session, slot).await?;
    let Some(epoch) = found.newest().map(|rendering| rendering.work.epoch).max() else {
        return Ok(Done::Unknown);
    };
    let ended: Vec<ResultRecord> = found.newest().filter_map(end_of).cloned().collect();
    let open = found.newest().count() - ended.len();
    if open == 0 {
        return Ok(Done::Ended(ended));
    }
    let marker = CancelMarker {
        version: VERSION,
        slot,
        epoch,
        by: who(),
        at: clock::unix_time().as_secs_f64(),
        reason: reason.map(str::to_owned),
    };
    let running = running(&found);
    Ok(Done::Marked { marker: cancels::put(session, &marker).await?, open, running })
}

fn end_of(rendering: &Rendering) -> Option<&ResultRecord> {
    match &rendering.standing {
        Standing::Ended(record) => Some(record),
        Standing::Queued | Standing::Running(_) => None,
    }
}

fn running(found: &SlotOverview) -> usize {
    found.newest().filter(|rendering| matches!(rendering.standing, Standing::Running(_))).count()
}

/// Who cancels, as far as the machine tells; nobody relies on it.
fn who() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    user.filter(|user| !user.is_empty()).unwrap_or_else(|| "vortex-node cancel".to_owned())
}

fn answer(id: SlotId, done: &Done) -> Value {
    match done {
        Done::Unknown => json!({ "id": id, "error": format!("the network knows no slot {id}") }),
        Done::Ended(records) => {
            let ends: Vec<Value> = records
                .iter()
                .map(|it| json!({ "work": it.work.to_string(), "state": it.state, "ended_at": it.at }))
                .collect();
            json!({ "id": id, "ended": ends })
        }
        Done::Marked { marker, open, running } => {
            json!({ "id": id, "marker": marker, "open": open, "running": running })
        }
    }
}

fn tell(id: SlotId, done: &Done, context: &mut Context<'_>) -> Result<(), Failed> {
    let console = &mut *context.console;
    match done {
        Done::Unknown => {
            let label = console.paint_err(Style::Bad, "error:");
            writeln!(console.err(), "{label} the network knows no slot {id}")?;
        }
        Done::Ended(records) => {
            let word = console.paint(Style::Doubtful, format!("{:10}", "ended"));
            writeln!(console.out(), "{word} {id} had ended before")?;
            for record in records {
                let (style, told) = ends(record);
                let told = console.paint(style, told);
                writeln!(console.out(), "           {}/{}: {told}", record.work.epoch, record.work.replica)?;
            }
        }
        Done::Marked { marker, open, running } => {
            let word = console.paint(Style::Good, "cancelling");
            let (queued, epoch) = (open - running, marker.epoch);
            let by = plain(&marker.by);
            writeln!(
                console.out(),
                "{word} {id} up to epoch {epoch} (by {by}): {queued} queued, {running} running; whatever ends first stands"
            )?;
        }
    }
    Ok(())
}
