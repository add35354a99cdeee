//! Who speaks with which Kokoro voice: `voices.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Value};

use super::layers::Layer;
use super::load::Effective;
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::tree;
use crate::types::{VoiceBlend, VoiceError, nearest};

/// The shipped map, so that an installed binary needs no folder.
const BUILT_IN: &str = include_str!("../../config/voices.toml");

const KEYS: [&str; 2] = ["default", "characters"];

/// The map from characters to voices.
#[derive(Clone, Debug, PartialEq)]
pub struct Voices {
    default: VoiceBlend,
    characters: BTreeMap<String, VoiceBlend>,
    origin: Origin,
}

impl Voices {
    /// The voice of a recipe's `voice_id`: a character's, else the Kokoro voice or blend that it names.
    pub fn resolve(&self, voice_id: &str) -> Result<VoiceBlend, VoiceError> {
        self.characters.get(voice_id).cloned().map_or_else(|| voice_id.parse(), Ok)
    }

    /// For voices that nobody has.
    pub fn fallback(&self) -> &VoiceBlend {
        &self.default
    }

    /// The characters' names, in order.
    pub fn characters(&self) -> impl Iterator<Item = &str> {
        self.characters.keys().map(String::as_str)
    }

    /// From `dir/voices.toml`, else the built-in ones.
    pub(super) fn find(dir: &Path) -> Result<Self, Problems> {
        let path = dir.join("voices.toml");
        let layer = if path.exists() {
            Layer::read(&path, Origin::File { path: path.clone() })
        } else {
            Layer::parse(BUILT_IN, Origin::Default)
        };
        Self::parse(&layer?)
    }

    pub(super) fn effective(&self) -> Vec<Effective> {
        let one = |key: String, voice: &VoiceBlend| Effective {
            key,
            value: voice.to_string().into(),
            source: self.origin.clone(),
        };
        let characters =
            self.characters.iter().map(|(name, voice)| one(format!("voices.characters.{name}"), voice));
        characters.chain([one("voices.default".to_owned(), &self.default)]).collect()
    }

    fn parse(layer: &Layer) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let origin = &layer.origin;
        for (key, value) in layer.data.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
            let problem = Problem::of_value(key, tree::written(value), origin.clone(), "unknown setting");
            problems.push(problem.accepting(KEYS.join(", ")).nearest(nearest(key, KEYS).map(str::to_owned)));
        }
        let mut voice = |key: &str, value: &Value| {
            let refused = |what: String| Problem::of_value(key, tree::written(value), origin.clone(), what);
            match value.as_str().map(str::parse::<VoiceBlend>) {
                Some(Ok(voice)) => return Some(voice),
                Some(Err(error)) => problems.push(refused(error.to_string())),
                None => {
                    problems.push(refused("wrong type".to_owned()).accepting("a voice such as \"af_sarah\""))
                }
            }
            None
        };
        let default = layer.data.get("default").and_then(|value| voice("default", value));
        let nobody = Dict::new();
        let listed = layer.data.get("characters");
        let characters = listed
            .and_then(Value::as_dict)
            .unwrap_or(&nobody)
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), voice(&format!("characters.{name}"), value)?)))
            .collect();
        if let Some(value) = listed.filter(|value| value.as_dict().is_none()) {
            let problem = Problem::of_value("characters", tree::written(value), origin.clone(), "wrong type");
            problems.push(problem.accepting("a table of characters and their voices"));
        }
        if !layer.data.contains_key("default") {
            let problem = Problem::of_source(origin.clone(), "default is missing");
            problems.push(problem.accepting("default = \"am_adam\" or another voice"));
        }
        match default {
            Some(default) if problems.is_empty() => Ok(Self { default, characters, origin: origin.clone() }),
            _ => Err(Problems(problems)),
        }
    }
}

/// Checks a `voices.toml`.
pub fn check_voices(path: &Path) -> Result<(), Problems> {
    let layer = Layer::read(path, Origin::File { path: path.to_owned() });
    Voices::parse(&layer?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Voices, Problems> {
        Voices::parse(&Layer::parse(text, Origin::Default).unwrap())
    }

    #[test]
    fn characters_blends_and_kokoro_voices_resolve() {
        let voices = parse(BUILT_IN).unwrap();
        assert_eq!(voices.resolve("morty").unwrap().to_string(), "am_puck");
        assert_eq!(voices.resolve("af_sarah(1)+af_jessica(3)").unwrap().parts().len(), 2);
        assert_eq!(voices.fallback().to_string(), "am_adam");
        assert!(voices.resolve("no such voice").is_err());
        for name in ["rick_c137", "morty", "summer", "jerry", "beth"] {
            assert!(voices.characters().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn every_bad_line_is_reported() {
        let problems = parse("defalt = \"a\"\n[characters]\nrick = \"a b\"\nmorty = 3\n").unwrap_err();
        let text = problems.to_string();
        assert_eq!(problems.0.len(), 4, "{text}");
        for part in [
            "did you mean default?",
            "characters.rick = \"a b\"",
            "characters.morty = 3",
            "default is missing",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
