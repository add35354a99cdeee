//! Finished stages of one rendering, for another node that goes on with it.
//!
//! A cache: the first writer's bytes stay, and whoever finds none, or none that it trusts, runs the stage itself.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path as Key;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::fetch::ranges;
use super::open::Store;
use super::put::said;
use crate::types::WorkId;

/// What the keys of stages begin with.
pub(super) const STAGES: &str = "stages";
/// They are held in memory as a whole and written by one request, the only one that knows a condition.
const MOST: usize = 256 << 20;
/// File systems take 255.
const LONGEST_NAME: usize = 100;

/// The name of a stage's output: 1 to 100 of a-z, 0-9, `.`, `_` and `-`, without a dot in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageName(String);

impl FromStr for StageName {
    type Err = StageError;

    fn from_str(name: &str) -> Result<Self, StageError> {
        let taken = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let length = (1..=LONGEST_NAME).contains(&name.len());
        if length && !name.starts_with('.') && name.bytes().all(taken) {
            return Ok(Self(name.to_owned()));
        }
        Err(StageError::Name { found: name.chars().take(LONGEST_NAME + 1).collect() })
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose bytes lie in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Those that were given.
    Given,
    /// Others, which were there first.
    Other,
}

/// Why a stage is not in the store, or not to be had.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Its name.
    #[error(
        "{found:?} names no stage; accepted: 1 to {LONGEST_NAME} of a-z, 0-9, '.', '_' and '-', without a dot in front"
    )]
    Name {
        /// What was given, as far as it is shown.
        found: String,
    },
    /// Its size.
    #[error("stage {key} has {bytes} bytes; accepted: up to {MOST}")]
    Size {
        /// The key.
        key: String,
        /// How many.
        bytes: u64,
    },
    /// The store did not do it; it may later.
    #[error("cannot {doing} stage {key} in the artifact store: {said}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// The key.
        key: String,
        /// What the store or the network said.
        said: String,
    },
}

impl StageError {
    fn store(doing: &'static str, key: &Key, error: &Error) -> Self {
        Self::Store { doing, key: key.to_string(), said: said(error) }
    }

    fn size(key: &Key, bytes: u64) -> Self {
        Self::Size { key: key.to_string(), bytes }
    }
}

impl Store {
    /// Has the output of a stage in the store, unless one lies there: then that one stays.
    ///
    /// # Errors
    /// A name or size that is not accepted; the store does not do it.
    pub async fn put_stage(&self, work: WorkId, name: &str, bytes: Vec<u8>) -> Result<Kept, StageError> {
        let key = self.stage_key(work, &name.parse()?);
        if bytes.len() > MOST {
            return Err(StageError::size(&key, bytes.len() as u64));
        }
        let payload = PutPayload::from(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&key, payload.clone(), options).await {
            Ok(_) => Ok(Kept::Given),
            // Another was faster, or an earlier try came through without an answer.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                let given = payload.as_ref().first().map_or(&[][..], |bytes| &bytes[..]);
                let same = self.holds(&key, given).await;
                let same = same.map_err(|error| StageError::store("read back", &key, &error))?;
                Ok(if same { Kept::Given } else { Kept::Other })
            }
            Err(error) => Err(StageError::store("write", &key, &error)),
        }
    }

    /// The output of a stage; none where nobody put it there. Whoever asks has to check it: any writer of the store may have.
    ///
    /// # Errors
    /// A name that is not accepted, an object larger than a stage may be; the store does not answer.
    pub async fn get_stage(&self, work: WorkId, name: &str) -> Result<Option<Vec<u8>>, StageError> {
        let key = self.stage_key(work, &name.parse()?);
        match self.read(&key).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Unread::TooLarge(bytes)) => Err(StageError::size(&key, bytes)),
            Err(Unread::Store(Error::NotFound { .. })) => Ok(None),
            Err(Unread::Store(error)) => Err(StageError::store("read", &key, &error)),
        }
    }

    pub(super) fn stage_key(&self, work: WorkId, name: &StageName) -> Key {
        self.key(&format!("{STAGES}/{work}/{name}"))
    }

    async fn read(&self, key: &Key) -> Result<Vec<u8>, Unread> {
        let size = self.objects.head(key).await?.size;
        let room = usize::try_from(size).ok().filter(|size| *size <= MOST);
        let mut bytes = Vec::with_capacity(room.ok_or(Unread::TooLarge(size))?);
        for range in ranges(size, self.part) {
            bytes.extend_from_slice(&self.objects.get_range(key, range).await?);
        }
        Ok(bytes)
    }

    async fn holds(&self, key: &Key, given: &[u8]) -> Result<bool, Error> {
        let size = given.len() as u64;
        if self.objects.head(key).await?.size != size {
            return Ok(false);
        }
        let pieces = given.chunks(self.part.max(1));
        for (range, expected) in ranges(size, self.part).zip(pieces) {
            if self.objects.get_range(key, range).await? != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Why an object was not read.
enum Unread {
    TooLarge(u64),
    Store(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
