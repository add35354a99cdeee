//! One line of the table: what was looked at, what was found, how that is judged, and what to do about it.

use serde::Serialize;

use crate::cli::Style;

/// How a finding is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// A node will run, but perhaps not as is wanted.
    Doubtful,
    /// A node will not run, or will fail at some of its work.
    Wrong,
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Doubtful => "doubtful",
            Self::Wrong => "wrong",
        }
    }

    pub(super) const fn style(self) -> Style {
        match self {
            Self::Ok => Style::Good,
            Self::Doubtful => Style::Doubtful,
            Self::Wrong => Style::Bad,
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: String,
    /// How it is judged.
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    pub(super) fn doubtful(
        check: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { check: check.into(), verdict: Verdict::Doubtful, found: found.into(), advice }
    }

    pub(super) fn wrong(
        check: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { check: check.into(), verdict: Verdict::Wrong, found: found.into(), advice }
    }
}
