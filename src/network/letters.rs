//! Dead letters: work that no node could do, with the reason, what was tried, and the recipe, so that it can be handed in
//! again.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::attempts::Attempt;
use super::error::NetworkError;
use super::hand_in::{REPLAY_OF, SUBMITTED};
use super::listing::{self, Listed, Listing};
use super::record;
use super::session::{ANSWER, Created, Session, Stored};
use super::subjects::{Stream, Subjects};
use crate::types::{WorkId, names};

mod replay;

#[cfg(test)]
pub(super) use replay::again;
pub use replay::{ReplayError, replay};

/// Left for the headers that a letter is sent with.
const HEADERS: usize = 512;
/// What is left of a text that is cut.
const CUT: usize = 1000;
/// The server has not removed a message, for whichever reason.
const NOT_DELETED: u64 = 10_057;

names! {
    /// Why work is dead.
    LetterReason, "a reason" {
        /// It names no rendering, or holds no recipe.
        Unreadable => "unreadable",
        /// It is not signed, and must be.
        Unsigned => "unsigned",
        /// Its signature does not hold.
        Signature => "signature",
        /// It is signed by somebody who is not the director that it names.
        Signer => "signer",
        /// The recipe is not one that can be rendered.
        Invalid => "invalid",
        /// It is larger than recipes may be.
        Oversized => "oversized",
        /// Its deadline was over before it began.
        Expired => "expired",
        /// It was delivered too often without an end.
        Deliveries => "deliveries",
        /// It is for a node that holds another replica of the slot.
        ReplicaConflict => "replica_conflict",
        /// Its director may not have its priority.
        Priority => "priority",
        /// The node that it came to cannot take it.
        Refused => "refused",
    }
}

/// What is kept of work that is dead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Of the format: [`VERSION`](super::VERSION).
    pub version: u32,
    /// Which rendering; none where the message names none.
    pub work: Option<WorkId>,
    /// Its subject in the work stream.
    pub subject: String,
    /// Its number there.
    pub sequence: u64,
    /// Why it is dead.
    pub reason: LetterReason,
    /// More of it, in words.
    pub detail: String,
    /// When, Unix seconds.
    pub at: f64,
    /// The public key of the node that says so.
    pub node: String,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was handed in, Unix seconds, as it says itself.
    pub submitted_at: Option<f64>,
    /// Its headers; several of one name with commas between.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What it says, in Base64; see [`Letter::recipe`].
    pub recipe: Option<String>,
    /// What was tried, the oldest first.
    #[serde(default)]
    pub history: Vec<Attempt>,
    /// The epoch of the letter that it was a replay of.
    #[serde(default)]
    pub replayed: Option<NonZeroU32>,
    /// Fields that were left out since the letter was too large with them.
    #[serde(default)]
    pub left_out: Vec<String>,
}

impl Letter {
    /// Of `message` of the work stream, which is dead by the word of `node`; its deliveries and history are the caller's to
    /// add.
    pub fn of(subjects: &Subjects, message: &Stored, reason: LetterReason, detail: &str, node: &str) -> Self {
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
        let submitted = header(SUBMITTED).and_then(|text| text.parse::<u64>().ok());
        let joined = |values: &[async_nats::HeaderValue]| {
            values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", ")
        };
        Self {
            version: record::VERSION,
            work: subjects.read_work(&message.subject).map(|read| read.work),
            subject: message.subject.clone(),
            sequence: message.sequence,
            reason,
            detail: detail.to_owned(),
            at: crate::clock::unix_time().as_secs_f64(),
            node: node.to_owned(),
            deliveries: 0,
            submitted_at: submitted.map(|milliseconds| milliseconds as f64 / 1e3),
            headers: message
                .headers
                .iter()
                .map(|(name, values)| (name.to_string(), joined(values)))
                .collect(),
            recipe: Some(STANDARD.encode(&message.payload)),
            history: Vec::new(),
            replayed: header(REPLAY_OF).and_then(|text| text.parse().ok()),
            left_out: Vec::new(),
        }
    }

    /// The bytes that were handed in; in an error, why there are none.
    pub fn recipe(&self) -> Result<Vec<u8>, String> {
        let text = self.recipe.as_ref().ok_or("it was too large to be kept")?;
        STANDARD.decode(text).map_err(|error| error.to_string())
    }

    /// Where it stands.
    fn place(&self, subjects: &Subjects) -> String {
        match self.work {
            Some(work) => subjects.of(Stream::Letters, work),
            None => subjects.unreadable(self.sequence),
        }
    }

    /// As it is sent: work whose letter cannot be written would come back for ever, so what is too large is left out, the
    /// recipe first.
    fn written(&self, doing: &str, largest: usize) -> Result<bytes::Bytes, NetworkError> {
        let largest = largest.saturating_sub(HEADERS);
        let whole = record::write(doing, self)?;
        if whole.len() <= largest {
            return Ok(whole);
        }
        let mut short = Self { recipe: None, left_out: vec!["recipe".to_owned()], ..self.clone() };
        let without = record::write(doing, &short)?;
        if without.len() <= largest {
            return Ok(without);
        }
        short.left_out.extend(["headers", "history", "detail"].map(str::to_owned));
        short.headers.clear();
        short.history.clear();
        short.detail = short.detail.chars().take(CUT).collect();
        record::write(doing, &short)
    }

    fn read(subjects: &Subjects, stored: &Stored) -> Result<Self, NetworkError> {
        let what = format!("the letter under {}", stored.subject);
        let letter: Self = record::read(&what, &stored.payload)?;
        if letter.place(subjects) != stored.subject {
            return Err(record::unreadable(&what, "it is one of other work"));
        }
        Ok(letter)
    }
}

/// Has a letter kept; false where its rendering has one already, which stands. It may be tried again where no answer came.
pub async fn put(session: &Session, letter: &Letter) -> Result<bool, NetworkError> {
    let subject = letter.place(session.subjects());
    let doing = format!("write the letter {subject}");
    let payload = letter.written(&doing, session.largest())?;
    let created = session.create(&doing, &subject, HeaderMap::new(), payload, ANSWER).await?;
    Ok(matches!(created, Created::New(_)))
}

/// At most `limit` letters from number `from` of the stream on.
pub async fn list(session: &Session, from: u64, limit: usize) -> Result<Listing<Letter>, NetworkError> {
    let subjects = session.subjects();
    let read = |stored: &Stored| Letter::read(subjects, stored);
    listing::records(session, Stream::Letters, &subjects.all(Stream::Letters), (from, limit), read).await
}

/// The letter of one rendering, as the stream's leader has it.
pub async fn read(session: &Session, work: WorkId) -> Result<Option<Listed<Letter>>, NetworkError> {
    let subjects = session.subjects();
    let stored = session.last(Stream::Letters, &subjects.of(Stream::Letters, work)).await?;
    let listed = |stored: Stored| {
        Letter::read(subjects, &stored).map(|record| Listed { sequence: stored.sequence, record })
    };
    stored.map(listed).transpose()
}

/// Removes the letter of this number, for good; whether it was there.
pub async fn drop_letter(session: &Session, sequence: u64) -> Result<bool, NetworkError> {
    let subjects = session.subjects();
    let name = subjects.stream(Stream::Letters);
    let (doing, call) = (format!("drop letter {sequence}"), format!("STREAM.MSG.DELETE.{name}"));
    let body = serde_json::json!({ "seq": sequence });
    match session.api::<serde::de::IgnoredAny>(&doing, &call, &body).await {
        Ok(_) => Ok(true),
        Err(error @ NetworkError::Refused { code: NOT_DELETED, .. }) => {
            let next = session.next(Stream::Letters, sequence, &subjects.all(Stream::Letters)).await?;
            if next.is_some_and(|next| next.sequence == sequence) { Err(error) } else { Ok(false) }
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: usize, detail: usize) -> Letter {
        let subjects = Subjects::new("net").unwrap();
        let work = "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90.1.1";
        let mut headers = HeaderMap::new();
        headers.insert(SUBMITTED, "1790000000125");
        headers.insert(REPLAY_OF, "3");
        headers.append("Odd", "a");
        headers.append("Odd", "b");
        let message = Stored {
            subject: format!("net.work.any.high.p512.any.free.open.{work}"),
            sequence: 7,
            headers,
            payload: vec![b'x'; payload].into(),
        };
        Letter::of(&subjects, &message, LetterReason::Deliveries, &"ä".repeat(detail), "node")
    }

    #[test]
    fn a_letter_says_what_the_message_said() {
        let letter = letter(3, 1);
        assert_eq!(letter.work.unwrap().to_string(), "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/1/1");
        assert_eq!((letter.submitted_at, letter.replayed), (Some(1_790_000_000.125), NonZeroU32::new(3)));
        assert_eq!(letter.headers["Odd"], "a, b");
        assert_eq!(letter.recipe().unwrap(), b"xxx");
        let subjects = Subjects::new("net").unwrap();
        let stored = Stored {
            subject: letter.place(&subjects),
            sequence: 1,
            headers: HeaderMap::new(),
            payload: record::write("", &letter).unwrap(),
        };
        assert_eq!(Letter::read(&subjects, &stored).unwrap(), letter);
        let other = Stored { subject: stored.subject.replace(".1.1", ".1.2"), ..stored };
        assert!(Letter::read(&subjects, &other).unwrap_err().to_string().contains("of other work"));
    }

    #[test]
    fn a_letter_that_is_too_large_loses_its_recipe_first() {
        let read = |letter: &Letter| -> Letter {
            let bytes = letter.written("", 8192).unwrap();
            assert!(bytes.len() <= 8192, "{}", bytes.len());
            serde_json::from_slice(&bytes).unwrap()
        };
        assert_eq!(read(&letter(100, 100)).left_out, Vec::<String>::new());
        let without = read(&letter(8192, 100));
        assert_eq!((without.left_out.as_slice(), without.headers.len()), (&["recipe".to_owned()][..], 3));
        assert!(without.recipe().unwrap_err().contains("too large"));
        let short = read(&letter(8192, 8192));
        assert_eq!((short.left_out.len(), short.detail.chars().count()), (4, CUT));
    }
}
