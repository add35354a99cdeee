//! Which of a slot's events are sent. Pure.

use crate::types::nearest;

/// Events that end a slot: what is sent where nothing else is asked for.
pub const ENDS: [&str; 4] = ["generation_complete", "slot_failed", "slot_cancelled", "slot_superseded"];

/// Every event that can be asked for: those of slots that the journal keeps.
pub const EVENTS: [&str; 12] = [
    "accepted",
    "stage_began",
    "stage_again",
    "audio_complete",
    "image_complete",
    "video_complete",
    "clip_complete",
    "slot_moved",
    ENDS[0],
    ENDS[1],
    ENDS[2],
    ENDS[3],
];

/// An event that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhook events: {found:?} is no event that is sent{}; accepted: {}", .nearest.map(|n| format!(" (did you mean {n:?}?)")).unwrap_or_default(), EVENTS.join(", "))]
pub struct FilterError {
    /// What was written, shortened.
    pub found: String,
    /// The accepted name that looks most like it.
    pub nearest: Option<&'static str>,
}

/// Which events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// In the order of [`EVENTS`], each once.
    names: Vec<&'static str>,
}

impl Filter {
    /// The events that `wanted` names; those of [`ENDS`] where it names none.
    ///
    /// # Errors
    /// The first name that is none of [`EVENTS`].
    pub fn parse<S: AsRef<str>>(wanted: &[S]) -> Result<Self, FilterError> {
        // Longer than any name: what comes from outside is not repeated at length.
        const SHOWN: usize = 64;
        if wanted.is_empty() {
            return Ok(Self { names: ENDS.to_vec() });
        }
        let unknown = wanted.iter().map(AsRef::as_ref).find(|name| !EVENTS.contains(name));
        if let Some(name) = unknown {
            let found: String = name.chars().take(SHOWN).collect();
            let nearest = nearest(&found, EVENTS);
            return Err(FilterError { found, nearest });
        }
        let asked_for = |name: &&str| wanted.iter().any(|wanted| wanted.as_ref() == *name);
        Ok(Self { names: EVENTS.into_iter().filter(asked_for).collect() })
    }

    /// Whether an event of this name is sent.
    pub fn wants(&self, event: &str) -> bool {
        self.names.contains(&event)
    }

    /// The names, each once.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_means_the_ends_and_names_are_checked() {
        let none: [&str; 0] = [];
        assert_eq!(Filter::parse(&none).unwrap().names(), ENDS);
        let some = Filter::parse(&["slot_failed", "accepted", "slot_failed"]).unwrap();
        assert_eq!(some.names(), ["accepted", "slot_failed"]);
        assert!(some.wants("accepted") && !some.wants("generation_complete"));
        let slip = Filter::parse(&["accepted", "slot_faild"]).unwrap_err().to_string();
        assert!(
            slip.contains("did you mean \"slot_failed\"") && slip.contains("generation_complete"),
            "{slip}"
        );
        let flood = Filter::parse(&["x".repeat(100_000)]).unwrap_err().to_string();
        assert!(flood.len() < 500, "{}", flood.len());
    }
}
