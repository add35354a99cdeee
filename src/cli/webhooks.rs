//! `vortex-node webhooks`: what a node has told others about its slots, and telling it again.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::remote::{RemoteFlags, ago, block_on, length, plain, time_span};
use super::{ConfigFlags, Console, Context, Failed, Style};
use crate::app::service::outbox::secret_file;
use crate::client::WebhookDelivery;
use crate::exit::Exit;
use crate::types::UnknownName;
use crate::webhooks::Secrets;

/// Arguments of `webhooks`.
#[derive(Debug, Args)]
pub struct WebhooksCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what was told, or is still to be told
    List {
        /// Only what stands so: pending, delivered or undelivered
        #[arg(long, value_name = "STATE", value_parser = state)]
        state: Option<&'static str>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Print the secret that messages are signed with, for receivers
    Secret {
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Make a new secret; a node that runs takes it up at its next reload
    Rotate {
        /// For how long messages are signed with the old one as well
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time_span)]
        keep: Duration,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Tell it again, as if it had never been tried
    Replay {
        /// As `webhooks list` shows it
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
}

const STATES: [&str; 3] = ["pending", "delivered", "undelivered"];

fn state(text: &str) -> Result<&'static str, UnknownName> {
    let found = STATES.into_iter().find(|state| *state == text);
    found.ok_or_else(|| UnknownName::new("a state of webhooks", text, &STATES))
}

impl WebhooksCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        match &self.what {
            What::List { config, .. }
            | What::Replay { config, .. }
            | What::Secret { config }
            | What::Rotate { config, .. } => Some(config),
        }
    }

    /// Does what was asked. Exit code 0, 1 where the node cannot be asked, 2 where there is no such event.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::List { state, json, remote, .. } => {
                let client = remote.connect(context)?;
                let found = block_on(client.webhooks(state))??;
                if json {
                    context.console.json(&json!({ "webhooks": found }))?;
                } else if found.is_empty() {
                    writeln!(context.console.err(), "nothing")?;
                } else {
                    found.iter().try_for_each(|delivery| row(delivery, context.console))?;
                }
            }
            What::Secret { .. } => {
                let file = secret_file(&context.loaded()?.settings.data_dir);
                let secrets = Secrets::open(&file).map_err(|error| Failed::failure(error.to_string()))?;
                writeln!(context.console.out(), "{}", secrets.reveal())?;
            }
            What::Rotate { keep, .. } => {
                let file = secret_file(&context.loaded()?.settings.data_dir);
                let rotated = Secrets::rotate(&file, crate::clock::unix_time(), keep);
                let rotated = rotated.map_err(|error| Failed::failure(error.to_string()))?;
                writeln!(context.console.out(), "{}", rotated.reveal())?;
            }
            What::Replay { ids, json, remote, .. } => {
                let client = remote.connect(context)?;
                let mut again = Vec::new();
                for id in &ids {
                    let delivery = block_on(client.replay_webhook(id))??;
                    if !json {
                        row(&delivery, context.console)?;
                    }
                    again.push(delivery);
                }
                if json {
                    context.console.json(&json!({ "webhooks": again }))?;
                }
            }
        }
        Ok(Exit::Success)
    }
}

fn row(delivery: &WebhookDelivery, console: &mut Console) -> Result<(), Failed> {
    let style = match delivery.state.as_str() {
        "delivered" => Style::Good,
        "undelivered" => Style::Bad,
        _ => Style::Doubtful,
    };
    let state = console.paint(style, format!("{:11}", plain(&delivery.state)));
    let (id, slot, event) = (plain(&delivery.id), plain(&delivery.slot), plain(&delivery.event));
    let tries = match (delivery.attempts, delivery.next_at) {
        (0, None) => String::new(),
        (tries, None) => format!("  {tries} tries"),
        (tries, Some(at)) => {
            let now = crate::clock::unix_time();
            let left = super::remote::duration(at).saturating_sub(now);
            let next = if left.is_zero() {
                format!("due {}", ago(at, now))
            } else {
                format!("next in {}", length(left))
            };
            format!("  {tries} tries, {next}")
        }
    };
    writeln!(console.out(), "{state} {id}  {slot}  {event:20}  {}{tries}", plain(&delivery.url))?;
    if let Some(error) = &delivery.error {
        writeln!(console.out(), "            {}", plain(error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
