//! The tokens that a running node knows: in memory, checked in microseconds, read again when their file changes.
//!
//! A check is one look into a table by the token's id and one comparison in constant time, without the disk. Only an id
//! that is not known has the file's stamp looked at, so that a token counts as soon as it is made. [`TokenStore::watch`] looks at the file's stamp from a blocking thread. A file that cannot be read leaves in force what
//! was there: an operator's slip shuts nobody out, and lets nobody in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::file::{Stamp, TokenFile, TokenRecord};
use super::{Token, TokenError, id_of};
use crate::api::access::scopes::{Kind, Scopes, TokenId, Who};
use crate::api::access::secret::Digest;
use crate::clock;

/// How often the file is looked at: soon enough for `token revoke`, and nothing for a disk.
pub const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such token, or one that was revoked, or not a token at all: nobody is told which.
    Unknown,
    /// It was good once; only whoever has the secret learns that.
    Expired,
}

/// The tokens of a running node.
#[derive(Debug)]
pub struct TokenStore {
    file: TokenFile,
    known: RwLock<Arc<HashMap<TokenId, TokenRecord>>>,
    seen: Mutex<Option<Stamp>>,
    local: Option<(TokenId, Digest)>,
    /// The last look found a file that cannot be read, which was told.
    failing: AtomicBool,
}

impl TokenStore {
    /// Reads `file`; `local` is let in beside its tokens. A file that cannot be read is an error: a node that has lost its
    /// tokens must not start as if there were none. Blocks.
    pub fn open(file: TokenFile, local: Option<&Token>) -> Result<Self, TokenError> {
        let stamp = file.stamp()?;
        let known = RwLock::new(Arc::new(table(file.read()?)));
        let local = local.map(|token| (token.id(), token.digest()));
        Ok(Self { file, known, seen: Mutex::new(stamp), local, failing: AtomicBool::new(false) })
    }

    /// Whose `text` is, at `now` (seconds since the Unix epoch).
    pub fn check(&self, text: &str, now: Duration) -> Result<Who, Refused> {
        let id = id_of(text).ok_or(Refused::Unknown)?;
        if let Some((local, digest)) = &self.local
            && *local == id
        {
            let who = Who { id, kind: Kind::Local, scopes: Scopes::ALL };
            return if digest.is_of(text) { Ok(who) } else { Err(Refused::Unknown) };
        }
        let mut known = self.known();
        if !known.contains_key(&id) {
            self.follow();
            known = self.known();
        }
        let record = known.get(&id).filter(|record| record.sha256.is_of(text)).ok_or(Refused::Unknown)?;
        current(record, now).ok_or(Refused::Expired)
    }

    /// The token `id` as it stands at `now`, for a session that was opened with it; none once it is revoked or expired.
    pub fn still(&self, id: TokenId, now: Duration) -> Option<Who> {
        match self.local {
            Some((local, _)) if local == id => Some(Who { id, kind: Kind::Local, scopes: Scopes::ALL }),
            _ => self.known().get(&id).and_then(|record| current(record, now)),
        }
    }

    /// How many tokens of the file are good at `now`; the local one is not counted.
    pub fn count(&self, now: Duration) -> usize {
        self.known().values().filter(|record| !record.expired(now)).count()
    }

    /// Reads the file again; on an error everything stays as it was. Gives back how many tokens there are. Blocks.
    pub fn reload(&self) -> Result<usize, TokenError> {
        // The stamp first: a change between the two reads the file once more than needed, never once less. Held to the
        // end, so that of two reloads at once the older content cannot come last.
        let mut seen = self.seen.lock();
        let stamp = self.file.stamp()?;
        let known = match self.file.read() {
            Ok(records) => table(records),
            Err(error) => {
                // What is wrong with its content stays wrong until it changes; everything else is worth another try.
                if matches!(error, TokenError::Corrupt { .. }) {
                    *seen = stamp;
                }
                return Err(error);
            }
        };
        *seen = stamp;
        let count = known.len();
        *self.known.write() = Arc::new(known);
        Ok(count)
    }

    /// As [`Self::reload`], where the file has changed since; whether it has. Blocks.
    pub fn reload_if_changed(&self) -> Result<bool, TokenError> {
        if self.file.stamp()? == *self.seen.lock() {
            return Ok(false);
        }
        self.reload().map(|_| true)
    }

    /// Follows the file until dropped, looking every [`WATCH_EVERY`].
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let store = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || store.follow()).await.is_err() {
                // The runtime is going down.
                return;
            }
        }
    }

    /// As [`Self::reload_if_changed`], and tells what came of it. Blocks.
    fn follow(&self) {
        match self.reload_if_changed() {
            Ok(true) => {
                self.failing.store(false, Ordering::Release);
                let tokens = self.count(clock::unix_time());
                tracing::info!(event = super::super::event::TOKENS_READ, tokens, "tokens read again");
            }
            Ok(false) => {}
            // Said once, not at every look.
            Err(error) if !self.failing.swap(true, Ordering::AcqRel) => {
                let error = error.to_string();
                tracing::error!(
                    event = super::super::event::TOKENS_UNREADABLE,
                    error,
                    "the old tokens stay in force"
                );
            }
            Err(_) => {}
        }
    }

    fn known(&self) -> Arc<HashMap<TokenId, TokenRecord>> {
        Arc::clone(&self.known.read())
    }
}

fn table(records: Vec<TokenRecord>) -> HashMap<TokenId, TokenRecord> {
    records.into_iter().map(|record| (record.id, record)).collect()
}

fn current(record: &TokenRecord, now: Duration) -> Option<Who> {
    (!record.expired(now)).then_some(Who { id: record.id, kind: Kind::Token, scopes: record.scopes })
}
