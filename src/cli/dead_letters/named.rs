//! How letters are named on a command line: by their work, or by the number of a message that names none.

use std::fmt;

use super::some;
use crate::cli::Failed;
use crate::network::Session;
use crate::network::letters::{self, Letter};
use crate::network::listing::Listed;
use crate::types::WorkId;

/// What stands before the number of a message that names no work.
const UNREADABLE: &str = "unreadable/";

/// Which letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Of this work.
    Work(WorkId),
    /// Of the message with this number in the work stream.
    Message(u64),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work(work) => work.fmt(f),
            Self::Message(sequence) => write!(f, "{UNREADABLE}{sequence}"),
        }
    }
}

pub(super) fn letter_name(text: &str) -> Result<Name, String> {
    if let Some(number) = text.strip_prefix(UNREADABLE) {
        let wrong = |_| format!("{number:?} is no number of a message; accepted: such as {UNREADABLE}7");
        return number.parse().map(Name::Message).map_err(wrong);
    }
    text.parse().map(Name::Work).map_err(|error| format!("{error}, or {UNREADABLE}NUMBER"))
}

pub(super) fn name_of(letter: &Listed<Letter>) -> String {
    let record = &letter.record;
    record.work.map_or(Name::Message(record.sequence), Name::Work).to_string()
}

/// The letter of this name.
pub(super) async fn find(session: &Session, name: &Name) -> Result<Listed<Letter>, Failed> {
    let found = match name {
        Name::Work(work) => letters::read(session, *work).await?,
        Name::Message(sequence) => {
            let (all, _) = some(session, usize::MAX).await?;
            all.into_iter().find(|it| it.record.work.is_none() && it.record.sequence == *sequence)
        }
    };
    found.ok_or_else(|| {
        Failed::bad_input(format!("{name} has no dead letter; it may have been replayed or dropped"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_its_work_or_its_message() {
        let work = "6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21/2/3";
        for text in [work, "unreadable/7"] {
            assert_eq!(letter_name(text).unwrap().to_string(), text);
        }
        for text in ["", "7", "unreadable/", "unreadable/-1", "6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21"] {
            assert!(letter_name(text).unwrap_err().contains("accepted"), "{text}");
        }
    }
}
