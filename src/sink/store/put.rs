//! One file into the store: under a key that is free, or that holds the same content already; never over other content.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use object_store::path::Path as Key;
use object_store::{Error, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use sha2::Digest;
use tokio::task::spawn_blocking;

use super::local::Reader;
use super::open::Store;
use super::uploads::ParcelFile;
use crate::clock;
use crate::types::{Sha256, SlotId};

/// A store's own words are kept up to this length: some answer with whole documents.
const MOST_TEXT: usize = 400;

/// Why a file is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The store did not do it; it may later.
    #[error("cannot {doing} {key} in the artifact store: {said}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// The key.
        key: String,
        /// What the store or the network said.
        said: String,
    },
    /// The file cannot be read right now.
    #[error("cannot read {}: {source}", path.display())]
    Local {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not the one that was recorded: it is not uploaded.
    #[error("{} is damaged: {found}; it is not uploaded", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was found, and what was recorded.
        found: String,
    },
    /// Other content lies under the key: it is left as it is.
    #[error("the artifact store holds other content under {key}: {found}; it is left as it is")]
    Conflict {
        /// The key.
        key: String,
        /// What lies there.
        found: String,
    },
}

impl PutError {
    pub(super) fn store(doing: &'static str, key: &Key, error: &Error) -> Self {
        let hint = match error {
            Error::NotImplemented { .. } | Error::NotSupported { .. } => {
                "; it has to know conditional writes (If-None-Match)"
            }
            _ => "",
        };
        Self::Store { doing, key: key.to_string(), said: format!("{}{hint}", said(error)) }
    }

    pub(super) fn local(path: &Path, source: io::Error) -> Self {
        Self::Local { path: path.to_owned(), source }
    }

    /// Whether it is the store's: every other slot would meet it too.
    pub(super) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Store { .. })
    }

    /// Whether no further try can succeed.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Conflict { .. })
    }
}

/// What a store or the network said, as far as it is kept.
pub(super) fn said(error: &Error) -> String {
    causes(error).chars().take(MOST_TEXT).collect()
}

/// When an object was last written, by the store's clock, since the Unix epoch.
pub(super) fn modified(about: &ObjectMeta) -> Duration {
    let time = about.last_modified;
    u64::try_from(time.timestamp())
        .map_or(Duration::ZERO, |seconds| Duration::new(seconds, time.timestamp_subsec_nanos()))
}

/// An error's text with those of its causes that it does not repeat.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        let next = it.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = it.source();
    }
    text
}

/// What a look at a key came to.
enum Seen {
    Free,
    /// The same bytes, written then.
    Same(Duration),
    /// It may not be looked at.
    Unknown,
}

impl Store {
    /// Has an artifact in the store under its hash; answers with its address. What is there already is not sent again, unless
    /// it is old: rules that expire what is old would take it away from this slot with an earlier one's.
    pub(super) async fn put_content(&self, folder: &Path, file: &ParcelFile) -> Result<String, PutError> {
        let key = self.content_key(&file.sha256);
        self.put_artifact(&key, folder, file, Some(self.renew)).await?;
        Ok(self.address_of(&key))
    }

    /// Has a file in the store under a key that has its hash in it. The same bytes are written again where they lie there for
    /// longer than `renew`.
    pub(super) async fn put_artifact(
        &self,
        key: &Key,
        folder: &Path,
        file: &ParcelFile,
        renew: Option<Duration>,
    ) -> Result<(), PutError> {
        let in_parts = file.bytes > self.part as u64;
        match self.look(key, file).await? {
            Seen::Same(written) => {
                let age = clock::unix_time().saturating_sub(written);
                if renew.is_none_or(|renew| age < renew) {
                    return Ok(());
                }
                if in_parts {
                    return self.put_in_parts(key, folder, file).await;
                }
                self.put_whole(key, folder, file, PutMode::Overwrite).await
            }
            // Parts are put together without a condition, so the key must have been seen free. A writer that comes in
            // between writes the same content: the key has its hash.
            Seen::Free if in_parts => self.put_in_parts(key, folder, file).await,
            Seen::Unknown if in_parts => Err(PutError::Store {
                doing: "look at",
                key: key.to_string(),
                said: "permission denied; large files need it (s3:GetObject and s3:ListBucket)".to_owned(),
            }),
            Seen::Free | Seen::Unknown => self.put_whole(key, folder, file, PutMode::Create).await,
        }
    }

    /// Has a slot's result in the store; answers with its address.
    pub(super) async fn put_result(
        &self,
        slot: SlotId,
        folder: &Path,
        file: &ParcelFile,
    ) -> Result<String, PutError> {
        let key = self.result_key(slot);
        if let Seen::Same(_) = self.look(&key, file).await? {
            return Ok(self.address_of(&key));
        }
        self.put_whole(&key, folder, file, PutMode::Create).await?;
        Ok(self.address_of(&key))
    }

    /// In one request, which by [`PutMode::Create`] fails where something is there.
    async fn put_whole(
        &self,
        key: &Key,
        folder: &Path,
        file: &ParcelFile,
        mode: PutMode,
    ) -> Result<(), PutError> {
        let bytes = read_whole(folder, file).await?;
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(key, PutPayload::from(bytes), options).await {
            Ok(_) => Ok(()),
            // Another writer was faster, or this one's earlier try came through without an answer.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => self.compare(key, file).await,
            Err(error) => Err(PutError::store("write", key, &error)),
        }
    }

    /// In parts, which become an object only after all bytes were read and their hash is the recorded one.
    async fn put_in_parts(&self, key: &Key, folder: &Path, file: &ParcelFile) -> Result<(), PutError> {
        let reader = open(folder, file).await?;
        let begun = self.objects.put_multipart(key).await;
        let mut upload = begun.map_err(|error| PutError::store("begin to write", key, &error))?;
        let sent = self.send_parts(key, reader, upload.as_mut()).await;
        if sent.is_err() {
            // Parts that cannot be removed now are the bucket's lifecycle rule's to remove.
            let _ = upload.abort().await;
        }
        sent
    }

    async fn send_parts(
        &self,
        key: &Key,
        mut reader: Reader,
        upload: &mut dyn MultipartUpload,
    ) -> Result<(), PutError> {
        loop {
            let part = self.part;
            let (back, piece) = blocking(move || {
                let piece = reader.piece(part)?;
                Ok((reader, piece))
            })
            .await?;
            reader = back;
            if piece.is_empty() {
                break;
            }
            let sent = upload.put_part(PutPayload::from(piece)).await;
            sent.map_err(|error| PutError::store("write a part of", key, &error))?;
        }
        blocking(move || reader.check()).await?;
        upload.complete().await.map(|_| ()).map_err(|error| PutError::store("put together", key, &error))
    }

    /// What lies under a key: nothing, or the file. Anything else is an error.
    async fn look(&self, key: &Key, file: &ParcelFile) -> Result<Seen, PutError> {
        match self.objects.head(key).await {
            Ok(about) if about.size == file.bytes => {
                self.compare(key, file).await.map(|()| Seen::Same(modified(&about)))
            }
            Ok(about) => Err(PutError::Conflict {
                key: key.to_string(),
                found: format!("{} bytes instead of {}", about.size, file.bytes),
            }),
            Err(Error::NotFound { .. }) => Ok(Seen::Free),
            // S3 answers so for a key that is free where the bucket may not be listed.
            Err(Error::PermissionDenied { .. }) => Ok(Seen::Unknown),
            Err(error) => Err(PutError::store("look at", key, &error)),
        }
    }

    /// Reads back what lies under a key: it has to be the file.
    async fn compare(&self, key: &Key, file: &ParcelFile) -> Result<(), PutError> {
        let failed = |error| PutError::store("read back", key, &error);
        let conflict = |found| PutError::Conflict { key: key.to_string(), found };
        let there = self.objects.get(key).await.map_err(failed)?;
        if there.meta.size != file.bytes {
            return Err(conflict(format!("{} bytes instead of {}", there.meta.size, file.bytes)));
        }
        let mut pieces = there.into_stream();
        let mut hash = sha2::Sha256::new();
        while let Some(piece) = pieces.next().await {
            hash.update(&piece.map_err(failed)?);
        }
        let found = Sha256::from_digest(hash.finalize().into());
        if found != file.sha256 {
            return Err(conflict(format!("SHA-256 {found} instead of {}", file.sha256)));
        }
        Ok(())
    }
}

async fn open(folder: &Path, file: &ParcelFile) -> Result<Reader, PutError> {
    let (folder, file) = (folder.to_owned(), file.clone());
    blocking(move || Reader::open(&folder, &file)).await
}

/// A small file's bytes, checked before any of them leaves.
async fn read_whole(folder: &Path, file: &ParcelFile) -> Result<Vec<u8>, PutError> {
    let (folder, file) = (folder.to_owned(), file.clone());
    blocking(move || {
        let mut reader = Reader::open(&folder, &file)?;
        // One more than recorded: a file that grew meanwhile is found out.
        let most = usize::try_from(file.bytes).unwrap_or(usize::MAX).saturating_add(1);
        let bytes = reader.piece(most)?;
        reader.check()?;
        Ok(bytes)
    })
    .await
}

/// Reads of the disk, away from the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PutError> + Send + 'static,
) -> Result<T, PutError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(PutError::Local { path: PathBuf::new(), source: io::Error::other(error.to_string()) })
    })
}
