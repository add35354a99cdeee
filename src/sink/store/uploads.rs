//! What the uploader needs of the journal: slots whose files are to be uploaded, and a place to write down how far it came.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use crate::types::{Sha256, SlotId};

/// An answer that may take a moment.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whatever went wrong in the journal.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// A file to upload, as it was recorded when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelFile {
    /// Its name, counted from the slot's folder, with `/` between folders.
    pub name: String,
    /// Of its bytes.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
}

/// A slot whose files are to be uploaded.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The slot.
    pub slot: SlotId,
    /// Its folder.
    pub folder: PathBuf,
    /// Its artifacts.
    pub files: Vec<ParcelFile>,
    /// Its `result.json`, which goes last: whoever finds it finds everything that it names. None where it has none.
    pub result: Option<ParcelFile>,
    /// Addresses of the files that are in the store already, by name: these are not looked at again.
    pub stored: BTreeMap<String, String>,
    /// How often it was tried and failed.
    pub attempts: u32,
}

/// A slot that waits for its upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The slot.
    pub slot: SlotId,
    /// Since when, since the Unix epoch.
    pub since: Duration,
    /// The size of its files.
    pub bytes: u64,
}

/// What became of a try. Times are since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// These files (name, address) are in the store; the rest is still to be uploaded.
    Some {
        /// Addresses by name, to be added to those known.
        addresses: BTreeMap<String, String>,
    },
    /// It failed and is tried again.
    Retry {
        /// Not before.
        next_at: Duration,
        /// Why it failed.
        error: String,
    },
    /// All of it is in the store.
    Done {
        /// When.
        at: Duration,
    },
    /// It is given up.
    GivenUp {
        /// When.
        at: Duration,
        /// Why.
        error: String,
    },
}

/// The journal, as the uploader sees it. No call blocks; times are since the Unix epoch.
pub trait Uploads: Send + Sync + 'static {
    /// At most `limit` slots whose upload is due at `now`, without those in `skip`; those due for longest first.
    fn due<'a>(
        &'a self,
        now: Duration,
        limit: usize,
        skip: &'a HashSet<SlotId>,
    ) -> Reply<'a, Result<Vec<Parcel>, AnyError>>;

    /// All that is to be uploaded, due or not, those that wait for longest first; at most `limit`. Asked while the store is
    /// down only.
    fn pending(&self, limit: usize) -> Reply<'_, Result<Vec<Waiting>, AnyError>>;

    /// What became of a slot's upload; answered once it is durable.
    fn mark(&self, slot: SlotId, mark: Mark) -> Reply<'_, Result<(), AnyError>>;
}
