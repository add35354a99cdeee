//! How the store is doing, for status and probes.

use std::fmt;
use std::time::Duration;

/// How the store is doing, as far as uploads tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing was uploaded yet.
    #[default]
    Unknown,
    /// The last request was answered.
    Up,
    /// The last requests failed.
    Down {
        /// Since when, since the Unix epoch.
        since: Duration,
        /// How many in a row.
        failures: u32,
        /// Why the last one failed.
        error: String,
    },
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("nothing was uploaded yet"),
            Self::Up => f.write_str("up"),
            Self::Down { failures, error, .. } => {
                let tries = if *failures == 1 { "try" } else { "tries" };
                write!(f, "down, {failures} {tries} failed: {error}; slots are rendered and delivered later")
            }
        }
    }
}
