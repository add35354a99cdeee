//! Finished stages of renderings in the store: put there by whoever finishes one, taken by whoever goes on.
//!
//! A help and nothing else: what fails here is told in the log, and the stage is done again. Nothing is put by a node whose
//! claim is over.

use std::sync::Arc;

use super::Network;
use super::claims::Held;
use crate::app::service::Service;
use crate::clock;
use crate::intake::Entry;
use crate::journal::{Accepted, Outputs, SlotFolders, TakenIn};
use crate::sink::store::Kept;
use crate::types::{Sha256, SlotId, Stage};

/// What others can go on from, each after what it came of.
const SHARED: [Stage; 4] = [Stage::Audio, Stage::Image, Stage::Video, Stage::Verify];
/// So many digits of the bundle's SHA-256 tell bundles apart by name; the archive has all of them.
const BUNDLE_DIGITS: usize = 16;

/// A stage's name in the store.
fn name(bundle: &Sha256, stage: Stage) -> String {
    let digits: String = bundle.to_string().chars().take(BUNDLE_DIGITS).collect();
    format!("{digits}.{stage}.tar")
}

/// A slot's folder that was made for stages of another node; it goes again where the slot is not taken in here.
pub(super) struct Lent {
    folders: Arc<SlotFolders>,
    slot: SlotId,
    /// Whether there was nothing before.
    made: bool,
    /// Whether somebody has the slot, or may have.
    asked: bool,
}

impl Lent {
    /// The node is asked for the slot now, or has it.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    /// The node does not have it.
    pub(super) fn refused(&mut self) {
        self.asked = false;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.made || self.asked {
            return;
        }
        // Now, though it takes a few files away: whoever has the slot next must find nothing, or all.
        if let Err(error) = self.folders.discard(self.slot) {
            tracing::warn!(slot = %self.slot, %error, "stages of another node are left in a folder that nobody needs");
        }
    }
}

impl Network {
    /// Has a stage that was finished just now in the store, while the claim holds; one after the other for a slot.
    pub(super) async fn put_stage(self, held: Arc<Held>, stage: Stage, folders: Arc<SlotFolders>) {
        if !self.settings.share_stages || !SHARED.contains(&stage) {
            return;
        }
        let _turn = held.sharing.lock().await;
        if !held.holds() {
            return;
        }
        let work = held.work;
        let packed = tokio::task::spawn_blocking(move || folders.packed(work.slot, stage)).await;
        let archive =
            match packed.map_err(|error| error.to_string()).map(|it| it.map_err(|it| it.to_string())) {
                Ok(Ok(Some(archive))) => archive,
                Ok(Ok(None)) => {
                    tracing::debug!(%work, %stage, "not shared: it is done again, or too large");
                    return;
                }
                Ok(Err(error)) | Err(error) => {
                    tracing::warn!(%work, %stage, error, "a finished stage is not shared");
                    return;
                }
            };
        if !held.holds() {
            return;
        }
        let name = name(&self.bundle, stage);
        tokio::select! {
            put = self.store.put_stage(work, &name, archive) => match put {
                Ok(Kept::Given) => {}
                Ok(Kept::Other) => tracing::debug!(%work, %stage, "not shared: another node's is in the store"),
                Err(error) => tracing::warn!(%work, %stage, %error, "a finished stage is not shared"),
            },
            _ = held.over() => {}
        }
    }

    /// What is finished of a slot that is about to be taken in: here, else, where nothing is, by others.
    pub(super) async fn finished(
        &self,
        service: &Service,
        held: &Held,
        delivered: u64,
        entry: &Entry,
    ) -> (Outputs, Lent) {
        let slot = held.work.slot;
        let folders = Arc::clone(&service.folders);
        let mut lent = Lent { folders: Arc::clone(&folders), slot, made: false, asked: false };
        let outputs = service.journal.kept(slot).await;
        let has_some = Stage::ALL.into_iter().any(|stage| outputs.has(stage));
        // What is delivered for the first time nobody has begun.
        if !self.settings.share_stages || has_some || delivered < 2 {
            return (outputs, lent);
        }
        let archives = self.archives(held).await;
        if archives.is_empty() || !held.holds() {
            return (outputs, lent);
        }
        let request = entry.request();
        let accepted = Accepted {
            slot,
            recipe: request.recipe,
            deadline: request.deadline,
            at: clock::now(),
            traceparent: request.traceparent,
        };
        let there = Arc::clone(&folders);
        lent.made = matches!(tokio::task::spawn_blocking(move || there.is_there(slot)).await, Ok(false));
        let key = entry.key;
        let taken = tokio::task::spawn_blocking(move || folders.take_in(accepted, key, &archives)).await;
        let TakenIn { outputs, left_out } = match taken {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                tracing::warn!(work = %held.work, %error, "stages of another node are not taken in");
                return (outputs, lent);
            }
            Err(_) => return (outputs, lent),
        };
        for (stage, why) in left_out {
            tracing::warn!(work = %held.work, %stage, why, "a stage that another node finished is left out");
        }
        let names: Vec<&str> =
            Stage::ALL.into_iter().filter(|stage| outputs.has(*stage)).map(Stage::name).collect();
        if !names.is_empty() {
            let stages = names.join(", ");
            tracing::info!(work = %held.work, stages, "goes on from stages that another node finished");
        }
        (outputs, lent)
    }

    /// The archives in the store, within a quarter of AckWait.
    async fn archives(&self, held: &Held) -> Vec<(Stage, Vec<u8>)> {
        let mut found: Vec<(Stage, Vec<u8>)> = Vec::new();
        let fetched = tokio::time::timeout(self.settings.ack_wait / 4, async {
            for stage in SHARED {
                let has = |stage: Stage| found.iter().any(|(other, _)| *other == stage);
                let is_next = match stage {
                    Stage::Video => has(Stage::Audio) && has(Stage::Image),
                    Stage::Verify => has(Stage::Video),
                    Stage::Audio | Stage::Image | Stage::Package => true,
                };
                if !is_next || !held.holds() {
                    return;
                }
                match self.store.get_stage(held.work, &name(&self.bundle, stage)).await {
                    Ok(Some(archive)) => found.push((stage, archive)),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(work = %held.work, %stage, %error, "what others finished is not looked at");
                        return;
                    }
                }
            }
        });
        if fetched.await.is_err() {
            tracing::debug!(work = %held.work, "not all that others finished was fetched in time");
        }
        found
    }
}
