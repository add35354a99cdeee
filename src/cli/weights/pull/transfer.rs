//! One file from the hub to its final place, by way of a conversion where it is published as a pickle, and what the lock
//! says of it afterwards.

use std::path::Path;

use super::Outcome;
use super::bars::FileBar;
use super::plan::Looked;
use crate::contract::Run;
use crate::hub::{Expected, HubClient, Notice};
use crate::models::bundle::lock::{ConvertedFile, Locked};
use crate::models::bundle::{Sha256, verify};
use crate::models::weights::pickle::{self, CONVERTER};
use crate::models::weights::writer::Written;
use crate::types::{Bytes, GitHash};

/// Files that a hub keeps in the repository itself are no larger; a mirror that says nothing of large ones is not asked to
/// have them hashed a second time.
const SMALL: Bytes = Bytes::mb(10);

/// A file as it is published, here.
struct Came {
    sha256: Sha256,
    size: Bytes,
    /// Of it, what was here from before.
    resumed: Bytes,
}

impl Looked {
    /// Fetches it unless it is here already, and converts it where it has to be. `keep` writes what came into the lock,
    /// before a conversion gets its name.
    pub(super) async fn transfer(
        &self,
        client: &HubClient,
        bar: &FileBar<'_>,
        watch: &dyn Fn(Notice<'_>),
        keep: &dyn Fn(Locked) -> Result<(), String>,
    ) -> Result<(Outcome, Sha256), String> {
        let was_there = self.is_there();
        let came = if was_there { self.take().await? } else { self.fetch(client, bar, watch).await? };
        let locked = self.locked(&came).await?;
        let Came { sha256, size, resumed } = came;
        let Some(pickled) = self.item.pickle() else {
            self.is_no_pickle()?;
            locked.map_or(Ok(()), keep)?;
            let outcome = if was_there { Outcome::There } else { Outcome::Fetched { size, resumed } };
            return Ok((outcome, sha256));
        };
        let part = self.item.path.with_added_extension("part");
        let (from, to) = (pickled.clone(), part.clone());
        let written = blocking(move || convert(&from, &to)).await??;
        self.check_conversion(&part, &written)?;
        if let Some(locked) = locked {
            let converted =
                ConvertedFile { converter: CONVERTER, bytes: written.size, sha256: written.sha256 };
            keep(Locked { converted: Some(converted), ..locked })?;
        }
        let failed = |error: std::io::Error| format!("{}: {error}", part.display());
        std::fs::rename(&part, &self.item.path).map_err(failed)?;
        std::fs::remove_file(&pickled)
            .map_err(|error| format!("{} cannot be removed: {error}", pickled.display()))?;
        Ok((Outcome::Fetched { size: written.size, resumed }, written.sha256))
    }

    async fn fetch(
        &self,
        client: &HubClient,
        bar: &FileBar<'_>,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<Came, String> {
        let seen = |notice: Notice<'_>| match notice {
            Notice::Reached(bytes) => bar.reached(bytes),
            other => watch(other),
        };
        let came = client.fetch(&self.found.download, self.found.known.clone(), &seen).await;
        let came = came.map_err(|error| error.to_string())?;
        Ok(Came { sha256: came.sha256, size: came.size, resumed: came.resumed })
    }

    /// Fails where a pickle came for a path that says safetensors, and puts it aside: it is what was published, but no load
    /// reads it.
    fn is_no_pickle(&self) -> Result<(), String> {
        if !self.item.is_disguised() {
            return Ok(());
        }
        let (path, aside) = (&self.item.path, self.item.path.with_added_extension("pickle"));
        std::fs::rename(path, &aside).map_err(|error| format!("{}: {error}", path.display()))?;
        Err(format!(
            "what the hub has for {} is a pickle, now {}; name it as remote with its remote_sha256, and sha256 of what it is \
             converted to, and pull again",
            path.display(),
            aside.display()
        ))
    }

    /// What is here already: a pickle of an earlier run, or a file that nobody here knew.
    async fn take(&self) -> Result<Came, String> {
        let (path, expected) = (self.found.download.to.clone(), self.found.download.expected);
        let (sha256, size) = blocking(move || judged(&path, expected)).await??;
        Ok(Came { sha256, size, resumed: size })
    }

    /// What the lock gets to say of it; nothing where it says so already, or the commit is not known.
    async fn locked(&self, came: &Came) -> Result<Option<Locked>, String> {
        let remote = &self.found.download.remote;
        if self.item.locked.is_some() {
            return Ok(None);
        }
        let Ok(commit) = remote.revision.parse::<GitHash>() else { return Ok(None) };
        let is_small = self.found.known.as_ref().is_some_and(|known| known.is_small()) && came.size <= SMALL;
        let git_blob = if is_small {
            let (path, size) = (self.found.download.to.clone(), came.size.get());
            let hashed = blocking(move || GitHash::of_blob(size, std::fs::File::open(path)?)).await?;
            Some(hashed.map_err(|error| format!("{} cannot be read: {error}", self.item.path.display()))?)
        } else {
            None
        };
        Ok(Some(Locked {
            path: self.item.file.path.clone(),
            repo: remote.repo.clone(),
            revision: self.found.revision.clone(),
            commit,
            published: remote.path.clone(),
            bytes: came.size,
            sha256: came.sha256,
            git_blob,
            converted: None,
        }))
    }

    /// An error, and nothing left at `part`, where the conversion is not what it must be.
    fn check_conversion(&self, part: &Path, written: &Written) -> Result<(), String> {
        let Some(expected) = self.item.here.filter(|expected| *expected != written.sha256) else {
            return Ok(());
        };
        std::fs::remove_file(part).map_err(|error| format!("{}: {error}", part.display()))?;
        let converter = self.item.locked.as_ref().and_then(|locked| locked.converted);
        let by = match converter {
            Some(it) if it.converter != CONVERTER => {
                format!("the lock's was written by converter {}, this is converter {CONVERTER}", it.converter)
            }
            _ => format!("this is converter {CONVERTER}"),
        };
        Err(format!(
            "what the conversion gave is not what the bundle describes: expected sha256 {expected}, found {} ({by})",
            written.sha256
        ))
    }
}

fn convert(pickled: &Path, part: &Path) -> Result<Written, String> {
    let converted = pickle::convert(pickled, part, &Run::unobserved());
    converted.map(|converted| converted.written).map_err(|error| error.chain())
}

/// Hash and size of the file at `path`, which must be as expected.
fn judged(path: &Path, expected: Expected) -> Result<(Sha256, Bytes), String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let (sha256, size) = verify::hash(path, |_| {}).map_err(unreadable)?;
    match expected.holds(path, sha256, size.get()).map_err(unreadable)? {
        Ok(()) => Ok((sha256, size)),
        Err(different) => {
            Err(format!("{} is there, and {different}; move it away to fetch it again", path.display()))
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("the thread for files ended: {error}"))
}
