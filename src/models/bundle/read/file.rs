//! The files of a model: paths, hashes, and where each is published.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use toml::Value;

use super::hub::{hub, mirrors};
use super::section::{Section, absent, wrong};
use super::{DIGITS, PLAIN, Problem};
use crate::models::bundle::{FileEntry, Remote, Sha256, roles};
use crate::types::{Bytes, ModelId};

pub(super) fn files(
    mut section: Section,
    model: ModelId,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Vec<FileEntry>> {
    let mut files = BTreeMap::new();
    for role in roles::of(model) {
        let key = section.key(role.name);
        let shape = if role.many { "one file, or a list of files" } else { "one file" };
        let shape = format!("{shape} as {{ path = \"…\", sha256 = \"…\" }}");
        let listed = match section.take(role.name) {
            None if role.optional => continue,
            Some(Value::Table(table)) => vec![(key, table)],
            Some(Value::Array(values)) if role.many && !values.is_empty() => {
                let tables = values.into_iter().enumerate().filter_map(|(place, value)| match value {
                    Value::Table(table) => Some((format!("{key}[{place}]"), table)),
                    other => {
                        problems.push(wrong(format!("{key}[{place}]"), &other, &shape));
                        None
                    }
                });
                tables.collect()
            }
            Some(other) => {
                problems.push(wrong(key, &other, &shape));
                continue;
            }
            None => {
                problems.push(absent(key, &shape));
                continue;
            }
        };
        let entries =
            listed.into_iter().filter_map(|(key, table)| file(Section::new(key, table), problems)).collect();
        files.insert(role.name.to_owned(), entries);
    }
    section.finish(problems);
    files
}

const SIZE: &str = "how many bytes the published file has, a whole number above 0";

fn file(mut section: Section, problems: &mut Vec<Problem>) -> Option<FileEntry> {
    let (before, key) = (problems.len(), section.path.clone());
    let path = section.text("path", problems);
    let sha256 = section.parsed::<Sha256>("sha256", DIGITS, problems);
    let remote = section.text("remote", problems);
    let remote_sha256 = section.parsed::<Sha256>("remote_sha256", DIGITS, problems);
    let missing = [
        ("path", path.is_none(), "a path below the bundle's folder"),
        (
            "remote",
            remote.is_none() && remote_sha256.is_some(),
            "the published file that remote_sha256 is of",
        ),
    ];
    for (name, is_missing, accepted) in missing {
        let name = section.key(name);
        if is_missing && !problems.iter().any(|problem| problem.key == name) {
            problems.push(absent(name, accepted));
        }
    }
    let bytes = size(&mut section, problems);
    let gated = flag(&mut section, "gated", problems);
    let own = section.section("hub", problems).and_then(|section| hub(section, problems));
    let also = mirrors(&mut section, problems);
    for (name, path) in [("path", &path), ("remote", &remote)] {
        if let Some(path) = path.as_ref().filter(|path| !is_plain(path)) {
            problems.push(wrong(format!("{key}.{name}"), &Value::from(path.as_str()), PLAIN));
        }
    }
    section.finish(problems);
    let remote = remote.map(|path| Remote { path, sha256: remote_sha256 });
    let entry = FileEntry { path: path?, sha256, bytes, gated, remote, hub: own, also };
    (problems.len() == before).then_some(entry)
}

fn size(section: &mut Section, problems: &mut Vec<Problem>) -> Option<Bytes> {
    let value = section.take("bytes")?;
    let size = value.as_integer().and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0);
    if size.is_none() {
        problems.push(wrong(section.key("bytes"), &value, SIZE));
    }
    size.map(Bytes::new)
}

fn flag(section: &mut Section, name: &'static str, problems: &mut Vec<Problem>) -> bool {
    let Some(value) = section.take(name) else { return false };
    value.as_bool().unwrap_or_else(|| {
        problems.push(wrong(section.key(name), &value, "true or false"));
        false
    })
}

/// A file without a hash needs a hub that knows it.
pub(super) fn known_to_somebody(
    files: &BTreeMap<String, Vec<FileEntry>>,
    has_hub: bool,
    key: &str,
    problems: &mut Vec<Problem>,
) {
    for (role, file) in files.iter().flat_map(|(role, files)| files.iter().map(move |file| (role, file))) {
        if file.sha256.is_none() && file.hub.is_none() && !has_hub {
            let accepted = format!("{DIGITS}; only a file that has a hub may leave it to the lock");
            problems.push(absent(format!("{key}.files.{role}.sha256 of {:?}", file.path), &accepted));
        }
    }
}

/// Whether a path stays below the folder it counts from, on every system.
pub(super) fn is_plain(path: &str) -> bool {
    !path.contains(['\\', '\0', ':'])
        && path.split('/').all(|part| !part.is_empty() && part != ".")
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}
