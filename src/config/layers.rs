//! The layers: where each is found and how its text becomes a tree of raw values.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::environment::{Meaning, meaning};
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::tree;
use crate::types::nearest;

/// The built-in defaults; every key there is stands in it.
pub(super) const DEFAULTS: &str = include_str!("defaults.toml");

/// The shipped profiles, so that an installed binary needs no folder.
const BUILT_IN_PROFILES: [(&str, &str); 3] = [
    ("cpu", include_str!("../../config/profiles/cpu.toml")),
    ("h200", include_str!("../../config/profiles/h200.toml")),
    ("rtx3060-12gb", include_str!("../../config/profiles/rtx3060-12gb.toml")),
];

/// What the process was started with, as far as it concerns configuration.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--config-dir`; else `VORTEX_CONFIG_DIR`, else `config` in the current folder, else one that is shipped.
    pub config_dir: Option<PathBuf>,
    /// Where a configuration folder may be shipped, the nearest first; see [`shipped`](super::shipped()).
    pub shipped: Vec<PathBuf>,
    /// The environment; only names that begin with [`ENV_PREFIX`](super::ENV_PREFIX) count.
    pub environment: Vec<(String, OsString)>,
    /// Settings by flag, weakest first.
    pub flags: Vec<FlagSetting>,
}

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagSetting {
    /// As the user wrote it, such as `--device` or `--set`.
    pub flag: String,
    /// The dotted key.
    pub key: String,
    /// In TOML; quotes around a text may be left out.
    pub value: String,
}

impl Inputs {
    /// One layer per variable and flag, weakest first.
    pub(super) fn overrides(&self, known: &[String], problems: &mut Vec<Problem>) -> Vec<Layer> {
        let mut overrides = Vec::new();
        let mut variables: Vec<_> = self.environment.iter().collect();
        variables.sort();
        for (name, value) in variables {
            let text = value.to_string_lossy();
            match meaning(name, &text, known) {
                Meaning::Setting(key) => {
                    let origin = Origin::Environment { variable: name.clone() };
                    if value.to_str().is_none() {
                        // Taken for its lossy text, a path would become another one.
                        let what = "is not UTF-8";
                        problems.push(Problem::of_value(&key, format!("{text:?}"), origin, what));
                        continue;
                    }
                    overrides.push(Layer::of_one(&key, &text, origin));
                }
                Meaning::Slip(problem) => problems.push(problem),
                Meaning::Nothing => {}
            }
        }
        overrides.extend(self.flags.iter().map(|FlagSetting { flag, key, value }| {
            Layer::of_one(key, value, Origin::Flag { flag: flag.clone() })
        }));
        overrides
    }
}

/// A text as TOML would read it after `key =`; a text without quotes where that fails.
fn raw_value(text: &str) -> Value {
    let line = format!("value = {text}");
    match toml::from_str::<toml::Table>(&line) {
        // More than one key: the text brought a line of its own and is no value.
        Ok(table) if table.len() == 1 && !matches!(table["value"], toml::Value::Datetime(_)) => {
            Value::serialize(&table["value"]).unwrap_or_else(|_| Value::from(text))
        }
        _ => Value::from(text),
    }
}

/// A tree of raw values and where all of them come from.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) data: Dict,
    /// What the one value in it was written as, in the environment or after a flag.
    pub(super) text: Option<String>,
}

impl Layer {
    fn of_one(key: &str, text: &str, origin: Origin) -> Self {
        let mut data = Dict::new();
        tree::set(&mut data, key, Some(raw_value(text)));
        Self { origin, data, text: Some(text.to_owned()) }
    }

    pub(super) fn parse(text: &str, origin: Origin) -> Result<Self, Problems> {
        match toml::from_str::<Dict>(text) {
            Ok(data) => Ok(Self { origin, data, text: None }),
            Err(error) => {
                let what = format!("is not TOML: {}", error.to_string().trim_end());
                Err(Problem::of_source(origin, what).into())
            }
        }
    }

    pub(super) fn read(path: &Path, origin: Origin) -> Result<Self, Problems> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, origin),
            Err(error) => Err(Problem::of_source(origin, format!("cannot be read: {error}")).into()),
        }
    }

    pub(super) fn defaults() -> Result<Self, Problems> {
        Self::parse(DEFAULTS, Origin::Default)
    }

    /// The profile `name`, from `dir` or else from the binary.
    pub(super) fn profile(dir: &Path, name: &str, chosen_by: &Origin) -> Result<Self, Problems> {
        let is_plain =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let path = dir.join("profiles").join(format!("{name}.toml"));
        if is_plain && path.is_file() {
            let origin = Origin::Profile { name: name.to_owned(), path: Some(path.clone()) };
            return Self::read(&path, origin);
        }
        if let Some((_, text)) = BUILT_IN_PROFILES.iter().find(|(known, _)| *known == name) {
            return Self::parse(text, Origin::Profile { name: name.to_owned(), path: None });
        }
        let names = profile_names(dir);
        let what = "there is no such profile";
        Err(Problem::of_value("profile", format!("{name:?}"), chosen_by.clone(), what)
            .accepting(names.join(", "))
            .nearest(nearest(name, names.iter().map(String::as_str)).map(str::to_owned))
            .into())
    }
}

/// The profiles that `dir` and the binary hold, in order of name.
fn profile_names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir.join("profiles")).into_iter().flatten().flatten();
    let in_files = files.filter_map(|entry| {
        let path = entry.path();
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        is_toml.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
    });
    let mut names: Vec<String> =
        BUILT_IN_PROFILES.iter().map(|(name, _)| (*name).to_owned()).chain(in_files).collect();
    names.sort();
    names.dedup();
    names
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}
