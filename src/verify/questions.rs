//! Which texts a video is compared with, and which of them means what.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a recipe wants to see and not to see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Criteria {
    /// What the video should show.
    pub prompt: String,
    /// What it had better not show: concepts between commas.
    pub negative_prompt: String,
    /// Concepts that must be seen.
    pub required: Vec<String>,
    /// Concepts that must not be seen.
    pub banned: Vec<String>,
    /// The least score of the ensemble.
    pub min_clip_score: Option<f64>,
}

/// Why a concept is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Must be seen.
    Required,
    /// Must not be seen.
    Banned,
    /// Had better not be seen; warns only.
    Negative,
}

/// Fits every picture: a concept is present where it fits better than this.
pub(crate) const NEUTRAL: &str = "a photo";

/// The texts of one `Score` job, in order, and their meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Questions {
    texts: Arc<[String]>,
    concepts: Vec<(Kind, String, usize)>,
    min_clip_score: Option<f64>,
}

/// Where the prompt stands.
pub(super) const PROMPT: usize = 0;
/// Where the neutral text stands.
pub(super) const NEUTRAL_AT: usize = 1;

impl Questions {
    /// The prompt, the neutral text, then every concept once, required before banned before negative.
    pub(crate) fn new(criteria: &Criteria) -> Self {
        let mut texts = vec![criteria.prompt.clone(), NEUTRAL.to_owned()];
        let mut concepts: Vec<(Kind, String, usize)> = Vec::new();
        let negative: Vec<String> = criteria.negative_prompt.split(',').map(str::to_owned).collect();
        for (kind, list) in [
            (Kind::Required, &criteria.required),
            (Kind::Banned, &criteria.banned),
            (Kind::Negative, &negative),
        ] {
            for concept in list.iter().map(|concept| concept.trim()).filter(|concept| !concept.is_empty()) {
                if concepts.iter().any(|(of, text, _)| *of == kind && text == concept) {
                    continue;
                }
                // The prompt's place is its own: a concept of the same words is a question of another kind.
                let known = texts.iter().skip(NEUTRAL_AT).position(|text| text == concept);
                let place = known.map_or(texts.len(), |place| place + NEUTRAL_AT);
                if known.is_none() {
                    texts.push(concept.to_owned());
                }
                concepts.push((kind, concept.to_owned(), place));
            }
        }
        Self { texts: texts.into(), concepts, min_clip_score: criteria.min_clip_score }
    }

    /// What to score, in order; shared by the jobs of both models.
    pub(crate) fn texts(&self) -> Arc<[String]> {
        Arc::clone(&self.texts)
    }

    /// Every concept: why it is looked for, its words, its place among the texts.
    pub(super) fn concepts(&self) -> impl Iterator<Item = (Kind, &str, usize)> {
        self.concepts.iter().map(|(kind, text, place)| (*kind, text.as_str(), *place))
    }

    /// The least score of the ensemble, where the recipe names one.
    pub(crate) fn min_clip_score(&self) -> Option<f64> {
        self.min_clip_score
    }
}
