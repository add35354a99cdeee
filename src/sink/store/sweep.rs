//! What lies in the store of renderings in a network, and removing it.
//!
//! Knows no result and no claim: what is garbage is for whoever lists to say. Keys are made from what was understood of a
//! name, never taken from the listing, so that nothing else can be removed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{BoxStream, Stream, StreamExt};
use object_store::path::Path as Key;
use object_store::{Error, ObjectMeta, ObjectStoreExt};

use super::open::Store;
use super::put::{modified, said};
use super::stage::{STAGES, StageName};
use super::work::WORK;
use crate::types::{Sha256, WorkId};

/// What an object is to its rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// An artifact.
    Artifact(Sha256),
    /// The output of a stage.
    Stage(StageName),
}

/// An object of a rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose.
    pub work: WorkId,
    /// What it is.
    pub held: Held,
    /// Where it lies.
    pub address: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock, since the Unix epoch.
    pub modified: Duration,
}

/// Why the store was not swept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {address} in the artifact store: {said}")]
pub struct SweepError {
    /// What was tried.
    pub doing: &'static str,
    /// With what.
    pub address: String,
    /// What the store or the network said.
    pub said: String,
}

/// Objects of renderings, in the store's order; it ends after an error. What has another name is passed over.
pub struct Listing {
    store: Store,
    folder: &'static str,
    objects: BoxStream<'static, Result<ObjectMeta, Error>>,
    passed_over: u64,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listing({}/{}, {} passed over)", self.store, self.folder, self.passed_over)
    }
}

impl Listing {
    /// How many objects so far have a name that is no rendering's.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

impl Stream for Listing {
    type Item = Result<Listed, SweepError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(about) = ready!(self.objects.poll_next_unpin(context)) else { return Poll::Ready(None) };
            match about {
                Ok(about) => match self.store.listed(self.folder, &about) {
                    Some(listed) => return Poll::Ready(Some(Ok(listed))),
                    None => self.passed_over += 1,
                },
                Err(error) => {
                    let address = format!("{}/{}", self.store, self.folder);
                    self.objects = futures_util::stream::empty().boxed();
                    return Poll::Ready(Some(Err(SweepError { doing: "list", address, said: said(&error) })));
                }
            }
        }
    }
}

impl Store {
    /// All artifacts of renderings.
    pub fn works(&self) -> Listing {
        self.list(WORK)
    }

    /// All outputs of stages that are shared.
    pub fn stages(&self) -> Listing {
        self.list(STAGES)
    }

    /// Removes an object of a rendering. One that has gone already is success.
    ///
    /// # Errors
    /// The store does not do it.
    pub async fn remove(&self, listed: &Listed) -> Result<(), SweepError> {
        let key = self.held_key(listed.work, &listed.held);
        match self.objects.delete(&key).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => {
                Err(SweepError { doing: "remove", address: self.address_of(&key), said: said(&error) })
            }
        }
    }

    fn list(&self, folder: &'static str) -> Listing {
        let objects = self.objects.list(Some(&self.key(folder)));
        Listing { store: self.clone(), folder, objects, passed_over: 0 }
    }

    /// What an object is, if its key is the one that is made for it: no other spelling of the same name.
    fn listed(&self, folder: &str, about: &ObjectMeta) -> Option<Listed> {
        let below = self.below(&about.location).strip_prefix(folder)?.strip_prefix('/')?;
        let (work, name) = below.rsplit_once('/')?;
        let work = work.parse().ok()?;
        let held = match folder {
            WORK => Held::Artifact(name.parse().ok()?),
            _ => Held::Stage(name.parse().ok()?),
        };
        let key = self.held_key(work, &held);
        (key == about.location).then(|| Listed {
            work,
            held,
            address: self.address_of(&key),
            bytes: about.size,
            modified: modified(about),
        })
    }

    fn held_key(&self, work: WorkId, held: &Held) -> Key {
        match held {
            Held::Artifact(sha256) => self.work_key(work, sha256),
            Held::Stage(name) => self.stage_key(work, name),
        }
    }
}
