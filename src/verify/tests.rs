//! Verdicts on made-up scores.

use proptest::prelude::*;

use super::ensemble::combine;
use super::questions::{Kind, NEUTRAL};
use super::*;
use crate::contract::{Scores, UnitEmbedding, Warning};

fn criteria() -> Criteria {
    Criteria {
        prompt: "a green alien".into(),
        negative_prompt: "blurry, extra fingers,, ".into(),
        required: vec!["alien".into()],
        banned: vec!["weapon".into()],
        min_clip_score: None,
    }
}

/// Texts of [`criteria`]: prompt, neutral, alien, weapon, blurry, extra fingers.
fn scores(keyframes: usize, cosines: [f32; 6]) -> Scores {
    Scores {
        image_embeddings: vec![UnitEmbedding::normalise(vec![1.0, 2.0]).unwrap(); keyframes],
        text_embeddings: vec![UnitEmbedding::normalise(vec![1.0, 0.0]).unwrap(); 6],
        cosines: vec![cosines.to_vec(); keyframes],
        logit_scale: 100.0,
        warnings: Vec::new(),
    }
}

const GOOD: [f32; 6] = [0.30, 0.20, 0.25, 0.10, 0.10, 0.10];

fn verdict(b: &Scores, l: &Scores) -> Verdict {
    judge(&Questions::new(&criteria()), b, l, &Thresholds::default()).unwrap()
}

#[test]
fn keyframes_are_spread_over_the_whole_video() {
    assert_eq!(keyframes(1080), [0, 270, 540, 810, 1079]);
    assert_eq!(keyframes(5), [0, 1, 2, 3, 4]);
    assert_eq!(keyframes(2), [0, 1]);
    assert_eq!(keyframes(1), [0]);
    assert_eq!(keyframes(0), [0; 0]);
    assert_eq!(keyframes(u32::MAX).last(), Some(&(u32::MAX - 1)));
}

#[test]
fn questions_come_once_each_in_order() {
    let mut criteria = criteria();
    criteria.banned.extend(["weapon ".to_owned(), "alien".to_owned()]);
    let questions = Questions::new(&criteria);
    assert_eq!(
        questions.texts()[..],
        ["a green alien", NEUTRAL, "alien", "weapon", "blurry", "extra fingers"]
    );
    let concepts: Vec<_> = questions.concepts().collect();
    assert_eq!(
        concepts,
        [
            (Kind::Required, "alien", 2),
            (Kind::Banned, "weapon", 3),
            (Kind::Banned, "alien", 2),
            (Kind::Negative, "blurry", 4),
            (Kind::Negative, "extra fingers", 5),
        ]
    );
}

#[test]
fn a_good_video_passes_with_its_scores() {
    let verdict = verdict(&scores(5, GOOD), &scores(5, [0.32, 0.20, 0.25, 0.10, 0.10, 0.10]));
    assert!(verdict.passed && verdict.reasons.is_empty() && verdict.warnings.is_empty(), "{verdict:?}");
    assert!((verdict.clip_b - 0.75).abs() < 1e-6 && (verdict.clip_l - 0.80).abs() < 1e-6);
    assert!((verdict.ensemble - (0.4 * 0.75 + 0.6 * 0.80)).abs() < 1e-6);
    assert!(!verdict.outlier);
}

#[test]
fn every_reason_is_named_at_once() {
    let mut criteria = criteria();
    criteria.min_clip_score = Some(0.9);
    let bad = scores(5, [0.10, 0.20, 0.15, 0.21, 0.22, 0.10]);
    let verdict = judge(&Questions::new(&criteria), &scores(5, GOOD), &bad, &Thresholds::default()).unwrap();
    assert!(!verdict.passed && verdict.outlier);
    let told: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "clip_l scores 0.250, below 0.720",
            "the ensemble scores 0.450, below min_clip_score 0.900",
            "required concept \"alien\" is not seen by clip_l",
            "banned concept \"weapon\" is seen by clip_l",
        ]
    );
    let codes: Vec<&str> = verdict.warnings.iter().map(|warning| warning.code.as_ref()).collect();
    assert_eq!(codes, ["clip_outlier", "negative_concept_present"]);
    let json = serde_json::to_string(&verdict).unwrap();
    assert!(json.contains(r#""reason":"required_absent","concept":"alien","models":["clip_l"]"#), "{json}");
    let back: Verdict = serde_json::from_str(&json).unwrap();
    assert_eq!((back.passed, back.warnings, back.reasons.len()), (false, verdict.warnings, 4));
}

#[test]
fn a_concept_is_present_on_more_than_half_of_the_keyframes() {
    for (with, total, present) in [(2, 5, false), (3, 5, true), (2, 4, false), (3, 4, true), (1, 1, true)] {
        let mut seen = scores(total, GOOD);
        seen.cosines.iter_mut().take(with).for_each(|cosines| cosines[3] = 0.2);
        let verdict = verdict(&scores(total, GOOD), &seen);
        assert_eq!(verdict.passed, !present, "{with} of {total}");
        assert_eq!(verdict.concepts[1].clip_l.keyframes, with);
    }
}

#[test]
fn what_a_model_cut_is_told_once() {
    let mut cut = scores(5, GOOD);
    cut.warnings.push(Warning::new("text_truncated", "long"));
    assert_eq!(verdict(&cut, &cut).warnings.len(), 1);
}

#[test]
fn answers_to_other_questions_are_refused() {
    let good = scores(5, GOOD);
    let refused = |change: &dyn Fn(&mut Scores)| {
        let mut changed = good.clone();
        change(&mut changed);
        judge(&Questions::new(&criteria()), &good, &changed, &Thresholds::default()).unwrap_err().to_string()
    };
    for (error, expected) in [
        (refused(&|scores| scores.cosines[2].truncate(3)), "3 cosines at keyframe 2, expected 6"),
        (refused(&|scores| scores.cosines[1][0] = f32::NAN), "NaN as a cosine at keyframe 1"),
        (refused(&|scores| scores.cosines.clear()), "no keyframes"),
        (refused(&|scores| scores.image_embeddings.truncate(1)), "1 image embeddings, expected 5"),
        (refused(&|scores| scores.logit_scale = f32::INFINITY), "logit_scale inf"),
        (
            refused(&|scores| {
                scores.cosines.truncate(4);
                scores.image_embeddings.truncate(4);
            }),
            "4 keyframes, expected 5",
        ),
        (
            refused(&|scores| {
                let turned =
                    |v: &UnitEmbedding| UnitEmbedding::normalise(v.values().iter().map(|x| -x).collect());
                let mut frames = vec![scores.image_embeddings[0].clone(); 5];
                frames.truncate(4);
                frames[2] = turned(&frames[0]).unwrap();
                frames[3] = frames[2].clone();
                scores.cosines.truncate(4);
                scores.image_embeddings = frames;
            }),
            "keyframes",
        ),
    ] {
        assert!(error.contains("ClipL") && error.contains(expected), "{error}");
    }
}

fn unit(size: usize) -> impl Strategy<Value = UnitEmbedding> {
    prop::collection::vec(-1f32..1.0, size).prop_filter_map("no direction", UnitEmbedding::normalise)
}

proptest! {
    #[test]
    fn the_dot_product_is_the_weighted_mean_of_the_cosines(
        (b, c) in (unit(512), unit(512)),
        (l, m) in (unit(768), unit(768)),
    ) {
        let thresholds = Thresholds::default();
        let (first, second) = (combine(&b, &l, &thresholds).unwrap(), combine(&c, &m, &thresholds).unwrap());
        let expected = 0.4 * b.cosine(&c) + 0.6 * l.cosine(&m);
        prop_assert!((first.cosine(&second) - expected).abs() < 1e-6);
        prop_assert!((first.cosine(&first) - 1.0).abs() < 1e-6);
        prop_assert_eq!(first.values().len(), 512 + 768);
    }

    #[test]
    fn better_cosines_never_turn_a_pass_into_a_failure(cosine in 0f32..0.39, more in 0f32..0.1) {
        let with = |cosine: f32| scores(5, [cosine, 0.2, 0.25, 0.1, 0.1, 0.1]);
        let (before, after) = (with(cosine), with(cosine + more));
        prop_assert!(!verdict(&before, &before).passed || verdict(&after, &after).passed);
    }
}
