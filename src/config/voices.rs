//! Who speaks with which Kokoro voice: `voices.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Value};

use super::layers::Layer;
use super::load::Effective;
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::tree;
use crate::types::{VoiceBlend, VoiceError, nearest, nearest_few};

/// The shipped map, so that an installed binary needs no folder.
const BUILT_IN: &str = include_str!("../../config/voices.toml");

const KEYS: [&str; 3] = ["default", "characters", "stand_ins"];

/// The `voice_id` that asks for the default voice.
const DEFAULT: &str = "default";

/// As many similar names are suggested for one that is not there.
const SUGGESTED: usize = 3;

/// The map from characters to voices.
#[derive(Clone, Debug, PartialEq)]
pub struct Voices {
    default: VoiceBlend,
    characters: BTreeMap<String, VoiceBlend>,
    /// By the name of a voice that a bundle may lack.
    stand_ins: BTreeMap<String, VoiceBlend>,
    origin: Origin,
}

/// Who speaks a recipe with one bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Speaker {
    /// Only voices that the bundle has.
    pub voice: VoiceBlend,
    /// What a user has to know: who speaks for a voice that the bundle lacks.
    pub replaced: Option<String>,
}

/// Why nobody speaks a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeakerError {
    /// It names no character, voice or blend.
    #[error(transparent)]
    Unreadable(#[from] VoiceError),
    /// The bundle lacks a voice, and nothing stands in for it.
    #[error(
        "{wanted:?}{}: the bundle has no voice {missing:?}{}; accepted: a voice of the bundle ({}), a blend of them, or \
         a character ({}); voices.toml can name one that speaks for it, under [stand_ins]",
        for_character(wanted, missing),
        suggestion(nearest),
        list(has),
        list(characters)
    )]
    Missing {
        /// As the recipe has it.
        wanted: String,
        /// The voice, or that of the character.
        missing: String,
        /// What may have been meant, the most similar first.
        nearest: Vec<String>,
        /// The bundle's voices.
        has: Vec<String>,
        /// The known characters.
        characters: Vec<String>,
    },
}

fn for_character(wanted: &str, missing: &str) -> String {
    if wanted == missing { String::new() } else { format!(" speaks with {missing:?}") }
}

fn suggestion(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            format!(" (did you mean {}?)", names.join(" or "))
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Voices {
    /// The voice of a recipe's `voice_id`: a character's, the default one, else the Kokoro voice or blend that it names.
    pub fn resolve(&self, voice_id: &str) -> Result<VoiceBlend, VoiceError> {
        match self.characters.get(voice_id) {
            Some(voice) => Ok(voice.clone()),
            None if voice_id == DEFAULT => Ok(self.default.clone()),
            None => voice_id.parse(),
        }
    }

    /// Who speaks a recipe's `voice_id` where a bundle has the voices `known`. A voice that it lacks is refused with
    /// the nearest names, unless one is listed to stand in for it.
    pub fn speaker(&self, voice_id: &str, known: &[String]) -> Result<Speaker, SpeakerError> {
        let asked = self.resolve(voice_id)?;
        let has = |name: &str| known.iter().any(|known| known == name);
        let listed = |name: &str| self.stand_ins.get(name).filter(|_| !has(name));
        let voice = asked.with_stand_ins(listed);
        let lacking = voice.parts().iter().map(|(name, _)| name).find(|name| !has(name));
        if let Some(missing) = lacking {
            // A stand-in that is itself missing says less than the voice that was asked for.
            let names = self.characters().chain(known.iter().map(String::as_str));
            let near = nearest_few(missing, names, SUGGESTED);
            return Err(SpeakerError::Missing {
                wanted: voice_id.to_owned(),
                missing: missing.clone(),
                nearest: near.into_iter().map(str::to_owned).collect(),
                has: known.to_vec(),
                characters: self.characters().map(str::to_owned).collect(),
            });
        }
        let replaced = (voice != asked).then(|| {
            format!(
                "the bundle lacks a voice of {asked} for {voice_id:?}: {voice} speaks, as voices.toml has it"
            )
        });
        Ok(Speaker { voice, replaced })
    }

    /// The voice of recipes that ask for `default`.
    pub fn fallback(&self) -> &VoiceBlend {
        &self.default
    }

    /// Voices that others may speak for, and who does.
    pub fn stand_ins(&self) -> impl Iterator<Item = (&str, &VoiceBlend)> {
        self.stand_ins.iter().map(|(name, voice)| (name.as_str(), voice))
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
        let stand_ins =
            self.stand_ins.iter().map(|(name, voice)| one(format!("voices.stand_ins.{name}"), voice));
        characters.chain(stand_ins).chain([one("voices.default".to_owned(), &self.default)]).collect()
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
        let mut table = |key: &str| -> BTreeMap<String, VoiceBlend> {
            let listed = layer.data.get(key).and_then(Value::as_dict).unwrap_or(&nobody).iter();
            listed
                .filter_map(|(name, value)| Some((name.clone(), voice(&format!("{key}.{name}"), value)?)))
                .collect()
        };
        let (characters, stand_ins) = (table("characters"), table("stand_ins"));
        for (key, accepted) in [
            ("characters", "a table of characters and their voices"),
            ("stand_ins", "a table of voices and who speaks for them"),
        ] {
            if let Some(value) = layer.data.get(key).filter(|value| value.as_dict().is_none()) {
                let problem = Problem::of_value(key, tree::written(value), origin.clone(), "wrong type");
                problems.push(problem.accepting(accepted));
            }
        }
        if !layer.data.contains_key("default") {
            let problem = Problem::of_source(origin.clone(), "default is missing");
            problems.push(problem.accepting("default = \"am_adam\" or another voice"));
        }
        match default {
            Some(default) if problems.is_empty() => {
                Ok(Self { default, characters, stand_ins, origin: origin.clone() })
            }
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

    fn known(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_voice_that_the_bundle_lacks_is_refused_with_the_nearest_names() {
        let voices = parse(BUILT_IN).unwrap();
        let known = known(&["af_sarah", "af_nova", "am_adam", "am_puck"]);
        let refused = |voice_id: &str| voices.speaker(voice_id, &known).unwrap_err().to_string();
        for (voice_id, parts) in [
            ("AF_SARAH", &["\"AF_SARAH\"", "did you mean \"af_sarah\"?"][..]),
            ("Af_Sarah", &["did you mean \"af_sarah\"?"]),
            ("af_sara", &["did you mean \"af_sarah\""]),
            ("MORTY", &["did you mean \"morty\"?"]),
            ("bf_emma", &["\"bf_emma\"", "af_sarah, af_nova, am_adam, am_puck", "[stand_ins]"]),
            ("af_sarah(0.5)+bf_emma(0.5)", &["no voice \"bf_emma\""]),
            // A character whose voice the bundle lacks.
            ("jerry", &["\"jerry\" speaks with \"am_echo\"", "no voice \"am_echo\""]),
            ("a b", &["\"a b\" is not a voice"]),
        ] {
            for part in parts {
                assert!(refused(voice_id).contains(part), "{part} in {}", refused(voice_id));
            }
        }
        for voice_id in ["af_sarah", "af_sarah(1)+af_nova(1)", "morty", "default"] {
            assert_eq!(voices.speaker(voice_id, &known).unwrap().replaced, None, "{voice_id}");
        }
        assert!(voices.speaker("af_sarah", &[]).unwrap_err().to_string().contains("(none)"));
    }

    #[test]
    fn a_listed_stand_in_speaks_for_a_voice_only_where_the_bundle_lacks_it() {
        let voices =
            parse("default = \"am_adam\"\n[stand_ins]\nbf_emma = \"af_sarah\"\nbm_x = \"zz_y\"\n").unwrap();
        let speaker = voices.speaker("bf_emma(1)+am_adam(1)", &known(&["af_sarah", "am_adam"])).unwrap();
        assert_eq!(speaker.voice.to_string(), "af_sarah(0.5)+am_adam(0.5)");
        assert!(speaker.replaced.unwrap().contains("bf_emma"));
        let there = voices.speaker("bf_emma", &known(&["af_sarah", "bf_emma"])).unwrap();
        assert_eq!((there.voice.to_string(), there.replaced), ("bf_emma".to_owned(), None));
        assert!(voices.speaker("bm_x", &known(&["af_sarah"])).unwrap_err().to_string().contains("zz_y"));
    }

    #[test]
    fn every_bad_line_is_reported() {
        let problems =
            parse("defalt = \"a\"\nstand_ins = 1\n[characters]\nrick = \"a b\"\nmorty = 3\n").unwrap_err();
        let text = problems.to_string();
        assert_eq!(problems.0.len(), 5, "{text}");
        for part in [
            "did you mean default?",
            "characters.rick = \"a b\"",
            "characters.morty = 3",
            "default is missing",
            "a table of voices and who speaks for them",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
