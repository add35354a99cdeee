//! The one way in: whatever asks for a slot becomes a [`Submission`], which is read and checked here, once.
//!
//! Owns what may come in before the node is asked: syntax, signature, signers, voices, deadline. Whether there is room,
//! memory and time is admission's to say; both answers are a [`Rejection`], which each way in maps by its
//! [`kind`](Rejection::kind).
//!
//! [actors]: crate::actors
//!
#![doc = include_str!("intake/README.md")]

mod rejection;
pub(crate) mod resume;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use rejection::{Kind, Rejection, TooLarge};

use crate::actors::admission::Refusal;
use crate::actors::admission::Request;
use crate::actors::handle::NodeHandle;
use crate::clock;
use crate::config::{Signers, Voices};
use crate::contract::ModelError;
use crate::journal::{JournalError, Key, Outputs, SlotFolders};
use crate::recipe::{Recipe, document, signature};
use crate::types::{Deadline, Resolution, Sha256, TraceParent};

/// How far a signer's clock may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
/// For a recipe that names no deadline: longer than any slot takes, short enough for every clock.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A recipe that somebody hands in.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its bytes, as they came.
    pub document: Arc<[u8]>,
    /// Where it comes from.
    pub origin: Origin,
    /// The trace that it belongs to, where whoever handed it in has one.
    pub traceparent: Option<TraceParent>,
}

/// Where a submission comes from; complaints begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, named on the command line.
    File(PathBuf),
    /// A request to the API, by the name of its token.
    Http(String),
    /// A message of the network's queue.
    Network,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Http(_) | Self::Network => f.write_str("the recipe"),
        }
    }
}

/// A submission that is a recipe of somebody whose recipes are rendered.
#[derive(Clone, Debug)]
pub struct Checked {
    recipe: Recipe,
    document: Arc<[u8]>,
    origin: Origin,
    traceparent: Option<TraceParent>,
}

/// What every recipe is checked against beside itself: the weights that are there.
#[derive(Clone, Debug)]
pub struct Door {
    /// Who speaks for whom.
    pub voices: Voices,
    /// The voices that the bundle has.
    pub known_voices: Vec<String>,
    /// SHA-256 of the bundle's description.
    pub bundle: Sha256,
    /// Refuses a script of which nothing can be spoken.
    pub speakable: fn(&str) -> Result<(), ModelError>,
}

/// A submission that may be asked for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it asks for.
    pub recipe: Recipe,
    /// What makes two renderings the same.
    pub key: Key,
    /// By when, on this process's clock, where the recipe says; one that has passed is now.
    pub deadline: Option<Deadline>,
    document: Arc<[u8]>,
    origin: Origin,
    traceparent: Option<TraceParent>,
}

impl Submission {
    /// Reads it and checks its signature, and whether recipes of whoever signed it are rendered.
    pub fn check(self, signers: &Signers) -> Result<Checked, Rejection> {
        let Self { document, origin, traceparent } = self;
        let recipe = match Recipe::read(&document) {
            Ok(recipe) => recipe,
            Err(problems) => return Err(Rejection::Recipe { origin, problems }),
        };
        // A signature that is there must hold, whoever may sign.
        let held = recipe.security.is_some().then(|| signature::verify(&recipe));
        if let Some(Err(source)) = held {
            return Err(Rejection::Signature { origin, source });
        }
        if let Err(source) = signers.allow(recipe.security.as_ref().map(|security| &security.director)) {
            return Err(Rejection::Signer { origin, source });
        }
        Ok(Checked { recipe, document, origin, traceparent })
    }
}

impl Door {
    /// Checks all that can be checked without the node and without the time of day.
    pub fn enter(&self, checked: Checked) -> Result<Entry, Rejection> {
        let Checked { recipe, document, origin, traceparent } = checked;
        if let Err(source) = (self.speakable)(&recipe.audio.script) {
            return Err(Rejection::Script { origin, source });
        }
        if let Err(source) = self.voices.speaker(&recipe.audio.voice_id, &self.known_voices) {
            return Err(Rejection::Voice { origin, source: Box::new(source) });
        }
        // Of the canonical document: comments and layout change nothing.
        let key = Key { recipe: Sha256::of(&document::canonical(recipe.document())), bundle: self.bundle };
        let deadline = recipe.deadline.and_then(|deadline| {
            let left = deadline.saturating_sub(clock::unix_time());
            Deadline::after(clock::now(), left)
        });
        Ok(Entry { recipe, key, deadline, document, origin, traceparent })
    }
}

impl Entry {
    /// The trace that it belongs to.
    pub fn traceparent(&self) -> Option<&TraceParent> {
        self.traceparent.as_ref()
    }

    /// Puts it into the trace that `choose` makes of the one that it came with.
    pub fn traced(&mut self, choose: impl FnOnce(Option<TraceParent>) -> Option<TraceParent>) {
        self.traceparent = choose(self.traceparent.take());
    }

    /// Refuses a recipe whose deadline has passed. Apart from [`Door::enter`], since a slot that ended in time may be asked
    /// for again at any time.
    pub fn in_time(&self) -> Result<(), Rejection> {
        match self.recipe.too_late(clock::unix_time()) {
            None => Ok(()),
            Some(problem) => Err(Rejection::Late { origin: self.origin.clone(), problem }),
        }
    }

    /// Refuses a signed recipe that was signed longer than `window` ago, or in the future: whoever has got hold of an old
    /// one may hand it in again. Apart from [`Door::enter`] like the deadline.
    pub fn is_fresh(&self, window: Duration) -> Result<(), Rejection> {
        let Some(security) = &self.recipe.security else { return Ok(()) };
        let (signed, now) = (Duration::from_secs(security.timestamp), clock::unix_time());
        if signed.saturating_add(window) < now || signed > now.saturating_add(CLOCKS_DIFFER) {
            return Err(Rejection::Replayed { origin: self.origin.clone(), signed, now, window });
        }
        Ok(())
    }

    /// Refuses a video of more pixels than `largest` has. Apart from [`Door::enter`], since only a node that was planned before
    /// it knew its slots has a largest one.
    pub fn within(&self, largest: Resolution) -> Result<(), Rejection> {
        let found = self.recipe.resolution;
        if found.pixels() <= largest.pixels() {
            return Ok(());
        }
        Err(Rejection::Size { origin: self.origin.clone(), source: TooLarge { found, largest } })
    }

    /// By when the slot has to be done; far away where the recipe names no deadline.
    pub fn due(&self) -> Deadline {
        self.deadline.unwrap_or_else(|| {
            let now = clock::now();
            Deadline::after(now, NO_DEADLINE).unwrap_or_else(|| Deadline::at(now))
        })
    }

    /// What the node is asked for.
    pub fn request(&self) -> Request {
        Request {
            slot: self.recipe.slot(),
            recipe: Arc::clone(&self.document),
            deadline: self.due(),
            traceparent: self.traceparent.clone(),
            outputs: Outputs::default(),
        }
    }
}

/// Asks `node` for `entry`: prepares its folder in `folders`, and where the slot is refused for good, lets go of it again, so
/// that nothing is left of it. Answers with the time to its expected end.
pub async fn ask(
    entry: &Entry,
    folders: &Arc<SlotFolders>,
    node: &NodeHandle,
) -> Result<Duration, Rejection> {
    let (slot, key) = (entry.recipe.slot(), entry.key);
    on_disk(folders, move |folders| folders.prepare(slot, key).map(drop)).await?;
    let refusal = match node.submit(entry.request()).await {
        Ok(eta) => return Ok(eta),
        Err(refusal) => refusal,
    };
    let comes_again = matches!(refusal, Refusal::Pressure { .. } | Refusal::NotReady { .. });
    if !comes_again && refusal != Refusal::Duplicate {
        on_disk(folders, move |folders| folders.release(slot)).await?;
    }
    Err(refusal.into())
}

async fn on_disk(
    folders: &Arc<SlotFolders>,
    work: impl FnOnce(&SlotFolders) -> Result<(), JournalError> + Send + 'static,
) -> Result<(), Rejection> {
    let folders = Arc::clone(folders);
    let done = tokio::task::spawn_blocking(move || work(&folders)).await;
    done.map_err(Rejection::Stopped)?.map_err(Rejection::from)
}

#[cfg(test)]
mod tests;
