//! `bundle.toml` to a validated bundle: every problem at once, each with key, value and what would be accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use super::{
    Bundle, Card, FileEntry, Image, ModelEntry, Precision, Remote, Sha256, Verification, VocabularyFile,
    roles,
};
use crate::types::{Bytes, ModelId, Resolution};

mod hub;
mod section;

use hub::{hub, mirrors};
use section::{Section, absent, wrong};

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The operating system refused.
    #[error("{file}: cannot be read: {source}", file = file.display())]
    Unreadable {
        /// The description.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{file}: not TOML: {source}", file = file.display())]
    NotToml {
        /// The description.
        file: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It describes no bundle.
    #[error("{file}: {list}", file = file.display(), list = list(problems))]
    Wrong {
        /// The description.
        file: PathBuf,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

impl From<BundleError> for crate::contract::ModelError {
    fn from(error: BundleError) -> Self {
        Self::own(error.to_string())
    }
}

/// One thing that is wrong in a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, in full.
    pub key: String,
    /// What stands there; "nothing" where a key is missing.
    pub found: String,
    /// What would be accepted.
    pub accepted: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, expected {}", self.key, self.found, self.accepted)
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    format!("{} problem(s){}", problems.len(), lines.concat())
}

/// Reads `text`, the contents of `file`.
pub(super) fn parse(text: &str, file: &Path, folder: &Path) -> Result<Bundle, BundleError> {
    let table: Table = text
        .parse()
        .map_err(|error| BundleError::NotToml { file: file.to_owned(), source: Box::new(error) })?;
    let mut problems = Vec::new();
    let bundle = bundle(Section::new("", table), folder, &mut problems);
    match bundle {
        Some(bundle) if problems.is_empty() => Ok(bundle),
        _ => Err(BundleError::Wrong { file: file.to_owned(), problems }),
    }
}

fn bundle(mut root: Section, folder: &Path, problems: &mut Vec<Problem>) -> Option<Bundle> {
    let name = root.text("name", problems);
    if name.is_none() && !problems.iter().any(|problem| problem.key == "name") {
        problems.push(absent("name".to_owned(), "the bundle's name"));
    }
    let summary = root.text("summary", problems);
    let verification = match root.section("verification", problems) {
        Some(section) => verification(section, problems),
        None => Verification::default(),
    };
    let image = Image {
        resolution: root.section("image", problems).and_then(|section| resolution(section, problems)),
        vocabulary: root.section("vocabulary", problems).and_then(|section| vocabulary(section, problems)),
    };
    let mut models = BTreeMap::new();
    if let Some(mut section) = root.section("models", problems) {
        for model in ModelId::ALL {
            if let Some(entry) = section.section(model.name(), problems) {
                models.extend(self::model(entry, model, problems).map(|entry| (model, entry)));
            }
        }
        section.finish(problems);
    }
    root.finish(problems);
    if models.is_empty() && problems.is_empty() {
        problems.push(absent("models".to_owned(), &format!("at least one of {}", ModelId::NAMES.join(", "))));
    }
    one_hash_each(&models, problems);
    Some(Bundle { folder: folder.to_owned(), name: name?, summary, verification, image, models })
}

fn resolution(mut section: Section, problems: &mut Vec<Problem>) -> Option<Resolution> {
    const ACCEPTED: &str = "WIDTHxHEIGHT in pixels, both multiples of 16, such as \"256x256\"";
    let key = section.key("resolution");
    let resolution = section.parsed::<Resolution>("resolution", ACCEPTED, problems);
    section.finish(problems);
    // The autoencoder's 8 by the transformer's 2 × 2 patches.
    let is_whole = |resolution: &Resolution| {
        [resolution.width, resolution.height].iter().all(|side| side.get() % 16 == 0)
    };
    if let Some(other) = resolution.filter(|resolution| !is_whole(resolution)) {
        problems.push(wrong(key, &Value::from(other.to_string()), ACCEPTED));
    }
    resolution
}

fn vocabulary(mut section: Section, problems: &mut Vec<Problem>) -> Option<VocabularyFile> {
    let (file, sha256) = (section.key("file"), section.key("sha256"));
    let missing = |key: &String, accepted: &str, problems: &mut Vec<Problem>| {
        if !problems.iter().any(|problem| problem.key == *key) {
            problems.push(absent(key.clone(), accepted));
        }
    };
    let path = section.text("file", problems);
    match &path {
        Some(path) if !is_plain(path) => problems.push(wrong(file, &Value::from(path.as_str()), PLAIN)),
        Some(_) => {}
        None => missing(&file, "a JSON file of words below the bundle's folder", problems),
    }
    let hash = section.parsed::<Sha256>("sha256", DIGITS, problems);
    if hash.is_none() {
        missing(&sha256, DIGITS, problems);
    }
    let about = section.text("about", problems);
    let prompts = section.texts("prompts", problems);
    section.finish(problems);
    Some(VocabularyFile { path: path?, sha256: hash?, about, prompts })
}

fn verification(mut section: Section, problems: &mut Vec<Problem>) -> Verification {
    let mut number = |name: &'static str, default: f64, most: f64| -> f64 {
        let Some(value) = section.take(name) else { return default };
        // A whole number is a number too.
        let found = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        match found {
            Some(found) if (0.0..=most).contains(&found) => found,
            _ => {
                problems.push(wrong(section.key(name), &value, &format!("a number from 0 to {most}")));
                default
            }
        }
    };
    let default = Verification::default();
    // A CLIPScore is 2.5 times a cosine.
    let read = Verification {
        clip_b: number("clip_b", default.clip_b, 2.5),
        clip_l: number("clip_l", default.clip_l, 2.5),
        weight_b: number("weight_b", default.weight_b, 1.0),
        weight_l: number("weight_l", default.weight_l, 1.0),
        outlier: number("outlier", default.outlier, 2.5),
    };
    let sum = read.weight_b + read.weight_l;
    if (sum - 1.0).abs() > 1e-9 {
        problems.push(Problem {
            key: section.key("weight_b + weight_l"),
            found: sum.to_string(),
            accepted: "shares that add up to 1".to_owned(),
        });
    }
    section.finish(problems);
    read
}

fn model(mut section: Section, model: ModelId, problems: &mut Vec<Problem>) -> Option<ModelEntry> {
    let before = problems.len();
    let allowed = Precision::of(model);
    let accepted = allowed.iter().map(|precision| precision.name()).collect::<Vec<_>>().join(", ");
    let accepted = format!("a precision that {model} can run in: {accepted}");
    let check = |precision: Option<Precision>| precision.filter(|precision| allowed.contains(precision));

    let written = section.table.get("precision").cloned();
    let precision = check(section.take("precision").and_then(|value| value.as_str()?.parse().ok()));
    if precision.is_none() {
        let key = section.key("precision");
        problems.push(match written {
            Some(value) => wrong(key, &value, &accepted),
            None => absent(key, &accepted),
        });
    }
    let mut parts = BTreeMap::new();
    if let Some(table) = section.section("parts", problems) {
        for (role, value) in &table.table {
            let known = roles::find(model, role).is_some_and(|role| role.kind == roles::Kind::Weights);
            match check(value.as_str().and_then(|text| text.parse().ok())) {
                _ if !known => {
                    problems.push(wrong(
                        table.key(role),
                        value,
                        &format!("a role of weights: {}", weight_roles(model)),
                    ));
                }
                Some(precision) => drop(parts.insert(role.clone(), precision)),
                None => problems.push(wrong(table.key(role), value, &accepted)),
            }
        }
    }
    let budget_key = section.key("budget");
    let budget = section.take("budget");
    let example = "an amount of memory such as \"300MB\"";
    let parsed = budget.clone().and_then(|value| Bytes::deserialize_value(&value));
    if parsed.is_none_or(|bytes| bytes == Bytes::ZERO) {
        problems.push(match budget {
            Some(value) => wrong(budget_key, &value, example),
            None => absent(budget_key, example),
        });
    }
    let card = Card {
        licence: section.text("licence", problems),
        authors: section.text("authors", problems),
        url: section.text("url", problems),
    };
    let hub = section.section("hub", problems).and_then(|section| hub(section, problems));
    let files = match section.section("files", problems) {
        Some(section) => files(section, model, problems),
        None => {
            problems.push(absent(section.key("files"), "a table of files by role"));
            BTreeMap::new()
        }
    };
    section.finish(problems);
    let (precision, budget) = (precision?, parsed?);
    (problems.len() == before).then_some(ModelEntry { precision, parts, budget, card, hub, files })
}

fn weight_roles(model: ModelId) -> String {
    let weights = roles::of(model).iter().filter(|role| role.kind == roles::Kind::Weights);
    weights.map(|role| role.name).collect::<Vec<_>>().join(", ")
}

fn files(
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

const DIGITS: &str = "64 hexadecimal digits, as `sha256sum` prints them";
const PLAIN: &str = "a relative path of plain names, without \"..\", \".\" or a leading \"/\"";

fn file(mut section: Section, problems: &mut Vec<Problem>) -> Option<FileEntry> {
    let (before, key) = (problems.len(), section.path.clone());
    let path = section.text("path", problems);
    let sha256 = section.parsed::<Sha256>("sha256", DIGITS, problems);
    let remote = section.text("remote", problems);
    let remote_sha256 = section.parsed::<Sha256>("remote_sha256", DIGITS, problems);
    let missing = [
        ("path", path.is_none(), "a path below the bundle's folder"),
        ("sha256", sha256.is_none(), DIGITS),
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
    let own = section.section("hub", problems).and_then(|section| hub(section, problems));
    let also = mirrors(&mut section, problems);
    for (name, path) in [("path", &path), ("remote", &remote)] {
        if let Some(path) = path.as_ref().filter(|path| !is_plain(path)) {
            problems.push(wrong(format!("{key}.{name}"), &Value::from(path.as_str()), PLAIN));
        }
    }
    section.finish(problems);
    let remote = remote.map(|path| Remote { path, sha256: remote_sha256 });
    let entry = FileEntry { path: path?, sha256: sha256?, remote, hub: own, also };
    (problems.len() == before).then_some(entry)
}

/// Whether a path stays below the folder it counts from, on every system.
fn is_plain(path: &str) -> bool {
    !path.contains(['\\', '\0', ':'])
        && path.split('/').all(|part| !part.is_empty() && part != ".")
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Two roles may share a file, but then they must agree what is in it.
fn one_hash_each(models: &BTreeMap<ModelId, ModelEntry>, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, (Sha256, String)> = BTreeMap::new();
    for (model, entry) in models {
        for (role, file) in entry.entries() {
            let key = format!("models.{model}.files.{role}");
            let (hash, first) = seen.entry(&file.path).or_insert_with(|| (file.sha256, key.clone()));
            if *hash != file.sha256 {
                let found = format!("{} for {:?}", file.sha256, file.path);
                problems.push(Problem {
                    key,
                    found,
                    accepted: format!("the hash that {first} gives it: {hash}"),
                });
            }
        }
    }
}

trait FromValue: Sized {
    fn deserialize_value(value: &Value) -> Option<Self>;
}

impl FromValue for Bytes {
    fn deserialize_value(value: &Value) -> Option<Self> {
        value.clone().try_into().ok()
    }
}
