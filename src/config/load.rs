//! From layers to settings: merge, refuse what is unknown, parse, check for contradictions; all problems at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Tag, Value};
use figment::{Figment, Profile, Provider};
use serde::Serialize;

use super::contradictions::contradictions;
use super::environment::suggestion;
use super::layers::{Inputs, Layer, Override};
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::settings::Settings;
use super::tree;
use super::voices::Voices;

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the parts are handed their share of.
    pub settings: Settings,
    /// Who speaks with which voice.
    pub voices: Voices,
    /// Every value with its source, in order of key.
    pub effective: Vec<Effective>,
    /// The folder that was looked into; it need not exist.
    pub dir: PathBuf,
}

/// One value that is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// Its dotted key.
    pub key: String,
    /// As it was written.
    pub value: serde_json::Value,
    /// Where it comes from.
    pub source: Origin,
}

/// Loads everything that `inputs` lead to.
pub fn load(inputs: &Inputs) -> Result<Loaded, Problems> {
    let (dir, named_by) = inputs.dir();
    let mut problems = Vec::new();
    if let Some(origin) = named_by.filter(|_| !dir.is_dir()) {
        let what = format!("{} is not a folder", dir.display());
        problems.push(
            Problem::of_source(origin, what).accepting("a folder with node.toml, profiles/, voices.toml"),
        );
    }
    let file = Some(dir.join("node.toml")).filter(|path| path.exists());
    let node =
        file.and_then(|path| kept(Layer::read(&path, Origin::File { path: path.clone() }), &mut problems));
    let merged = merge(&dir, node, Chosen::ByName, inputs, &mut problems);
    let voices = Voices::find(&dir).map_err(|found| problems.extend(found.0)).ok();
    match (merged, voices) {
        (Some((settings, mut effective)), Some(voices)) if problems.is_empty() => {
            effective.extend(voices.effective());
            Ok(Loaded { settings, voices, effective, dir })
        }
        _ => Err(Problems(problems)),
    }
}

/// Checks a `node.toml`, with the profile that it names and without any environment.
pub fn check_node(path: &Path) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let node = kept(Layer::read(path, Origin::File { path: path.to_owned() }), &mut problems);
    let dir = path.parent().unwrap_or(Path::new("")).to_owned();
    if node.is_some() {
        merge(&dir, node, Chosen::ByName, &Inputs::default(), &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Checks a profile over the built-in defaults alone.
pub fn check_profile(path: &Path) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let origin = Origin::Profile { name, path: Some(path.to_owned()) };
    if let Some(layer) = kept(Layer::read(path, origin), &mut problems) {
        merge(Path::new(""), None, Chosen::This(layer), &Inputs::default(), &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Which profile is laid over `node.toml`.
enum Chosen {
    /// The one that the other layers' `profile` names.
    ByName,
    /// This one.
    This(Layer),
}

fn kept<T>(found: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    found.map_err(|problem| problems.push(problem)).ok()
}

/// Merges all layers and parses what comes of them; the answer counts only while `problems` stays empty.
fn merge(
    dir: &Path,
    node: Option<Layer>,
    chosen: Chosen,
    inputs: &Inputs,
    problems: &mut Vec<Problem>,
) -> Option<(Settings, Vec<Effective>)> {
    let defaults = kept(Layer::defaults(), problems)?;
    let known: Vec<String> = tree::leaves(&defaults.data).into_iter().map(|(key, _)| key).collect();
    let overrides = inputs.overrides(&known, problems);

    let without_profile = Merged::new([&defaults].into_iter().chain(&node), &overrides)?;
    let profile = match chosen {
        Chosen::This(layer) => Some(layer),
        Chosen::ByName => without_profile
            .raw
            .get("profile")
            .and_then(|value| Some((value.as_str()?, without_profile.origin(value.tag()))))
            .and_then(|(name, origin)| kept(Layer::profile(dir, name, &origin), problems)),
    };
    let profile = profile.map(|mut layer| {
        if let Some(value) = layer.data.remove("profile") {
            let what = "a profile may not choose a profile; node.toml, VORTEX_PROFILE and --profile may";
            let origin = layer.origin.clone();
            problems.push(Problem::of_value("profile", tree::written(&value), origin, what));
        }
        layer
    });

    let layers = [&defaults].into_iter().chain(&node).chain(&profile);
    let mut merged = Merged::new(layers, &overrides)?;
    merged.refuse_unknown(&defaults.data, &known, problems);
    let settings = merged.parse(&defaults.data, &overrides, problems)?;
    contradictions(&settings, &|key| merged.found(key), problems);
    Some((settings, merged.effective()))
}

/// All layers in one tree, with each leaf's origin.
struct Merged {
    raw: Dict,
    figment: Figment,
    origins: HashMap<String, Origin>,
}

impl Merged {
    fn new<'a>(layers: impl Iterator<Item = &'a Layer>, overrides: &[Override]) -> Option<Self> {
        let overrides = overrides.iter().map(Override::layer);
        let mut origins = HashMap::new();
        let figment = layers.cloned().chain(overrides).fold(Figment::new(), |figment, layer| {
            origins.insert(layer.origin.to_string(), layer.origin.clone());
            figment.merge(layer)
        });
        // Layers hand over finished trees, so this cannot fail.
        let raw = figment.data().ok()?.remove(&Profile::Default).unwrap_or_default();
        Some(Self { raw, figment, origins })
    }

    fn origin(&self, tag: Tag) -> Origin {
        let name = self.figment.get_metadata(tag).map(|metadata| metadata.name.as_ref());
        name.and_then(|name| self.origins.get(name)).cloned().unwrap_or(Origin::Default)
    }

    /// The value under `key` as written, and its origin.
    fn found(&self, key: &str) -> (String, Origin) {
        match tree::get(&self.raw, key) {
            Some(value) => (tree::written(value), self.origin(first_tag(value))),
            None => ("(nothing)".to_owned(), Origin::Default),
        }
    }

    /// Reports every key that no default has, and takes it away.
    fn refuse_unknown(&mut self, defaults: &Dict, known: &[String], problems: &mut Vec<Problem>) {
        let unknown: Vec<String> = tree::leaves(&self.raw)
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| tree::get(defaults, key).is_none())
            .collect();
        for key in unknown {
            let (value, origin) = self.found(&key);
            // Below a setting that is no table: the setting itself has the wrong type, and parsing will say so.
            if known
                .iter()
                .any(|known| key.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with('.')))
            {
                continue;
            }
            let nearest = suggestion(&key, &origin, known);
            problems.push(Problem::of_value(&key, value, origin, "unknown setting").nearest(nearest));
            tree::set(&mut self.raw, &key, None);
            self.drop_emptied(&key, defaults);
        }
    }

    /// Takes away the tables that held nothing but what was taken away.
    fn drop_emptied(&mut self, key: &str, defaults: &Dict) {
        let mut key = key;
        while let Some((section, _)) = key.rsplit_once('.') {
            let is_empty = tree::get(&self.raw, section).and_then(Value::as_dict).is_some_and(Dict::is_empty);
            if !is_empty || tree::get(defaults, section).is_some() {
                return;
            }
            tree::set(&mut self.raw, section, None);
            key = section;
        }
    }

    /// Parses the tree. Each value that its type refuses is reported and replaced by its default, until all are seen.
    fn parse(
        &self,
        defaults: &Dict,
        overrides: &[Override],
        problems: &mut Vec<Problem>,
    ) -> Option<Settings> {
        let mut raw = self.raw.clone();
        // Every round mends one leaf or gives up.
        for _ in 0..=2 * tree::leaves(&raw).len() {
            let error = match Value::from(raw.clone()).deserialize::<Settings>() {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            let mut key = error.path.join(".");
            // An item of a list: the list is the setting.
            while tree::get(defaults, &key).is_none() && tree::get(&raw, &key).is_none() {
                key = key.rsplit_once('.')?.0.to_owned();
            }
            let (value, origin) = self.found(&key);
            // A text from outside that TOML took for a number or a truth value may have been meant as a text.
            let text = overrides.iter().rfind(|given| given.key == key).map(|given| given.text.as_str());
            let taken_for = tree::get(&raw, &key).filter(|value| value.as_str().is_none());
            if let (Some(text), Some(_), Origin::Environment { .. } | Origin::Flag { .. }) =
                (text, taken_for, &origin)
            {
                let mut as_text = raw.clone();
                tree::set(&mut as_text, &key, Some(Value::from(text)));
                let again = Value::from(as_text.clone()).deserialize::<Settings>();
                if again.map_or_else(|error| error.path.join(".") != key, |_| true) {
                    raw = as_text;
                    continue;
                }
            }
            problems.push(Problem::refused(&key, value, origin, &error.kind));
            if tree::get(&raw, &key) == tree::get(defaults, &key) {
                return None;
            }
            tree::set(&mut raw, &key, tree::get(defaults, &key).cloned());
        }
        None
    }

    fn effective(&self) -> Vec<Effective> {
        tree::leaves(&self.raw)
            .into_iter()
            .map(|(key, value)| Effective {
                key,
                value: serde_json::to_value(value).unwrap_or_default(),
                source: self.origin(first_tag(value)),
            })
            .collect()
    }
}

/// The tag of a value; of a table, that of the first leaf in it.
fn first_tag(value: &Value) -> Tag {
    match value {
        Value::Dict(tag, inner) => inner.values().next().map_or(*tag, first_tag),
        other => other.tag(),
    }
}
