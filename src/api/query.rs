//! What a request says in its path and query: each parameter read once, and refused with what would be accepted.
//!
//! Owns the syntax of ids, waits, states, limits and event ids. Asks the node nothing.

#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query as Pairs};
use axum::http::Uri;
use axum::http::request::Parts;

use super::backend::Cursor;
use super::problem::{Fault, Kind};
use super::views::SlotState;
use crate::types::{SlotId, UnknownName};

/// As long as a request may wait for a slot's end.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Of slots on a page: one that nobody asks otherwise, and the most.
pub(crate) const PAGE: (usize, usize) = (50, 500);
/// Of events of a stream that ends by itself, at most: more than any journal keeps.
pub(crate) const MOST_EVENTS: u64 = 1_000_000;
/// Of what somebody wrote that is repeated to them.
const REPEATED: usize = 80;

/// The beginning of `text`, for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(REPEATED).collect()
}

fn bad(detail: impl Into<String>) -> Fault {
    Fault::new(Kind::BadRequest, detail)
}

/// The parameters after the question mark.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Those of `uri`, all of which are among `accepted`.
    pub(crate) fn of(uri: &Uri, accepted: &[&'static str]) -> Result<Self, Fault> {
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| bad("the query is not understood; accepted: name=value, with & between them"))?;
        match pairs.iter().find(|(name, _)| !accepted.contains(&name.as_str())) {
            None => Ok(Self(pairs)),
            Some((name, _)) if accepted.is_empty() => {
                Err(bad(format!("{:?} is not a parameter of this address; it has none", shown(name))))
            }
            Some((name, _)) => {
                Err(bad(UnknownName::new("a parameter of this address", &shown(name), accepted).to_string()))
            }
        }
    }

    /// Refuses any at all.
    pub(crate) fn none(uri: &Uri) -> Result<(), Fault> {
        Self::of(uri, &[]).map(drop)
    }

    /// The one value of `name`, if it is there.
    pub(crate) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Fault> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => Err(bad(format!("{name:?} stands there more than once; accepted: once"))),
        }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A number from 1 to `most`.
    fn number(&self, name: &str, most: u64) -> Result<Option<u64>, Fault> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(bad(format!("{name}={:?} is not understood; accepted: 1 to {most}", shown(text)))),
        }
    }

    /// `limit`, of slots on a page.
    pub(crate) fn page(&self) -> Result<usize, Fault> {
        let (usual, most) = PAGE;
        let asked = self.number("limit", most as u64)?;
        Ok(asked.map_or(usual, |limit| usize::try_from(limit).unwrap_or(most)))
    }

    /// `limit`, of events.
    pub(crate) fn events(&self) -> Result<Option<u64>, Fault> {
        self.number("limit", MOST_EVENTS)
    }

    /// `state`, once or more, each with commas between several.
    pub(crate) fn states(&self) -> Result<Vec<SlotState>, Fault> {
        let mut states = Vec::new();
        for name in self.all("state").flat_map(|value| value.split(',')) {
            let state = SlotState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
                bad(UnknownName::new("a state of slots", &shown(name), &SlotState::ALL.map(SlotState::name))
                    .to_string())
            })?;
            if !states.contains(&state) {
                states.push(state);
            }
        }
        Ok(states)
    }

    /// `after`, of pages: what the page before gave.
    pub(crate) fn page_after(&self) -> Result<Option<String>, Fault> {
        // Longer than what any page gives.
        const LONGEST: usize = 256;
        match self.one("after")? {
            Some(text) if text.is_empty() || text.len() > LONGEST => Err(bad(format!(
                "after={:?} is not understood; accepted: what the page before gave as `after`",
                shown(text)
            ))),
            after => Ok(after.map(str::to_owned)),
        }
    }

    /// `wait`: whole seconds, with or without an `s`.
    pub(crate) fn wait(&self) -> Result<Option<Duration>, Fault> {
        let Some(text) = self.one("wait")? else { return Ok(None) };
        let digits = text.strip_suffix('s').unwrap_or(text);
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse().map(Duration::from_secs) {
            Ok(wait) if is_number && wait <= LONGEST_WAIT => Ok(Some(wait)),
            _ => Err(bad(format!(
                "wait={:?} is not understood; accepted: 0s to {}s",
                shown(text),
                LONGEST_WAIT.as_secs()
            ))),
        }
    }

    /// `after`, of events.
    pub(crate) fn events_after(&self) -> Result<Option<Start>, Fault> {
        match self.one("after")? {
            None => Ok(None),
            Some("oldest") => Ok(Some(Start::Oldest)),
            Some(text) => cursor(text).map(|cursor| Some(Start::After(cursor))),
        }
    }
}

/// Where a stream of events begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the oldest that is kept.
    Oldest,
    /// After one that was seen.
    After(Cursor),
    /// With what happens from now on.
    Now,
}

/// An event's id that somebody gives back.
pub(crate) fn cursor(text: &str) -> Result<Cursor, Fault> {
    text.parse().map_err(|error: <Cursor as FromStr>::Err| bad(error.to_string()))
}

/// The `{id}` of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub(crate) SlotId);

/// An id with its hyphens: of the ways to write a UUID the one that recipes and addresses use.
fn slot_id(text: &str) -> Result<SlotId, Fault> {
    const DIGITS: usize = 36;
    match text.parse() {
        Ok(id) if text.len() == DIGITS => Ok(id),
        _ => Err(bad(format!(
            "{:?} is no slot's id; accepted: a UUID, as the recipe's recipe_id",
            shown(text)
        ))),
    }
}

fn undecodable(rejection: &PathRejection) -> Fault {
    bad(format!("the path is not understood: {}", rejection.body_text()))
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|rejection| undecodable(&rejection))?;
        slot_id(&text).map(Self)
    }
}

/// The `{id}` and `{*name}` of a path.
#[derive(Clone, Debug)]
pub(crate) struct NamedFile {
    /// Whose.
    pub(crate) slot: SlotId,
    /// As artifacts are called: with `/` between folders.
    pub(crate) name: String,
}

/// Whether a file could be called that: parts that are neither empty nor lead elsewhere.
fn is_file_name(name: &str) -> bool {
    // Longer than what the node calls any file.
    const LONGEST: usize = 512;
    name.len() <= LONGEST
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !name.contains(|letter: char| letter == '\\' || letter.is_control())
}

impl<S: Send + Sync> FromRequestParts<S> for NamedFile {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((id, name)) = path.map_err(|rejection| undecodable(&rejection))?;
        let slot = slot_id(&id)?;
        if is_file_name(&name) {
            return Ok(Self { slot, name });
        }
        let detail =
            format!("slot {slot} has no file {:?}; its files are listed as `artifacts`", shown(&name));
        Err(Fault::new(Kind::NotFound, detail))
    }
}
