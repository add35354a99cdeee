//! The index's uploads, as the uploader to the artifact store wants them, and the uploader's start.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Service;
use super::start::ServeError;
use crate::api::views::StoreView;
use crate::config::{self, Settings};
use crate::journal::SlotFolders;
use crate::journal::index::{Index, SlotRow, UploadMark};
use crate::sink;
use crate::sink::store::{
    self, AddressError, AnyError, Health, Mark, Notice, Options, Parcel, ParcelFile, Parts, Reply, Store,
    StoreSettings, Uploads, Waiting,
};
use crate::types::SlotId;

/// Later than any try: whoever asks for this moment gets all that is pending.
const EVER: Duration = Duration::from_secs(1 << 40);
/// So many due slots are looked at to find some that are wanted.
const LOOKED_AT: usize = 256;

/// Of the store's last error so much is shown.
const MOST_ERROR: usize = 300;

/// The store that artifacts are handed over to, and how it does.
pub(super) struct HandOver {
    pub(super) store: Store,
    url: String,
    health: watch::Receiver<Health>,
}

impl HandOver {
    /// As the API shows it, with `waiting` slots to be handed over.
    pub(super) fn view(&self, waiting: Option<u64>) -> StoreView {
        shown(&self.url, &self.health.borrow(), waiting)
    }

    /// What an operator has to look at.
    pub(super) fn alert(&self) -> Option<String> {
        let Health::Down { since, failures, error } = &*self.health.borrow() else { return None };
        let health = Health::Down { since: *since, failures: *failures, error: shortened(error) };
        Some(format!("the artifact store is {health}"))
    }
}

fn shown(url: &str, health: &Health, waiting: Option<u64>) -> StoreView {
    let (state, since, failures, error) = match health {
        Health::Unknown => ("unknown", None, 0, None),
        Health::Up => ("up", None, 0, None),
        Health::Down { since, failures, error } => {
            ("down", Some(since.as_secs_f64()), *failures, Some(shortened(error)))
        }
    };
    StoreView { url: url.to_owned(), state: state.to_owned(), since, failures, error, waiting }
}

/// What a store answers may be long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_ERROR) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

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

/// What the settings say of the store at `url`, which may be another than theirs.
pub(crate) fn store_settings(settings: &config::Store, url: &str) -> Result<StoreSettings, AddressError> {
    Ok(StoreSettings {
        endpoint: settings.endpoint.clone(),
        region: settings.region.clone(),
        allow_http: settings.allow_http,
        presign: settings.presigned_for,
        ..StoreSettings::at(url.parse()?)
    })
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
    let wanted = store_settings(&settings.store, url).map_err(|error| refused(&error))?;
    let store = Store::open(&wanted).map_err(|error| refused(&error))?;
    let tracing = service.tracing.clone();
    let (told_health, health) = watch::channel(Health::Unknown);
    let parts = Parts {
        store: store.clone(),
        uploads: Arc::new(IndexUploads {
            index: service.index.clone(),
            folders: Arc::clone(&service.folders),
        }),
        health: told_health,
        notices: Arc::new(move |notice| {
            log(&notice);
            tracing.uploaded(&notice);
        }),
        wake: Arc::clone(&service.uploads),
    };
    let options = Options { longest: settings.store.give_up_after, ..Options::default() };
    let mut ends = ends.clone();
    beside.spawn(async move {
        let stop = async { drop(ends.wait_for(|ends| *ends).await) };
        store::run(parts, options, stop).await;
    });
    // A second start would find it set; there is none.
    let _ = service.store.set(HandOver { store, url: wanted.address.to_string(), health });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::index::samples::{at, end, id, slot};
    use crate::journal::index::{ArtifactRow, Found, IndexSettings, NoFolders, Progress, State};
    use crate::sink::store::StoreAddress;
    use crate::types::Sha256;

    fn uploads(folder: &tempfile::TempDir) -> IndexUploads {
        let (index, _) = Index::open(folder.path(), IndexSettings::default(), &NoFolders).unwrap();
        IndexUploads { index, folders: Arc::new(SlotFolders::under(std::path::Path::new("/slots"))) }
    }

    fn artifact(name: &str) -> ArtifactRow {
        ArtifactRow { name: name.to_owned(), sha256: Sha256::of(name.as_bytes()), bytes: 1000 }
    }

    async fn ended(uploads: &IndexUploads, number: u128) {
        uploads.index.accept(slot(number)).await.unwrap();
        let mut ended = end(number, State::Completed);
        ended.upload = true;
        ended.end.artifacts = ["video.mp4", sink::FILE_NAME, "keyframes/00001.png"].map(artifact).to_vec();
        uploads.index.end(ended).await.unwrap();
    }

    fn row(uploads: &IndexUploads, number: u128) -> SlotRow {
        match uploads.index.slot(id(number)).unwrap() {
            Some(Found::Slot(row)) => *row,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_parcel_has_its_result_apart_and_what_is_stored_is_not_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = uploads(&folder);
        for number in 1..=3 {
            ended(&uploads, number).await;
        }
        let (none, second) = (HashSet::new(), HashSet::from([id(2)]));
        let slots = |parcels: Vec<Parcel>| parcels.iter().map(|it| it.slot).collect::<Vec<_>>();
        assert_eq!(slots(uploads.due(at(100), 2, &none).await.unwrap()), [id(1), id(2)]);
        assert_eq!(slots(uploads.due(at(100), 2, &second).await.unwrap()), [id(1), id(3)]);
        let addresses = BTreeMap::from([("video.mp4".to_owned(), "s3://b/video".to_owned())]);
        uploads.mark(id(1), Mark::Some { addresses: addresses.clone() }).await.unwrap();
        let parcel = uploads.due(at(100), 1, &none).await.unwrap().remove(0);
        assert_eq!(parcel.folder, std::path::Path::new("/slots").join(id(1).to_string()));
        assert_eq!(
            parcel.files.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
            ["video.mp4", "keyframes/00001.png"]
        );
        assert_eq!(parcel.result.unwrap().name, "result.json");
        assert_eq!((parcel.stored, parcel.attempts), (addresses, 0));
    }

    #[tokio::test]
    async fn marks_put_a_slot_off_end_it_or_give_it_up_and_keep_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = uploads(&folder);
        for number in 1..=3 {
            ended(&uploads, number).await;
        }
        let stored = BTreeMap::from([("video.mp4".to_owned(), "s3://b/video".to_owned())]);
        uploads.mark(id(1), Mark::Some { addresses: stored.clone() }).await.unwrap();
        uploads.mark(id(1), Mark::Done { at: at(100) }).await.unwrap();
        let retry = Mark::Retry { next_at: at(500), error: "503".to_owned() };
        uploads.mark(id(2), retry).await.unwrap();
        uploads.mark(id(3), Mark::GivenUp { at: at(100), error: "denied".to_owned() }).await.unwrap();
        let shown: Vec<_> = (1..=3).map(|number| row(&uploads, number).upload.unwrap()).collect();
        let states: Vec<Progress> = shown.iter().map(|upload| upload.state).collect();
        assert_eq!(states, [Progress::Delivered, Progress::Pending, Progress::Undelivered]);
        assert_eq!(shown[0].addresses, stored, "the last mark takes no address away");
        assert!(uploads.due(at(499), 10, &HashSet::new()).await.unwrap().is_empty());
        assert_eq!(uploads.due(at(500), 10, &HashSet::new()).await.unwrap()[0].attempts, 1);
        // Due or not, it waits, and its size counts.
        let waiting = uploads.pending(10).await.unwrap();
        assert_eq!(waiting, [Waiting { slot: id(2), since: at(32), bytes: 3000 }]);
    }

    #[test]
    fn a_store_is_shown_as_it_stands_and_never_at_length() {
        let long = "x".repeat(10 * MOST_ERROR);
        let down = Health::Down { since: at(0), failures: 3, error: long };
        let view = shown("s3://b/p", &down, Some(7));
        assert_eq!((view.state.as_str(), view.failures, view.waiting), ("down", 3, Some(7)));
        assert_eq!(view.since, Some(at(0).as_secs_f64()));
        assert_eq!(view.error.unwrap().chars().count(), MOST_ERROR + 1);
        let (told, health) = watch::channel(down);
        let folder = tempfile::tempdir().unwrap();
        let address: StoreAddress = format!("file://{}", folder.path().display()).parse().unwrap();
        let store = Store::open(&StoreSettings::at(address)).unwrap();
        let it = HandOver { store, url: String::new(), health };
        let alert = it.alert().unwrap();
        assert!(
            alert.starts_with("the artifact store is down, 3 tries failed")
                && alert.ends_with("delivered later")
                && alert.len() < 450,
            "{alert}"
        );
        for well in [Health::Up, Health::Unknown] {
            told.send_replace(well);
            assert_eq!((it.alert(), it.view(None).error, it.view(None).since), (None, None, None));
        }
    }
}
