//! A document to a recipe, or to the list of everything that is wrong with it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    AudioTrack, CONCEPTS, FPS, LARGEST_INTEGER, LONGEST, PROMPT, Recipe, SCRIPT, SIDE, SIDE_STEP, SPEED,
    Security, SemanticConstraints, VERSION, VisualTrack,
};
use crate::direction::camera::Camera;
use crate::direction::expression::Expression;
use crate::direction::motion::Motion;
use crate::types::{Emotion, Resolution, SpeechSpeed, VoiceBlend, nearest};

/// One thing that is wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, such as `audio_track.speed`; empty for the whole document.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What would be accepted.
    pub accepted: String,
}

/// Everything that is wrong with a recipe; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problem {
    pub(super) fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        accepted: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), found: found.into(), accepted: accepted.into() }
    }
}

impl Problems {
    /// Each of them, in the document's order of sections.
    pub fn list(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the recipe" } else { &self.path };
        write!(f, "{path}: {}; accepted: {}", self.found, self.accepted)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Checks a whole document.
pub(super) fn check(document: Value) -> Result<Recipe, Problems> {
    let mut checker = Checker { problems: Vec::new() };
    let recipe = match &document {
        Value::Object(map) => checker.recipe(map),
        other => checker.wrong("", other, "a JSON object"),
    };
    match recipe {
        Some(recipe) if checker.problems.is_empty() => Ok(Recipe { document, ..recipe }),
        _ => Err(Problems(checker.problems)),
    }
}

/// An integer seed from the recipe's id: the first 53 bits of its SHA-256.
fn derived_seed(id: Uuid) -> u64 {
    let hash = Sha256::digest(id.as_bytes());
    hash.iter().take(8).fold(0u64, |seed, byte| (seed << 8) | u64::from(*byte)) & LARGEST_INTEGER
}

struct Checker {
    problems: Vec<Problem>,
}

/// An object of the document and where it stands.
struct Section<'a> {
    path: &'static str,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.and_then(|map| map.get(name))
    }

    /// As [`Self::get`], of a field that may be absent: programs write `null` for what they do not have.
    fn optional(&self, name: &str) -> Option<&'a Value> {
        self.get(name).filter(|value| !value.is_null())
    }
}

impl Checker {
    fn wrong<T>(&mut self, path: impl Into<String>, found: &Value, accepted: impl Into<String>) -> Option<T> {
        let mut text = found.to_string();
        if text.chars().count() > 60 {
            text = text.chars().take(57).chain("...".chars()).collect();
        }
        self.problems.push(Problem::new(path, format!("{text} is not accepted"), accepted));
        None
    }

    fn missing<T>(&mut self, path: String, accepted: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::new(path, "it is missing", accepted));
        None
    }

    /// The object at `name`, with only the `known` names in it.
    fn section<'a>(
        &mut self,
        whole: &Section<'a>,
        name: &'static str,
        required: bool,
        known: &[&'static str],
    ) -> Section<'a> {
        let map = match if required { whole.get(name) } else { whole.optional(name) } {
            Some(Value::Object(map)) => Some(map),
            Some(other) => self.wrong(name, other, "an object"),
            None if required => self.missing(name.to_owned(), format!("an object with {}", known.join(", "))),
            None => None,
        };
        let section = Section { path: name, map };
        self.only(&section, known);
        section
    }

    fn only(&mut self, section: &Section<'_>, known: &[&'static str]) {
        let surplus =
            section.map.into_iter().flat_map(Map::keys).filter(|name| !known.contains(&name.as_str()));
        for name in surplus {
            let found = match nearest(name, known.iter().copied()) {
                Some(nearest) => format!("there is no such field (did you mean {nearest:?}?)"),
                None => "there is no such field".to_owned(),
            };
            self.problems.push(Problem::new(section.at(name), found, known.join(", ")));
        }
    }

    /// The value at `name`, read by `read`; a default where it may be absent.
    fn field<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        default: Option<T>,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        match section.get(name) {
            Some(Value::Null) if default.is_some() => default,
            Some(value) => read(value).or_else(|| self.wrong(section.at(name), value, accepted)),
            // An absent section has been reported as a whole, or may be absent as a whole.
            None if default.is_some() || section.map.is_none() => default,
            None => self.missing(section.at(name), accepted),
        }
    }

    fn named<T: FromStr>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        default: T,
        names: &'static [&'static str],
    ) -> Option<T> {
        let near = |value: &Value| nearest(value.as_str()?, names.iter().copied());
        let hint = section
            .get(name)
            .and_then(near)
            .map(|near| format!(" (did you mean {near:?}?)"))
            .unwrap_or_default();
        let accepted = format!("{}{hint}", names.join(", "));
        self.field(section, name, Some(default), &accepted, |value| value.as_str()?.parse().ok())
    }

    fn text(
        &mut self,
        section: &Section<'_>,
        name: &str,
        default: Option<String>,
        longest: usize,
    ) -> Option<String> {
        let accepted = format!("a text of 1 to {longest} characters");
        self.field(section, name, default, &accepted, |value| {
            let text =
                value.as_str().filter(|text| !text.trim().is_empty() && text.chars().count() <= longest)?;
            Some(text.to_owned())
        })
    }

    fn concepts(&mut self, section: &Section<'_>, name: &str) -> Option<Vec<String>> {
        let (most, longest) = CONCEPTS;
        let accepted = format!("a list of at most {most} texts of 1 to {longest} characters");
        self.field(section, name, Some(Vec::new()), &accepted, |value| {
            let list = value.as_array().filter(|list| list.len() <= most)?;
            list.iter()
                .map(|concept| {
                    let text = concept.as_str()?.trim();
                    (!text.is_empty() && text.chars().count() <= longest).then(|| text.to_owned())
                })
                .collect()
        })
    }

    fn recipe(&mut self, map: &Map<String, Value>) -> Option<Recipe> {
        let whole = Section { path: "", map: Some(map) };
        self.only(&whole, &super::schema::TOP);
        let id =
            self.field(&whole, "recipe_id", None, "a UUID", |value| value.as_str()?.parse::<Uuid>().ok());
        let version = format!("{VERSION:?}");
        self.field(&whole, "version", None, &version, |value| (value.as_str()? == VERSION).then_some(()));

        let slot = self.section(&whole, "slot_params", true, &super::schema::SLOT);
        let slot_number = self.field(&slot, "slot_number", None, "an integer from 0", integer);
        let fps =
            self.field(&slot, "fps", None, &format!("an integer from {} to {}", FPS.0, FPS.1), |value| {
                let fps = integer(value).filter(|fps| (FPS.0..=FPS.1).contains(fps))?;
                u32::try_from(fps).ok()
            });
        let duration = self.field(
            &slot,
            "duration_sec",
            None,
            &format!("a number of seconds above 0, at most {}, with at least one frame", LONGEST.as_secs()),
            |value| {
                let duration = Duration::try_from_secs_f64(value.as_f64()?).ok().filter(|d| *d <= LONGEST)?;
                let frames = crate::direction::frame_count(duration, fps.unwrap_or(FPS.1 as u32));
                (frames > 0).then_some(duration)
            },
        );
        let resolution = self.field(
            &slot,
            "resolution",
            None,
            &format!(
                "\"WIDTHxHEIGHT\", sides from {} to {} in steps of {SIDE_STEP}, such as \"512x512\"",
                SIDE.0, SIDE.1
            ),
            |value| value.as_str()?.parse::<Resolution>().ok().filter(resolution_is_supported),
        );

        let audio = self.audio(&whole);
        let visual = self.visual(&whole);
        let constraints = self.constraints(&whole);
        let security = match whole.optional("security") {
            None => Some(None),
            Some(_) => self.security(&whole).map(Some),
        };
        let largest = format!("an integer from 0 to {LARGEST_INTEGER}");
        let seed = self.field(&whole, "seed", id.map(derived_seed), &largest, integer);
        let deadline =
            self.field(&whole, "deadline", Some(None), "seconds since 1970-01-01T00:00:00Z", |value| {
                Duration::try_from_secs_f64(value.as_f64()?).ok().map(Some)
            });
        Some(Recipe {
            id: id?,
            slot_number: slot_number?,
            duration: duration?,
            resolution: resolution?,
            fps: fps?,
            audio: audio?,
            visual: visual?,
            constraints: constraints?,
            security: security?,
            seed: seed?,
            deadline: deadline?,
            document: Value::Null,
        })
    }

    fn audio(&mut self, whole: &Section<'_>) -> Option<AudioTrack> {
        let audio = self.section(whole, "audio_track", true, &super::schema::AUDIO);
        let script = self.text(&audio, "script", None, SCRIPT);
        let voice = "a character voice, a voice such as \"af_sarah\", or a blend such as \"af_sarah(0.3)+af_jessica(0.7)\"";
        let voice_id = self.field(&audio, "voice_id", None, voice, |value| {
            let text = value.as_str()?;
            text.parse::<VoiceBlend>().ok().map(|_| text.to_owned())
        });
        let range = format!("a number from {} to {}", SPEED.0, SPEED.1);
        let speed = self.field(&audio, "speed", Some(SpeechSpeed::NORMAL), &range, |value| {
            SpeechSpeed::try_from(value.as_f64()? as f32).ok()
        });
        let emotion = self.named(&audio, "emotion", Emotion::Neutral, &Emotion::NAMES);
        Some(AudioTrack { script: script?, voice_id: voice_id?, speed: speed?, emotion: emotion? })
    }

    fn visual(&mut self, whole: &Section<'_>) -> Option<VisualTrack> {
        let visual = self.section(whole, "visual_track", true, &super::schema::VISUAL);
        let prompt = self.text(&visual, "prompt", None, PROMPT);
        let negative_prompt = match visual.optional("negative_prompt") {
            None => Some(None),
            // An empty one is what forms send when nothing was typed.
            Some(Value::String(text)) if text.trim().is_empty() => Some(None),
            Some(_) => self.text(&visual, "negative_prompt", None, PROMPT).map(Some),
        };
        let motion = self.named(&visual, "motion_preset", Motion::GentleNod, &Motion::NAMES);
        let camera = self.named(&visual, "camera_motion", Camera::None, &Camera::NAMES);
        let accepted = format!("a list of 1 to {} of {}", CONCEPTS.0, Expression::NAMES.join(", "));
        let neutral = vec![Expression::Neutral];
        let expressions = self.field(&visual, "expression_sequence", Some(neutral), &accepted, |value| {
            let list = value.as_array().filter(|list| (1..=CONCEPTS.0).contains(&list.len()))?;
            list.iter().map(|name| name.as_str()?.parse().ok()).collect()
        });
        Some(VisualTrack {
            prompt: prompt?,
            negative_prompt: negative_prompt?,
            motion: motion?,
            expressions: expressions?,
            camera: camera?,
        })
    }

    fn constraints(&mut self, whole: &Section<'_>) -> Option<SemanticConstraints> {
        let section = self.section(whole, "semantic_constraints", false, &super::schema::CONSTRAINTS);
        let floor = self.field(&section, "min_clip_score", Some(None), "a number from 0 to 2.5", |value| {
            value.as_f64().filter(|score| (0.0..=2.5).contains(score)).map(Some)
        });
        let banned = self.concepts(&section, "banned_concepts");
        let required = self.concepts(&section, "required_concepts");
        let constraints =
            SemanticConstraints { min_clip_score: floor?, banned: banned?, required: required? };
        if let Some(both) = constraints.required.iter().find(|concept| constraints.banned.contains(concept)) {
            let found = format!("{both:?} is both required and banned");
            self.problems.push(Problem::new(
                section.path,
                found,
                "each concept in at most one of the two lists",
            ));
        }
        Some(constraints)
    }

    fn security(&mut self, whole: &Section<'_>) -> Option<Security> {
        let section = self.section(whole, "security", true, &super::schema::SECURITY);
        let director =
            self.field(&section, "director_id", None, "an Ed25519 public key, 64 hexadecimal digits", hex);
        let signature = self.field(
            &section,
            "ed25519_signature",
            None,
            "an Ed25519 signature, 128 hexadecimal digits",
            hex,
        );
        let timestamp =
            self.field(&section, "timestamp", None, "whole seconds since 1970-01-01T00:00:00Z", integer);
        Some(Security { director: director?, signature: signature?, timestamp: timestamp? })
    }
}

fn integer(value: &Value) -> Option<u64> {
    let whole = |number: f64| {
        (number.fract() == 0.0 && (0.0..=LARGEST_INTEGER as f64).contains(&number)).then_some(number as u64)
    };
    value.as_u64().filter(|number| *number <= LARGEST_INTEGER).or_else(|| value.as_f64().and_then(whole))
}

fn hex<const N: usize>(value: &Value) -> Option<[u8; N]> {
    crate::signing::from_hex(value.as_str()?)
}

fn resolution_is_supported(resolution: &Resolution) -> bool {
    [resolution.width, resolution.height]
        .iter()
        .all(|side| (SIDE.0..=SIDE.1).contains(&side.get()) && side.get() % SIDE_STEP == 0)
}
