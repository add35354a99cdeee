//! `vortex-node submit`: hand recipes in at a node or in a network, and wait for what comes of them where that is wanted.

mod display;
mod job;
mod network;
mod outcome;
mod read;
mod run;

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::network::{NatsFlags, StoreFlags};
use super::remote::{RemoteFlags, time_span};
use super::{ConfigFlags, Context, Failed};
use crate::exit::Exit;
use crate::network::Priority;
use crate::types::Sha256;

/// Arguments of `submit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vortex-node submit my.json --wait --out my\n  vortex-node submit --nats=nats://queue.example.org:4222 *.json --replicas 5 --wait"
)]
pub struct SubmitCommand {
    /// Recipes to hand in; `-` is standard input
    #[arg(required = true, value_name = "RECIPE.json")]
    recipes: Vec<PathBuf>,
    /// Wait for the end of every slot and show how far it is; where the node is full, busy or not ready, come again
    #[arg(long)]
    wait: bool,
    /// How long to come again at a node that takes nothing in or does not answer, with --wait
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time_span, requires = "wait")]
    patience: Duration,
    /// Where to put what is made, with --wait: into this folder, or where there are several recipes into folders in it
    /// that are called after the slots
    #[arg(short, long, value_name = "DIR", requires = "wait")]
    out: Option<PathBuf>,
    /// Address that the node tells about the slots
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Events to tell it, separated by commas [default: the ends of slots]
    #[arg(long, value_name = "EVENT", value_delimiter = ',', requires = "webhook")]
    webhook_events: Vec<String>,
    /// Stop waiting after this long, with exit code 1; the slots go on [default: wait for every end]
    #[arg(long, value_name = "TIME", value_parser = time_span, requires_all = ["wait", "nats"])]
    timeout: Option<Duration>,
    /// How many distinct nodes render each recipe, with --nats; fewer that can are a refusal
    #[arg(long, value_name = "N", default_value = "1", requires = "nats")]
    replicas: NonZeroU32,
    /// What goes first in the network, with --nats: high, normal or low [default: what its director may have]
    #[arg(long, value_name = "PRIORITY", requires = "nats")]
    priority: Option<Priority>,
    /// Only nodes with the bundle of this SHA-256, with --nats
    #[arg(long, value_name = "SHA256", requires = "nats")]
    bundle: Option<Sha256>,
    /// Render once more what has ended, as the next epoch of its slot, with --nats
    #[arg(long, requires = "nats")]
    again: bool,
    /// Answer in JSON; with --wait every event on a line, and the slots at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NatsFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

impl SubmitCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Hands in. Exit code 0 where every recipe is in (with `--wait`: every slot is completed), 1 where one was refused for
    /// the moment, failed, was cancelled or superseded, 2 where a recipe is wrong, 130 where waiting was interrupted.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if !self.network.ask_network(&self.remote)? {
            if self.store.store.is_some() {
                return Err(Failed::bad_input("--store is for the network; accepted: with --nats"));
            }
            return run::submit(&self, context);
        }
        if self.webhook.is_some() {
            return Err(Failed::bad_input(
                "--webhook is for a node: in a network, slots are followed by --wait",
            ));
        }
        network::submit(&self, context)
    }
}
