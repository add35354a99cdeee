//! Reads a scenario's tables and collects everything that is wrong with them: where, what value, what is accepted.
//!
//! Never stops at the first problem. Knows TOML and the leaf types, not what a scenario means.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use toml::{Table, Value};

use crate::config::parse_duration;
use crate::types::{Bytes, UnknownName, nearest};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The dotted key.
    pub key: String,
    /// The value as written, where there is one.
    pub value: Option<String>,
    /// What is wrong, and what would be accepted.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.key, self.what),
            None => write!(f, "{}: {}", self.key, self.what),
        }
    }
}

/// Where problems gather.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, key: impl Into<String>, value: Option<String>, what: impl Into<String>) {
        self.0.borrow_mut().push(Problem { key: key.into(), value, what: what.into() });
    }

    pub(super) fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// One table. Keys that nobody asked for are problems when it is dropped.
pub(super) struct Section<'a> {
    table: Option<&'a Table>,
    path: String,
    problems: &'a Problems,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Table, problems: &'a Problems) -> Self {
        Self { table: Some(table), path: String::new(), problems, asked: RefCell::default() }
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn value(&self, name: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name);
        self.table.and_then(|table| table.get(name))
    }

    pub(super) fn wrong(&self, name: &str, value: Option<&Value>, what: impl Into<String>) {
        self.problems.add(self.key(name), value.map(ToString::to_string), what);
    }

    /// Complains about the value of `name`, as it stands there.
    pub(super) fn refuse(&self, name: &'static str, what: impl Into<String>) {
        let value = self.value(name);
        self.wrong(name, value, what);
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.value(name).is_some()
    }

    /// A table within; an empty one where it is absent.
    pub(super) fn section(&self, name: &'static str) -> Section<'a> {
        let table = match self.value(name) {
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                self.wrong(name, Some(other), "accepted: a table");
                None
            }
            None => None,
        };
        Section { table, path: self.key(name), problems: self.problems, asked: RefCell::default() }
    }

    /// The tables of an array.
    pub(super) fn sections(&self, name: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let Value::Array(array) = value else {
            self.wrong(name, Some(value), format!("accepted: any number of [[{name}]] tables"));
            return Vec::new();
        };
        let section = |(place, value): (usize, &'a Value)| {
            let path = format!("{}[{place}]", self.key(name));
            match value {
                Value::Table(table) => Some(Section {
                    table: Some(table),
                    path,
                    problems: self.problems,
                    asked: RefCell::default(),
                }),
                other => {
                    self.problems.add(path, Some(other.to_string()), "accepted: a table");
                    None
                }
            }
        };
        array.iter().enumerate().filter_map(section).collect()
    }

    /// The names in a table whose keys are data, each with its value.
    pub(super) fn entries(&self) -> Vec<(&'a str, &'a Value)> {
        self.table.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
    }

    fn text(&self, name: &'static str, accepted: &str) -> Option<&'a str> {
        match self.value(name)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(name, Some(other), format!("accepted: {accepted}"));
                None
            }
        }
    }

    pub(super) fn string(&self, name: &'static str) -> Option<String> {
        self.text(name, "a text").map(str::to_owned)
    }

    /// A duration of any length.
    pub(super) fn duration(&self, name: &'static str) -> Option<Duration> {
        const ACCEPTED: &str = "a duration such as \"12s\", \"250ms\" or \"5min\"";
        let text = self.text(name, ACCEPTED)?;
        let parsed = parse_duration(text);
        if parsed.is_none() {
            self.refuse(name, format!("accepted: {ACCEPTED}"));
        }
        parsed
    }

    /// A duration above zero.
    pub(super) fn span(&self, name: &'static str) -> Option<Duration> {
        let duration = self.duration(name)?;
        if duration.is_zero() {
            self.refuse(name, "zero makes no sense here; accepted: a duration above zero, such as \"12s\"");
            return None;
        }
        Some(duration)
    }

    pub(super) fn bytes(&self, name: &'static str) -> Option<Bytes> {
        let text = self.text(name, "an amount of memory such as \"11.0GB\"")?;
        self.parsed(name, text)
    }

    /// One of a closed list of names.
    pub(super) fn named<T: FromStr<Err = UnknownName>>(&self, name: &'static str) -> Option<T> {
        let text = self.text(name, "a name")?;
        self.parsed(name, text)
    }

    /// Whatever reads itself from a text.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
        accepted: &str,
    ) -> Option<T> {
        let text = self.text(name, accepted)?;
        self.parsed(name, text)
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &'static str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// A whole number within `least..=most`.
    pub(super) fn count(&self, name: &'static str, least: u64, most: u64) -> Option<u64> {
        let value = self.value(name)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let within = number.filter(|number| (least..=most).contains(number));
        if within.is_none() {
            self.wrong(name, Some(value), format!("accepted: a whole number from {least} to {most}"));
        }
        within
    }

    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        if value.as_bool().is_none() {
            self.wrong(name, Some(value), "accepted: true or false");
        }
        value.as_bool()
    }

    /// A list of whole numbers from 0 to 255, such as exit codes.
    pub(super) fn codes(&self, name: &'static str) -> Option<Vec<u8>> {
        let value = self.value(name)?;
        let code = |value: &Value| value.as_integer().and_then(|code| u8::try_from(code).ok());
        let codes = value.as_array().and_then(|array| array.iter().map(code).collect());
        if codes.is_none() {
            self.wrong(name, Some(value), "accepted: a list of exit codes such as [71, 0]");
        }
        codes
    }

    /// What is required and absent.
    pub(super) fn required<T>(&self, name: &'static str, value: Option<T>, accepted: &str) -> Option<T> {
        if value.is_none() && !self.has(name) {
            self.wrong(name, None, format!("missing; accepted: {accepted}"));
        }
        value
    }

    /// Says that the keys of this table are data, not names of ours.
    pub(super) fn all_keys_are_known(self) {
        let mut this = self;
        this.table = None;
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for (name, value) in self.table.into_iter().flatten() {
            if asked.contains(name.as_str()) {
                continue;
            }
            let hint = nearest(name, asked.iter().copied())
                .map(|near| format!(" (did you mean {near:?}?)"))
                .unwrap_or_default();
            let known = asked.iter().copied().collect::<Vec<_>>().join(", ");
            self.wrong(name, Some(value), format!("unknown key{hint}; accepted: {known}"));
        }
    }
}
