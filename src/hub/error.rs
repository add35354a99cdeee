//! Why a file did not come from a hub, in one line for whoever asked.

use std::time::Duration;

/// Why a request to a hub came to nothing. What a server said is part of it as it was said: whoever shows it makes it
/// plain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    /// What was given makes no sense: an address, a token.
    #[error("{0}")]
    Wrong(String),
    /// The hub says no, and would again.
    #[error("{0}")]
    Refused(String),
    /// The hub has another file by now, or the transfer brought one.
    #[error("what {whose} is not what {}: expected {what} {expected}, found {found}", says(whose))]
    Different {
        /// [`CAME`], [`HAS`] or [`LISTED`].
        whose: &'static str,
        /// What differs: a hash, a size.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Too much was asked of the hub; it may say for how long it wants its peace.
    #[error("{told}{}", asked(*after))]
    Busy {
        /// What it said.
        told: String,
        /// The pause that it asks for.
        after: Option<Duration>,
    },
    /// Another try may go better without anybody changing anything.
    #[error("{0}")]
    Passing(String),
    /// A file cannot be written or read here.
    #[error("{0}")]
    File(String),
}

impl HubError {
    /// Whether another try may go better.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Passing(_))
    }

    /// The same with where it happened in front.
    pub(super) fn at(self, place: &str) -> Self {
        let with = |told: String| format!("{place}: {told}");
        match self {
            Self::Wrong(told) => Self::Wrong(with(told)),
            Self::Refused(told) => Self::Refused(with(told)),
            Self::Busy { told, after } => Self::Busy { told: with(told), after },
            Self::Passing(told) => Self::Passing(with(told)),
            Self::File(told) => Self::File(told),
            different @ Self::Different { .. } => different,
        }
    }
}

/// How [`HubError::Different`] tells of a file that is here, of what the hub has, and of what it sends while its list of
/// files says another thing.
pub(super) const CAME: &str = "came";
pub(super) const HAS: &str = "the hub has";
pub(super) const LISTED: &str = "the hub sends";

/// Who expects something else.
fn says(whose: &str) -> &'static str {
    if whose == LISTED { "its list of files describes" } else { "the bundle describes" }
}

fn asked(after: Option<Duration>) -> String {
    after.map_or_else(String::new, |after| format!("; it asks for a pause of {} s", after.as_secs()))
}

/// What an error goes back to: what libraries wrap around it says that a request failed, which whoever asked knows.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
