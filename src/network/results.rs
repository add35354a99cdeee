//! How renderings ended: one record for each, created once and never changed.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::listing::{self, Listing};
use super::record;
use super::session::{Created, Session, Stored};
use super::subjects::{Stream, Subjects};
use crate::types::{Bytes, Sha256, SlotId, Stage, WorkId, names};

names! {
    /// How a rendering ended.
    EndState, "an end" {
        /// The video is good.
        Completed => "completed",
        /// It is not, or there is none.
        Failed => "failed",
        /// It was stopped before it was done.
        Cancelled => "cancelled",
        /// No node could do it: there is a letter.
        Dead => "dead",
    }
}

/// How a rendering ended, and where what came of it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// Of the format: [`VERSION`](super::VERSION).
    pub version: u32,
    /// Which rendering.
    pub work: WorkId,
    /// The public key of the node that says so.
    pub node: String,
    /// How it ended.
    pub state: EndState,
    /// When, Unix seconds.
    pub at: f64,
    /// Whether it was in time; none where there was no deadline.
    pub deadline_met: Option<bool>,
    /// What kind of failure or cancellation.
    pub cause: Option<String>,
    /// In which stage, if in one.
    pub stage: Option<Stage>,
    /// What happened, with the values.
    pub message: Option<String>,
    /// How often the work had been delivered by then.
    pub deliveries: u64,
    /// Of the models that it was rendered with; none where it never came to that.
    pub bundle: Option<Sha256>,
    /// What was made.
    #[serde(default)]
    pub artifacts: Vec<ResultArtifact>,
    /// The node's signed `result.json`, byte for byte: a text, since a document inside the document would lose its layout,
    /// which is checked too.
    pub result: Option<String>,
}

/// A file of a result, in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultArtifact {
    /// Its name.
    pub name: String,
    /// Of its contents.
    pub sha256: Sha256,
    /// How large it is.
    pub bytes: Bytes,
    /// Where it is.
    pub address: String,
}

/// What came of handing a result over.
#[derive(Clone, Debug, PartialEq)]
pub enum Put {
    /// It is the rendering's.
    First,
    /// The rendering has one already: this.
    Taken(Box<ResultRecord>),
}

impl ResultRecord {
    /// Whether `other` says the same of the same rendering by the same node: one's own record, found by a second try after
    /// the answer to the first was lost, or from before a restart.
    pub fn is_same(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.work, it.state, it.node.clone(), it.artifacts.clone());
        parts(self) == parts(other)
    }

    fn read(subjects: &Subjects, stored: &Stored) -> Result<Self, NetworkError> {
        let what = format!("the result under {}", stored.subject);
        let record: Self = record::read(&what, &stored.payload)?;
        if subjects.read(Stream::Results, &stored.subject) != Some(record.work) {
            return Err(record::unreadable(&what, &format!("it is one of {}", record.work)));
        }
        Ok(record)
    }
}

/// Hands a result over, unless its rendering has one. Where no answer came ([`NetworkError::is_open`]) it may be there or
/// may come there yet: whoever tries again finds it [`Put::Taken`] by a record that [`is_same`](ResultRecord::is_same).
///
/// # Errors
/// [`NetworkError::TooLarge`] where the server does not take a message of its size, and [`NetworkError::Unreadable`] where
/// the rendering has a result that nobody can read: it has ended all the same.
pub async fn create(session: &Session, record: &ResultRecord, within: Duration) -> Result<Put, NetworkError> {
    let subject = session.subjects().of(Stream::Results, record.work);
    let doing = format!("hand over the result of {}", record.work);
    let payload = record::write(&doing, record)?;
    match session.create(&doing, &subject, HeaderMap::new(), payload, within).await? {
        Created::New(_) => Ok(Put::First),
        Created::Taken => {
            let there = read(session, record.work).await?;
            // Nothing removes results but an operator.
            let said = "it was there already, and then it was not".to_owned();
            there.map(|there| Put::Taken(Box::new(there))).ok_or(NetworkError::Unavailable { doing, said })
        }
    }
}

/// The result of one rendering, as the stream's leader has it.
pub async fn read(session: &Session, work: WorkId) -> Result<Option<ResultRecord>, NetworkError> {
    let subjects = session.subjects();
    let stored = session.last(Stream::Results, &subjects.of(Stream::Results, work)).await?;
    stored.map(|stored| ResultRecord::read(subjects, &stored)).transpose()
}

/// All results of a slot, as the stream's leader has them. One that cannot be read is an error: it may be the slot's.
pub async fn of_slot(session: &Session, slot: SlotId) -> Result<Vec<ResultRecord>, NetworkError> {
    let subjects = session.subjects();
    let filter = subjects.of_slot(Stream::Results, slot);
    let (mut found, mut from) = (Vec::new(), 1);
    while let Some(stored) = session.next(Stream::Results, from, &filter).await? {
        from = stored.sequence + 1;
        found.push(ResultRecord::read(subjects, &stored)?);
    }
    Ok(found)
}

/// At most `limit` results from number `from` of the stream on.
pub async fn list(session: &Session, from: u64, limit: usize) -> Result<Listing<ResultRecord>, NetworkError> {
    let subjects = session.subjects();
    let read = |stored: &Stored| ResultRecord::read(subjects, stored);
    listing::records(session, Stream::Results, &subjects.all(Stream::Results), (from, limit), read).await
}

/// The slot's result among those of its renderings: of the highest epoch that has one, the lowest replica's.
pub fn highest(records: &[ResultRecord]) -> Option<&ResultRecord> {
    records.iter().max_by_key(|record| (record.work.epoch, std::cmp::Reverse(record.work.replica)))
}

/// For each replica of a slot the result of its highest epoch, in order: what can agree.
pub fn replicas(records: &[ResultRecord]) -> Vec<&ResultRecord> {
    let mut found: BTreeMap<_, &ResultRecord> = BTreeMap::new();
    for record in records {
        let held = found.entry(record.work.replica).or_insert(record);
        if record.work.epoch > held.work.epoch {
            *held = record;
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A result of `work` by node `node`.
    pub(in crate::network) fn result(work: WorkId, node: &str) -> ResultRecord {
        ResultRecord {
            version: super::super::VERSION,
            work,
            node: node.to_owned(),
            state: EndState::Completed,
            at: 1_790_000_000.125,
            deadline_met: Some(true),
            cause: None,
            stage: None,
            message: None,
            deliveries: 1,
            bundle: Some(Sha256::of(b"bundle")),
            artifacts: vec![ResultArtifact {
                name: "video.mp4".to_owned(),
                sha256: Sha256::of(b"video"),
                bytes: Bytes::new(5),
                address: format!("s3://bucket/{work}/{}", Sha256::of(b"video")),
            }],
            result: Some("{\n  \"signature\": \"ä\\u0000\"\n}\n".to_owned()),
        }
    }

    fn work(text: &str) -> WorkId {
        format!("6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/{text}").parse().unwrap()
    }

    #[test]
    fn the_highest_epoch_is_the_slots_whatever_came_last() {
        let records = ["1/1", "10/2", "10/1", "2/1", "1/3"].map(|it| result(work(it), "node"));
        assert_eq!(highest(&records).unwrap().work, work("10/1"));
        let each: Vec<WorkId> = replicas(&records).iter().map(|record| record.work).collect();
        assert_eq!(each, [work("10/1"), work("10/2"), work("1/3")]);
        assert_eq!(highest(&[]), None);
    }

    #[test]
    fn a_record_reads_back_to_the_byte_and_from_a_later_version() {
        let record = result(work("1/1"), "node");
        let mut json = serde_json::to_value(&record).unwrap();
        json["version"] = 2.into();
        json["news"] = "of a later version".into();
        let read: ResultRecord = serde_json::from_value(json).unwrap();
        assert_eq!(ResultRecord { version: 1, ..read }, record);
    }

    #[test]
    fn a_record_is_ones_own_by_node_work_state_and_artifacts() {
        let record = result(work("1/1"), "node");
        assert!(record.is_same(&ResultRecord { at: 0.0, deliveries: 9, result: None, ..record.clone() }));
        for other in [
            ResultRecord { node: "other".to_owned(), ..record.clone() },
            ResultRecord { work: work("2/1"), ..record.clone() },
            ResultRecord { artifacts: Vec::new(), ..record.clone() },
            ResultRecord { state: EndState::Failed, ..record.clone() },
        ] {
            assert!(!record.is_same(&other), "{other:?}");
        }
    }
}
