//! One object out of the store into a file: whole and checked, or not at all.
//!
//! Takes addresses of this store only, as uploads answered with them. Holds one part of an object in memory.

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use object_store::{Error, ObjectStoreExt};
use sha2::Digest;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::open::Store;
use super::put::said;
use crate::files::{self, Existing, Readers};
use crate::types::Sha256;

/// Addresses come from others: of one that is wrong so much is shown.
const MOST_SHOWN: usize = 300;

/// Why an object was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The address is none of this store.
    #[error("{address:?} is no address in the artifact store {store}: it {wrong}; accepted: {store}/KEY")]
    Address {
        /// What was given, as far as it is shown.
        address: String,
        /// Which store this is.
        store: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// Nothing lies there.
    #[error("{address} is not in the artifact store")]
    Missing {
        /// Where.
        address: String,
    },
    /// The store did not do it; it may later.
    #[error("cannot fetch {address} from the artifact store: {said}")]
    Store {
        /// Where.
        address: String,
        /// What the store or the network said.
        said: String,
    },
    /// Other content lies there: nothing was written.
    #[error("{address} is other content: {found}; nothing is written")]
    Differs {
        /// Where.
        address: String,
        /// What was found, and what was expected.
        found: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Local {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Store {
    /// Fetches what an upload put at `address` into the file `to`, in place of what is there. Its bytes are checked and on disk
    /// before they have that name: whatever fails, `to` stays as it was. So it does where the call is dropped, unless all
    /// bytes had come.
    ///
    /// # Errors
    /// The address is not in this store, nothing or something else lies there, the store does not answer, or the file cannot
    /// be written.
    pub async fn get_to(&self, address: &str, sha256: Sha256, bytes: u64, to: &Path) -> Result<(), GetError> {
        let key = self.key_at(address)?;
        let failed = |error: Error| match error {
            Error::NotFound { .. } => GetError::Missing { address: address.to_owned() },
            error => GetError::Store { address: address.to_owned(), said: said(&error) },
        };
        let differs = |found| GetError::Differs { address: address.to_owned(), found };
        let about = self.objects.head(&key).await.map_err(failed)?;
        if about.size != bytes {
            return Err(differs(format!("{} bytes instead of {bytes}", about.size)));
        }
        let (sender, pieces) = mpsc::channel(1);
        let path = to.to_owned();
        let writing = spawn_blocking(move || write(&path, pieces, sha256, bytes));
        // The sender is dropped before the end is awaited: without it the file ends, and too early an end is no file.
        let sent = self.send_pieces(&key, bytes, sender).await;
        let written = writing.await.unwrap_or_else(|error| Err(Unwritten::File(io::Error::other(error))));
        sent.map_err(failed)?;
        written.map_err(|error| match error {
            Unwritten::Differs(found) => differs(found),
            Unwritten::File(source) => GetError::Local { path: to.to_owned(), source },
        })
    }

    /// Reads an object's pieces in order, as long as somebody takes them.
    async fn send_pieces(&self, key: &Key, bytes: u64, to: mpsc::Sender<Vec<u8>>) -> Result<(), Error> {
        for range in ranges(bytes, self.part) {
            let piece = self.objects.get_range(key, range).await?;
            if to.send(piece.into()).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The key of an address in this store. One that leads out of it is refused.
    fn key_at(&self, address: &str) -> Result<Key, GetError> {
        let base = self.to_string();
        let wrong = |wrong| GetError::Address {
            address: address.chars().take(MOST_SHOWN).collect(),
            store: base.clone(),
            wrong,
        };
        let below = address.strip_prefix(&base).and_then(|rest| rest.strip_prefix('/'));
        let below = below.ok_or_else(|| wrong("is of another place"))?;
        if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong("has empty or relative parts"));
        }
        if !below.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte)) {
            return Err(wrong("has other characters than letters, digits and / - _ ."));
        }
        Ok(self.key(below))
    }
}

/// Parts of an object, in order.
pub(super) fn ranges(bytes: u64, part: usize) -> impl Iterator<Item = Range<u64>> {
    let part = u64::try_from(part).unwrap_or(u64::MAX).max(1);
    (0..bytes.div_ceil(part)).map(move |at| at * part..(at * part).saturating_add(part).min(bytes))
}

/// Why a file was not written.
enum Unwritten {
    Differs(String),
    File(io::Error),
}

/// Writes what comes, if it is what was expected. Blocks.
fn write(
    to: &Path,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    expected: Sha256,
    bytes: u64,
) -> Result<(), Unwritten> {
    let (mut hash, mut read, mut differs) = (sha2::Sha256::new(), 0u64, None);
    let written = files::write_whole(to, Existing::Replace, Readers::Umask, |file| {
        while let Some(piece) = pieces.blocking_recv() {
            hash.update(&piece);
            read += piece.len() as u64;
            file.write_all(&piece)?;
        }
        let found = Sha256::from_digest(hash.finalize().into());
        if (found, read) == (expected, bytes) {
            return Ok(());
        }
        differs = Some(format!("{read} bytes of SHA-256 {found} instead of {bytes} of {expected}"));
        Err(io::Error::other("other content"))
    });
    written.map_err(|error| differs.map_or(Unwritten::File(error), Unwritten::Differs))
}
