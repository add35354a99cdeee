//! `vortex-node slots`: which slots a node or a network has, or all about one.

mod detail;
mod network;

use std::borrow::Cow;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::network::NatsFlags;
use super::remote::{RemoteFlags, age, block_on, duration, length, plain, seconds, slot_id};
use super::{ConfigFlags, Console, Context, Failed, Style};
use crate::api::views::{SlotState, SlotView, StageState};
use crate::client::Client;
use crate::clock;
use crate::exit::Exit;
use crate::types::{SlotId, UnknownName};

/// Arguments of `slots`.
#[derive(Debug, Args)]
pub struct SlotsCommand {
    /// Show all about this slot
    #[arg(value_name = "ID", value_parser = slot_id, conflicts_with_all = ["state", "limit"])]
    id: Option<SlotId>,
    /// Only slots in these states, separated by commas: queued, running, completed, failed, cancelled, superseded; with --nats
    /// also dead
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<Named>,
    /// At most so many, the newest; with --nats of those that are open, in the order of the queue, and of those that have
    /// ended
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NatsFlags,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

/// A state that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Of(SlotState),
    /// In a network: no node could render it.
    Dead,
}

impl Named {
    const fn name(self) -> &'static str {
        match self {
            Self::Of(state) => state.name(),
            Self::Dead => "dead",
        }
    }
}

/// The most that a node hands out at a time.
const PAGE: usize = 500;

fn state(text: &str) -> Result<Named, UnknownName> {
    let all: Vec<Named> = SlotState::ALL.into_iter().map(Named::Of).chain([Named::Dead]).collect();
    let names: Vec<&str> = all.iter().map(|state| state.name()).collect();
    all.iter()
        .find(|state| state.name() == text)
        .copied()
        .ok_or_else(|| UnknownName::new("a state of slots", text, &names))
}

impl SlotsCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Shows. Exit code 0, 1 where the node or the network cannot be asked, 2 where there is no such slot.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if self.network.ask_network(&self.remote)? {
            return network::show(&self, context);
        }
        let states = self.states()?;
        let client = self.remote.connect(context)?;
        if let Some(id) = self.id {
            let slot = block_on(client.slot(id))??;
            if self.json {
                context.console.json(&slot)?;
            } else {
                detail::show(&slot, context.console)?;
            }
            return Ok(Exit::Success);
        }
        let (slots, are_more) = block_on(self.pages(&client, &states))??;
        if self.json {
            context.console.json(&json!({ "slots": slots, "more": are_more }))?;
            return Ok(Exit::Success);
        }
        if slots.is_empty() {
            writeln!(context.console.err(), "no slots")?;
            return Ok(Exit::Success);
        }
        table(&slots, context.console)?;
        if are_more {
            writeln!(context.console.err(), "there are more: --limit, --state")?;
        }
        Ok(Exit::Success)
    }

    /// What a node can be asked for.
    fn states(&self) -> Result<Vec<SlotState>, Failed> {
        let known = |state: &Named| match state {
            Named::Of(state) => Ok(*state),
            Named::Dead => {
                Err(Failed::bad_input("--state dead: a node has no dead slots; accepted: with --nats"))
            }
        };
        self.state.iter().map(known).collect()
    }

    /// Page by page, up to the limit; and whether there are more.
    async fn pages(&self, client: &Client, states: &[SlotState]) -> Result<(Vec<SlotView>, bool), Failed> {
        let limit = self.limit as usize;
        let (mut slots, mut after): (Vec<SlotView>, Option<String>) = (Vec::new(), None);
        loop {
            let page = client.slots(states, (limit - slots.len()).min(PAGE), after.as_deref()).await?;
            let is_empty = page.slots.is_empty();
            slots.extend(page.slots);
            slots.truncate(limit);
            after = page.after;
            // A page that is empty and has another after it would be no end.
            if after.is_none() || is_empty || slots.len() >= limit {
                return Ok((slots, after.is_some()));
            }
        }
    }
}

fn table(slots: &[SlotView], console: &mut Console) -> Result<(), Failed> {
    let now = clock::unix_time();
    let head =
        format!("{:36}  {:10}  {:24}  {:>12}  {:>12}  {}", "SLOT", "STATE", "NOW", "AGE", "LEFT", "DEADLINE");
    let head = console.paint(Style::Strong, head);
    writeln!(console.out(), "{head}")?;
    for slot in slots {
        let (style, state) = (style(slot.state), slot.state.name());
        let state = console.paint(style, format!("{state:10}"));
        let left = match (slot.state.is_final(), slot.eta) {
            (false, Some(eta)) => seconds(eta),
            _ => "-".to_owned(),
        };
        let (id, doing) = (plain(&slot.id), now_doing(slot));
        let age = length(age(slot.accepted_at, now));
        let (in_time, margin) = margin(slot, now);
        let margin = console.paint(in_time, margin);
        writeln!(console.out(), "{id:36}  {state}  {doing:24}  {age:>12}  {left:>12}  {margin}")?;
    }
    Ok(())
}

/// How a state looks.
pub(super) fn style(state: SlotState) -> Style {
    match state {
        SlotState::Queued => Style::Faint,
        SlotState::Running => Style::Strong,
        SlotState::Completed => Style::Good,
        SlotState::Failed => Style::Bad,
        SlotState::Cancelled | SlotState::Superseded => Style::Doubtful,
    }
}

/// What is done with it just now, or why it ended so.
pub(super) fn now_doing(slot: &SlotView) -> String {
    if slot.state.is_final() {
        return slot.cause.as_deref().map_or(Cow::Borrowed("-"), plain).into_owned();
    }
    if let Some(position) = slot.position {
        return if position == 0 { "next".to_owned() } else { format!("{position} before it") };
    }
    let running = slot.stages.iter().filter(|stage| stage.state == StageState::Running);
    let told: Vec<String> = running
        .map(|stage| match (stage.done, stage.total) {
            (Some(done), Some(total)) => format!("{} {done}/{total}", plain(&stage.stage)),
            _ => plain(&stage.stage).into_owned(),
        })
        .collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}

/// Between its end, expected or real, and its deadline; at `now`, since the Unix epoch.
pub(super) fn margin(slot: &SlotView, now: Duration) -> (Style, String) {
    match (slot.deadline, slot.deadline_margin) {
        (None, _) => (Style::Faint, "none".to_owned()),
        (Some(_), Some(margin)) if margin < 0.0 => (Style::Bad, format!("-{} late", seconds(-margin))),
        (Some(_), Some(margin)) => (Style::Good, format!("+{}", seconds(margin))),
        (Some(at), None) => {
            let left = duration(at).saturating_sub(now);
            (Style::Faint, format!("in {}", length(left)))
        }
    }
}

#[cfg(test)]
mod tests;
