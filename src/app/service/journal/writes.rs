//! Writes into a slot's folder, in the order of the calls, also while the folder is only being made.
//!
//! An output takes what came of it away as void: a sound that were written after the video would cost the slot its video.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Parts, blocking};
use crate::journal::{JournalError, JournalFuture, SlotFolder};
use crate::types::SlotId;

/// Begins a write into a slot's folder, or passes on why there is none.
pub(super) type Write = Box<dyn FnOnce(Result<&SlotFolder, JournalError>) + Send>;

impl Parts {
    /// Whether the slot has a folder, or is about to.
    pub(super) fn has_folder(&self, slot: SlotId) -> bool {
        self.making.lock().contains_key(&slot) || self.folders.get(slot).is_some()
    }

    /// Has `write` begun in the slot's folder, which is made where there is none yet; in the order of the calls.
    pub(super) fn in_folder(
        self: &Arc<Self>,
        slot: SlotId,
        write: impl FnOnce(&SlotFolder) -> JournalFuture + Send + 'static,
    ) -> JournalFuture {
        let mut making = self.making.lock();
        let is_first = !making.contains_key(&slot);
        if is_first && let Some(folder) = self.folders.get(slot) {
            return write(&folder);
        }
        let (told, outcome) = oneshot::channel();
        let write = move |folder: Result<&SlotFolder, JournalError>| match folder {
            Ok(folder) => write(folder).then(move |outcome| drop(told.send(outcome))),
            Err(error) => drop(told.send(Err(error))),
        };
        making.entry(slot).or_default().push(Box::new(write));
        drop(making);
        if is_first {
            tokio::spawn(make(Arc::clone(self), slot));
        }
        let dir = self.folders.dir_of(slot).unwrap_or_default();
        JournalFuture::going(async move {
            outcome
                .await
                .unwrap_or_else(|error| Err(JournalError::io(dir, "made", std::io::Error::other(error))))
        })
    }
}

/// Makes a slot's folder, and begins what was to be written into it meanwhile.
async fn make(parts: Arc<Parts>, slot: SlotId) {
    let folder = blocking(&parts, move |parts| parts.folders.ensure(slot)).await;
    // Whoever comes next finds the folder, and comes behind these.
    let mut making = parts.making.lock();
    let mut writes = making.remove(&slot).unwrap_or_default().into_iter();
    match folder {
        Ok(folder) => writes.for_each(|write| write(Ok(&folder))),
        Err(error) => {
            let what = error.to_string();
            if let Some(first) = writes.next() {
                first(Err(error));
            }
            let dir = parts.folders.dir_of(slot).unwrap_or_default();
            let again = || JournalError::io(dir.clone(), "made", std::io::Error::other(what.clone()));
            writes.for_each(|write| write(Err(again())));
        }
    }
}
