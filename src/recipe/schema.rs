//! The recipe's JSON Schema (draft 2020-12), made from the same limits and names that the checks use.

use serde_json::{Value, json};

use super::{CONCEPTS, FPS, LARGEST_INTEGER, LONGEST, PROMPT, SCRIPT, SPEED, VERSION};
use crate::direction::camera::Camera;
use crate::direction::expression::Expression;
use crate::direction::motion::Motion;
use crate::types::Emotion;

/// Names at the top of a recipe.
pub(super) const TOP: [&str; 9] = [
    "recipe_id",
    "version",
    "slot_params",
    "audio_track",
    "visual_track",
    "semantic_constraints",
    "security",
    "seed",
    "deadline",
];
/// Names in `slot_params`.
pub(super) const SLOT: [&str; 4] = ["slot_number", "duration_sec", "resolution", "fps"];
/// Names in `audio_track`.
pub(super) const AUDIO: [&str; 4] = ["script", "voice_id", "speed", "emotion"];
/// Names in `visual_track`.
pub(super) const VISUAL: [&str; 5] =
    ["prompt", "negative_prompt", "motion_preset", "expression_sequence", "camera_motion"];
/// Names in `semantic_constraints`.
pub(super) const CONSTRAINTS: [&str; 3] = ["min_clip_score", "banned_concepts", "required_concepts"];
/// Names in `security`.
pub(super) const SECURITY: [&str; 3] = ["director_id", "ed25519_signature", "timestamp"];

/// The schema. What it cannot say (a duration of at least one frame, a side's range, a concept in one list only)
/// `recipe check` does.
pub fn schema() -> Value {
    let text =
        |longest: usize| json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": r"\S"});
    let concepts = json!({"type": "array", "maxItems": CONCEPTS.0, "items": text(CONCEPTS.1)});
    let hex = |digits: usize| json!({"type": "string", "pattern": format!("^[0-9a-fA-F]{{{digits}}}$")});
    let integer = json!({"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER});
    // What may be absent may be null, which means the same.
    let optional = |schema: Value| json!({"anyOf": [schema, {"type": "null"}]});
    let section = |required: &[&str], properties: Value| json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties});
    let mut schema = section(
        &["recipe_id", "version", "slot_params", "audio_track", "visual_track"],
        json!({
            "recipe_id": {"type": "string", "format": "uuid"},
            "version": {"const": VERSION},
            "slot_params": section(&SLOT, json!({
                "slot_number": integer,
                "duration_sec": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST.as_secs()},
                "resolution": {"type": "string", "pattern": "^[0-9]+x[0-9]+$", "examples": ["512x512"]},
                "fps": {"type": "integer", "minimum": FPS.0, "maximum": FPS.1},
            })),
            "audio_track": section(&["script", "voice_id"], json!({
                "script": text(SCRIPT),
                "voice_id": {"type": "string", "minLength": 1, "examples": ["af_sarah", "af_sarah(0.3)+af_jessica(0.7)"]},
                "speed": optional(json!({"type": "number", "minimum": SPEED.0, "maximum": SPEED.1, "default": 1.0})),
                "emotion": optional(json!({"enum": Emotion::NAMES, "default": Emotion::Neutral.name()})),
            })),
            "visual_track": section(&["prompt"], json!({
                "prompt": text(PROMPT),
                "negative_prompt": optional(json!({"type": "string", "maxLength": PROMPT})),
                "motion_preset": optional(json!({"enum": Motion::NAMES, "default": Motion::GentleNod.name()})),
                "expression_sequence": optional(json!({
                    "type": "array", "minItems": 1, "maxItems": CONCEPTS.0, "items": {"enum": Expression::NAMES},
                    "default": [Expression::Neutral.name()],
                })),
                "camera_motion": optional(json!({"enum": Camera::NAMES, "default": Camera::None.name()})),
            })),
            "semantic_constraints": optional(section(&[], json!({
                "min_clip_score": optional(json!({"type": "number", "minimum": 0, "maximum": 2.5})),
                "banned_concepts": optional(concepts.clone()),
                "required_concepts": optional(concepts),
            }))),
            "security": optional(section(&SECURITY, json!({
                "director_id": hex(64),
                "ed25519_signature": hex(128),
                "timestamp": integer,
            }))),
            "seed": optional(integer),
            "deadline": optional(json!({"type": "number", "minimum": 0})),
        }),
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "vortex-node recipe v2".into();
    schema
}
