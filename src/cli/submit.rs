//! `vortex-node submit`: hand recipes in at a node, and wait for what comes of them where that is wanted.

mod display;
mod job;
mod outcome;
mod read;
mod run;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::remote::{RemoteFlags, time_span};
use super::{ConfigFlags, Context, Failed};
use crate::exit::Exit;

/// Arguments of `submit`.
#[derive(Debug, Args)]
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
    /// Answer in JSON; with --wait every event on a line, and the slots at the end
    #[arg(long)]
    json: bool,
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
        run::submit(&self, context)
    }
}
