//! What comes up while a slot is worked on and belongs into its result, however it ends.

use parking_lot::{Mutex, MutexGuard};

use crate::contract::Warning;
use crate::verify::Verdict;

/// What comes up while a slot is worked on and belongs into its result, however it ends.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Noted>);

/// The notes themselves.
#[derive(Clone, Default)]
pub(crate) struct Noted {
    /// Each once.
    pub(crate) warnings: Vec<Warning>,
    /// The verdict, also where it was not passed.
    pub(crate) verdict: Option<Verdict>,
}

impl Notes {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        // A list that is appended to: whole whatever panics elsewhere.
        self.0.lock()
    }

    pub(crate) fn add(&self, warnings: impl IntoIterator<Item = Warning>) {
        let mut noted = self.noted();
        for warning in warnings {
            // A stage that is tried again warns again.
            if !noted.warnings.contains(&warning) {
                noted.warnings.push(warning);
            }
        }
    }

    pub(crate) fn judged(&self, verdict: Verdict) {
        self.noted().verdict = Some(verdict);
    }

    pub(crate) fn all(&self) -> Noted {
        self.noted().clone()
    }
}
