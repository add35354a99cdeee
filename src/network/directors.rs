//! What each director may hand in: a bucket that the network's operator writes.
//!
//! Whoever hands in looks here first. That keeps honest directors to their share; what others publish is for the server's
//! permissions to refuse.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bucket;
use super::class::Priority;
use super::error::NetworkError;
use super::session::Session;
use super::subjects::{OPEN, Stream, WorkSubject};

/// What a director may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Director {
    /// The highest priority of its work.
    pub priority: Priority,
    /// How many renderings it may have in the queue; none where there is no limit.
    #[serde(default)]
    pub queued: Option<u64>,
}

impl Default for Director {
    /// One of whom the operator has said nothing.
    fn default() -> Self {
        Self { priority: Priority::Normal, queued: None }
    }
}

/// Why a director may not hand in what it wants to.
#[derive(Debug, thiserror::Error)]
pub enum DirectorError {
    /// Its work does not go before that of others.
    #[error("director {director} may hand in at {allowed} priority at most, not at {wanted}")]
    Priority {
        /// Whose key.
        director: String,
        /// What it may.
        allowed: Priority,
        /// What it wants.
        wanted: Priority,
    },
    /// It has too much in the queue.
    #[error(
        "director {director} has {queued} renderings in the queue and may have {allowed}: {wanted} more are too many; wait \
         until some have ended, or have the operator raise its share"
    )]
    Queued {
        /// Whose key.
        director: String,
        /// How many it has.
        queued: u64,
        /// How many it may have.
        allowed: u64,
        /// How many it wants to add.
        wanted: u64,
    },
    /// The name is none.
    #[error(
        "{found:?} is no director; accepted: a public key of 64 lower-case hexadecimal digits, or \"open\""
    )]
    Name {
        /// What was written.
        found: String,
    },
    /// It could not be asked for.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// The key of a director in the bucket; `open` is whoever signs nothing.
fn key(director: Option<&str>) -> Result<&str, DirectorError> {
    match director {
        None | Some(OPEN) => Ok(OPEN),
        Some(key) if super::class::is_hex(key, 64) => Ok(key),
        Some(other) => Err(DirectorError::Name { found: other.chars().take(80).collect() }),
    }
}

/// What the operator has said of a director, by its public key, if anything.
pub async fn get(session: &Session, director: Option<&str>) -> Result<Option<Director>, DirectorError> {
    let bucket = session.subjects().directors();
    let entry = bucket::get(session, &bucket, key(director)?).await?;
    let read = |(key, value): (String, bytes::Bytes)| read(&key, &value);
    let there = entry.and_then(|entry| Some((entry.key, entry.value?)));
    Ok(there.map(read).transpose()?)
}

fn read(key: &str, value: &[u8]) -> Result<Director, NetworkError> {
    serde_json::from_slice(value).map_err(|error| NetworkError::Unreadable {
        what: format!("the entry of director {key}"),
        wrong: error.to_string(),
    })
}

/// Says it, in place of what was said before.
pub async fn put(session: &Session, director: Option<&str>, says: &Director) -> Result<(), DirectorError> {
    let (bucket, key) = (session.subjects().directors(), key(director)?);
    let revision = revision(session, &bucket, key).await?;
    bucket::put(session, &bucket, key, says, revision).await?;
    Ok(())
}

/// Takes back what was said of a director; whether there was anything.
pub async fn remove(session: &Session, director: Option<&str>) -> Result<bool, DirectorError> {
    let (bucket, key) = (session.subjects().directors(), key(director)?);
    let Some(entry) = bucket::get(session, &bucket, key).await?.filter(|entry| entry.value.is_some()) else {
        return Ok(false);
    };
    bucket::remove(session, &bucket, key, entry.revision).await?;
    Ok(true)
}

async fn revision(session: &Session, bucket: &str, key: &str) -> Result<u64, NetworkError> {
    Ok(bucket::get(session, bucket, key).await?.map_or(0, |entry| entry.revision))
}

/// All directors of whom something was said, by key.
pub async fn list(session: &Session) -> Result<Vec<(String, Director)>, NetworkError> {
    let mut found = Vec::new();
    for entry in bucket::list(session, &session.subjects().directors()).await? {
        if let Some(value) = &entry.value {
            found.push((entry.key.clone(), read(&entry.key, value)?));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Whether a director may add `more` renderings at priority `wanted`; what priority they have, its own where it wants none.
/// The count is that of a moment: two that hand in for one director at the same time may both find room.
pub async fn allow(
    session: &Session,
    director: Option<&str>,
    wanted: Option<Priority>,
    more: u64,
) -> Result<Priority, DirectorError> {
    let says = get(session, director).await?.unwrap_or_default();
    let name = key(director)?.to_owned();
    let priority = match wanted {
        // The names are in the order in which they go.
        Some(wanted) if wanted < says.priority => {
            return Err(DirectorError::Priority { director: name, allowed: says.priority, wanted });
        }
        Some(wanted) => wanted,
        None => says.priority.max(Priority::Normal),
    };
    if let Some(allowed) = says.queued {
        let queued = queued(session, director).await?;
        if queued + more > allowed {
            return Err(DirectorError::Queued { director: name, queued, allowed, wanted: more });
        }
    }
    Ok(priority)
}

/// How many renderings a director has in the queue.
pub async fn queued(session: &Session, director: Option<&str>) -> Result<u64, NetworkError> {
    #[derive(Deserialize)]
    struct Counted {
        #[serde(default)]
        total: u64,
    }
    let subjects = session.subjects();
    let (stream, name) = (subjects.stream(Stream::Work), director.map(WorkSubject::director_name));
    // A page behind the last one: the count alone, without the subjects.
    let asked = json!({ "subjects_filter": subjects.work_by(name.as_deref()), "offset": u32::MAX });
    let doing = format!("count work in stream {stream}");
    let counted: Counted = session.api(&doing, &format!("STREAM.INFO.{stream}"), &asked).await?;
    Ok(counted.total)
}
