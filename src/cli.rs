//! The command line: what can be asked, in one file per command, and how a command answers.
//!
//! Owns arguments, output and exit codes; the work itself is done by the parts that a command calls. Output goes through
//! a [`Console`], never straight to standard output, so that tests can read it.
//!
//! Adding a command `x`:
//! 1. `src/cli/x.rs`: a `#[derive(clap::Args)] pub struct XCommand`, with `#[command(flatten)] pub config: ConfigFlags`
//!    as its last field (its help heading would cover what follows) if it needs settings, and `pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed>`.
//! 2. Here: `mod x;`, a variant in [`Command`], an arm in [`Command::config_flags`] (`Some(&command.config)`, or `None`
//!    if it needs no settings) and an arm in [`run`].
//!
//! A command answers on `context.console.out()`, as JSON where it has `--json`; progress and logs go to standard error.
//! Wrong input is `Failed::bad_input(…)`, anything else that goes wrong `Failed::failure(…)`.
//!
//! [sink]: crate::sink
//! [journal]: crate::journal
//! [config]: crate::config
//! [gpu_check]: crate::gpu_check
//! [hub]: crate::hub
//! [bundle]: crate::models::bundle
//! [weights]: crate::models::weights
//! [kokoro]: crate::models::kokoro
//!
#![doc = include_str!("cli/README.md")]

pub(crate) mod agree;
pub(crate) mod cancel;
pub(crate) mod check;
pub mod config;
mod console;
pub(crate) mod dead_letters;
pub(crate) mod diagnose;
mod failed;
pub(crate) mod fetch;
mod flags;
pub(crate) mod gpu_check;
pub(crate) mod nats;
mod network;
pub(crate) mod node;
pub(crate) mod nodes;
mod probe;
pub(crate) mod recipe;
pub(crate) mod rehearse;
mod remote;
pub(crate) mod render;
pub(crate) mod result;
pub(crate) mod serve;
pub(crate) mod slots;
pub(crate) mod speak;
pub(crate) mod storyboard;
pub(crate) mod submit;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod webhooks;
pub(crate) mod weights;

use std::ffi::OsString;
use std::path::Path;

use clap::{Parser, Subcommand};

pub use console::{Console, Style};
pub use failed::Failed;
pub use flags::ConfigFlags;

use crate::config::{Loaded, Origin, Telemetry};
use crate::exit::Exit;

/// One machine's node in a distributed render network.
#[derive(Debug, Parser)]
#[command(name = "vortex-node", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flag that takes an address where one follows it.
const NATS: &str = "--nats";

impl Cli {
    /// Reads a command line, the program's name first. `--nats` takes an address where one follows it, and stands alone
    /// otherwise: a recipe or a slot behind it is an argument of its own.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut joined: Vec<OsString> = Vec::new();
        for argument in arguments {
            let is_address = argument
                .to_str()
                .is_some_and(|text| text.starts_with("nats://") || text.starts_with("tls://"));
            match joined.last_mut().filter(|last| is_address && last.as_os_str() == NATS) {
                Some(flag) => {
                    flag.push("=");
                    flag.push(argument);
                }
                None => joined.push(argument),
            }
        }
        Self::try_parse_from(joined)
    }
}

/// Everything that can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the settings in force with their sources, or check configuration files.
    Config(config::ConfigCommand),
    /// Render a recipe: a finished, checked and signed video in a folder.
    Render(render::RenderCommand),
    /// Check the GPU path on the card that is there: parity, footprint, speed, memory, recovery; exit code 1 where
    /// something is wrong or there is no card.
    GpuCheck(gpu_check::GpuCheckCommand),
    /// Start, check, sign and verify recipes.
    Recipe(recipe::RecipeCommand),
    /// Serve the API, its page and its probes until stopped.
    Serve(serve::ServeCommand),
    /// Hand recipes in to a node that serves, or with --nats to a network; with --wait follow them to their ends.
    Submit(submit::SubmitCommand),
    /// List the slots of a node that serves or, with --nats, of a network; or tell all about one.
    Slots(slots::SlotsCommand),
    /// Stop slots of a node that serves or, with --nats, of a network.
    Cancel(cancel::CancelCommand),
    /// Download what a slot has left: from a node that serves or, with --nats, from a network's artifact store.
    Fetch(fetch::FetchCommand),
    /// Watch a node that serves, in the terminal.
    Top(top::TopCommand),
    /// Ask a node's probe from beside it, for health checks of containers.
    Probe(probe::ProbeCommand),
    /// Tell a node that serves to take nothing in, to go on, or to read its settings again.
    Node(node::NodeCommand),
    /// Make, list and revoke tokens for the API.
    Token(token::TokenCommand),
    /// List webhook messages that are waiting or given up, or send them again.
    Webhooks(webhooks::WebhooksCommand),
    /// Hear a voice: a text or a recipe's script into a WAV file, or its phonemes without any weights.
    Speak(speak::SpeakCommand),
    /// Draw what a recipe's directions look like, without a model.
    Storyboard(storyboard::StoryboardCommand),
    /// Check, describe, fetch, convert or make up bundles of weights.
    Weights(weights::WeightsCommand),
    /// Look over everything that a node needs before it is started: settings, device, memory, weights, folders, clock,
    /// port, key; exit code 1 where something is wrong, 2 where the settings are.
    Check(check::CheckCommand),
    /// Gather what a bug report needs into one archive: checks, settings, versions, journal, recent slots, the node's answers.
    Diagnose(diagnose::DiagnoseCommand),
    /// Play a scenario: the node as it is, on a scripted device with scripted models; exit code 1 where it does not end
    /// as the scenario expects.
    Rehearse(rehearse::RehearseCommand),
    /// Check what a slot handed over, or show it.
    Result(result::ResultCommand),
    /// Compare several nodes' results of one slot: the largest group that agrees; exit code 1 where it is too small.
    Agree(agree::AgreeCommand),
    /// Show the nodes of a network: whether each is ready, how much room it has, with which bundle.
    Nodes(nodes::NodesCommand),
    /// List and show a network's work that no node could do; hand it in again, or drop it.
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Operate a network: its streams, who may do what, what each director may hand in, garbage in its store.
    Nats(nats::NatsCommand),
}

impl Command {
    /// The flags that carry settings; none where a command needs no settings, so that a broken configuration does not
    /// stand in its way.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        match self {
            Self::Config(command) => command.config_flags(),
            Self::Render(command) => command.config_flags(),
            Self::Serve(command) => Some(command.config_flags()),
            Self::Submit(command) => command.config_flags(),
            Self::Slots(command) => command.config_flags(),
            Self::Cancel(command) => command.config_flags(),
            Self::Fetch(command) => command.config_flags(),
            Self::Top(command) => command.config_flags(),
            Self::Probe(command) => command.config_flags(),
            Self::Node(command) => command.config_flags(),
            Self::Token(command) => command.config_flags(),
            Self::Webhooks(command) => command.config_flags(),
            Self::Recipe(command) => command.config_flags(),
            Self::Storyboard(command) => command.config_flags(),
            Self::Speak(command) => command.config_flags(),
            Self::GpuCheck(_) => None,
            Self::Weights(_) => None,
            // It loads them itself: a broken configuration is one of its findings.
            Self::Check(_) => None,
            // The same: a node that does not start for that is what it tells of.
            Self::Diagnose(_) => None,
            Self::Rehearse(_) => None,
            Self::Result(_) => None,
            Self::Agree(_) => None,
            Self::Nats(command) => command.config_flags(),
            Self::Nodes(command) => Some(command.config_flags()),
            Self::DeadLetters(command) => Some(command.config_flags()),
        }
    }

    /// Where a profile of its work is wanted.
    pub fn profile_out(&self) -> Option<&Path> {
        match self {
            Self::Render(command) => command.profile_out.as_deref(),
            _ => None,
        }
    }

    /// How it logs: as configured; a command that shows its work itself logs only what it cannot show, unless a flag or
    /// the environment asks for more.
    pub fn telemetry(&self, loaded: &Loaded) -> Telemetry {
        let mut telemetry = loaded.settings.telemetry.clone();
        let asked = loaded.effective.iter().any(|value| {
            let given = matches!(value.source, Origin::Flag { .. } | Origin::Environment { .. });
            value.key == "telemetry.filter" && given
        });
        let shows_its_work = matches!(
            self,
            Self::Render(_)
                | Self::Submit(_)
                | Self::Slots(_)
                | Self::Cancel(_)
                | Self::Fetch(_)
                | Self::Top(_)
                | Self::Probe(_)
                | Self::Node(_)
                | Self::Speak(_)
                | Self::Token(_)
                | Self::Webhooks(_)
                | Self::Nats(_)
                | Self::Nodes(_)
                | Self::DeadLetters(_)
        );
        if shows_its_work && !asked {
            "error".clone_into(&mut telemetry.filter);
        }
        telemetry
    }
}

/// What a command runs with.
pub struct Context<'a> {
    /// The settings in force; none for commands without [`ConfigFlags`].
    pub config: Option<Loaded>,
    /// Where it answers.
    pub console: &'a mut Console,
}

impl Context<'_> {
    /// The settings in force, of a command that has [`ConfigFlags`].
    pub fn loaded(&self) -> Result<&Loaded, Failed> {
        self.config.as_ref().ok_or_else(|| Failed::failure("this command was started without its settings"))
    }
}

/// Carries out `command` and says how the process is to end. `config` is there for commands that need settings.
pub fn run(command: Command, config: Option<Loaded>, console: &mut Console) -> Result<Exit, Failed> {
    let mut context = Context { config, console };
    match command {
        Command::Config(command) => command.run(&mut context),
        Command::Render(command) => command.run(&mut context),
        Command::Serve(command) => command.run(&mut context),
        Command::Submit(command) => command.run(&mut context),
        Command::Slots(command) => command.run(&mut context),
        Command::Cancel(command) => command.run(&mut context),
        Command::Fetch(command) => command.run(&mut context),
        Command::Top(command) => command.run(&mut context),
        Command::Probe(command) => command.run(&mut context),
        Command::Node(command) => command.run(&mut context),
        Command::Token(command) => command.run(&mut context),
        Command::Webhooks(command) => command.run(&mut context),
        Command::GpuCheck(command) => command.run(&mut context),
        Command::Recipe(command) => command.run(&mut context),
        Command::Speak(command) => command.run(&mut context),
        Command::Storyboard(command) => command.run(&mut context),
        Command::Weights(command) => command.run(&mut context),
        Command::Check(command) => command.run(&mut context),
        Command::Diagnose(command) => command.run(&mut context),
        Command::Rehearse(command) => command.run(&mut context),
        Command::Result(command) => command.run(&mut context),
        Command::Agree(command) => command.run(&mut context),
        Command::Nats(command) => command.run(&mut context),
        Command::Nodes(command) => command.run(&mut context),
        Command::DeadLetters(command) => command.run(&mut context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_behind_a_flag_is_its_value_and_nothing_else_is() {
        let read = |arguments: &str| {
            let words = arguments.split(' ').map(OsString::from);
            let cli = Cli::read(std::iter::once("vortex-node".into()).chain(words));
            cli.map(|cli| format!("{:?}", cli.command)).map_err(|error| error.to_string())
        };
        let both = read("submit --nats nats://a:4222 one.json --wait").unwrap();
        assert!(both.contains("nats://a:4222") && both.contains("[\"one.json\"]"), "{both}");
        assert_eq!(both, read("submit --nats=nats://a:4222 one.json --wait").unwrap());
        let alone = read("submit --nats one.json").unwrap();
        assert!(alone.contains("[\"one.json\"]") && alone.contains("Addresses([])"), "{alone}");
        assert!(read("slots --nats=one.json").unwrap_err().contains("accepted: nats://HOST"));
    }
}
