//! `bundle.toml` to a validated bundle: every problem at once, each with key, value and what would be accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Bundle, Card, Image, ModelEntry, Precision, Sha256, Verification, VocabularyFile, roles};
use crate::types::{Bytes, ModelId, Resolution};

mod file;
mod hub;
mod section;

use file::{files, is_plain, known_to_somebody};
use hub::hub;
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
    /// What stands beside it is no lock.
    #[error("{file}: no lock of a bundle: {why}; move it away, and `weights pull` writes it anew", file = file.display())]
    NoLock {
        /// The lock.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It says one thing and its lock another.
    #[error("{file} and {lock} disagree:{differences}; put the description back, or move the lock away to have it written anew by `weights pull`",
        file = file.display(), lock = lock.display(), differences = lines(differences))]
    Contradicted {
        /// The description.
        file: PathBuf,
        /// The lock.
        lock: PathBuf,
        /// Each with both sides.
        differences: Vec<String>,
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
    format!("{} problem(s){}", problems.len(), lines(problems))
}

fn lines<T: fmt::Display>(entries: &[T]) -> String {
    entries.iter().map(|entry| format!("\n  {entry}")).collect()
}

const DIGITS: &str = "64 hexadecimal digits, as `sha256sum` prints them";
const PLAIN: &str = "a relative path of plain names, without \"..\", \".\" or a leading \"/\"";

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
    let folder = folder.to_owned();
    Some(Bundle { folder, name: name?, summary, verification, image, models, lock: None })
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
    known_to_somebody(&files, hub.is_some(), &section.path, problems);
    section.finish(problems);
    let (precision, budget) = (precision?, parsed?);
    (problems.len() == before).then_some(ModelEntry { precision, parts, budget, card, hub, files })
}

fn weight_roles(model: ModelId) -> String {
    let weights = roles::of(model).iter().filter(|role| role.kind == roles::Kind::Weights);
    weights.map(|role| role.name).collect::<Vec<_>>().join(", ")
}

/// Two roles may share a file, but then they must agree what is in it.
fn one_hash_each(models: &BTreeMap<ModelId, ModelEntry>, problems: &mut Vec<Problem>) {
    let told = |hash: Option<Sha256>| hash.map_or_else(|| "no hash".to_owned(), |hash| hash.to_string());
    let mut seen: BTreeMap<&str, (Option<Sha256>, String)> = BTreeMap::new();
    for (model, entry) in models {
        for (role, file) in entry.entries() {
            let key = format!("models.{model}.files.{role}");
            let (hash, first) = seen.entry(&file.path).or_insert_with(|| (file.sha256, key.clone()));
            if *hash != file.sha256 {
                let found = format!("{} for {:?}", told(file.sha256), file.path);
                problems.push(Problem {
                    key,
                    found,
                    accepted: format!("the hash that {first} gives it: {}", told(*hash)),
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
