//! Garbage of renderings: objects in the store that no result names.
//!
//! An object's address has its rendering in it, and a rendering's result never changes: what its result does not name once it
//! has one stays garbage. A rendering without a result may be under way, however long ago it began, and nothing of it is
//! touched: so no clock and no pause decides whether an object is needed, only how soon it goes.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::stream::{Stream as Items, StreamExt};
use serde::Deserialize;

use super::error::NetworkError;
use super::session::Session;
use super::subjects::Stream;
use crate::types::{Bytes, Sha256, WorkId};

/// An object of a rendering, in a store.
#[derive(Clone, Debug)]
pub struct Object<H> {
    /// Whose.
    pub work: WorkId,
    /// Of its contents, where it is an artifact; the output of a stage is named by no result.
    pub sha256: Option<Sha256>,
    /// How large it is.
    pub bytes: Bytes,
    /// When it was written, by the store's clock, since the Unix epoch.
    pub written: Duration,
    /// What the store knows it by.
    pub handle: H,
}

/// A store of objects, as far as it is needed here.
pub trait Objects {
    /// What the store knows an object by.
    type Handle: Send + Sync;
    /// What goes wrong in it.
    type Error: fmt::Display + Send;

    /// All objects of renderings, best in the order of their addresses.
    fn list(&self) -> impl Items<Item = Result<Object<Self::Handle>, Self::Error>> + Send + Unpin;

    /// Removes one; one that has gone already is success.
    fn remove(&self, handle: &Self::Handle) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// How old garbage is left alone.
    pub retention: Duration,
    /// Now, since the Unix epoch.
    pub now: Duration,
    /// Whether to say what would be removed only.
    pub dry_run: bool,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that a result names.
    pub named: u64,
    /// Objects of renderings that have no result.
    pub open: u64,
    /// Garbage that is not old enough.
    pub young: u64,
    /// Objects of renderings whose result cannot be read: left alone.
    pub unreadable: u64,
    /// Garbage that was removed, or would have been.
    pub removed: u64,
    /// How large that was together.
    pub bytes: Bytes,
    /// What went wrong with single objects; they are there still.
    pub failed: Vec<String>,
}

/// Why a sweep ended early. What was removed until then was garbage.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The results could not be read.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The store could not be listed.
    #[error("the artifact store cannot be listed: {said}")]
    Store {
        /// What it said.
        said: String,
    },
}

/// Whether an object can go: its rendering has ended, by a result that does not name it, and it is older than what is kept.
pub fn is_garbage(has_ended: bool, is_named: bool, age: Duration, retention: Duration) -> bool {
    has_ended && !is_named && age > retention
}

/// What the result of a rendering says.
enum Ended {
    No,
    Unreadable,
    Names(BTreeSet<Sha256>),
}

/// Removes the garbage of a store. Results are read from their leader, each after its objects were listed.
pub async fn sweep<O: Objects>(session: &Session, objects: &O, sweep: Sweep) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let mut last: Option<(WorkId, Ended)> = None;
    let mut listing = objects.list();
    while let Some(object) = listing.next().await {
        let object = object.map_err(|error| SweepError::Store { said: error.to_string() })?;
        let known = match last.take().filter(|(work, _)| *work == object.work) {
            Some((_, known)) => known,
            None => ended(session, object.work).await?,
        };
        let known = &last.insert((object.work, known)).1;
        let is_named = match known {
            Ended::No => {
                swept.open += 1;
                continue;
            }
            Ended::Unreadable => {
                swept.unreadable += 1;
                continue;
            }
            Ended::Names(named) => object.sha256.is_some_and(|sha256| named.contains(&sha256)),
        };
        let age = sweep.now.saturating_sub(object.written);
        if !is_garbage(true, is_named, age, sweep.retention) {
            *(if is_named { &mut swept.named } else { &mut swept.young }) += 1;
            continue;
        }
        if !sweep.dry_run
            && let Err(error) = objects.remove(&object.handle).await
        {
            swept.failed.push(error.to_string());
            continue;
        }
        swept.removed += 1;
        swept.bytes = swept.bytes.saturating_add(object.bytes);
    }
    Ok(swept)
}

async fn ended(session: &Session, work: WorkId) -> Result<Ended, NetworkError> {
    #[derive(Deserialize)]
    struct Record {
        work: WorkId,
        artifacts: Vec<Artifact>,
    }
    #[derive(Deserialize)]
    struct Artifact {
        sha256: Sha256,
    }
    let subject = session.subjects().of(Stream::Results, work);
    let Some(stored) = session.last(Stream::Results, &subject).await? else { return Ok(Ended::No) };
    Ok(match serde_json::from_slice::<Record>(&stored.payload) {
        Ok(record) if record.work == work => {
            Ended::Names(record.artifacts.into_iter().map(|artifact| artifact.sha256).collect())
        }
        _ => Ended::Unreadable,
    })
}
