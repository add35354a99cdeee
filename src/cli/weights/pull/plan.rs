//! What a bundle wants from a hub: its files, what stands in their places, and what the hub says about the rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::bars::Bars;
use super::receipt::{Receipt, Stamp};
use crate::cli::Failed;
use crate::hub::{Download, HubClient, Known, Notice, RemoteFile};
use crate::models::bundle::{Bundle, FileEntry, Hub, Sha256, verify};
use crate::types::{Bytes, ModelId};

/// One file of a bundle.
pub(super) struct Item {
    /// Which roles of which models it has; at least one.
    pub(super) owners: Vec<(ModelId, String)>,
    pub(super) file: FileEntry,
    /// What it must hash to as it lies here.
    pub(super) sha256: Sha256,
    /// Where its final place is.
    pub(super) path: PathBuf,
    hub: Option<Hub>,
}

/// What stands in a file's place.
pub(super) enum Standing {
    /// The file, with its hash.
    There {
        /// The state in which it was hashed, where it was just now.
        hashed: Option<Stamp>,
    },
    Missing,
}

/// A file that is missing here and can be had.
pub(super) struct Looked {
    pub(super) item: Item,
    /// From where to where.
    pub(super) download: Download,
    /// What the hub says about it; nothing where it is here already, and only its conversion is missing.
    pub(super) known: Option<Known>,
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
            let sha256 = bundle.hash_of(file).ok_or_else(|| {
                Failed::bad_input(format!(
                    "neither the bundle nor its lock says what {} must hash to",
                    file.path
                ))
            })?;
            let path = bundle.folder.join(&file.path);
            let hub = file.hub.clone().or_else(|| entry.hub.clone());
            items.push(Item { owners: vec![owner], file: file.clone(), sha256, path, hub });
        }
    }
    Ok(items)
}

impl Item {
    /// Looks at its place, and at every byte of what is there, unless `receipt` knows it in the state that it is in.
    pub(super) async fn standing(&self, receipt: Option<&Receipt>, bars: &Bars) -> Result<Standing, String> {
        if !self.path.exists() {
            return Ok(Standing::Missing);
        }
        let stamp = Stamp::of(&self.path);
        if receipt.is_some_and(|receipt| receipt.hash(&self.file.path, stamp) == Some(self.sha256)) {
            return Ok(Standing::There { hashed: None });
        }
        let (path, expected) = (self.path.clone(), self.sha256);
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

    /// Asks the hub about what is published as this file, unless that is here: first where the bundle says it is, then
    /// where it says that it is, too; `tell` hears why another is asked.
    pub(super) async fn look(
        &self,
        client: &HubClient,
        watch: &dyn Fn(Notice<'_>),
        tell: &dyn Fn(&str),
    ) -> Result<(Download, Option<Known>), String> {
        let mut places = self.downloads()?.into_iter();
        let first = places.next().ok_or(NO_HUB)?;
        if self.pickle().is_some_and(|(_, pickle)| pickle.exists()) {
            return Ok((first, None));
        }
        let mut why = match ask(client, &first, watch).await {
            Ok(known) => return Ok((first, Some(known))),
            Err(error) => error,
        };
        for mirror in places {
            tell(&format!("{why}; asking {}", mirror.remote.repo));
            match ask(client, &mirror, watch).await {
                Ok(known) => return Ok((mirror, Some(known))),
                Err(error) => why = format!("{why}; {error}"),
            }
        }
        Err(why)
    }

    /// What is to be fetched, from each place where it is: the file, or the pickle that it is converted from.
    fn downloads(&self) -> Result<Vec<Download>, String> {
        let hub = self.hub.as_ref().ok_or(NO_HUB)?;
        let remote = self.file.remote.as_ref();
        let path = remote.map_or_else(|| below_first_folder(&self.file.path), |remote| &remote.path);
        let (expected, to) = match self.pickle() {
            Some((expected, pickle)) => (expected, pickle),
            None => (self.sha256, self.path.clone()),
        };
        let mirrors =
            self.file.also.iter().map(|mirror| (&mirror.hub, mirror.path.as_deref().unwrap_or(path)));
        let places = std::iter::once((hub, path)).chain(mirrors).map(|(hub, path)| Download {
            remote: RemoteFile {
                repo: hub.repo.clone(),
                revision: hub.revision.clone(),
                path: path.to_owned(),
            },
            expected,
            to: to.clone(),
        });
        Ok(places.collect())
    }

    /// The pickle that it is converted from, and its hash. It stays beside its conversion only as long as that takes.
    pub(super) fn pickle(&self) -> Option<(Sha256, PathBuf)> {
        let expected = self.file.remote.as_ref()?.sha256?;
        Some((expected, self.path.with_added_extension("pickle")))
    }
}

impl Looked {
    /// The size of what is fetched; none where the hub does not say.
    pub(super) fn size(&self) -> Option<Bytes> {
        match &self.known {
            Some(known) => known.size.map(Bytes::new),
            None => {
                let (_, pickle) = self.item.pickle()?;
                Some(Bytes::new(std::fs::metadata(pickle).ok()?.len()))
            }
        }
    }

    /// What comes by the line, in all; nothing where the hub does not say.
    pub(super) fn total(&self) -> Bytes {
        self.size().unwrap_or_default()
    }

    /// Of that, what is there from before.
    pub(super) fn begun(&self) -> Bytes {
        if self.known.is_none() {
            return self.total();
        }
        let begun = self.download.begun();
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

async fn ask(client: &HubClient, download: &Download, watch: &dyn Fn(Notice<'_>)) -> Result<Known, String> {
    let known = client.known(&download.remote, watch).await.map_err(|error| error.to_string())?;
    known.must_be(download.expected).map_err(|error| error.to_string())?;
    Ok(known)
}

/// How the hub knows a file that names no other path: a bundle keeps each model in a folder of its own.
fn below_first_folder(path: &str) -> &str {
    path.split_once('/').map_or(path, |(_, rest)| rest)
}

/// The folder that there is on the way to `path`: its file system is where `path` will be.
pub(super) fn nearest_folder(path: &Path) -> &Path {
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir());
    there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
