//! `vortex-node nats directors`: what each director may hand in.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::network::NetworkFlags;
use crate::cli::remote::{block_on, plain};
use crate::cli::{ConfigFlags, Context, Failed, Style};
use crate::exit::Exit;
use crate::network::Priority;
use crate::network::directors::{self, Director, DirectorError};
use crate::sink::PublicKey;

/// Arguments of `nats directors`.
#[derive(Debug, Args)]
pub(super) struct DirectorsArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, with what each may hand in and has in the queue
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        network: NetworkFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Say what one may hand in, in place of what was said before
    #[command(after_help = "Example: vortex-node nats directors set open --priority low --queued 100")]
    Set {
        /// The key that signs its recipes (their security.director_id); `open` for recipes that nobody signs
        #[arg(value_name = "KEY", value_parser = director)]
        director: Signer,
        /// The highest priority of its work, and what it has where it asks for none: high, normal or low
        #[arg(long, value_name = "PRIORITY", default_value = "normal")]
        priority: Priority,
        /// How many renderings it may have in the queue [default: no limit]
        #[arg(long, value_name = "N")]
        queued: Option<u64>,
        #[command(flatten)]
        network: NetworkFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Take back what was said of one: normal priority, no limit
    Remove {
        /// As `nats directors list` names it
        #[arg(value_name = "KEY", value_parser = director)]
        director: Signer,
        #[command(flatten)]
        network: NetworkFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
}

/// A director; none is whoever signs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signer(Option<String>);

const OPEN: &str = "open";

fn director(text: &str) -> Result<Signer, String> {
    if text == OPEN {
        return Ok(Signer(None));
    }
    let key = text.parse::<PublicKey>().map_err(|error| format!("{error}; or {OPEN}"))?;
    Ok(Signer(Some(key.to_string())))
}

impl From<DirectorError> for Failed {
    fn from(error: DirectorError) -> Self {
        match error {
            DirectorError::Network(error) => error.into(),
            // It may have room later.
            DirectorError::Queued { .. } => Self::failure(error.to_string()),
            DirectorError::Priority { .. } | DirectorError::Name { .. } => Self::bad_input(error.to_string()),
        }
    }
}

impl DirectorsArguments {
    pub(super) fn config_flags(&self) -> &ConfigFlags {
        match &self.what {
            What::List { config, .. } | What::Set { config, .. } | What::Remove { config, .. } => config,
        }
    }

    /// Does what was asked. Exit code 0, 1 where the network cannot be asked.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::List { json, network, .. } => {
                let target = network.find(context)?;
                let found = block_on(async {
                    let session = target.open().await?;
                    let mut found = Vec::new();
                    for (name, says) in directors::list(&session).await? {
                        let key = (name != OPEN).then_some(name.as_str());
                        let has = directors::queued(&session, key).await?;
                        found.push((name, says, has));
                    }
                    Ok::<_, Failed>(found)
                })??;
                list(&found, json, context)?;
            }
            What::Set { director, priority, queued, network, .. } => {
                let target = network.find(context)?;
                let says = Director { priority, queued };
                block_on(async {
                    let session = target.open().await?;
                    Ok::<_, Failed>(directors::put(&session, director.0.as_deref(), &says).await?)
                })??;
                let name = director.0.as_deref().unwrap_or(OPEN);
                writeln!(context.console.out(), "{}", row(name, &says))?;
            }
            What::Remove { director, network, .. } => {
                let target = network.find(context)?;
                let was_there = block_on(async {
                    let session = target.open().await?;
                    Ok::<_, Failed>(directors::remove(&session, director.0.as_deref()).await?)
                })??;
                let name = director.0.as_deref().unwrap_or(OPEN);
                let told =
                    if was_there { "nothing is said of it any more" } else { "nothing was said of it" };
                writeln!(context.console.out(), "{name}: {told}; normal priority, no limit")?;
            }
        }
        Ok(Exit::Success)
    }
}

fn row(name: &str, says: &Director) -> String {
    let limit =
        says.queued.map_or_else(|| "no limit".to_owned(), |most| format!("at most {most} in the queue"));
    format!("{name:64}  {:8}  {limit}", says.priority.to_string())
}

fn list(found: &[(String, Director, u64)], as_json: bool, context: &mut Context<'_>) -> Result<(), Failed> {
    if as_json {
        let directors: Vec<_> = found
            .iter()
            .map(|(name, says, has)| {
                json!({ "director": name, "priority": says.priority, "queued": says.queued, "in_queue": has })
            })
            .collect();
        return Ok(context.console.json(&json!({ "directors": directors }))?);
    }
    if found.is_empty() {
        writeln!(context.console.err(), "nothing is said of any: normal priority, no limit")?;
    }
    for (name, says, has) in found {
        let is_full = says.queued.is_some_and(|most| *has >= most);
        let style = if is_full { Style::Doubtful } else { Style::Faint };
        let has = context.console.paint(style, format!("{has} there"));
        writeln!(context.console.out(), "{}, {has}", row(&plain(name), says))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_director_is_a_key_or_open() {
        let key = "ab".repeat(32);
        assert_eq!(director(OPEN), Ok(Signer(None)));
        assert_eq!(director(&key), Ok(Signer(Some(key.clone()))));
        assert!(director("ab").unwrap_err().contains("open"));
    }
}
