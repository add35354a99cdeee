//! `vortex-node node`: what an operator tells a node that serves.
//!
//! Asks; the node decides, and what it answers is told.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::remote::{RemoteFlags, block_on, plain};
use super::{ConfigFlags, Context, Failed};
use crate::client::Operation;
use crate::exit::Exit;

/// Arguments of `node`.
#[derive(Debug, Args)]
pub struct NodeCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take no slots in any more; what is there ends
    Drain(Asked),
    /// Take slots in again
    Undrain(Asked),
    /// Read settings, tokens and certificates again
    Reload(Asked),
    /// Go on although slots may have been lost: index and log of the journal were both damaged
    Acknowledge(Asked),
}

#[derive(Debug, Args)]
struct Asked {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

impl What {
    const fn parts(&self) -> (Operation, &Asked) {
        match self {
            Self::Drain(asked) => (Operation::Drain, asked),
            Self::Undrain(asked) => (Operation::Undrain, asked),
            Self::Reload(asked) => (Operation::Reload, asked),
            Self::Acknowledge(asked) => (Operation::Acknowledge, asked),
        }
    }
}

impl NodeCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.what.parts().1.config)
    }

    /// Asks. Exit code 0 where it was done, 1 where the node cannot be asked or refuses.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (operation, asked) = self.what.parts();
        let client = asked.remote.connect(context)?;
        let answer = block_on(client.operate(operation))??;
        if asked.json {
            context.console.json(&answer)?;
        } else {
            let told = match operation {
                Operation::Drain => "the node takes nothing in any more".to_owned(),
                Operation::Undrain => "the node takes slots in again".to_owned(),
                Operation::Reload => format!("settings read again: {}", plain(&answer.to_string())),
                Operation::Acknowledge => match answer.get("since").and_then(Value::as_f64) {
                    Some(since) => format!(
                        "acknowledged: slots that were accepted since {since:.0} s after the Unix epoch may be lost"
                    ),
                    None => {
                        "acknowledged: slots that were accepted at any time before may be lost".to_owned()
                    }
                },
            };
            writeln!(context.console.out(), "{told}")?;
        }
        Ok(Exit::Success)
    }
}
