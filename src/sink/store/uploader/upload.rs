//! One slot's upload: its artifacts, then its result, each written down when it is in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::{Notice, Options, Parts, wait_after};
use crate::sink::store::put::PutError;
use crate::sink::store::uploads::{Mark, Parcel, ParcelFile};

/// Waits between tries to write a mark, doubled from the first to the last: the journal's disk may be full for long.
const MARK_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How an upload ended, for what comes next.
pub(super) enum Ended {
    /// All of it is in the store.
    Delivered,
    /// The slot's own trouble, of which the store knows nothing. When it is tried again, if it is.
    Slot { next_at: Option<Duration> },
    /// The store did not answer, or refused.
    Store { error: String },
}

/// A slot in work.
pub(super) struct Upload {
    pub(super) parts: Parts,
    pub(super) options: Options,
    pub(super) parcel: Parcel,
}

impl Upload {
    /// Uploads what is missing, and writes down what came of it. Until that is written the slot counts as in work.
    pub(super) async fn carry_out(self) -> Ended {
        let outcome = self.put_all().await;
        let at = (self.options.wall)();
        let slot = self.parcel.slot;
        let (mark, notice, ended) = match outcome {
            Ok(()) => {
                let files = self.parcel.files.len() + usize::from(self.parcel.result.is_some());
                (Mark::Done { at }, Notice::Delivered { slot, files }, Ended::Delivered)
            }
            Err(error) if error.is_final() => {
                let error = error.to_string();
                let mark = Mark::GivenUp { at, error: error.clone() };
                (mark, Notice::Undelivered { slot, error }, Ended::Slot { next_at: None })
            }
            Err(error) => {
                let attempts = self.parcel.attempts.saturating_add(1);
                let next_at = at + wait_after(attempts, (self.options.random)());
                let of_the_store = error.is_of_the_store();
                let error = error.to_string();
                let mark = Mark::Retry { next_at, error: error.clone() };
                let notice = Notice::Failed { slot, attempts, error: error.clone() };
                let ended = if of_the_store {
                    Ended::Store { error }
                } else {
                    Ended::Slot { next_at: Some(next_at) }
                };
                (mark, notice, ended)
            }
        };
        self.write(mark).await;
        (self.parts.notices)(notice);
        ended
    }

    async fn put_all(&self) -> Result<(), PutError> {
        let Parcel { slot, folder, files, result, stored, .. } = &self.parcel;
        let (store, is_stored) = (&self.parts.store, |file: &&ParcelFile| stored.contains_key(&file.name));
        for file in files.iter().filter(|file| !is_stored(file)) {
            let address = store.put_content(folder, file).await?;
            self.keep(file, address).await;
        }
        if let Some(file) = result.as_ref().filter(|file| !is_stored(file)) {
            let address = store.put_result(*slot, folder, file).await?;
            self.keep(file, address).await;
        }
        Ok(())
    }

    async fn keep(&self, file: &ParcelFile, address: String) {
        let addresses = BTreeMap::from([(file.name.clone(), address)]);
        self.write(Mark::Some { addresses }).await;
    }

    async fn write(&self, mark: Mark) {
        let (mut wait, longest) = MARK_WAITS;
        while let Err(error) = self.parts.uploads.mark(self.parcel.slot, mark.clone()).await {
            (self.parts.notices)(Notice::Trouble { error: error.to_string() });
            sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }
}
