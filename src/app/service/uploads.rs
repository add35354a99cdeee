//! The index's uploads, as the uploader to the artifact store wants them, and the uploader's start.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Service;
use super::start::ServeError;
use crate::config::Settings;
use crate::journal::SlotFolders;
use crate::journal::index::{Index, SlotRow, UploadMark};
use crate::sink;
use crate::sink::store::{
    self, AnyError, Health, Mark, Notice, Options, Parcel, ParcelFile, Parts, Reply, Store, StoreAddress,
    StoreSettings, Uploads, Waiting,
};
use crate::types::SlotId;

/// Later than any try: whoever asks for this moment gets all that is pending.
const EVER: Duration = Duration::from_secs(1 << 40);
/// So many due slots are looked at to find some that are wanted.
const LOOKED_AT: usize = 256;

struct IndexUploads {
    index: Index,
    folders: Arc<SlotFolders>,
}

impl IndexUploads {
    fn parcel(&self, row: SlotRow) -> Parcel {
        let files = row.end.map(|end| end.artifacts).unwrap_or_default();
        let file = |name: String, sha256, bytes| ParcelFile { name, sha256, bytes };
        let (result, files): (Vec<_>, Vec<_>) = files
            .into_iter()
            .map(|it| file(it.name, it.sha256, it.bytes))
            .partition(|it| it.name == sink::FILE_NAME);
        let (attempts, stored) =
            row.upload.map_or((0, BTreeMap::new()), |upload| (upload.attempts, upload.addresses));
        Parcel {
            slot: row.slot,
            folder: self.folders.dir_of(row.slot).unwrap_or_default(),
            files,
            result: result.into_iter().next(),
            stored,
            attempts,
        }
    }

    async fn rows(&self, now: Duration, limit: usize) -> Result<Vec<SlotRow>, AnyError> {
        let index = self.index.clone();
        Ok(tokio::task::spawn_blocking(move || index.store_due(now, limit)).await??)
    }
}

impl Uploads for IndexUploads {
    fn due<'a>(
        &'a self,
        now: Duration,
        limit: usize,
        skip: &'a HashSet<SlotId>,
    ) -> Reply<'a, Result<Vec<Parcel>, AnyError>> {
        Box::pin(async move {
            let looked_at = if skip.is_empty() { limit } else { LOOKED_AT.max(limit) };
            let rows = self.rows(now, looked_at).await?;
            let wanted = rows.into_iter().filter(|row| !skip.contains(&row.slot)).take(limit);
            Ok(wanted.map(|row| self.parcel(row)).collect())
        })
    }

    fn pending(&self, limit: usize) -> Reply<'_, Result<Vec<Waiting>, AnyError>> {
        Box::pin(async move {
            let waiting = |row: SlotRow| Waiting {
                slot: row.slot,
                since: row.upload.as_ref().map(|upload| upload.since).unwrap_or_default(),
                bytes: row.end.iter().flat_map(|end| &end.artifacts).map(|artifact| artifact.bytes).sum(),
            };
            let mut all: Vec<Waiting> = self.rows(EVER, limit).await?.into_iter().map(waiting).collect();
            all.sort_by_key(|it| it.since);
            Ok(all)
        })
    }

    fn mark(&self, slot: SlotId, mark: Mark) -> Reply<'_, Result<(), AnyError>> {
        let at = crate::clock::unix_time();
        let (mark, at) = match mark {
            Mark::Some { addresses } => (UploadMark::Some { addresses }, at),
            Mark::Retry { next_at, error } => (UploadMark::Retry { next_at, error }, at),
            Mark::Done { at } => (UploadMark::Done { addresses: BTreeMap::new() }, at),
            Mark::GivenUp { at, error } => (UploadMark::GivenUp { error }, at),
        };
        let written = self.index.store_mark(slot, mark, at);
        Box::pin(async move { Ok(written.await?) })
    }
}

/// Starts the uploader, where there is a store. Blocks for a moment.
pub(super) fn start(
    service: &Arc<Service>,
    settings: &Settings,
    ends: &watch::Receiver<bool>,
    beside: &mut JoinSet<()>,
) -> Result<(), ServeError> {
    let Some(url) = &settings.store.url else { return Ok(()) };
    let refused = |error: &dyn std::fmt::Display| ServeError::Access(format!("store.url = {url:?}: {error}"));
    let address: StoreAddress = url.parse().map_err(|error| refused(&error))?;
    let wanted = StoreSettings {
        endpoint: settings.store.endpoint.clone(),
        region: settings.store.region.clone(),
        allow_http: settings.store.allow_http,
        presign: settings.store.presigned_for,
        ..StoreSettings::at(address)
    };
    let store = Store::open(&wanted).map_err(|error| refused(&error))?;
    let told = Arc::downgrade(service);
    let notices = move |notice: Notice| {
        log(&notice);
        // What is shown of the slot from memory is read anew.
        if let (Notice::Delivered { slot, .. } | Notice::Undelivered { slot, .. }, Some(service)) =
            (&notice, told.upgrade())
        {
            service.table.forget(*slot);
        }
    };
    let parts = Parts {
        store: store.clone(),
        uploads: Arc::new(IndexUploads {
            index: service.index.clone(),
            folders: Arc::clone(&service.folders),
        }),
        health: watch::Sender::new(Health::Unknown),
        notices: Arc::new(notices),
        wake: Arc::clone(&service.uploads),
    };
    let options = Options { longest: settings.store.give_up_after, ..Options::default() };
    let mut ends = ends.clone();
    beside.spawn(async move {
        let stop = async { drop(ends.wait_for(|ends| *ends).await) };
        store::run(parts, options, stop).await;
    });
    // A second start would find it set; there is none.
    let _ = service.store.set(store);
    Ok(())
}

/// Where the artifacts of a delivered slot lie, signed for reading where the store signs.
pub(super) async fn addresses(store: &Store, row: &SlotRow, view: &mut crate::api::views::SlotView) {
    let Some(upload) = &row.upload else { return };
    for artifact in &mut view.artifacts {
        let Some(address) = upload.addresses.get(&artifact.name) else { continue };
        // Where it cannot be signed this node serves it, as long as it has it.
        if let Ok(Some(signed)) = store.presigned(address).await {
            artifact.url = signed;
        }
    }
}

fn log(notice: &Notice) {
    match notice {
        Notice::Delivered { slot, files } => tracing::info!(%slot, files, "artifacts are in the store"),
        Notice::Failed { slot, attempts, error } => {
            tracing::info!(%slot, attempts, error, "artifacts are not in the store yet");
        }
        Notice::Undelivered { slot, error } => tracing::warn!(%slot, error, "upload given up"),
        other => tracing::warn!(notice = ?other, "artifact store"),
    }
}
