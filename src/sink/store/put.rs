//! One file into the store: under a key that is free, or that holds the same content already; never over anything else.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use object_store::path::Path as Key;
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use sha2::Digest;
use tokio::task::spawn_blocking;

use super::local::Reader;
use super::open::Store;
use super::uploads::ParcelFile;
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
        let said: String = causes(error).chars().take(MOST_TEXT).collect();
        Self::Store { doing, key: key.to_string(), said: format!("{said}{hint}") }
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
    Same,
    /// It may not be looked at.
    Unknown,
}

impl Store {
    /// Has an artifact in the store under its hash; answers with its address. What is there already is not sent again.
    pub(super) async fn put_content(&self, folder: &Path, file: &ParcelFile) -> Result<String, PutError> {
        let key = self.content_key(&file.sha256);
        let free = match self.look(&key, file).await? {
            Seen::Same => return Ok(self.address_of(&key)),
            Seen::Free => true,
            Seen::Unknown => false,
        };
        if file.bytes > self.part as u64 {
            // Parts are put together without a condition, so the key must have been seen free. A writer that comes in
            // between writes the same content: the key is its hash.
            if !free {
                return Err(PutError::Store {
                    doing: "look at",
                    key: key.to_string(),
                    said: "permission denied; large files need it (s3:GetObject and s3:ListBucket)"
                        .to_owned(),
                });
            }
            self.put_in_parts(&key, folder, file).await?;
        } else {
            self.put_whole(&key, folder, file).await?;
        }
        Ok(self.address_of(&key))
    }

    /// Has a slot's result in the store; answers with its address.
    pub(super) async fn put_result(
        &self,
        slot: SlotId,
        folder: &Path,
        file: &ParcelFile,
    ) -> Result<String, PutError> {
        let key = self.result_key(slot);
        if let Seen::Same = self.look(&key, file).await? {
            return Ok(self.address_of(&key));
        }
        self.put_whole(&key, folder, file).await?;
        Ok(self.address_of(&key))
    }

    /// In one request that fails where something is there.
    async fn put_whole(&self, key: &Key, folder: &Path, file: &ParcelFile) -> Result<(), PutError> {
        let bytes = read_whole(folder, file).await?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
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
            Ok(about) if about.size == file.bytes => self.compare(key, file).await.map(|()| Seen::Same),
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
