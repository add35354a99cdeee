//! One table of `bundle.toml` while it is read: what is taken out of it is known, what is left is refused.

use std::str::FromStr;

use toml::{Table, Value};

use super::Problem;
use crate::types::nearest;

/// One table of the description; what is taken out of it is known, the rest is refused.
pub(super) struct Section {
    pub(super) path: String,
    pub(super) table: Table,
    known: Vec<&'static str>,
}

impl Section {
    pub(super) fn new(path: impl Into<String>, table: Table) -> Self {
        Self { path: path.into(), table, known: Vec::new() }
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.table.remove(name)
    }

    /// An optional value of a type that text stands for.
    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        accepted: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            problems.push(wrong(self.key(name), &value, accepted));
        }
        parsed
    }

    pub(super) fn text(&mut self, name: &'static str, problems: &mut Vec<Problem>) -> Option<String> {
        let text: String = self.parsed(name, "a text that is not empty", problems)?;
        if text.trim().is_empty() {
            problems.push(wrong(self.key(name), &Value::from(text), "a text that is not empty"));
            return None;
        }
        Some(text)
    }

    /// A list of texts; empty where nothing is said.
    pub(super) fn texts(&mut self, name: &'static str, problems: &mut Vec<Problem>) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let texts: Option<Vec<String>> = value.as_array().and_then(|entries| {
            let text =
                |entry: &Value| entry.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
            entries.iter().map(text).collect()
        });
        texts.unwrap_or_else(|| {
            problems.push(wrong(self.key(name), &value, "a list of texts that are not empty"));
            Vec::new()
        })
    }

    pub(super) fn section(&mut self, name: &'static str, problems: &mut Vec<Problem>) -> Option<Self> {
        let (key, value) = (self.key(name), self.take(name)?);
        match value {
            Value::Table(table) => Some(Self::new(key, table)),
            other => {
                problems.push(wrong(key, &other, "a table"));
                None
            }
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self, problems: &mut Vec<Problem>) {
        for name in self.table.keys() {
            let meant = nearest(name, self.known.iter().copied());
            let meant = meant.map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default();
            problems.push(Problem {
                key: self.key(name),
                found: "an unknown key".to_owned(),
                accepted: format!("one of {}{meant}", self.known.join(", ")),
            });
        }
    }
}

pub(super) fn wrong(key: String, value: &Value, accepted: &str) -> Problem {
    Problem { key, found: value.to_string(), accepted: accepted.to_owned() }
}

pub(super) fn absent(key: String, accepted: &str) -> Problem {
    Problem { key, found: "nothing".to_owned(), accepted: accepted.to_owned() }
}
