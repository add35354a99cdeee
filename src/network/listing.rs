//! Lists of what streams hold: names alone, or whole messages by the hundred.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::{HeaderMap, Message};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::timeout;

use super::error::NetworkError;
use super::record;
use super::session::{ANSWER, Session, Stored};
use super::subjects::{Stream, Subjects};
use crate::types::WorkId;

/// Messages of one answer: a subscription holds eight times as many for its reader.
const BATCH: usize = 512;
/// Bytes of one answer; the server sends one message however large it is.
const BATCH_BYTES: u64 = 16 << 20;

/// A record of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T> {
    /// Its number in the stream.
    pub sequence: u64,
    /// What it says.
    pub record: T,
}

/// Some of a stream's records, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// Those that can be read.
    pub found: Vec<Listed<T>>,
    /// What is wrong with the others.
    pub unreadable: Vec<NetworkError>,
    /// The number from which on there is more.
    pub next: Option<u64>,
}

/// Subjects of a stream that `filter` takes, with how many messages each has. A page of them holds 100,000: what comes or
/// goes between two pages may be missing.
pub async fn subjects(
    session: &Session,
    stream: Stream,
    filter: &str,
) -> Result<BTreeMap<String, u64>, NetworkError> {
    let name = session.subjects().stream(stream);
    let doing = format!("list subjects of stream {name}");
    let mut found = BTreeMap::new();
    let mut offset = 0;
    loop {
        let body = serde_json::json!({ "subjects_filter": filter, "offset": offset });
        let page: Page = session.api(&doing, &format!("STREAM.INFO.{name}"), &body).await?;
        match page.take(offset, &mut found) {
            Some(next) => offset = next,
            None => return Ok(found),
        }
    }
}

/// What [`subjects`] name, where it is work.
pub async fn works(
    session: &Session,
    stream: Stream,
    filter: &str,
) -> Result<BTreeSet<WorkId>, NetworkError> {
    let names = session.subjects();
    let found = subjects(session, stream, filter).await?;
    Ok(found.keys().filter_map(|subject| work_of(names, stream, subject)).collect())
}

fn work_of(names: &Subjects, stream: Stream, subject: &str) -> Option<WorkId> {
    match stream {
        Stream::Work => names.read_work(subject).map(|read| read.work),
        _ => names.read(stream, subject),
    }
}

/// One answer of the server.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    state: State,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    subjects: BTreeMap<String, u64>,
}

impl Page {
    /// Puts what it has, beginning at `offset`, to `found`; where the next page begins.
    fn take(self, offset: usize, found: &mut BTreeMap<String, u64>) -> Option<usize> {
        let count = self.state.subjects.len();
        found.extend(self.state.subjects);
        let next = offset + count;
        (count > 0 && next < self.total).then_some(next)
    }
}

/// At most `limit` records from number `from` on whose subjects `filter` takes, each read by `read`.
pub(super) async fn records<T>(
    session: &Session,
    stream: Stream,
    filter: &str,
    (from, limit): (u64, usize),
    read: impl Fn(&Stored) -> Result<T, NetworkError>,
) -> Result<Listing<T>, NetworkError> {
    let mut listing = Listing { found: Vec::new(), unreadable: Vec::new(), next: Some(from) };
    let mut left = limit;
    while let Some(from) = listing.next
        && left > 0
    {
        let (messages, more) = batch(session, stream, filter, from, left.min(BATCH)).await?;
        left = left.saturating_sub(messages.len());
        listing.next = messages.last().filter(|_| more).map(|last| last.sequence + 1);
        for message in messages {
            match read(&message) {
                Ok(record) => listing.found.push(Listed { sequence: message.sequence, record }),
                Err(error) => listing.unreadable.push(error),
            }
        }
    }
    Ok(listing)
}

/// One answer's messages, and whether there are more. Any server that has a copy of the stream answers, and may have heard
/// of less than the leader: what decides something is read by [`Session::last`].
async fn batch(
    session: &Session,
    stream: Stream,
    filter: &str,
    from: u64,
    count: usize,
) -> Result<(Vec<Stored>, bool), NetworkError> {
    let name = session.subjects().stream(stream);
    let doing = format!("read from stream {name}");
    let wanted = serde_json::json!({
        "seq": from.max(1),
        "batch": count,
        "max_bytes": BATCH_BYTES,
        "next_by_subj": filter,
    });
    let inbox = session.inbox();
    let mut answers = session.listen(&inbox).await?;
    let call = format!("$JS.API.DIRECT.GET.{name}");
    session.send(&call, Some(&inbox), record::write(&doing, &wanted)?).await?;
    let gone = |said: &str| NetworkError::Unavailable { doing: doing.clone(), said: said.to_owned() };
    let mut messages = Vec::new();
    loop {
        let answer = tokio::select! {
            answer = timeout(ANSWER, answers.next()) => answer,
            () = session.over() => return Err(gone("the connection to the network is gone")),
        };
        let answer = answer
            .map_err(|_| NetworkError::NoAnswer { doing: doing.clone(), after: ANSWER })?
            .ok_or_else(|| gone("the connection to the network is gone"))?;
        if let Some(message) = stored(&answer) {
            messages.push(message);
            continue;
        }
        return match answer.status.map(|status| status.as_u16()) {
            Some(204) => Ok((messages, header(&answer, "Nats-Num-Pending").is_some_and(|left| left > 0))),
            Some(404) => Ok((messages, false)),
            Some(503) => Err(gone(&format!(
                "no server answers {call}: the stream is not there, or without allow_direct"
            ))),
            code => Err(NetworkError::Refused {
                doing: doing.clone(),
                code: code.unwrap_or_default().into(),
                said: answer.description.unwrap_or_default(),
            }),
        };
    }
}

/// A message, if the answer is one. The server puts its own headers behind those that the message has: only the last of a
/// name is the server's word, and an answer that has its number is a message, whatever status it claims.
fn stored(answer: &Message) -> Option<Stored> {
    let headers = answer.headers.as_ref()?;
    Some(Stored {
        sequence: header(answer, "Nats-Sequence")?,
        subject: headers.get_last("Nats-Subject")?.as_str().to_owned(),
        headers: HeaderMap::clone(headers),
        payload: answer.payload.clone(),
    })
}

fn header(answer: &Message, name: &str) -> Option<u64> {
    answer.headers.as_ref()?.get_last(name)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_until_all_subjects_are_there() {
        let page = |total: usize, names: &[&str]| -> Page {
            let subjects: BTreeMap<&str, u64> = names.iter().map(|name| (*name, 1)).collect();
            serde_json::from_value(serde_json::json!({ "total": total, "state": { "subjects": subjects } }))
                .unwrap()
        };
        let mut found = BTreeMap::new();
        assert_eq!(page(3, &["a", "b"]).take(0, &mut found), Some(2));
        assert_eq!(page(3, &["c"]).take(2, &mut found), None);
        assert_eq!(found.len(), 3);
        // What was there went while it was listed: no page more, instead of the same one for ever.
        assert_eq!(page(5, &[]).take(3, &mut found), None);
        // A server leaves out what there is none of.
        let none: Page = serde_json::from_str(r#"{"state": {}}"#).unwrap();
        assert_eq!(none.take(0, &mut found), None);
    }
}
