//! `vortex-node nats`: what the servers of a network must be told.

use clap::{Args, Subcommand, ValueEnum};

use super::{Context, Failed};
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
        /// The node's id (a result's node.id), for the role node
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
    /// Does what was asked. Exit code 0, or 2 where the arguments contradict each other.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
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
