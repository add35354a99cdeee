//! What a bundle wants from a hub: its files, what stands in their places, and what the hub says about the rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::bars::Bars;
use crate::cli::Failed;
use crate::hub::{Download, Expected, HubClient, HubError, Known, Listings, Notice, RemoteFile};
use crate::models::bundle::lock::Locked;
use crate::models::bundle::receipt::{Receipt, Stamp};
use crate::models::bundle::{Bundle, FileEntry, Hub, Sha256, verify};
use crate::models::weights::pickle;
use crate::types::{Bytes, GitHash, ModelId};

/// One file of a bundle.
pub(super) struct Item {
    /// Which roles of which models it has; at least one.
    pub(super) owners: Vec<(ModelId, String)>,
    pub(super) file: FileEntry,
    /// Where its final place is.
    pub(super) path: PathBuf,
    /// What it must hash to as it lies here, where somebody says so.
    pub(super) here: Option<Sha256>,
    /// What the lock says of it.
    pub(super) locked: Option<Locked>,
    /// What is known of it as it is published.
    expected: Expected,
    /// Where it is published: as the lock says, then as the description does.
    places: Vec<Place>,
}

/// A place of a published file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    remote: RemoteFile,
    /// The tag or branch that the description asks for, where that is no commit.
    revision: Option<String>,
}

/// What stands in a file's place.
pub(super) enum Standing {
    /// The file, with its hash.
    There {
        /// The state in which it was hashed, where it was just now.
        hashed: Option<Stamp>,
    },
    /// A file of which nobody here says what it must hash to.
    Unknown,
    Missing,
}

/// A file that is wanted and can be had.
pub(super) struct Looked {
    pub(super) item: Item,
    pub(super) found: Found,
}

/// Where a file is.
pub(super) struct Found {
    /// From where to where.
    pub(super) download: Download,
    /// What the hub says about it; nothing where it is here already, and only its conversion is missing.
    pub(super) known: Option<Known>,
    /// As of [`Place`].
    pub(super) revision: Option<String>,
}

/// Whom to ask, and who hears of it.
pub(super) struct Asking<'a> {
    pub(super) client: &'a HubClient,
    pub(super) listings: &'a Listings,
    pub(super) watch: &'a dyn Fn(Notice<'_>),
    /// Hears why another place is asked.
    pub(super) tell: &'a dyn Fn(&str),
}

/// The files of `models`, each once.
pub(super) fn items(bundle: &Bundle, models: &[ModelId]) -> Result<Vec<Item>, Failed> {
    let (mut items, mut seen): (Vec<Item>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
    for model in models {
        let entry = bundle.model(*model)?;
        for (role, file) in entry.entries() {
            let owner = (*model, role.to_owned());
            if let Some(place) = seen.get(&file.path) {
                items[*place].owners.push(owner);
                continue;
            }
            seen.insert(file.path.clone(), items.len());
            let locked = bundle.lock.as_ref().and_then(|lock| lock.of(&file.path));
            items.push(Item {
                owners: vec![owner],
                path: bundle.folder.join(&file.path),
                here: bundle.hash_of(file),
                expected: expected(file, locked),
                places: places(file, entry.hub.as_ref(), locked),
                locked: locked.cloned(),
                file: file.clone(),
            });
        }
    }
    Ok(items)
}

/// What the description and the lock say of a file as it is published.
fn expected(file: &FileEntry, locked: Option<&Locked>) -> Expected {
    let described = match &file.remote {
        Some(remote) if file.is_converted() => remote.sha256,
        _ => file.sha256,
    };
    Expected {
        sha256: described.or_else(|| Some(locked?.sha256)),
        git_blob: locked.and_then(|locked| locked.git_blob),
        size: file.bytes.or_else(|| Some(locked?.bytes)).map(Bytes::get),
    }
}

/// Where a file is asked for, in order: the lock names a commit, the description may leave it to a branch.
fn places(file: &FileEntry, hub: Option<&Hub>, locked: Option<&Locked>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (hub, path) in file.places(hub) {
        let is_commit = hub.revision.parse::<GitHash>().is_ok();
        let remote =
            RemoteFile { repo: hub.repo.clone(), revision: hub.revision.clone(), path: path.to_owned() };
        places.push(Place { remote, revision: (!is_commit).then(|| hub.revision.clone()) });
    }
    if let Some(Locked { repo, commit, published, revision, .. }) = locked {
        places.retain(|place| (&place.remote.repo, &place.remote.path) != (repo, published));
        let remote = RemoteFile { repo: repo.clone(), revision: commit.to_string(), path: published.clone() };
        places.insert(0, Place { remote, revision: revision.clone() });
    }
    places
}

impl Item {
    /// Whether only the hub can say what it is.
    pub(super) fn needs_trust(&self) -> bool {
        self.here.is_none() && !self.expected.is_enough()
    }

    /// Looks at its place, and at every byte of what is there, unless `receipt` knows it in the state that it is in.
    pub(super) async fn standing(&self, receipt: Option<&Receipt>, bars: &Bars) -> Result<Standing, String> {
        if !self.path.exists() {
            return Ok(Standing::Missing);
        }
        if self.is_disguised() {
            let path = self.path.display();
            return Err(format!(
                "{path} is a pickle under a safetensors name; move it away to fetch it again, as a conversion where the bundle \
                 names its remote_sha256"
            ));
        }
        let Some(expected) = self.here else {
            if self.file.is_converted() {
                return Err(format!(
                    "{} is there, and neither the bundle nor a lock says what it must hash to; move it away to have it made anew",
                    self.path.display()
                ));
            }
            return Ok(Standing::Unknown);
        };
        let stamp = Stamp::of(&self.path);
        if receipt.is_some_and(|receipt| receipt.hash(&self.file.path, stamp) == Some(expected)) {
            return Ok(Standing::There { hashed: None });
        }
        let path = self.path.clone();
        let length = std::fs::metadata(&path).map_or(0, |found| found.len());
        let bar = bars.hashing(&self.file.path, Bytes::new(length));
        let told = bar.clone();
        let hashed = tokio::task::spawn_blocking(move || verify::hash(&path, |piece| told.inc(piece.get())));
        let hashed = hashed.await.map_err(|error| format!("the thread for files ended: {error}"))?;
        bar.finish_and_clear();
        let (found, _) =
            hashed.map_err(|error| format!("{} cannot be read: {error}", self.path.display()))?;
        if found == expected {
            // What changed while it was read is in no known state.
            return Ok(Standing::There { hashed: stamp.filter(|_| Stamp::of(&self.path) == stamp) });
        }
        // Whatever it is, it may be somebody's only copy.
        Err(format!(
            "{} is there with another sha256: expected {expected}, found {found}; move it away to fetch it again",
            self.path.display()
        ))
    }

    /// Whether a pickle lies where the bundle says that safetensors do.
    pub(super) fn is_disguised(&self) -> bool {
        self.path.extension().is_some_and(|suffix| suffix == "safetensors")
            && pickle::is_checkpoint(&self.path)
    }

    /// Asks the hub about what is published as this file, unless that is here: first where the lock, else the bundle, says
    /// it is, then where it is, too.
    pub(super) async fn look(&self, asking: &Asking<'_>) -> Result<Found, String> {
        let mut places = self.places.iter();
        let first = places.next().ok_or(NO_HUB)?;
        if self.expected.is_enough() && self.pickle().is_some_and(|pickle| pickle.exists()) {
            return Ok(self.found(first.remote.clone(), self.expected, None, first.revision.clone()));
        }
        let mut why = match self.ask(first, asking).await {
            Ok(found) => return Ok(found),
            Err(error) => self.explained(first, error, asking).await,
        };
        for mirror in places {
            (asking.tell)(&format!("{why}; asking {}", mirror.remote.repo));
            match self.ask(mirror, asking).await {
                Ok(found) => return Ok(found),
                Err(error) => why = format!("{why}; {error}"),
            }
        }
        Err(why)
    }

    /// What one place says. From here on the commit counts that it names: a branch may move meanwhile.
    async fn ask(&self, place: &Place, asking: &Asking<'_>) -> Result<Found, HubError> {
        let known = asking.client.known(&place.remote, asking.watch).await?;
        known.must_be(&self.expected)?;
        let (mut remote, mut expected) = (place.remote.clone(), self.expected);
        if known.commit.parse::<GitHash>().is_ok() {
            remote.revision.clone_from(&known.commit);
        }
        if !expected.is_enough() {
            expected = asking.listings.expected(asking.client, &remote, &known, asking.watch).await?;
            self.expected.agrees_with_hub(&expected)?;
        }
        Ok(self.found(remote, expected, Some(known), place.revision.clone()))
    }

    fn found(
        &self,
        remote: RemoteFile,
        expected: Expected,
        known: Option<Known>,
        revision: Option<String>,
    ) -> Found {
        let to = self.pickle().unwrap_or_else(|| self.path.clone());
        Found { download: Download { remote, expected, to }, known, revision }
    }

    /// An error with what the bundle and its lock know about it.
    async fn explained(&self, place: &Place, error: HubError, asking: &Asking<'_>) -> String {
        let mut told = error.to_string();
        if let (HubError::Different { .. }, Some(locked)) = (&error, &self.locked) {
            told += &format!(" (as the lock has it of commit {} of {})", locked.commit, locked.repo);
        }
        if !matches!(error, HubError::Refused(_)) {
            return told;
        }
        if self.file.gated && !told.contains("gated") {
            let page = asking.client.page_of(&place.remote.repo);
            told += &format!("; the bundle says that its licence has to be accepted at {page} first");
        }
        let (Some(locked), Some(revision)) = (&self.locked, &place.revision) else { return told };
        let asked = RemoteFile { revision: revision.clone(), ..place.remote.clone() };
        if let Ok(now) = asking.client.known(&asked, asking.watch).await {
            told += &format!(
                "; the lock holds {revision} to commit {}, and at the hub it is {} by now",
                locked.commit, now.commit
            );
        }
        told
    }

    /// Where the pickle comes that it is converted from. It stays beside its conversion only as long as that takes.
    pub(super) fn pickle(&self) -> Option<PathBuf> {
        self.file.is_converted().then(|| self.path.with_added_extension("pickle"))
    }
}

impl Looked {
    /// The size of what is fetched; none where the hub does not say.
    pub(super) fn size(&self) -> Option<Bytes> {
        match &self.found.known {
            Some(known) => known.size.map(Bytes::new),
            None => Some(Bytes::new(std::fs::metadata(self.item.pickle()?).ok()?.len())),
        }
    }

    /// What comes by the line, in all; nothing where the hub does not say.
    pub(super) fn total(&self) -> Bytes {
        self.size().unwrap_or_default()
    }

    /// Whether what would be fetched is there under its name, from before.
    pub(super) fn is_there(&self) -> bool {
        self.found.download.to.exists()
    }

    /// Of that, what is there from before.
    pub(super) fn begun(&self) -> Bytes {
        if self.found.known.is_none() || self.is_there() {
            return self.total();
        }
        let begun = self.found.download.begun();
        // A part that is longer is none of this file.
        if begun > self.total() { Bytes::ZERO } else { begun }
    }

    /// What has yet to be written: the rest, and a conversion, which is as large as what it is made of.
    pub(super) fn needs(&self) -> Bytes {
        let rest = self.total().saturating_sub(self.begun());
        if self.item.pickle().is_some() { rest.saturating_add(self.total()) } else { rest }
    }
}

const NO_HUB: &str =
    "the bundle names no hub for this model (hub = { repo = \"owner/name\", revision = \"…\" })";

/// The folder that there is on the way to `path`: its file system is where `path` will be.
pub(super) fn nearest_folder(path: &Path) -> &Path {
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir());
    there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
