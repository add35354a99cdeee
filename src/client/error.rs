//! Why a node did not do what was asked of it, in words for whoever asked.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::local::LocalError;
use super::names::plain;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What the command was given makes no sense: an address, a certificate, a token.
    #[error("{0}")]
    Wrong(String),
    /// A file of this machine's own node cannot be used.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Nobody answers there.
    #[error("no node answers at {url}: {why}{advice}")]
    Unreachable {
        /// Where.
        url: String,
        /// What went wrong.
        why: String,
        /// What to do.
        advice: String,
    },
    /// The connection broke, or what came makes no sense although a node sent it.
    #[error("the connection to the node at {url} failed: {why}")]
    Broken {
        /// Where.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// The node said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Something answers, and it is no node.
    #[error(
        "what answers at {url} is no vortex-node: {found}; accepted: the address of a running `vortex-node serve`, without a path of its API"
    )]
    NotVortex {
        /// Where.
        url: String,
        /// What came.
        found: String,
    },
    /// A file cannot be written or read here.
    #[error("{0}")]
    File(String),
    /// What came is not what was announced.
    #[error("{0}")]
    Artifact(String),
}

/// A problem document (RFC 9457), as the node sent it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What kind; stable.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// What happened this time.
    pub detail: String,
    /// When to come again, by the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Everything else: `errors`, `eta`, ….
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Refusal {
    /// The last part of the type's address, such as `queue-full`.
    pub fn name(&self) -> &str {
        self.kind.rsplit(['/', '#', ':']).next().unwrap_or_default()
    }

    /// Everything that is wrong, a line each; empty where the document lists nothing.
    pub fn errors(&self) -> Vec<String> {
        match self.extra.get("errors") {
            Some(Value::Array(errors)) => errors.iter().map(line).collect(),
            Some(Value::Null) | None => Vec::new(),
            Some(other) => vec![line(other)],
        }
    }

    /// Expected seconds until the end, where the node says.
    pub fn eta(&self) -> Option<f64> {
        self.extra.get("eta").and_then(Value::as_f64)
    }

    /// Whether the same request may be accepted later: the node is full, busy, not ready or on its way out.
    pub fn passes(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// Whether the same request would be refused again until somebody changes something about it.
    pub fn is_bad_input(&self) -> bool {
        // 409: another recipe stands there. A deadline that cannot be met is a matter of what the node has to do now.
        (400..500).contains(&self.status)
            && !matches!(self.status, 408 | 409 | 425 | 429)
            && self.eta().is_none()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{} (HTTP {}", plain(what), self.status)?;
        if !self.name().is_empty() {
            write!(f, ", {}", plain(self.name()))?;
        }
        f.write_str(")")?;
        let errors = self.errors();
        // A detail that is all there is to say is not said twice.
        for error in errors.iter().filter(|error| !self.detail.contains(error.as_str())) {
            write!(f, "\n  {}", plain(error))?;
        }
        if let Some(eta) = self.eta() {
            write!(f, "\n  it would take {eta:.0} s")?;
        }
        if let Some(after) = self.retry_after {
            write!(f, "\n  come again in {} s", after.as_secs())?;
        }
        match self.status {
            401 => f.write_str(
                "\n  tokens are made on the node's machine by `vortex-node token new --scope submit,read`; a command finds \
                 its token in VORTEX_TOKEN, by --token-file, or in the data folder of a node on the same machine",
            ),
            _ => Ok(()),
        }
    }
}

/// One entry of `errors`: a text, or an object that says where, what and what would be accepted.
fn line(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let place = text("path").or_else(|| text("pointer")).or_else(|| text("name"));
    let what = text("found").or_else(|| text("detail")).or_else(|| text("message"));
    match (error, what) {
        (Value::String(text), _) => text.clone(),
        (_, Some(what)) => {
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            let accepted =
                text("accepted").map(|accepted| format!("; accepted: {accepted}")).unwrap_or_default();
            format!("{place}{what}{accepted}")
        }
        (other, None) => other.to_string(),
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl ClientError {
    /// The node's refusal, where it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether another try may go better without anybody changing anything.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused(refusal) => refusal.passes(),
            Self::Wrong(_) | Self::Local(_) | Self::NotVortex { .. } | Self::File(_) | Self::Artifact(_) => {
                false
            }
        }
    }

    /// Whether the same command would end the same way until something is changed about it.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Wrong(_) | Self::Local(_) | Self::NotVortex { .. } => true,
            Self::Refused(refusal) => refusal.is_bad_input(),
            Self::Unreachable { .. } | Self::Broken { .. } | Self::File(_) | Self::Artifact(_) => false,
        }
    }
}

/// What an error goes back to: what libraries wrap around it says that a request failed, which whoever asked knows.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(document: Value) -> Refusal {
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_refusal_tells_all_that_is_wrong() {
        let refused = refusal(json!({
            "type": "/problems/invalid-recipe", "title": "Invalid recipe", "status": 422,
            "detail": "the recipe has 3 mistakes",
            "errors": [
                { "path": "audio_track.speed", "found": "9", "accepted": "0.8 to 1.2" },
                { "pointer": "#/seed", "detail": "must not be negative" }, "a line",
            ],
        }));
        assert_eq!(refused.name(), "invalid-recipe");
        assert!(refused.is_bad_input() && !refused.passes());
        let told = refused.to_string();
        assert_eq!(
            told,
            "the recipe has 3 mistakes (HTTP 422, invalid-recipe)\n  audio_track.speed: 9; accepted: 0.8 to 1.2\n  \
             #/seed: must not be negative\n  a line"
        );
    }

    #[test]
    fn what_passes_is_no_bad_input() {
        let mut busy = refusal(json!({ "status": 429, "type": "about:blank", "title": "Too many" }));
        busy.retry_after = Some(Duration::from_secs(7));
        assert!(busy.passes() && !busy.is_bad_input());
        assert!(busy.to_string().contains("come again in 7 s"));
        let late = refusal(json!({ "status": 422, "detail": "too late", "eta": 12.4 }));
        assert!(!late.is_bad_input() && !late.passes());
        assert!(late.to_string().contains("it would take 12 s"));
        assert!(refusal(json!({ "status": 401 })).to_string().contains("vortex-node token new"));
    }
}
