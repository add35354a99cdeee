//! The registry: who is in the network, and what each can do.
//!
//! A node writes its entry with every heartbeat, and the server drops an entry that was not written for three of them. By the
//! server's clock alone: what stands in an entry about time is to be shown, and no clock that is wrong makes a node look dead.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bucket;
use super::error::NetworkError;
use super::session::Session;
use super::subjects::Stream;
use crate::types::{Sha256, names};

/// Of the entry's format.
pub const ENTRY_VERSION: u32 = 1;
/// Tries of one announcement: each is lost to a write of another process, of which there are two.
const TRIES: u32 = 4;

names! {
    /// Whether a node's memory is short.
    Strain, "a pressure" {
        /// It is not.
        None => "none",
        /// It takes no more for now.
        Soft => "soft",
        /// It gives work up.
        Hard => "hard",
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Of the format: [`ENTRY_VERSION`].
    pub version: u32,
    /// Its public key.
    pub node: String,
    /// This start of its process.
    pub process: uuid::Uuid,
    /// When that was, Unix seconds.
    pub started_at: f64,
    /// When this was written, Unix seconds.
    pub at: f64,
    /// The version of its software.
    pub software: String,
    /// Where its API is, if it tells.
    #[serde(default)]
    pub address: Option<String>,
    /// Whether it takes nothing more because it is about to end.
    pub draining: bool,
    /// Whether it can render.
    pub ready: bool,
    /// Why not.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// Whether its memory is short.
    pub pressure: Strain,
    /// How many slots it takes at once …
    pub capacity: u32,
    /// … how many it has …
    pub open: u32,
    /// … and how many of these wait.
    pub queue: u32,
    /// How each model is.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// What it renders with.
    pub bundle: BundleEntry,
    /// The classes of work that it does, as they stand in subjects.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The largest picture that it is planned for.
    pub max_pixels: u64,
    /// What it takes for a slot.
    pub expected_seconds: f64,
    /// What it takes for each stage.
    #[serde(default)]
    pub stage_seconds: BTreeMap<String, f64>,
    /// Where it computes.
    #[serde(default)]
    pub devices: Vec<String>,
}

/// A bundle of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleEntry {
    /// Its name.
    pub name: String,
    /// Its hash: nodes with the same one render the same.
    pub sha256: Sha256,
}

/// What came of an announcement.
#[derive(Clone, Debug, PartialEq)]
pub enum Announced {
    /// The entry follows our own, or nothing.
    Kept,
    /// It follows one of another process: of our last life, or of a twin that lives. A twin that is older writes again and our
    /// next announcement says so: until then nothing should be pulled.
    Replaced(Box<NodeEntry>),
}

/// Why an entry was not written.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// Another process runs with our key, and was there first.
    #[error(
        "node {} runs twice: process {} has announced it{}, and was started earlier, at {} (Unix seconds): this one, {own}, \
         must end; give each node a key of its own",
        other.node, other.process,
        other.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default(), other.started_at
    )]
    Duplicate {
        /// The other's entry.
        other: Box<NodeEntry>,
        /// Our process.
        own: uuid::Uuid,
    },
    /// It could not be asked for.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Writes one node's entries, each on top of its last.
#[derive(Debug, Default)]
pub struct Announcer {
    revision: Option<u64>,
    has_written: bool,
}

impl NodeEntry {
    /// Whether this one's process was started before the other's.
    fn is_older(&self, other: &Self) -> bool {
        self.started_at.total_cmp(&other.started_at).then_with(|| self.process.cmp(&other.process)).is_lt()
    }

    /// How many more slots it can take.
    pub fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.open)
    }
}

impl Announcer {
    /// Which has written nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `entry`. The first one of a process takes the place of whatever is there, as it may be from a life that was
    /// killed; from then on an older process' entry in between is an error, and a younger one's is replaced.
    pub async fn announce(
        &mut self,
        session: &Session,
        entry: &NodeEntry,
    ) -> Result<Announced, AnnounceError> {
        let bucket = session.subjects().nodes();
        let mut announced = Announced::Kept;
        let mut lost = None;
        for _ in 0..TRIES {
            let revision = match self.revision {
                Some(revision) => revision,
                None => self.look(session, &bucket, entry, &mut announced).await?,
            };
            match bucket::put(session, &bucket, &entry.node, entry, revision).await {
                Ok(revision) => {
                    self.revision = Some(revision);
                    self.has_written = true;
                    return Ok(announced);
                }
                Err(error) if error.is_taken() => lost = Some(error),
                Err(error) => {
                    // It may be there: the next look finds it.
                    self.revision = None;
                    return Err(error.into());
                }
            }
            self.revision = None;
        }
        let doing = format!("announce node {}", entry.node);
        let said = "others write its entry all the time".to_owned();
        Err(AnnounceError::Network(lost.unwrap_or(NetworkError::Unavailable { doing, said })))
    }

    /// What the next entry follows.
    async fn look(
        &self,
        session: &Session,
        bucket: &str,
        entry: &NodeEntry,
        announced: &mut Announced,
    ) -> Result<u64, AnnounceError> {
        let Some(there) = bucket::get(session, bucket, &entry.node).await? else { return Ok(0) };
        // What nobody can read is nobody's.
        let other = there.value.and_then(|value| serde_json::from_slice::<NodeEntry>(&value).ok());
        if let Some(other) = other.filter(|other| other.process != entry.process) {
            if self.has_written && other.is_older(entry) {
                return Err(AnnounceError::Duplicate { other: Box::new(other), own: entry.process });
            }
            *announced = Announced::Replaced(Box::new(other));
        }
        Ok(there.revision)
    }

    /// Takes the entry out at a clean stop, unless it is another process' by now.
    pub async fn withdraw(&mut self, session: &Session, node: &str) -> Result<(), NetworkError> {
        let Some(revision) = self.revision.take() else { return Ok(()) };
        match bucket::remove(session, &session.subjects().nodes(), node, revision).await {
            Err(error) if !error.is_taken() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Every node that is there, by its key. One whose entry cannot be read is passed over with a warning: it may be of another
/// version, and is not one to count on.
pub async fn nodes(session: &Session) -> Result<Vec<NodeEntry>, NetworkError> {
    let bucket = session.subjects().nodes();
    let entries = bucket::list(session, &bucket).await?;
    let mut nodes: Vec<NodeEntry> =
        entries.into_iter().filter_map(|entry| read(&entry.key, &entry.value?)).collect();
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(nodes)
}

fn read(key: &str, value: &[u8]) -> Option<NodeEntry> {
    let wrong = match serde_json::from_slice::<NodeEntry>(value) {
        Ok(entry) if entry.node == key => return Some(entry),
        Ok(entry) => format!("it is that of node {}", entry.node),
        Err(error) => error.to_string(),
    };
    tracing::warn!(node = key, wrong, "a node's entry in the registry cannot be read");
    None
}

/// Work that is addressed to a node which is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The node that it is for.
    pub node: String,
    /// How many messages wait for it.
    pub pending: u64,
    /// How many more it had taken and has not finished.
    pub claimed: u64,
}

/// Nodes that are not in the registry, and have work addressed to them. One look: a node that was cut off for a moment is
/// among them, so it is for the caller to see how long it stays away.
pub async fn orphans(session: &Session) -> Result<Vec<Orphan>, NetworkError> {
    let (nodes, consumers) = futures_util::future::try_join(nodes(session), own_consumers(session)).await?;
    let is_there = |node: &str| nodes.binary_search_by(|entry| entry.node.as_str().cmp(node)).is_ok();
    Ok(consumers
        .into_iter()
        .filter(|orphan| orphan.pending + orphan.claimed > 0 && !is_there(&orphan.node))
        .collect())
}

/// What waits for each single node.
async fn own_consumers(session: &Session) -> Result<Vec<Orphan>, NetworkError> {
    #[derive(Deserialize)]
    struct Page {
        total: usize,
        #[serde(default)]
        consumers: Option<Vec<Consumer>>,
    }
    #[derive(Deserialize)]
    struct Consumer {
        name: String,
        #[serde(default)]
        num_pending: u64,
        #[serde(default)]
        num_ack_pending: u64,
    }
    let stream = session.subjects().stream(Stream::Work);
    let doing = format!("list consumers of stream {stream}");
    let (mut found, mut offset) = (Vec::new(), 0);
    loop {
        let page: Page =
            session.api(&doing, &format!("CONSUMER.LIST.{stream}"), &json!({ "offset": offset })).await?;
        let consumers = page.consumers.unwrap_or_default();
        offset += consumers.len();
        let is_last = consumers.is_empty() || offset >= page.total;
        found.extend(consumers.into_iter().filter_map(|consumer| {
            let node = consumer.name.strip_prefix(&session.subjects().consumer_of(""))?.to_owned();
            Some(Orphan { node, pending: consumer.num_pending, claimed: consumer.num_ack_pending })
        }));
        if is_last {
            return Ok(found);
        }
    }
}

/// Entries that are written from now on, until the session is over. Those of nodes that leave are not among them.
pub async fn watch(
    session: &Session,
) -> Result<futures_util::stream::BoxStream<'static, NodeEntry>, NetworkError> {
    let bucket = session.subjects().nodes();
    let told = session.listen(&bucket::subjects(&bucket)).await?;
    let begins = bucket::subjects(&bucket).replace('>', "");
    let session = session.clone();
    let entries = told.filter_map(move |message| {
        let key = message.subject.strip_prefix(&begins).map(str::to_owned);
        let is_removal = message.payload.is_empty();
        let entry = key.filter(|_| !is_removal).and_then(|key| read(&key, &message.payload));
        async move { entry }
    });
    Ok(entries.take_until(async move { session.over().await }).boxed())
}
