//! Names of streams, consumers and subjects. Pure: written here, read here, nowhere else.

use std::fmt;

use super::class::{Class, Recipient, is_hex};
use crate::types::{SlotId, WorkId};

/// What a director without a signature is called.
pub(super) const OPEN: &str = "open";

/// What all names begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

/// A prefix that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} cannot begin subjects; accepted: 1 to 40 letters, digits, - and _")]
pub struct PrefixError {
    /// What was written.
    pub found: String,
}

/// A stream of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// What is to be rendered.
    Work,
    /// How it ended, once for each rendering.
    Results,
    /// What could not be rendered, and why.
    Letters,
    /// What is to be rendered no more.
    Cancels,
    /// Who has tried what.
    Attempts,
}

impl Stream {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Work, Self::Results, Self::Letters, Self::Cancels, Self::Attempts];

    /// Its part of subjects and of its own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Results => "results",
            Self::Letters => "letters",
            Self::Cancels => "cancels",
            Self::Attempts => "attempts",
        }
    }
}

/// What the subject of a message of the work stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkSubject {
    /// For whom.
    pub to: Recipient,
    /// What it asks of a node.
    pub class: Class,
    /// The first 16 hexadecimal digits of the signing director's public key; none where the recipe is not signed.
    pub director: Option<String>,
    /// What is to be rendered.
    pub work: WorkId,
}

impl WorkSubject {
    /// The name of a director in subjects.
    pub fn director_name(public_key: &str) -> String {
        public_key.chars().take(16).collect()
    }
}

impl Subjects {
    /// Under `prefix`.
    pub fn new(prefix: &str) -> Result<Self, PrefixError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if prefix.is_empty() || prefix.len() > 40 || !prefix.bytes().all(fits) {
            return Err(PrefixError { found: prefix.chars().take(80).collect() });
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a stream.
    pub fn stream(&self, stream: Stream) -> String {
        format!("{}_{}", self.prefix, stream.name())
    }

    /// All subjects of a stream.
    pub fn all(&self, stream: Stream) -> String {
        format!("{}.{}.>", self.prefix, stream.name())
    }

    /// The name of the bucket of nodes.
    pub fn nodes(&self) -> String {
        format!("{}_nodes", self.prefix)
    }

    /// The name of the bucket of directors.
    pub fn directors(&self) -> String {
        format!("{}_directors", self.prefix)
    }

    /// Where a piece of work is handed in.
    pub fn work(&self, subject: &WorkSubject) -> String {
        let WorkSubject { to, class, director, work } = subject;
        let director = director.as_deref().unwrap_or(OPEN);
        format!("{}.work.{}.{class}.{director}.{}", self.prefix, to.token(), dotted(*work))
    }

    /// What a subject of the work stream says; none where it is not one that [`Self::work`] writes.
    pub fn read_work(&self, subject: &str) -> Option<WorkSubject> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix(".work.")?;
        let tokens: Vec<&str> = rest.split('.').collect();
        let [to, priority, size, bundle, pace, director, slot, epoch, replica] = tokens[..] else {
            return None;
        };
        let director = match director {
            OPEN => None,
            key if is_hex(key, 16) => Some(key.to_owned()),
            _ => return None,
        };
        let read = WorkSubject {
            to: Recipient::of(to)?,
            class: Class::of([priority, size, bundle, pace])?,
            director,
            work: format!("{slot}.{epoch}.{replica}").parse().ok()?,
        };
        // One subject for each rendering: nothing is written in two ways.
        (self.work(&read) == subject).then_some(read)
    }

    /// Work of a class that is for anybody.
    pub fn work_for_any(&self, class: &Class) -> String {
        format!("{}.work.{}.{class}.>", self.prefix, Recipient::Any.token())
    }

    /// Work for one node.
    pub fn work_for(&self, node: &str) -> String {
        format!("{}.work.{node}.>", self.prefix)
    }

    /// Work of one slot, for whomever and in whichever epoch.
    pub fn work_of(&self, slot: SlotId) -> String {
        format!("{}.work.*.*.*.*.*.*.{slot}.*.*", self.prefix)
    }

    /// Work of one slot that is for one node.
    pub fn work_of_for(&self, slot: SlotId, node: &str) -> String {
        format!("{}.work.{node}.*.*.*.*.*.{slot}.*.*", self.prefix)
    }

    /// Work that one director has handed in.
    pub fn work_by(&self, director: Option<&str>) -> String {
        format!("{}.work.*.*.*.*.*.{}.>", self.prefix, director.unwrap_or(OPEN))
    }

    /// The name of the consumer of one node's own work.
    pub fn consumer_of(&self, node: &str) -> String {
        format!("to-{node}")
    }

    /// Where one rendering stands in a stream that has one subject for each: results, letters, attempts.
    pub fn of(&self, stream: Stream, work: WorkId) -> String {
        format!("{}.{}.{}", self.prefix, stream.name(), dotted(work))
    }

    /// All renderings of a slot in such a stream.
    pub fn of_slot(&self, stream: Stream, slot: SlotId) -> String {
        format!("{}.{}.{slot}.*.*", self.prefix, stream.name())
    }

    /// The rendering that a subject of such a stream names.
    pub fn read(&self, stream: Stream, subject: &str) -> Option<WorkId> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix('.')?.strip_prefix(stream.name())?;
        let work: WorkId = rest.strip_prefix('.')?.parse().ok()?;
        (self.of(stream, work) == subject).then_some(work)
    }

    /// The letter of a message that names no rendering, by its number in the work stream.
    pub fn unreadable(&self, sequence: u64) -> String {
        format!("{}.letters.unreadable.{sequence}", self.prefix)
    }

    /// Where a slot is said to be wanted no more.
    pub fn cancel(&self, slot: SlotId) -> String {
        format!("{}.cancels.{slot}", self.prefix)
    }

    /// Where a rendering's progress is told, to whoever listens at that moment.
    pub fn progress(&self, work: WorkId) -> String {
        format!("{}.progress.{}", self.prefix, dotted(work))
    }

    /// The progress of all renderings of a slot.
    pub fn progress_of(&self, slot: SlotId) -> String {
        format!("{}.progress.{slot}.*.*", self.prefix)
    }
}

impl fmt::Display for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

fn dotted(work: WorkId) -> String {
    format!("{}.{}.{}", work.slot, work.epoch, work.replica)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::class::{Pace, Priority, Size};

    fn subject() -> WorkSubject {
        WorkSubject {
            to: Recipient::Any,
            class: Class { priority: Priority::High, size: Size::Small, bundle: None, pace: Pace::Free },
            director: Some("0123456789abcdef".to_owned()),
            work: "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/2/5".parse().unwrap(),
        }
    }

    #[test]
    fn subjects_read_back_and_nothing_else_is_read() {
        let subjects = Subjects::new("net-1").unwrap();
        let any = subject();
        let own = WorkSubject {
            to: Recipient::Node("ab".repeat(32)),
            class: Class { bundle: Some("fedcba9876543210".to_owned()), ..subject().class },
            director: None,
            ..subject()
        };
        for it in [any, own] {
            assert_eq!(subjects.read_work(&subjects.work(&it)), Some(it.clone()));
            for stream in [Stream::Results, Stream::Letters, Stream::Attempts] {
                assert_eq!(subjects.read(stream, &subjects.of(stream, it.work)), Some(it.work));
                assert_eq!(subjects.read(stream, &subjects.of(Stream::Work, it.work)), None);
            }
        }
        let written = subjects.work(&subject());
        let (upper, short) = (written.replace("6f1c", "6F1C"), written.replace(".2.5", ".2"));
        for wrong in
            [upper, short, format!("x{written}"), format!("{written}.1"), written.replace("high", "top")]
        {
            assert_eq!(subjects.read_work(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_one_token() {
        for wrong in ["", "a.b", "a b", "a>", "*", "ä", &"a".repeat(41)] {
            let error = Subjects::new(wrong).unwrap_err().to_string();
            assert!(error.contains("accepted: 1 to 40 letters"), "{error}");
        }
    }
}
