//! The verdict, with every reason.

use serde::{Deserialize, Serialize};

use super::ensemble::{Member, Thresholds, clip_score, combine, mean};
use super::questions::{Kind, NEUTRAL_AT, PROMPT, Questions};
use crate::contract::{Scores, UnitEmbedding, Warning};

/// What verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether nothing speaks against the video.
    pub passed: bool,
    /// The score of ViT-B/32.
    pub clip_b: f64,
    /// The score of ViT-L/14.
    pub clip_l: f64,
    /// Both, weighted.
    pub ensemble: f64,
    /// Whether the two models disagree by more than the threshold; a flag, not a reason.
    pub outlier: bool,
    /// What was looked for.
    pub concepts: Vec<Finding>,
    /// Everything that speaks against the video; empty where it passed.
    pub reasons: Vec<Reason>,
    /// `negative_concept_present`, `clip_outlier`, and what the models had to say, once each.
    pub warnings: Vec<Warning>,
    /// How it was judged.
    pub thresholds: Thresholds,
    /// [√w_b·e_b, √w_l·e_l] of the keyframes' mean embeddings.
    pub embedding: UnitEmbedding,
}

/// One concept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its words.
    pub concept: String,
    /// Why it was looked for.
    pub kind: Kind,
    /// By ViT-B/32.
    pub clip_b: Seen,
    /// By ViT-L/14.
    pub clip_l: Seen,
}

/// Where a model saw a concept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Whether on most keyframes.
    pub present: bool,
    /// Keyframes on which it is at least as likely as the neutral text.
    pub keyframes: usize,
    /// Its mean probability.
    pub probability: f64,
}

/// Something that speaks against a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// One model's score is too low.
    ScoreTooLow {
        /// Whose.
        model: Member,
        /// What it is.
        score: f64,
        /// What it must be.
        least: f64,
    },
    /// The ensemble's score is below what the recipe asks.
    EnsembleTooLow {
        /// What it is.
        score: f64,
        /// What it must be.
        least: f64,
    },
    /// A required concept is not seen.
    RequiredAbsent {
        /// Its words.
        concept: String,
        /// Who does not see it.
        models: Vec<Member>,
    },
    /// A banned concept is seen.
    BannedPresent {
        /// Its words.
        concept: String,
        /// Who sees it.
        models: Vec<Member>,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |member: &Member| match member {
            Member::ClipB => "clip_b",
            Member::ClipL => "clip_l",
        };
        let names = |members: &[Member]| members.iter().map(name).collect::<Vec<_>>().join(" and ");
        match self {
            Self::ScoreTooLow { model, score, least } => {
                write!(f, "{} scores {score:.3}, below {least:.3}", name(model))
            }
            Self::EnsembleTooLow { score, least } => {
                write!(f, "the ensemble scores {score:.3}, below min_clip_score {least:.3}")
            }
            Self::RequiredAbsent { concept, models } => {
                write!(f, "required concept {concept:?} is not seen by {}", names(models))
            }
            Self::BannedPresent { concept, models } => {
                write!(f, "banned concept {concept:?} is seen by {}", names(models))
            }
        }
    }
}

/// Scores that do not answer the questions.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the scores of {model:?} do not answer the questions: {why}")]
pub(crate) struct ScoresMismatch {
    model: Member,
    why: String,
}

/// Judges a video by the answers `b` and `l` to `questions`.
///
/// Fails where the answers are not of these questions, or not numbers.
pub(crate) fn judge(
    questions: &Questions,
    b: &Scores,
    l: &Scores,
    thresholds: &Thresholds,
) -> Result<Verdict, ScoresMismatch> {
    let members = [(Member::ClipB, b), (Member::ClipL, l)];
    for (model, scores) in members {
        check(questions, scores).map_err(|why| ScoresMismatch { model, why })?;
    }
    if b.cosines.len() != l.cosines.len() {
        let why = format!("{} keyframes, expected {} as clip_b has", l.cosines.len(), b.cosines.len());
        return Err(ScoresMismatch { model: Member::ClipL, why });
    }
    let [clip_b, clip_l] = members.map(|(_, scores)| score(scores));
    let ensemble = thresholds.weight_b * clip_b + thresholds.weight_l * clip_l;
    let outlier = (clip_b - clip_l).abs() > thresholds.outlier;

    let mut reasons = Vec::new();
    let mut warnings = Vec::new();
    for (model, score) in [(Member::ClipB, clip_b), (Member::ClipL, clip_l)] {
        let least = thresholds.of(model);
        if score < least {
            reasons.push(Reason::ScoreTooLow { model, score, least });
        }
    }
    if let Some(least) = questions.min_clip_score().filter(|least| ensemble < *least) {
        reasons.push(Reason::EnsembleTooLow { score: ensemble, least });
    }
    if outlier {
        let message = format!(
            "clip_b scores {clip_b:.3} and clip_l {clip_l:.3}, more than {} apart",
            thresholds.outlier
        );
        warnings.push(Warning::new("clip_outlier", message));
    }
    let mut concepts = Vec::new();
    for (kind, concept, place) in questions.concepts() {
        let [clip_b, clip_l] = members.map(|(_, scores)| seen(scores, place));
        let who = |present: bool| -> Vec<Member> {
            let both = [(Member::ClipB, clip_b), (Member::ClipL, clip_l)];
            both.into_iter().filter(|(_, seen)| seen.present == present).map(|(member, _)| member).collect()
        };
        let models = who(kind != Kind::Required);
        let concept = concept.to_owned();
        if !models.is_empty() {
            let concept = concept.clone();
            match kind {
                Kind::Required => reasons.push(Reason::RequiredAbsent { concept, models }),
                Kind::Banned => reasons.push(Reason::BannedPresent { concept, models }),
                Kind::Negative => warnings.push(Warning::new(
                    "negative_concept_present",
                    format!("{concept:?} of the negative prompt is seen by {models:?}"),
                )),
            }
        }
        concepts.push(Finding { concept, kind, clip_b, clip_l });
    }
    for warning in b.warnings.iter().chain(&l.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    let frames = members.map(|(model, scores)| {
        let why = || "the keyframes' embeddings have no mean direction".to_owned();
        mean(&scores.image_embeddings).ok_or_else(|| ScoresMismatch { model, why: why() })
    });
    let [frame_b, frame_l] = frames;
    let embedding = combine(&frame_b?, &frame_l?, thresholds).ok_or_else(|| ScoresMismatch {
        model: Member::ClipL,
        why: format!("weights {} and {} leave no direction", thresholds.weight_b, thresholds.weight_l),
    })?;
    let thresholds = *thresholds;
    let passed = reasons.is_empty();
    Ok(Verdict {
        passed,
        clip_b,
        clip_l,
        ensemble,
        outlier,
        concepts,
        reasons,
        warnings,
        thresholds,
        embedding,
    })
}

fn check(questions: &Questions, scores: &Scores) -> Result<(), String> {
    let texts = questions.texts().len();
    if scores.cosines.is_empty() {
        return Err("no keyframes, expected at least one".to_owned());
    }
    if scores.image_embeddings.len() != scores.cosines.len() {
        return Err(format!(
            "{} image embeddings, expected {} as there are keyframes",
            scores.image_embeddings.len(),
            scores.cosines.len()
        ));
    }
    for (keyframe, cosines) in scores.cosines.iter().enumerate() {
        if cosines.len() != texts {
            return Err(format!("{} cosines at keyframe {keyframe}, expected {texts}", cosines.len()));
        }
        // A little beyond 1 is rounding.
        let possible = |cosine: f32| cosine.abs() <= 1.01; // false for NaN
        if let Some(cosine) = cosines.iter().find(|cosine| !possible(**cosine)) {
            return Err(format!("{cosine} as a cosine at keyframe {keyframe}, expected -1 to 1"));
        }
    }
    if !(scores.logit_scale.is_finite() && scores.logit_scale > 0.0) {
        return Err(format!("logit_scale {}, expected a number above zero", scores.logit_scale));
    }
    Ok(())
}

/// The mean CLIPScore of the prompt.
fn score(scores: &Scores) -> f64 {
    let of = |cosines: &Vec<f32>| clip_score(f64::from(cosines[PROMPT]));
    scores.cosines.iter().map(of).sum::<f64>() / scores.cosines.len() as f64
}

/// Softmax over two is the logistic function of their difference; at least one half where the concept fits as well as
/// the neutral text, whatever the temperature.
fn seen(scores: &Scores, place: usize) -> Seen {
    let probability = |cosines: &Vec<f32>| {
        let difference = f64::from(cosines[place]) - f64::from(cosines[NEUTRAL_AT]);
        1.0 / (1.0 + (-f64::from(scores.logit_scale) * difference).exp())
    };
    let probabilities: Vec<f64> = scores.cosines.iter().map(probability).collect();
    let keyframes = probabilities.iter().filter(|probability| **probability >= 0.5).count();
    let total = probabilities.len();
    Seen {
        present: 2 * keyframes > total,
        keyframes,
        probability: probabilities.iter().sum::<f64>() / total as f64,
    }
}
