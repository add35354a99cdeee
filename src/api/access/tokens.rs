//! Tokens: their text, the file that knows their hashes, the running node's view of it, and the local token.
//!
//! A token reads `vxn_ID_SECRET`: the id is public and names it in lists, logs and limits; the secret is 256 random bits
//! of which only a SHA-256 is kept. Never decides what a request needs: that is the guard's.

mod file;
mod local;
mod store;

use std::fmt;

pub use file::{Minted, TokenFile, TokenRecord};
pub use local::{LOCAL_TOKEN, LocalToken, read_local_token};
pub use store::{Refused, TokenStore, WATCH_EVERY};

use std::path::PathBuf;

use super::scopes::TokenId;
use super::secret::{Digest, NoRandomness, Secret, looks_like_one};

/// What every token begins with, so that scanners for leaked secrets can find one.
pub const PREFIX: &str = "vxn_";

/// A whole token. Shown once by whoever made it; `Debug` hides it.
#[derive(Clone)]
pub struct Token {
    id: TokenId,
    text: String,
}

impl Token {
    /// A new one.
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        let id = TokenId::new()?;
        Ok(Self { id, text: format!("{PREFIX}{id}_{}", Secret::new()?.reveal()) })
    }

    /// Its public part.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The text that opens doors: for the one place that prints or sends it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }

    /// Reads `text`, if it has a token's shape.
    pub fn parse(text: &str) -> Option<Self> {
        id_of(text).map(|id| Self { id, text: text.to_owned() })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, hidden)", self.id)
    }
}

/// The id in a token's text, if it has a token's shape.
pub(crate) fn id_of(text: &str) -> Option<TokenId> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    looks_like_one(secret).then(|| id.parse().ok()).flatten()
}

/// Why tokens could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error(
        "{}: not a token file: {problem}; put back a copy of it, or remove it, which revokes every token",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, without its content.
        problem: String,
    },
    /// Others could read or change it.
    #[error("{}: {problem}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Who could, and what to do.
        problem: String,
    },
    /// No token has this id.
    #[error("no token has the id {id}; there are {known}")]
    Unknown {
        /// What was asked for.
        id: TokenId,
        /// The ids there are, or `none`.
        known: String,
    },
    /// A token without a scope opens nothing.
    #[error("a token needs at least one scope: submit, read, operate")]
    NoScope,
    /// The file is full.
    #[error("{}: {count} tokens are all that it holds; revoke some", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// How many it holds.
        count: usize,
    },
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

#[cfg(test)]
mod tests;
