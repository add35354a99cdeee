//! `vortex-node nats`: what the operator of a network does: streams, permissions, directors, garbage.

mod directors;
mod gc;
mod setup;

use clap::{Args, Subcommand, ValueEnum};

use super::{ConfigFlags, Context, Failed};
use crate::config::Network;
use crate::exit::Exit;
use crate::network::permissions::{Permissions, Role, conf};
use crate::sink::PublicKey;

/// Arguments of `nats`.
#[derive(Debug, Args)]
pub struct NatsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print what a role must be allowed on the servers, and no more: a block of nats-server.conf, or JSON for user JWTs
    Permissions {
        /// Whose
        #[arg(long, value_name = "ROLE")]
        role: RoleName,
        /// What subjects and streams begin with: the setting `network.prefix`
        #[arg(long, value_name = "NAME", default_value = "vortex", value_parser = prefix)]
        prefix: String,
        /// The node's id, for the role node: a result's node.id, or what `recipe keygen` says that has made its key
        #[arg(long, value_name = "KEY", required_if_eq("role", "node"))]
        node: Option<PublicKey>,
        /// The key that signs the director's recipes (their security.director_id), for the role director [default: it
        /// hands in recipes that nobody signed]
        #[arg(long, value_name = "KEY")]
        director: Option<PublicKey>,
        /// Answer in JSON, as it stands in a user's JWT
        #[arg(long)]
        json: bool,
    },
    /// Make the streams and buckets that are missing, and tell what is wrong with those that are there
    #[command(
        after_help = "Example: vortex-node nats setup --nats=nats://queue.example.org:4222 --monitor http://queue.example.org:8222"
    )]
    Setup(setup::SetupArguments),
    /// Say how much each director may hand in, and at which priority
    Directors(directors::DirectorsArguments),
    /// Remove from the artifact store what no result names
    #[command(
        after_help = "Example: vortex-node nats gc --nats=nats://queue.example.org:4222 --store s3://bucket/network --dry-run"
    )]
    Gc(gc::GcArguments),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Renders
    Node,
    /// Hands work in and cancels it
    Director,
    /// Looks
    Watcher,
    /// Makes streams and buckets, on the first start of a network and when they change
    Setup,
}

fn prefix(text: &str) -> Result<String, String> {
    if Network::fits_as_prefix(text) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} cannot begin subjects; accepted: 1 to 40 letters, digits, - and _"))
}

impl NatsCommand {
    /// The network is found by the settings where no flag names it; permissions are text.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        match &self.what {
            What::Permissions { .. } => None,
            What::Setup(arguments) => Some(&arguments.config),
            What::Directors(arguments) => Some(arguments.config_flags()),
            What::Gc(arguments) => Some(&arguments.config),
        }
    }

    /// Does what was asked. Exit code 0, or 2 where the arguments contradict each other.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::Setup(arguments) => return arguments.run(context),
            What::Directors(arguments) => return arguments.run(context),
            What::Gc(arguments) => return arguments.run(context),
            What::Permissions { role, prefix, node, director, json } => {
                let permissions = Permissions::of(&role_of(role, node, director)?, &prefix);
                if json {
                    context.console.json(&permissions.json())?;
                } else {
                    write!(context.console.out(), "{}", conf(&[permissions]))?;
                }
            }
        }
        Ok(Exit::Success)
    }
}

fn role_of(name: RoleName, node: Option<PublicKey>, director: Option<PublicKey>) -> Result<Role, Failed> {
    let foreign = |flag: &str, of: &str| {
        Err(Failed::bad_input(format!(
            "{flag} says whose permissions these are: accepted with --role {of} only"
        )))
    };
    match (name, node, director) {
        (RoleName::Node, Some(node), None) => Ok(Role::Node(node)),
        (RoleName::Director, None, director) => Ok(Role::Director(director)),
        (RoleName::Watcher, None, None) => Ok(Role::Watcher),
        (RoleName::Setup, None, None) => Ok(Role::Setup),
        (RoleName::Node, None, _) => Err(Failed::bad_input("--role node: --node says which")),
        (RoleName::Director, Some(_), _) | (RoleName::Watcher | RoleName::Setup, Some(_), _) => {
            foreign("--node", "node")
        }
        (_, _, Some(_)) => foreign("--director", "director"),
    }
}
