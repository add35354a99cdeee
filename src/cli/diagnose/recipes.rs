//! What a recipe says, which may be nobody else's business: its texts, found in recipes and taken out of everything that is
//! told about their slots.
//!
//! Knows the few fields of a recipe whose values are chosen from a list, and takes every other text for its author's own.

use std::collections::HashMap;

use serde_json::Value;

use crate::types::SlotId;

/// Fields with identifiers, measures and choices.
const CHOICES: [&str; 11] = [
    "recipe_id",
    "version",
    "resolution",
    "voice_id",
    "emotion",
    "motion_preset",
    "expression_sequence",
    "camera_motion",
    "director_id",
    "ed25519_signature",
    "timestamp",
];
/// Fields of a slot's records that repeat a recipe's texts, or tell them sound by sound.
const REPEATED: [&str; 4] = ["text", "concept", "phonemes", "prompt"];
/// Fields of events and rows that may quote a recipe.
const QUOTING: [&str; 4] = ["message", "reasons", "summary", "because"];
/// Shorter texts stand in everything.
const SHORTEST: usize = 4;
/// A sentence of a script is known as well; shorter ones are single words.
const SHORTEST_SENTENCE: usize = 8;

/// The texts of recipes, by slot. Of a slot whose recipe could not be read, nothing that may quote it is told.
#[derive(Debug, Default)]
pub(super) struct Texts {
    of: HashMap<SlotId, Vec<String>>,
}

impl Texts {
    /// Remembers what `recipe` says.
    pub(super) fn know(&mut self, slot: SlotId, recipe: &Value) {
        let mut found = Vec::new();
        collect(recipe, &mut found);
        let known = self.of.entry(slot).or_default();
        known.extend(found);
        known.sort_by_key(|text| std::cmp::Reverse(text.len()));
        known.dedup();
    }

    /// Whether the slot's recipe could be read.
    pub(super) fn knows(&self, slot: SlotId) -> bool {
        self.of.contains_key(&slot)
    }

    /// `value` without what the slot's recipe says; nothing is taken out of what is about no slot.
    pub(super) fn hidden(&self, slot: Option<SlotId>, value: Value) -> Value {
        let Some(slot) = slot else { return value };
        match self.of.get(&slot) {
            Some(texts) => hide(texts, value),
            None => outlined_in(&QUOTING, value),
        }
    }
}

/// A slot's record of which the same is true as of an [`outline`].
pub(super) fn record(value: Value) -> Value {
    outlined_in(&REPEATED, value)
}

fn outlined_in(names: &[&str], value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| outlined_in(names, item)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Array(items) if names.contains(&name.as_str()) => {
                        format!("({} of them)", items.len()).into()
                    }
                    value if names.contains(&name.as_str()) => outline(value),
                    value => outlined_in(names, value),
                };
                (name, value)
            })
            .collect(),
        value => value,
    }
}

/// A recipe of which every text that is nobody else's business is told by its length only.
pub(super) fn outline(recipe: Value) -> Value {
    match recipe {
        Value::String(text) => format!("({} characters)", text.chars().count()).into(),
        Value::Array(items) => items.into_iter().map(outline).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = if CHOICES.contains(&name.as_str()) { value } else { outline(value) };
                (name, value)
            })
            .collect(),
        value => value,
    }
}

fn collect(recipe: &Value, found: &mut Vec<String>) {
    match recipe {
        Value::String(text) => {
            let sentences = text.split(['.', '!', '?', ';', ',', '\n']).map(str::trim);
            found.extend(
                sentences.filter(|part| part.chars().count() >= SHORTEST_SENTENCE).map(str::to_owned),
            );
            let whole = text.trim();
            if whole.chars().count() >= SHORTEST {
                found.push(whole.to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            let own = fields.iter().filter(|(name, _)| !CHOICES.contains(&name.as_str()));
            own.for_each(|(_, value)| collect(value, found));
        }
        _ => {}
    }
}

/// Names of fields stay: they are the program's.
fn hide(texts: &[String], value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            for known in texts {
                if text.contains(known.as_str()) {
                    text = text.replace(known.as_str(), "[of the recipe]");
                }
            }
            text.into()
        }
        Value::Array(items) => items.into_iter().map(|item| hide(texts, item)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, hide(texts, value))).collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::recipe::{document, example};

    #[test]
    fn an_outline_keeps_choices_and_measures_and_no_text() {
        let recipe = document::parse(example::text().as_bytes()).unwrap();
        let told = outline(recipe.clone());
        assert_eq!(told["audio_track"]["script"], json!("(48 characters)"));
        assert_eq!(told["visual_track"]["prompt"], json!("(65 characters)"));
        assert_eq!(told["audio_track"]["voice_id"], recipe["audio_track"]["voice_id"]);
        assert_eq!(told["visual_track"]["expression_sequence"], json!(["neutral", "excited"]));
        assert_eq!(told["slot_params"], recipe["slot_params"]);
        assert_eq!(
            outline(json!({ "anything": { "new": "of mine" } })),
            json!({ "anything": { "new": "(7 characters)" } })
        );
    }

    #[test]
    fn records_tell_how_much_they_repeat_and_not_what() {
        let whole = json!({ "record": { "text": "{ }", "timeline": { "phonemes": [1, 2], "total": 9 } } });
        let told = json!({ "record": { "text": "(3 characters)", "timeline": { "phonemes": "(2 of them)", "total": 9 } } });
        assert_eq!(record(whole), told);
    }

    #[test]
    fn what_a_recipe_says_is_taken_out_of_what_is_told_of_its_slot() {
        let (slot, other) = (SlotId::new(uuid::Uuid::from_u128(1)), SlotId::new(uuid::Uuid::from_u128(2)));
        let mut texts = Texts::default();
        texts.know(
            slot,
            &json!({
                "audio_track": { "script": "My plan is this. Nobody may know! So.", "emotion": "calm" },
                "semantic_constraints": { "banned_concepts": ["a private thing"] },
            }),
        );
        let told =
            json!({ "message": "the word in \"Nobody may know\" is long; a private thing; calm", "n": 1 });
        let hidden = texts.hidden(Some(slot), told.clone());
        assert_eq!(
            hidden,
            json!({ "message": "the word in \"[of the recipe]\" is long; [of the recipe]; calm", "n": 1 })
        );
        // Of a slot whose recipe nobody knows, what may quote it goes altogether.
        assert_eq!(texts.hidden(Some(other), told.clone()), json!({ "message": "(60 characters)", "n": 1 }));
        assert_eq!(texts.hidden(None, told.clone()), told);
    }
}
