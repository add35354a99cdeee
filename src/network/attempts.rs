//! Who has tried what with a rendering: told as it happens, gathered when a letter is written.

use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::listing;
use super::record;
use super::session::{Session, Stored};
use super::subjects::Stream;
use crate::types::{WorkId, names};

/// What the stream keeps of one rendering, and a letter tells.
const KEPT: usize = 16;

names! {
    /// What a node did with a delivery.
    Happening, "a happening" {
        /// It began to render.
        Begun => "begun",
        /// It failed.
        Failed => "failed",
        /// It lost its claim.
        Lost => "lost",
        /// It gave its claim up: it stops, or has no room.
        GivenUp => "given_up",
        /// It did not take it.
        Refused => "refused",
    }
}

/// One of a node's tries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Of the format: [`VERSION`](super::VERSION).
    pub version: u32,
    /// Of which rendering.
    pub work: WorkId,
    /// The node's public key.
    pub node: String,
    /// When, Unix seconds.
    pub at: f64,
    /// Which delivery of the work it was, from 1.
    pub delivery: u64,
    /// What it did.
    pub what: Happening,
    /// More of it, in words.
    #[serde(default)]
    pub detail: Option<String>,
}

/// Tells of an attempt without waiting until it is kept: it may get lost, which costs a line of a letter's history.
pub async fn tell(session: &Session, attempt: &Attempt) -> Result<(), NetworkError> {
    let subject = session.subjects().of(Stream::Attempts, attempt.work);
    session.send(&subject, None, record::write("tell of an attempt", attempt)?).await
}

/// The last attempts at a rendering, the oldest first; without those that cannot be read.
pub async fn of(session: &Session, work: WorkId) -> Result<Vec<Attempt>, NetworkError> {
    let filter = session.subjects().of(Stream::Attempts, work);
    let read = |stored: &Stored| record::read::<Attempt>("an attempt", &stored.payload);
    let listing = listing::records(session, Stream::Attempts, &filter, (1, KEPT), read).await?;
    let found = listing.found.into_iter().map(|listed| listed.record);
    Ok(found.filter(|attempt| attempt.work == work).collect())
}
