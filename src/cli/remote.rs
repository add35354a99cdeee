//! What the commands that ask a running node have in common: which node, a runtime, Ctrl-C, and how times and texts of a
//! server are written.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Context, Failed};
use crate::client::{Access, Certificates, Client, ClientError, Patience, Secret, Wanted};
use crate::types::SlotId;

mod signals;
#[cfg(test)]
pub(super) mod testing;
mod words;

pub(super) use signals::Signals;
pub(super) use words::{age, ago, count, duration, length, plain, seconds};

/// Which node is asked, and by what right.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Node")]
pub(super) struct RemoteFlags {
    /// The node's address [default: the variable VORTEX_URL, else the node that serves from the data folder, else
    /// http://127.0.0.1:9100]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File with a token [default: the variable VORTEX_TOKEN, else the local token of a node on this machine]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates in PEM to trust beside the system's
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Certificate in PEM to show to a node that asks for one
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key, where it is not in the same file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// Where the address of a node may be named.
const URL: &str = "VORTEX_URL";
/// Where a token may be named.
const TOKEN: &str = "VORTEX_TOKEN";

impl RemoteFlags {
    /// A client of the node that these flags, the environment and the data folder lead to.
    pub(super) fn connect(&self, context: &Context<'_>) -> Result<Client, Failed> {
        self.connect_by(context, Patience::default())
    }

    /// As [`connect`](Self::connect), with a patience of the caller's.
    pub(super) fn connect_by(&self, context: &Context<'_>, patience: Patience) -> Result<Client, Failed> {
        let data_dir = context.config.as_ref().map(|loaded| loaded.settings.data_dir.clone());
        Ok(Client::new(Access::find(&self.wanted(data_dir))?, patience)?)
    }

    /// What these flags, the environment and a data folder say of the node.
    pub(super) fn wanted(&self, data_dir: Option<PathBuf>) -> Wanted {
        let variable = |name: &str| std::env::var(name).ok();
        Wanted {
            url: self.url.clone(),
            url_variable: variable(URL),
            token_file: self.token_file.clone(),
            token_variable: variable(TOKEN).map(Secret::new),
            data_dir,
            certificates: self.certificates(),
        }
    }

    /// Files for TLS, with a node or a network's server.
    pub(super) fn certificates(&self) -> Certificates {
        Certificates { cacert: self.cacert.clone(), cert: self.cert.clone(), key: self.key.clone() }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let told = error.to_string();
        if error.is_bad_input() { Self::bad_input(told) } else { Self::failure(told) }
    }
}

/// Runs `work` to its end on this thread; threads for files and names are the runtime's own.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::failure(format!("the system gives no runtime for the network: {error}")))?;
    let done = runtime.block_on(work);
    // A thread that waits for a file or a key ends with the process.
    runtime.shutdown_background();
    Ok(done)
}

/// A slot's id as it is written on a command line.
pub(super) fn slot_id(text: &str) -> Result<SlotId, String> {
    text.parse().map_err(|error| {
        format!("it is no slot's id ({error}); accepted: a recipe's recipe_id, such as 6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21")
    })
}

/// A time as it is written on a command line: `30s`, `15m`, `2h`, `30d`.
pub(super) fn time_span(text: &str) -> Result<Duration, String> {
    let accepted = "accepted: a number and s, m, h or d, such as 30s, 15m, 2h or 30d";
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or(accepted)?;
    let (number, unit) = text.split_at(at);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(accepted.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| accepted.to_owned())?;
    // A hundred years: whoever means for ever leaves it out, and no clock overflows.
    let most = 100 * 365 * 86_400;
    let span = number.checked_mul(seconds).filter(|span| *span <= most).ok_or("accepted: at most 36500d")?;
    Ok(Duration::from_secs(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, span) in
            [("0s", 0), ("30s", 30), ("15m", 900), ("15min", 900), ("2h", 7_200), ("30d", 2_592_000)]
        {
            assert_eq!(time_span(text).unwrap(), Duration::from_secs(span), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5h", "1 h", "1w", "99999999999999999999d", "36501d", "h2"] {
            assert!(time_span(text).unwrap_err().contains("accepted"), "{text}");
        }
    }

    #[test]
    fn a_slot_is_named_by_its_recipes_id() {
        assert!(slot_id("6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21").is_ok());
        assert!(slot_id("hello").unwrap_err().contains("recipe_id"));
    }
}
