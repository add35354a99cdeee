//! Names of what the nodes of a network render.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SlotId;

/// One rendering of a slot in a network. A slot is rendered once in each of its replicas, by distinct nodes; whoever hands
/// it in again after its end, or replays a dead letter of it, raises its epoch, and the highest epoch with a result is the
/// slot's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkId {
    /// The slot.
    pub slot: SlotId,
    /// How often it was handed in, counted from 1.
    pub epoch: NonZeroU32,
    /// Which of its replicas this is, counted from 1.
    pub replica: NonZeroU32,
}

impl WorkId {
    /// The first replica of the first epoch: what a slot is that nobody said more of.
    pub const fn first(slot: SlotId) -> Self {
        Self { slot, epoch: NonZeroU32::MIN, replica: NonZeroU32::MIN }
    }
}

/// A text that names no rendering.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no rendering; accepted: SLOT/EPOCH/REPLICA, such as {example}")]
pub struct WorkIdError {
    /// What was written.
    pub found: String,
    /// One that would be.
    pub example: &'static str,
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.slot, self.epoch, self.replica)
    }
}

impl FromStr for WorkId {
    type Err = WorkIdError;

    /// With `/` or `.` between the parts.
    fn from_str(text: &str) -> Result<Self, WorkIdError> {
        let wrong = || WorkIdError {
            found: text.chars().take(120).collect(),
            example: "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/1/1",
        };
        let mut parts = text.split(['/', '.']);
        let (Some(slot), Some(epoch), Some(replica), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<NonZeroU32>().ok().filter(|_| digits && !text.starts_with('0'))
        };
        match (slot.parse(), number(epoch), number(replica)) {
            (Ok(slot), Some(epoch), Some(replica)) => Ok(Self { slot, epoch, replica }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_what_it_writes_and_refuses_all_else() {
        let slot = "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90".parse().unwrap();
        let (epoch, replica) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(5).unwrap());
        let work = WorkId { slot, epoch, replica };
        assert_eq!(work.to_string().parse(), Ok(work));
        assert_eq!(work.to_string().replace('/', ".").parse(), Ok(work));
        assert_eq!(WorkId::first(slot).to_string(), format!("{slot}/1/1"));
        for wrong in ["", "x/1/1", "/1/1", &format!("{slot}"), &format!("{slot}/1"), &format!("{slot}/0/1")] {
            assert!(wrong.parse::<WorkId>().is_err(), "{wrong}");
        }
        for wrong in
            [format!("{slot}/1/1/1"), format!("{slot}/+1/1"), format!("{slot}/01/1"), format!("{slot}/1/-1")]
        {
            let error = wrong.parse::<WorkId>().unwrap_err().to_string();
            assert!(error.contains("accepted: SLOT/EPOCH/REPLICA"), "{error}");
        }
    }
}
