//! What the streams hold, put together for people: which renderings wait, are under way, and have ended.
//!
//! Decides nothing: by the time that it is told it may be over.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Deserialize;

use super::attempts::{self, Attempt, Happening};
use super::cancels::{self, CancelMarker};
use super::class::Recipient;
use super::error::NetworkError;
use super::letters::{self, Letter};
use super::listing::{self, Listed};
use super::results::{self, ResultRecord};
use super::session::Session;
use super::subjects::{Stream, WorkSubject};
use crate::types::{SlotId, WorkId};

/// Results that are read at a time, from the newest back.
const WINDOW: usize = 256;

/// Where a rendering stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// No node has said that it began, or the last one that did has said that it gave up.
    Queued,
    /// As its last attempt says, which a node that died cannot take back.
    Running(Attempt),
    /// It has a result.
    Ended(Box<ResultRecord>),
}

/// A rendering.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendering {
    /// Which.
    pub work: WorkId,
    /// Where it stands.
    pub standing: Standing,
    /// Under what it was handed in; none where it is not in the queue any more.
    pub subject: Option<WorkSubject>,
}

/// Some of what there is.
#[derive(Clone, Debug)]
pub struct Excerpt<T> {
    /// What was found.
    pub found: Vec<T>,
    /// What of it could not be read.
    pub unreadable: Vec<NetworkError>,
    /// Whether there is more.
    pub has_more: bool,
}

/// How many messages streams hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Renderings that have not ended.
    pub work: u64,
    /// Results.
    pub results: u64,
    /// Dead letters.
    pub letters: u64,
}

/// All that is known of a slot.
#[derive(Clone, Debug)]
pub struct SlotOverview {
    /// Its renderings, in order.
    pub renderings: Vec<Rendering>,
    /// That it is wanted no more.
    pub marker: Option<CancelMarker>,
    /// Its dead letters.
    pub letters: Vec<Letter>,
    /// What nodes have told of it, rendering by rendering.
    pub attempts: Vec<Attempt>,
}

impl SlotOverview {
    /// Whether the network knows nothing of it but, perhaps, that it is wanted no more.
    pub fn is_unknown(&self) -> bool {
        self.renderings.is_empty() && self.letters.is_empty()
    }

    /// The renderings of its highest epoch.
    pub fn newest(&self) -> impl Iterator<Item = &Rendering> {
        let highest = self.renderings.iter().map(|rendering| rendering.work.epoch).max();
        self.renderings.iter().filter(move |rendering| Some(rendering.work.epoch) == highest)
    }
}

#[derive(Deserialize)]
struct Info {
    state: State,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    messages: u64,
    #[serde(default)]
    first_seq: u64,
    #[serde(default)]
    last_seq: u64,
}

async fn state(session: &Session, stream: Stream) -> Result<State, NetworkError> {
    let name = session.subjects().stream(stream);
    let doing = format!("look at stream {name}");
    let info: Info = session.api(&doing, &format!("STREAM.INFO.{name}"), &serde_json::json!({})).await?;
    Ok(info.state)
}

/// How many messages streams hold.
pub async fn counts(session: &Session) -> Result<Counts, NetworkError> {
    Ok(Counts {
        work: state(session, Stream::Work).await?.messages,
        results: state(session, Stream::Results).await?.messages,
        letters: state(session, Stream::Letters).await?.messages,
    })
}

/// At most `limit` renderings that have not ended and that `wanted` takes, what goes first before the others. By names alone:
/// what waits may be read by its director and the nodes only.
pub async fn open(
    session: &Session,
    limit: usize,
    wanted: impl Fn(&Standing) -> bool,
) -> Result<Excerpt<Rendering>, NetworkError> {
    let subjects = session.subjects();
    let tried = listing::works(session, Stream::Attempts, &subjects.all(Stream::Attempts)).await?;
    let named = listing::subjects(session, Stream::Work, &subjects.all(Stream::Work)).await?;
    let mut waiting: Vec<WorkSubject> = named.keys().filter_map(|name| subjects.read_work(name)).collect();
    waiting.sort_by_key(|subject| (subject.class.priority, subject.work));
    let mut excerpt = Excerpt { found: Vec::new(), unreadable: Vec::new(), has_more: false };
    for subject in waiting {
        let is_tried = tried.contains(&subject.work);
        if !is_tried && !wanted(&Standing::Queued) {
            continue;
        }
        let standing = match in_queue(session, subject.work, is_tried).await {
            Ok(Standing::Ended(_)) => continue,
            Ok(standing) => standing,
            Err(error @ NetworkError::Unreadable { .. }) => {
                excerpt.unreadable.push(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if !wanted(&standing) {
            continue;
        }
        if excerpt.found.len() >= limit {
            excerpt.has_more = true;
            break;
        }
        excerpt.found.push(Rendering { work: subject.work, standing, subject: Some(subject) });
    }
    Ok(excerpt)
}

/// Where a rendering of the work stream stands. What nobody has tried has no result.
async fn in_queue(session: &Session, work: WorkId, is_tried: bool) -> Result<Standing, NetworkError> {
    if !is_tried {
        return Ok(Standing::Queued);
    }
    Ok(match results::read(session, work).await? {
        Some(result) => Standing::Ended(Box::new(result)),
        None => standing(attempts::of(session, work).await?),
    })
}

/// How much work is addressed to single nodes, by node.
pub async fn addressed(session: &Session) -> Result<BTreeMap<String, u64>, NetworkError> {
    let subjects = session.subjects();
    let mut found = BTreeMap::new();
    for name in listing::subjects(session, Stream::Work, &subjects.all(Stream::Work)).await?.keys() {
        if let Some(WorkSubject { to: Recipient::Node(node), .. }) = subjects.read_work(name) {
            *found.entry(node).or_default() += 1;
        }
    }
    Ok(found)
}

/// What the attempts at a rendering without a result say of it.
fn standing(mut attempts: Vec<Attempt>) -> Standing {
    match attempts.pop() {
        Some(last) if last.what == Happening::Begun => Standing::Running(last),
        _ => Standing::Queued,
    }
}

/// At most `limit` results that `wanted` takes, the newest first.
pub async fn ended(
    session: &Session,
    limit: usize,
    wanted: impl Fn(&ResultRecord) -> bool,
) -> Result<Excerpt<ResultRecord>, NetworkError> {
    let State { first_seq, last_seq, .. } = state(session, Stream::Results).await?;
    let (mut found, mut unreadable, mut upto) = (Vec::new(), Vec::new(), last_seq);
    while upto >= first_seq.max(1) && found.len() <= limit {
        let from = upto.saturating_sub(WINDOW as u64 - 1).max(first_seq.max(1));
        let page = results::list(session, from, WINDOW).await?;
        unreadable.extend(page.unreadable);
        let part = page.found.into_iter().rev().filter(|listed| listed.sequence <= upto);
        found.extend(part.map(|listed| listed.record).filter(&wanted));
        upto = from - 1;
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok(Excerpt { found, unreadable, has_more })
}

/// All that is known of a slot.
pub async fn of_slot(session: &Session, slot: SlotId) -> Result<SlotOverview, NetworkError> {
    let subjects = session.subjects();
    let named = async |stream| listing::works(session, stream, &subjects.of_slot(stream, slot)).await;
    let tried = named(Stream::Attempts).await?;
    let mut renderings: Vec<Rendering> = Vec::new();
    for result in results::of_slot(session, slot).await? {
        let (work, standing) = (result.work, Standing::Ended(Box::new(result)));
        renderings.push(Rendering { work, standing, subject: None });
    }
    for name in listing::subjects(session, Stream::Work, &subjects.work_of(slot)).await?.keys() {
        let Some(subject) = subjects.read_work(name) else { continue };
        let work = subject.work;
        // Work is acknowledged last: with its result it may still be in the queue.
        if !renderings.iter().any(|known| known.work == work) {
            let standing = in_queue(session, work, tried.contains(&work)).await?;
            renderings.push(Rendering { work, standing, subject: Some(subject) });
        }
    }
    renderings.sort_by_key(|rendering| rendering.work);
    let (mut letters, mut attempts) = (Vec::new(), Vec::new());
    for work in named(Stream::Letters).await? {
        letters.extend(letters::read(session, work).await?.map(|Listed { record, .. }| record));
    }
    for work in tried {
        attempts.extend(attempts::of(session, work).await?);
    }
    Ok(SlotOverview { renderings, marker: cancels::read(session, slot).await?, letters, attempts })
}

/// Renderings whose result is handed over from now on, until the session is over. One is told when it is sent, before the
/// stream keeps it or refuses it, and some may be missed: it says when to read.
pub async fn endings(session: &Session) -> Result<BoxStream<'static, WorkId>, NetworkError> {
    let told = session.listen(&session.subjects().all(Stream::Results)).await?;
    let (session, subjects) = (session.clone(), session.subjects().clone());
    let read = move |message: async_nats::Message| {
        let work = subjects.read(Stream::Results, &message.subject);
        async move { work }
    };
    Ok(told.filter_map(read).take_until(async move { session.over().await }).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(what: Happening) -> Attempt {
        Attempt {
            version: 1,
            work: "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/1/1".parse().unwrap(),
            node: "node".to_owned(),
            at: 1.0,
            delivery: 1,
            what,
            detail: None,
        }
    }

    #[test]
    fn work_is_under_way_where_the_last_that_was_told_of_it_is_that_it_began() {
        assert_eq!(standing(Vec::new()), Standing::Queued);
        let (begun, lost) = (attempt(Happening::Begun), attempt(Happening::Lost));
        assert_eq!(standing(vec![begun.clone(), lost.clone()]), Standing::Queued);
        assert_eq!(standing(vec![lost, begun.clone()]), Standing::Running(begun));
    }
}
