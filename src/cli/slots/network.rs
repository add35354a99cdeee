//! Slots of a network: what its streams hold of them.

use serde_json::{Value, json};

use super::{Named, SlotsCommand};
use crate::api::views::SlotState;
use crate::cli::network::{ends, short};
use crate::cli::remote::{age, ago, block_on, count, length, plain};
use crate::cli::{Console, Context, Failed, Style};
use crate::clock;
use crate::exit::Exit;
use crate::network::overview::{self, Counts, Excerpt, Rendering, SlotOverview, Standing};
use crate::network::results::{EndState, ResultRecord};
use crate::network::{Recipient, Session};
use crate::types::SlotId;

/// What is listed.
struct List {
    open: Excerpt<Rendering>,
    ended: Excerpt<ResultRecord>,
    counts: Counts,
}

pub(super) fn show(command: &SlotsCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let target = command.network.find(command.remote.certificates(), context)?;
    match command.id {
        Some(id) => {
            let slot = block_on(async { overview::of_slot(&target.open().await?, id).await })??;
            if slot.is_unknown() {
                return Err(Failed::bad_input(format!("the network knows no slot {id}")));
            }
            if command.json {
                context.console.json(&json!({ "slot": of_slot(id, &slot) }))?;
            } else {
                detail(id, &slot, context.console)?;
            }
        }
        None => {
            let list = block_on(async { list(command, &target.open().await?).await })??;
            if command.json {
                let slots: Vec<Value> =
                    list.open.found.iter().map(rendering).chain(list.ended.found.iter().map(end)).collect();
                let Counts { work, results, letters } = list.counts;
                context.console.json(&json!({
                    "slots": slots,
                    "more": list.open.has_more || list.ended.has_more,
                    "unreadable": list.unreadable(),
                    "open": work,
                    "ended": results,
                    "dead_letters": letters,
                }))?;
            } else {
                table(&list, context.console)?;
            }
        }
    }
    Ok(Exit::Success)
}

async fn list(command: &SlotsCommand, session: &Session) -> Result<List, Failed> {
    let wants = |state: Named| command.state.is_empty() || command.state.contains(&state);
    let limit = command.limit as usize;
    let is_open = |standing: &Standing| match standing {
        Standing::Queued => wants(Named::Of(SlotState::Queued)),
        Standing::Running(_) => wants(Named::Of(SlotState::Running)),
        Standing::Ended(_) => false,
    };
    let is_ended = |record: &ResultRecord| {
        wants(match record.state {
            EndState::Completed => Named::Of(SlotState::Completed),
            EndState::Failed => Named::Of(SlotState::Failed),
            EndState::Cancelled => Named::Of(SlotState::Cancelled),
            EndState::Dead => Named::Dead,
        })
    };
    let of_open = |state: &Named| matches!(state, Named::Of(state) if !state.is_final());
    let all = command.state.is_empty();
    let mut open = Excerpt { found: Vec::new(), unreadable: Vec::new(), has_more: false };
    let mut ended = Excerpt { found: Vec::new(), unreadable: Vec::new(), has_more: false };
    if all || command.state.iter().any(of_open) {
        open = overview::open(session, limit, is_open).await?;
    }
    if all || !command.state.iter().all(of_open) {
        ended = overview::ended(session, limit, is_ended).await?;
    }
    Ok(List { open, ended, counts: overview::counts(session).await? })
}

impl List {
    fn unreadable(&self) -> Vec<String> {
        self.open.unreadable.iter().chain(&self.ended.unreadable).map(ToString::to_string).collect()
    }
}

/// Of a rendering that has not ended, for machines.
fn rendering(rendering: &Rendering) -> Value {
    let (state, attempt) = match &rendering.standing {
        Standing::Queued => ("queued", None),
        Standing::Running(attempt) => ("running", Some(attempt)),
        Standing::Ended(record) => return end(record),
    };
    let subject = rendering.subject.as_ref();
    let to = subject.and_then(|subject| match &subject.to {
        Recipient::Any => None,
        Recipient::Node(node) => Some(node),
    });
    json!({
        "work": rendering.work.to_string(),
        "id": rendering.work.slot,
        "epoch": rendering.work.epoch,
        "replica": rendering.work.replica,
        "state": state,
        "node": attempt.map(|attempt| &attempt.node),
        "began_at": attempt.map(|attempt| attempt.at),
        "delivery": attempt.map(|attempt| attempt.delivery),
        "addressed_to": to,
        "class": subject.map(|subject| subject.class.to_string()),
        "director": subject.and_then(|subject| subject.director.as_ref()),
    })
}

/// Of one that has, for machines.
fn end(record: &ResultRecord) -> Value {
    json!({
        "work": record.work.to_string(),
        "id": record.work.slot,
        "epoch": record.work.epoch,
        "replica": record.work.replica,
        "state": record.state,
        "node": record.node,
        "ended_at": record.at,
        "deadline_met": record.deadline_met,
        "cause": record.cause,
        "stage": record.stage,
        "message": record.message,
        "deliveries": record.deliveries,
        "artifacts": record.artifacts,
    })
}

fn of_slot(id: SlotId, slot: &SlotOverview) -> Value {
    let SlotOverview { renderings, marker, letters, attempts } = slot;
    let renderings: Vec<Value> = renderings.iter().map(rendering).collect();
    json!({
        "id": id,
        "renderings": renderings,
        "cancel": marker,
        "dead_letters": letters.iter().map(|letter| json!({
            "work": letter.work.map(|work| work.to_string()),
            "reason": letter.reason,
            "detail": letter.detail,
            "at": letter.at,
        })).collect::<Vec<_>>(),
        "attempts": attempts,
    })
}

fn table(list: &List, console: &mut Console) -> Result<(), Failed> {
    for wrong in list.unreadable() {
        let label = console.paint_err(Style::Doubtful, "beside");
        writeln!(console.err(), "{label} {}", plain(&wrong))?;
    }
    if list.open.found.is_empty() && list.ended.found.is_empty() {
        writeln!(console.err(), "no slots")?;
    } else {
        let head =
            console.paint(Style::Strong, format!("{:44}  {:10}  {}", "SLOT/EPOCH/REPLICA", "STATE", "NOW"));
        writeln!(console.out(), "{head}")?;
    }
    for one in &list.open.found {
        open_row(one, console)?;
    }
    for record in &list.ended.found {
        end_row(record, console)?;
    }
    if list.open.has_more || list.ended.has_more {
        writeln!(console.err(), "there are more: --limit, --state")?;
    }
    let Counts { work, results, letters } = list.counts;
    writeln!(console.err(), "{work} open, {results} ended, {letters} dead letters")?;
    Ok(())
}

fn open_row(rendering: &Rendering, console: &mut Console) -> Result<(), Failed> {
    let now = clock::unix_time();
    let (style, state, told) = match &rendering.standing {
        Standing::Queued => (Style::Faint, "queued", String::new()),
        Standing::Running(attempt) => {
            let again =
                if attempt.delivery > 1 { format!(", delivery {}", attempt.delivery) } else { String::new() };
            let told = format!("by {} for {}{again}", short(&attempt.node), length(age(attempt.at, now)));
            (Style::Strong, "running", told)
        }
        Standing::Ended(record) => return end_row(record, console),
    };
    let mut parts: Vec<String> = Some(told).filter(|told| !told.is_empty()).into_iter().collect();
    if let Some(subject) = &rendering.subject {
        if let Recipient::Node(node) = &subject.to {
            parts.push(format!("for {}", short(node)));
        }
        parts.push(subject.class.to_string());
    }
    let state = console.paint(style, format!("{state:10}"));
    writeln!(console.out(), "{:44}  {state}  {}", rendering.work.to_string(), parts.join(", "))?;
    Ok(())
}

fn end_row(record: &ResultRecord, console: &mut Console) -> Result<(), Failed> {
    let (style, told) = ends(record);
    let state = console.paint(style, format!("{:10}", record.state.to_string()));
    let told = told.strip_prefix(&record.state.to_string()).unwrap_or(&told).trim_start();
    writeln!(console.out(), "{:44}  {state}  {told}", record.work.to_string())?;
    Ok(())
}

fn detail(id: SlotId, slot: &SlotOverview, console: &mut Console) -> Result<(), Failed> {
    let now = clock::unix_time();
    let name = console.paint(Style::Strong, id);
    writeln!(console.out(), "slot {name}: {}", count(slot.renderings.len(), "rendering"))?;
    for one in &slot.renderings {
        open_row(one, console)?;
        if let Standing::Ended(record) = &one.standing {
            for artifact in &record.artifacts {
                let (name, address) = (plain(&artifact.name), plain(&artifact.address));
                writeln!(console.out(), "  {name:28} {:>9}  {address}", artifact.bytes)?;
            }
        }
    }
    if let Some(marker) = &slot.marker {
        let why = marker.reason.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
        let (epoch, by, when) = (marker.epoch, plain(&marker.by), ago(marker.at, now));
        writeln!(console.out(), "cancelled up to epoch {epoch} by {by} {when}{why}")?;
    }
    for letter in &slot.letters {
        let work = letter.work.map(|work| work.to_string()).unwrap_or_default();
        writeln!(console.out(), "dead letter {work}: {} ({})", letter.reason, plain(&letter.detail))?;
    }
    for attempt in &slot.attempts {
        let detail = attempt.detail.as_deref().map(|it| format!(": {}", plain(it))).unwrap_or_default();
        let (epoch, replica, node) = (attempt.work.epoch, attempt.work.replica, short(&attempt.node));
        writeln!(
            console.out(),
            "{epoch}/{replica}, delivery {}: {} by {node} {}{detail}",
            attempt.delivery,
            attempt.what,
            ago(attempt.at, now)
        )?;
    }
    Ok(())
}
