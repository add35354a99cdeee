//! `[expect]`: what is expected of the node, from its text.

use std::collections::BTreeMap;

use toml::Value;

use super::{Expectations, actor_name};
use crate::journal::Failure;
use crate::rehearse::reader::Section;
use crate::types::{DeviceId, UnknownName};

/// Refusals' names, as reports have them.
const REFUSALS: [&str; 8] =
    ["pressure", "not_ready", "draining", "queue_full", "too_late", "duplicate", "recipe", "journal"];

/// Reads `[expect]`.
pub(super) fn expectations(section: &Section<'_>) -> Expectations {
    let count = |name| section.count(name, 0, 1_000_000_000);
    let period = section.span("period").map(|period| {
        // In thousandths, as TOML's floats are another type: 20 is ±2 %.
        (period, section.count("period_tolerance_permille", 1, 1000).unwrap_or(20) as f64 / 1000.0)
    });
    Expectations {
        accepted: count("accepted"),
        completed: count("completed"),
        in_time: count("in_time"),
        refused: counts(section, "refused", |name| known(name, "a refusal", &REFUSALS)),
        refused_at_least: counts(section, "refused_at_least", |name| known(name, "a refusal", &REFUSALS))
            .unwrap_or_default(),
        failed: counts(section, "failed", |name| {
            let found = Failure::ALL.into_iter().find(|cause| cause.name() == name);
            found.ok_or_else(|| {
                UnknownName::new("a cause", name, &Failure::ALL.map(Failure::name)).to_string()
            })
        }),
        cancelled: count("cancelled"),
        kept: count("kept"),
        resumed: count("resumed"),
        placed: counts(section, "placed", device_name),
        cards_lost: counts(section, "cards_lost", device_name),
        restarts: counts(section, "restarts", |name| {
            let actor = name.split_once('/').map(|(device, actor)| device_name(device).map(|_| actor));
            match actor_name(actor.transpose()?.unwrap_or(name)) {
                Ok(_) => Ok(name.to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }),
        ready_within: section.span("ready_within"),
        highest_use: section.bytes("highest_use"),
        limit_violations: count("limit_violations"),
        until_remedy: section.duration("until_remedy"),
        until_relief: section.duration("until_relief"),
        not_accepting: section.duration("not_accepting"),
        not_working: section.duration("not_working"),
        leases_refused: count("leases_refused"),
        exits: section.codes("exits"),
        period,
    }
}

fn device_name(name: &str) -> Result<String, String> {
    match name.parse::<DeviceId>() {
        Ok(device) => Ok(device.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn known(name: &str, what: &'static str, names: &[&'static str]) -> Result<String, String> {
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(UnknownName::new(what, name, names).to_string())
}

/// A table of counts whose keys are names of something.
fn counts<K: Ord>(
    section: &Section<'_>,
    name: &'static str,
    key: impl Fn(&str) -> Result<K, String>,
) -> Option<BTreeMap<K, u64>> {
    if !section.has(name) {
        return None;
    }
    let table = section.section(name);
    let mut found = BTreeMap::new();
    for (name, value) in table.entries() {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        match (key(name), number) {
            (Ok(key), Some(number)) => {
                found.insert(key, number);
            }
            (Ok(_), None) => table.wrong(name, Some(value), "accepted: a whole number of at least 0"),
            (Err(error), _) => table.wrong(name, Some(value), error),
        }
    }
    table.all_keys_are_known();
    Some(found)
}
