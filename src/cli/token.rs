//! `vortex-node token`: make, list and revoke the tokens of the node whose data folder this is; a way into its page.
//!
//! A token's text stands alone on standard output, once. Everything else goes to standard error.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::remote::{RemoteFlags, block_on, length, plain, time_span};
use super::{ConfigFlags, Context, Failed, Style};
use crate::api::access::scopes::{Scopes, TokenId};
use crate::api::access::tokens::{TokenError, TokenFile, TokenRecord};
use crate::clock;
use crate::exit::Exit;

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token and print it, once; a node that runs knows it within seconds
    New {
        /// What it may do, separated by commas: submit (hand in and cancel), read (see everything), operate (drain, reload)
        #[arg(long, value_name = "SCOPES")]
        scope: Scopes,
        /// For how long it is good [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = time_span)]
        expires: Option<Duration>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// List tokens, without what opens anything
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Revoke tokens; a node that runs refuses them within seconds
    Revoke {
        /// As `token list` shows them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<TokenId>,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Print an address that opens the node's page in a browser, once
    Login {
        #[command(flatten)]
        remote: RemoteFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
}

impl TokenCommand {
    /// Tokens are kept in the data folder.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        match &self.what {
            What::New { config, .. }
            | What::List { config, .. }
            | What::Revoke { config, .. }
            | What::Login { config, .. } => Some(config),
        }
    }

    /// Does what was asked. Exit code 0, 1 where the tokens cannot be read or written, 2 where there is no such token.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let folder = context.loaded()?.settings.data_dir.clone();
        match self.what {
            What::New { scope, expires, name, .. } => new(&folder, scope, expires, name.as_deref(), context)?,
            What::List { json, .. } => list(&folder, json, context)?,
            What::Revoke { ids, .. } => revoke(&folder, &ids, context)?,
            What::Login { remote, .. } => {
                let client = remote.connect(context)?;
                let login = block_on(client.login())??;
                writeln!(context.console.out(), "{}", plain(&login.url))?;
                let good = super::remote::seconds(login.expires_in);
                writeln!(context.console.err(), "it opens the page once, within {good}")?;
            }
        }
        Ok(Exit::Success)
    }
}

impl From<TokenError> for Failed {
    fn from(error: TokenError) -> Self {
        let told = error.to_string();
        match error {
            TokenError::Unknown { .. } | TokenError::NoScope => Self::bad_input(told),
            _ => Self::failure(told),
        }
    }
}

fn new(
    folder: &Path,
    scopes: Scopes,
    lasts: Option<Duration>,
    name: Option<&str>,
    context: &mut Context<'_>,
) -> Result<(), Failed> {
    if lasts.is_some_and(|lasts| lasts.is_zero()) {
        return Err(Failed::bad_input(
            "--expires: a token that is good for no time opens nothing; accepted: such as 30d",
        ));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| Failed::failure(format!("{} cannot be made: {error}", folder.display())))?;
    let file = TokenFile::within(folder);
    let minted = file.mint(scopes, name, lasts, clock::unix_time())?;
    let until =
        lasts.map_or_else(|| "until it is revoked".to_owned(), |lasts| format!("for {}", length(lasts)));
    writeln!(
        context.console.err(),
        "token {} for {scopes}, good {until}; it is shown this once, its hash is in {}",
        minted.record.id,
        file.path().display()
    )?;
    writeln!(context.console.out(), "{}", minted.token.reveal())?;
    Ok(())
}

fn list(folder: &Path, as_json: bool, context: &mut Context<'_>) -> Result<(), Failed> {
    let tokens = TokenFile::within(folder).read()?;
    let now = clock::unix_time();
    if as_json {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| {
                json!({
                    "id": token.id, "scopes": token.scopes, "name": token.name, "created": token.created,
                    "expires": token.expires, "expired": token.expired(now),
                })
            })
            .collect();
        context.console.json(&json!({ "tokens": tokens }))?;
        return Ok(());
    }
    if tokens.is_empty() {
        writeln!(context.console.err(), "no tokens in {}", folder.display())?;
    }
    for token in &tokens {
        let (style, until) = good_until(token, now);
        let until = context.console.paint(style, format!("{until:20}"));
        let made = length(now.saturating_sub(Duration::from_secs(token.created)));
        let name = token.name.as_deref().map(plain).unwrap_or_default();
        let line = format!("{}  {:20}  {until}  made {made} ago  {name}", token.id, token.scopes.to_string());
        writeln!(context.console.out(), "{}", line.trim_end())?;
    }
    Ok(())
}

fn good_until(token: &TokenRecord, now: Duration) -> (Style, String) {
    match token.expires {
        None => (Style::Faint, "until revoked".to_owned()),
        Some(_) if token.expired(now) => (Style::Bad, "expired".to_owned()),
        Some(at) => (Style::Good, format!("for {}", length(Duration::from_secs(at).saturating_sub(now)))),
    }
}

fn revoke(folder: &Path, ids: &[TokenId], context: &mut Context<'_>) -> Result<(), Failed> {
    let file = TokenFile::within(folder);
    for id in ids {
        let token = file.revoke(*id)?;
        let name = token.name.as_deref().map(|name| format!(" ({})", plain(name))).unwrap_or_default();
        writeln!(context.console.err(), "token {id}{name} is revoked")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
