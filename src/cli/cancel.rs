//! `vortex-node cancel`: stop slots on a node or in a network, wherever they stand.

mod network;

use clap::Args;
use serde_json::json;

use super::network::NatsFlags;
use super::remote::{RemoteFlags, block_on, plain, slot_id};
use super::{ConfigFlags, Context, Failed, Style};
use crate::api::views::SlotState;
use crate::client::{Client, ClientError};
use crate::exit::Exit;
use crate::types::SlotId;

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub struct CancelCommand {
    /// Slots to stop; one that has ended stays as it is
    #[arg(required = true, value_name = "ID", value_parser = slot_id)]
    ids: Vec<SlotId>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// Why, for whoever looks later; with --nats
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    network: NatsFlags,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

impl CancelCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Cancels. Exit code 0 where every slot is cancelled or will be, 1 where one had ended otherwise or could not be
    /// reached, 2 where there is no such slot.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if self.network.ask_network(&self.remote)? {
            return network::cancel(&self, context);
        }
        if self.reason.is_some() {
            return Err(Failed::bad_input("--reason is for the network; accepted: with --nats"));
        }
        let client = self.remote.connect(context)?;
        let (mut exit, mut answers) = (Exit::Success, Vec::new());
        for id in &self.ids {
            let ended = block_on(client.cancel(*id))?;
            let one = one(*id, ended, &client, self.json, context)?;
            answers.extend(one.answer);
            if one.exit != Exit::Success && exit != Exit::BadInput {
                exit = one.exit;
            }
        }
        if self.json {
            context.console.json(&json!({ "ok": exit == Exit::Success, "slots": answers }))?;
        }
        Ok(exit)
    }
}

struct One {
    exit: Exit,
    answer: Option<serde_json::Value>,
}

fn one(
    id: SlotId,
    ended: Result<crate::api::views::SlotView, ClientError>,
    client: &Client,
    as_json: bool,
    context: &mut Context<'_>,
) -> Result<One, Failed> {
    let slot = match ended {
        Ok(slot) => slot,
        // The others would end in the same way.
        Err(error) if error.refusal().is_none_or(|refusal| refusal.status == 401) => return Err(error.into()),
        Err(error) => {
            let exit = if error.is_bad_input() { Exit::BadInput } else { Exit::Failure };
            let told = error.to_string();
            if !as_json {
                let word = context.console.paint_err(Style::Bad, "error:");
                writeln!(context.console.err(), "{word} slot {id}: {told}")?;
            }
            return Ok(One { exit, answer: Some(json!({ "id": id, "error": told })) });
        }
    };
    // Stopping takes as long as the step under way: what is not over yet is on its way.
    let (style, word) = match slot.state {
        SlotState::Cancelled => (Style::Good, "cancelled"),
        SlotState::Queued | SlotState::Running => (Style::Good, "cancelling"),
        SlotState::Completed | SlotState::Failed | SlotState::Superseded => {
            (Style::Doubtful, slot.state.name())
        }
    };
    let exit = if style == Style::Good { Exit::Success } else { Exit::Failure };
    if !as_json {
        let word = context.console.paint(style, format!("{word:10}"));
        let why = match slot.state {
            SlotState::Completed | SlotState::Failed | SlotState::Superseded => " had ended before",
            _ => "",
        };
        writeln!(context.console.out(), "{word} {}{why}", plain(&slot.id))?;
        tracing::debug!(url = client.address(), slot = %id, "cancel asked for");
    }
    Ok(One { exit, answer: Some(json!({ "id": id, "slot": slot })) })
}
