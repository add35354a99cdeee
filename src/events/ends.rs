//! Which event tells a slot's end, and which events are ends.

use super::EventKind;
use crate::journal::{Ending, Recorded, Terminal};

/// How a slot ended, by its last record.
impl From<&Terminal> for EventKind {
    fn from(terminal: &Terminal) -> Self {
        match &terminal.ending {
            Ending::Completed { deadline_met } => Self::GenerationComplete {
                elapsed: terminal.elapsed,
                breakdown: terminal.breakdown.into(),
                deadline_met: *deadline_met,
            },
            Ending::Failed { cause, stage, message } => {
                Self::SlotFailed { cause: *cause, stage: *stage, message: message.clone() }
            }
            Ending::Cancelled { cause } => Self::SlotCancelled { cause: *cause },
        }
    }
}

impl EventKind {
    /// What is told once the journal was given `terminal`.
    pub fn of_end(terminal: &Terminal, recorded: Recorded) -> Self {
        match recorded {
            Recorded::Ended => Self::from(terminal),
            Recorded::Superseded { by } => Self::SlotSuperseded { by },
            Recorded::Left => Self::SlotLeft,
        }
    }

    /// Whether a slot has come to its end with this.
    pub fn ends_slot(&self) -> bool {
        matches!(
            self,
            Self::GenerationComplete { .. }
                | Self::SlotFailed { .. }
                | Self::SlotCancelled { .. }
                | Self::SlotSuperseded { .. }
                | Self::EndNotKept { .. }
        )
    }

    /// Whether nothing more is done here for a slot after this: it has ended, or is left.
    pub fn settles_slot(&self) -> bool {
        self.ends_slot() || matches!(self, Self::SlotLeft)
    }
}
