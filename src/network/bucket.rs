//! Buckets of keys and values: streams that keep one message for each key, as NATS's own tools have them.

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::json;

use super::error::NetworkError;
use super::session::{ANSWER, Session, Stored};

/// Entries that one request brings.
const PAGE: usize = 256;
/// What is there of a key that was removed.
const REMOVED: &str = "KV-Operation";
/// What is there of a key that has expired, where a stream marks that.
const EXPIRED: &str = "Nats-Marker-Reason";

/// What stands under a key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key.
    pub key: String,
    /// Its number: whoever writes next says which one it follows.
    pub revision: u64,
    /// None where the key was removed.
    pub value: Option<Bytes>,
}

/// The stream of a bucket.
pub(super) fn stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// The subjects of its keys.
pub(super) fn subjects(bucket: &str) -> String {
    subject(bucket, ">")
}

fn subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// What stands under `key`, as the stream's leader has it.
pub(super) async fn get(session: &Session, bucket: &str, key: &str) -> Result<Option<Entry>, NetworkError> {
    let stored = session.last_in(&stream(bucket), &subject(bucket, key)).await?;
    Ok(stored.and_then(|stored| entry(bucket, stored)))
}

/// Writes what follows `revision`, zero where there is nothing; its own revision. An error that
/// [is taken](NetworkError::is_taken) where something else stands there.
pub(super) async fn put(
    session: &Session,
    bucket: &str,
    key: &str,
    value: &impl Serialize,
    revision: u64,
) -> Result<u64, NetworkError> {
    let doing = format!("write {key} to bucket {bucket}");
    let value = serde_json::to_vec(value)
        .map_err(|error| NetworkError::Unreadable { what: doing.clone(), wrong: error.to_string() })?;
    let headers = following(revision);
    session.publish(&doing, &subject(bucket, key), headers, value.into(), ANSWER).await
}

/// Removes what stands under `key` as `revision`.
pub(super) async fn remove(
    session: &Session,
    bucket: &str,
    key: &str,
    revision: u64,
) -> Result<u64, NetworkError> {
    let doing = format!("remove {key} from bucket {bucket}");
    let mut headers = following(revision);
    headers.insert(REMOVED, "PURGE");
    headers.insert("Nats-Rollup", "sub");
    session.publish(&doing, &subject(bucket, key), headers, Bytes::new(), ANSWER).await
}

fn following(revision: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
    headers
}

/// Everything that stands in a bucket. Any server that has a copy answers, so what was written a moment ago may be missing.
pub(super) async fn list(session: &Session, bucket: &str) -> Result<Vec<Entry>, NetworkError> {
    let mut found = Vec::new();
    let mut from = 1;
    loop {
        let (page, left) = page(session, bucket, from).await?;
        let Some(last) = page.last() else { return Ok(found) };
        from = last.sequence + 1;
        found.extend(page.into_iter().filter_map(|stored| entry(bucket, stored)));
        if left == 0 {
            found.retain(|entry| entry.value.is_some());
            return Ok(found);
        }
    }
}

/// Messages from number `from` on, and how many more there are.
async fn page(session: &Session, bucket: &str, from: u64) -> Result<(Vec<Stored>, u64), NetworkError> {
    let doing = format!("list bucket {bucket}");
    let inbox = session.inbox();
    let mut answers = session.listen(&inbox).await?;
    let wanted = json!({ "seq": from, "batch": PAGE, "next_by_subj": subjects(bucket) }).to_string();
    let call = format!("$JS.API.DIRECT.GET.{}", stream(bucket));
    session.send(&call, Some(&inbox), wanted.into()).await?;
    let gone = |said: &str| NetworkError::Unavailable { doing: doing.clone(), said: said.to_owned() };
    let mut page = Vec::new();
    loop {
        let answer = tokio::select! {
            answer = tokio::time::timeout(ANSWER, answers.next()) => answer,
            () = session.over() => return Err(gone("the connection to the network is gone")),
        };
        let answer = answer
            .map_err(|_| NetworkError::NoAnswer { doing: doing.clone(), after: ANSWER })?
            .ok_or_else(|| gone("the connection to the network is gone"))?;
        // A message may have headers of the same names, which its writer chose; the server's are the last.
        let header = |name: &str| Some(answer.headers.as_ref()?.get_last(name)?.as_str().to_owned());
        let number = |name: &str| header(name)?.parse::<u64>().ok();
        if let (Some(subject), Some(sequence)) = (header("Nats-Subject"), number("Nats-Sequence")) {
            let headers = answer.headers.clone().unwrap_or_default();
            page.push(Stored { subject, sequence, headers, payload: answer.payload });
            continue;
        }
        return match answer.status.map(|status| status.as_u16()) {
            Some(204) => Ok((page, number("Nats-Num-Pending").unwrap_or_default())),
            Some(404) => Ok((page, 0)),
            Some(503) => {
                Err(gone("nobody answers: there is no such bucket, or its stream has no allow_direct"))
            }
            code => Err(NetworkError::Refused {
                doing,
                code: code.unwrap_or_default().into(),
                said: answer.description.unwrap_or_default(),
            }),
        };
    }
}

fn entry(bucket: &str, stored: Stored) -> Option<Entry> {
    let key = stored.subject.strip_prefix(&subject(bucket, ""))?.to_owned();
    let is_gone = stored.headers.get(REMOVED).is_some() || stored.headers.get(EXPIRED).is_some();
    let value = (!is_gone).then_some(stored.payload);
    Some(Entry { key, revision: stored.sequence, value })
}
