//! Why a submission does not become a slot.

use std::time::Duration;

use super::Origin;
use crate::actors::admission::Refusal;
use crate::config::{SignerError, SpeakerError};
use crate::contract::ModelError;
use crate::journal::JournalError;
use crate::recipe::{Problem, Problems, SignatureError};
use crate::types::Resolution;

/// Why a submission does not become a slot.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is no recipe; everything that is wrong with it.
    #[error("{origin}: {problems}")]
    Recipe {
        /// Where it came from.
        origin: Origin,
        /// All of it.
        problems: Problems,
    },
    /// Its signature does not hold.
    #[error("{origin}: {source}")]
    Signature {
        /// Where it came from.
        origin: Origin,
        /// Why not.
        source: SignatureError,
    },
    /// Recipes of whoever signed it, or unsigned ones, are not rendered here.
    #[error("{origin}: {source}")]
    Signer {
        /// Where it came from.
        origin: Origin,
        /// Whose are.
        source: SignerError,
    },
    /// It was signed too long ago, or in the future.
    #[error(
        "{origin}: security.timestamp = {} was {}; accepted: signed within the last {window:?} (intake.replay_window)",
        signed.as_secs(), age(*signed, *now)
    )]
    Replayed {
        /// Where it came from.
        origin: Origin,
        /// When it was signed, since the Unix epoch.
        signed: Duration,
        /// Likewise.
        now: Duration,
        /// How long ago it may have been.
        window: Duration,
    },
    /// Nothing of its script can be spoken.
    #[error("{origin}: audio_track.script: {source}")]
    Script {
        /// Where it came from.
        origin: Origin,
        /// Why not.
        source: ModelError,
    },
    /// Nobody speaks with the voice that it names.
    #[error("{origin}: audio_track.voice_id: {source}")]
    Voice {
        /// Where it came from.
        origin: Origin,
        /// Why, and the nearest voices.
        source: Box<SpeakerError>,
    },
    /// Its video is larger than what this node's memory was planned for.
    #[error("{origin}: slot_params.resolution: {source}")]
    Size {
        /// Where it came from.
        origin: Origin,
        /// How large.
        source: TooLarge,
    },
    /// Its deadline has passed.
    #[error("{origin}: {problem}")]
    Late {
        /// Where it came from.
        origin: Origin,
        /// By how much.
        problem: Problem,
    },
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] JournalError),
    /// Whoever prepared its folder has panicked.
    #[error("preparing the slot's folder: {0}")]
    Stopped(#[source] tokio::task::JoinError),
    /// The node does not take it in now.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A video of more pixels than a node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found} has {} pixels; accepted: at most {}, as {largest} has, for which this node is planned",
    found.pixels(), largest.pixels()
)]
pub struct TooLarge {
    /// What the recipe asks for.
    pub found: Resolution,
    /// The largest that is taken.
    pub largest: Resolution,
}

/// The kinds of rejections that a way in tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The document is wrong: the same one will never be taken.
    Invalid,
    /// Who signed it, or that nobody did, is why.
    Forbidden,
    /// It could not be done in time.
    Late,
    /// Not now: pressure, a full queue, a node that is not ready or on its way out.
    Unavailable,
    /// A slot of this id is open already.
    Duplicate,
    /// It could not be written down.
    Storage,
}

fn age(signed: Duration, now: Duration) -> String {
    match now.checked_sub(signed) {
        Some(ago) => format!("{} s ago", ago.as_secs()),
        None => format!("{} s ahead of this node's clock", signed.saturating_sub(now).as_secs()),
    }
}

impl Rejection {
    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Recipe { .. }
            | Self::Script { .. }
            | Self::Voice { .. }
            | Self::Size { .. }
            | Self::Refused(Refusal::Recipe(_)) => Kind::Invalid,
            Self::Signature { .. } | Self::Signer { .. } | Self::Replayed { .. } => Kind::Forbidden,
            Self::Late { .. } | Self::Refused(Refusal::TooLate { .. }) => Kind::Late,
            Self::Refused(
                Refusal::Pressure { .. }
                | Refusal::NotReady { .. }
                | Refusal::Draining
                | Refusal::QueueFull { .. },
            ) => Kind::Unavailable,
            Self::Refused(Refusal::Duplicate) => Kind::Duplicate,
            Self::Folder(_) | Self::Stopped(_) | Self::Refused(Refusal::Journal(_)) => Kind::Storage,
        }
    }
}
