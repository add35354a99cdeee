//! How far renderings are: told to whoever listens at that moment, kept by nobody.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::record;
use super::session::Session;
use crate::types::{SlotId, Stage, WorkId};

/// How far a rendering is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Of the format: [`VERSION`](super::VERSION).
    pub version: u32,
    /// Which rendering.
    pub work: WorkId,
    /// The public key of the node that renders it.
    pub node: String,
    /// In which stage it is.
    pub stage: Stage,
    /// Steps of the stage that are done …
    pub done: u64,
    /// … of this many; zero where nobody knows.
    pub total: u64,
    /// When, Unix seconds.
    pub at: f64,
}

/// Tells how far a rendering is. How often is the caller's matter.
pub async fn tell(session: &Session, progress: &Progress) -> Result<(), NetworkError> {
    let subject = session.subjects().progress(progress.work);
    session.send(&subject, None, record::write("tell of progress", progress)?).await
}

/// What is told of a slot's renderings from now on, until the session is over. Anybody who may write there can claim
/// anything: it is for people to look at.
pub async fn watch(session: &Session, slot: SlotId) -> Result<BoxStream<'static, Progress>, NetworkError> {
    let told = session.listen(&session.subjects().progress_of(slot)).await?;
    let session = session.clone();
    let read = |payload: &[u8]| record::read::<Progress>("progress", payload).ok();
    let ours = move |message: async_nats::Message| {
        let progress = read(&message.payload).filter(|progress| progress.work.slot == slot);
        async move { progress }
    };
    Ok(told.filter_map(ours).take_until(async move { session.over().await }).boxed())
}
