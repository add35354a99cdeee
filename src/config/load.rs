//! From layers to settings: sift each, merge, parse, check for contradictions; all problems at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Tag, Value};
use figment::{Figment, Profile, Provider};
use serde::Serialize;

use super::contradictions::contradictions;
use super::layers::{Inputs, Layer};
use super::origin::Origin;
use super::places::{DirSource, Place};
use super::problem::{Problem, Problems};
use super::settings::Settings;
use super::sift::Known;
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
    /// How it was found.
    pub dir_source: DirSource,
    /// Where else a configuration folder may be shipped: for what a folder of the user's own does not have.
    pub shipped: Vec<PathBuf>,
}

impl Loaded {
    /// The folder `name` in the configuration folder, else in the nearest shipped one, where `file` is in it.
    pub fn folder_with(&self, name: &str, file: &str) -> Option<PathBuf> {
        let mut places = std::iter::once(&self.dir).chain(&self.shipped).map(|dir| dir.join(name));
        places.find(|folder| folder.join(file).exists())
    }
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
    let place = Place::find(inputs);
    let mut problems = Vec::new();
    let named_by = place.named_by();
    let Place { dir, source: dir_source } = place;
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
    let voices = kept(Voices::find(&dir), &mut problems);
    match (merged, voices) {
        (Some((settings, mut effective)), Some(voices)) if problems.is_empty() => {
            effective.extend(voices.effective());
            Ok(Loaded { settings, voices, effective, dir, dir_source, shipped: inputs.shipped.clone() })
        }
        _ => Err(Problems(problems)),
    }
}

/// The settings without what is wrong in them, for whoever reports what is wrong and still needs to know where the node
/// keeps what; a node is never started with them.
pub fn load_despite_problems(inputs: &Inputs) -> Option<Settings> {
    let (dir, mut problems) = (Place::find(inputs).dir, Vec::new());
    let path = dir.join("node.toml");
    let node = Layer::read(&path, Origin::File { path: path.clone() }).ok();
    merge(&dir, node, Chosen::ByName, inputs, &mut problems).map(|(settings, _)| settings)
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

fn kept<T>(found: Result<T, Problems>, problems: &mut Vec<Problem>) -> Option<T> {
    found.map_err(|found| problems.extend(found.0)).ok()
}

/// Merges all layers and parses what comes of them; the answer counts only while `problems` stays empty.
fn merge(
    dir: &Path,
    mut node: Option<Layer>,
    chosen: Chosen,
    inputs: &Inputs,
    problems: &mut Vec<Problem>,
) -> Option<(Settings, Vec<Effective>)> {
    let defaults = kept(Layer::defaults(), problems)?;
    let known = Known::new(&defaults);
    let mut overrides = inputs.overrides(&known.keys, problems);
    node.iter_mut().chain(&mut overrides).for_each(|layer| known.sift(layer, problems));

    let profile = match chosen {
        Chosen::This(layer) => Some(layer),
        Chosen::ByName => {
            let others = Merged::new([&defaults].into_iter().chain(&node).chain(&overrides))?;
            let name = others.raw.get("profile")?;
            kept(Layer::profile(dir, name.as_str()?, &others.origin(name.tag())), problems)
        }
    };
    let profile = profile.map(|mut layer| {
        if let Some(value) = layer.data.remove("profile") {
            let what = "a profile may not choose a profile; node.toml, VORTEX_PROFILE and --profile may";
            let origin = layer.origin.clone();
            problems.push(Problem::of_value("profile", tree::written(&value), origin, what));
        }
        known.sift(&mut layer, problems);
        layer
    });

    let merged = Merged::new([&defaults].into_iter().chain(&node).chain(&profile).chain(&overrides))?;
    let settings = match Value::from(merged.raw.clone()).deserialize::<Settings>() {
        Ok(settings) => settings,
        Err(error) => {
            // Sifted layers parse, unless one held what could not be taken out (a quoted key with a dot in it).
            if problems.is_empty() {
                problems.push(Problem::of_source(Origin::Default, error.to_string()));
            }
            return None;
        }
    };
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
    fn new<'a>(layers: impl Iterator<Item = &'a Layer>) -> Option<Self> {
        let mut origins = HashMap::new();
        let figment = layers.fold(Figment::new(), |figment, layer| {
            origins.insert(layer.origin.to_string(), layer.origin.clone());
            figment.merge(layer.clone())
        });
        // Layers hand over finished trees, so this cannot fail.
        let raw = figment.data().ok()?.remove(&Profile::Default).unwrap_or_default();
        Some(Self { raw, figment, origins })
    }

    fn origin(&self, tag: Tag) -> Origin {
        let name = self.figment.get_metadata(tag).map(|metadata| metadata.name.as_ref());
        name.and_then(|name| self.origins.get(name)).cloned().unwrap_or(Origin::Default)
    }

    /// The value of the setting `key` as written, and its origin.
    fn found(&self, key: &str) -> (String, Origin) {
        match tree::get(&self.raw, key) {
            Some(value) => (tree::written(value), self.origin(value.tag())),
            None => ("(nothing)".to_owned(), Origin::Default),
        }
    }

    fn effective(&self) -> Vec<Effective> {
        tree::leaves(&self.raw)
            .into_iter()
            .map(|(key, value)| Effective {
                key,
                value: serde_json::to_value(value).unwrap_or_default(),
                source: self.origin(value.tag()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
