//! What is wrong with the configuration: every problem at once, each with key, value, source and what is accepted.

use std::fmt;

use figment::error::Kind;
use serde::Serialize;

use super::origin::Origin;
use crate::types::nearest;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The dotted key, as far as it is about one.
    pub key: Option<String>,
    /// The value as it was written.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
    /// What is wrong with it.
    pub what: String,
    /// What would be accepted, where `what` does not say it already.
    pub accepted: Option<String>,
    /// The known name that looks most like an unknown one, written as its source would write it.
    pub nearest: Option<String>,
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Problem {
    /// About a whole source rather than a key in it.
    pub(super) fn of_source(origin: Origin, what: impl Into<String>) -> Self {
        Self { key: None, value: None, origin, what: what.into(), accepted: None, nearest: None }
    }

    /// About the value of a key.
    pub(super) fn of_value(key: &str, value: String, origin: Origin, what: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), value: Some(value), ..Self::of_source(origin, what) }
    }

    pub(super) fn accepting(self, accepted: impl Into<String>) -> Self {
        Self { accepted: Some(accepted.into()), ..self }
    }

    pub(super) fn nearest(self, nearest: Option<String>) -> Self {
        Self { nearest, ..self }
    }

    /// What a type refused about the value of `key`.
    pub(super) fn refused(key: &str, value: String, origin: Origin, kind: &Kind) -> Self {
        let of = |what: String| Self::of_value(key, value, origin, what);
        match kind {
            Kind::InvalidType(_, expected) => of("wrong type".to_owned()).accepting(in_words(expected)),
            Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
                of("out of range".to_owned()).accepting(in_words(expected))
            }
            Kind::UnknownVariant(found, known) => of("not one of the known names".to_owned())
                .accepting(known.join(", "))
                .nearest(nearest(found, known.iter().copied()).map(str::to_owned)),
            Kind::Message(message) => of(message.clone()),
            other => of(other.to_string()),
        }
    }
}

/// The standard types' descriptions, for people who do not write Rust.
fn in_words(expected: &str) -> String {
    match expected {
        "u32" => "a whole number from 0 to 4294967295",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero usize" => "a whole number of at least 1",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text",
        other => other,
    }
    .to_owned()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            f.write_str(key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            write!(f, " ({})", self.origin)?;
        } else {
            write!(f, "{}", self.origin)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(accepted) = &self.accepted {
            write!(f, "; accepted: {accepted}")?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {} in the configuration", if count == 1 { "problem" } else { "problems" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
