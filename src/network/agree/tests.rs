use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::journal::{Artifact, Failure};
use crate::recipe::{Recipe, document, example};
use crate::signing::to_hex;
use crate::sink::{BundleRef, Frames, NodeReport, RecipeRef, sign};
use crate::types::{Bytes, DeviceId, Resolution};

fn key(node: u8) -> SigningKey {
    SigningKey::from_bytes(&[node; 32])
}

fn id(node: u8) -> PublicKey {
    PublicKey(key(node).verifying_key().to_bytes())
}

/// A good video in whose keyframes the check saw `embedding`.
fn manifest(embedding: &[f64], video: &[u8]) -> Manifest {
    let recipe = Recipe::read(example::text().as_bytes()).unwrap();
    let artifact = |name: &str, bytes: &[u8]| Artifact {
        name: name.to_owned(),
        sha256: Sha256::of(bytes),
        bytes: Bytes::new(bytes.len() as u64),
    };
    let verdict = json!({
        "passed": true, "clip_b": 0.8, "clip_l": 0.8, "ensemble": 0.8, "outlier": false,
        "concepts": [], "reasons": [], "warnings": [],
        "thresholds": { "clip_b": 0.7, "clip_l": 0.72, "weight_b": 0.5, "weight_l": 0.5, "outlier": 0.15 },
        "embedding": embedding,
    });
    Manifest {
        version: sink::VERSION,
        trace_id: None,
        recipe_id: recipe.slot(),
        outcome: Outcome::Completed,
        recipe: RecipeRef { sha256: Sha256::of(&document::canonical(recipe.document())) },
        bundle: BundleRef { name: "demo".into(), sha256: Sha256::of(b"bundle"), lock_sha256: None },
        artifacts: vec![
            artifact("recipe.json", example::text().as_bytes()),
            artifact("video.mp4", video),
            artifact("audio.wav", b"sound"),
            artifact("actor.png", b"picture"),
            artifact("keyframes/00000.png", b"first"),
        ],
        verification: Some(serde_json::from_value(verdict).unwrap()),
        stages: vec![],
        elapsed: 9.5,
        deadline: None,
        deadline_met: true,
        models: vec![],
        frames: Some(Frames {
            resolution: Resolution::new(512, 512).unwrap(),
            fps: 24,
            total: 24,
            rendered: 24,
            reused: 0,
            blended: 0,
            batch: 4,
            keyframes: vec![0],
            plan_sha256: Sha256::of(b"plan"),
        }),
        warnings: vec![],
        node: NodeReport {
            id: id(0),
            version: "0.1.0".into(),
            device: DeviceId::Cpu,
            profile: "cpu".into(),
            threads: 2,
            frame_batch: 4,
        },
        rendered_at: 1_800_000_000,
    }
}

fn signed(name: &str, node: u8, manifest: &Manifest) -> Candidate {
    Candidate { name: name.to_owned(), text: sink::text(&sign(manifest, &key(node)).unwrap()) }
}

/// What `node` saw in the direction `angle`, and what it made.
fn seen(node: u8, angle: f64, video: &[u8]) -> Candidate {
    signed(&format!("of-{node}"), node, &manifest(&[angle.cos(), angle.sin()], video))
}

fn changed(node: u8, change: impl FnOnce(&mut Manifest)) -> Candidate {
    let mut manifest = manifest(&[1.0, 0.0], b"frames");
    change(&mut manifest);
    signed(&format!("of-{node}"), node, &manifest)
}

/// With a number that no f32 holds, which no node writes and anybody can sign.
fn infinite(node: u8) -> Candidate {
    let mut document = serde_json::to_value(manifest(&[1.0, 0.0], b"frames")).unwrap();
    document["node"]["id"] = json!(id(node));
    document["verification"]["embedding"][0] = json!(1e39);
    let signature = key(node).sign(&document::canonical(&document));
    document["signature"] = to_hex(&signature.to_bytes()).into();
    Candidate { name: format!("of-{node}"), text: sink::text(&document) }
}

fn group(agreement: &Agreement) -> Vec<&str> {
    let members = agreement.members.iter().filter(|member| member.is_in_group);
    let mut names: Vec<&str> = members.map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn needing(needs: usize) -> Terms {
    Terms { needs: NonZeroUsize::new(needs).unwrap(), ..Terms::default() }
}

#[test]
fn five_that_rendered_the_same_agree_and_their_files_are_counted() {
    let all = (1..=5).map(|node| seen(node, 0.0, if node < 5 { b"frames" } else { b"others" }));
    let agreement = agree(all.collect(), &Terms::default()).unwrap();
    assert!(agreement.is_reached && agreement.refused.is_empty(), "{agreement:#?}");
    assert_eq!(group(&agreement), ["of-1", "of-2", "of-3", "of-4", "of-5"]);
    assert_eq!((agreement.identical, agreement.identical_videos), (4, 4));
    assert_eq!(agreement.pairs.len(), 10);
    assert!(agreement.members.is_sorted_by_key(|member| member.node.0));
    let manifest = manifest(&[1.0, 0.0], b"frames");
    let subject = Subject { slot: manifest.recipe_id, recipe: manifest.recipe.sha256 };
    assert_eq!(agreement.subject, Some(subject));

    let other_sound = changed(6, |it| it.artifacts[2].sha256 = Sha256::of(b"noise"));
    let other_layout = changed(7, |it| it.artifacts[0].sha256 = Sha256::of(b"{ }"));
    let agreement =
        agree(vec![seen(1, 0.0, b"frames"), other_sound, other_layout], &Terms::default()).unwrap();
    assert_eq!((agreement.identical, agreement.identical_videos), (2, 3));
}

#[test]
fn three_of_five_are_needed_and_each_two_of_them_must_agree() {
    // cos 18 degrees is 0.951, cos 19 degrees 0.946: each agrees with its neighbours, the ends with nobody else.
    let chain = |degrees: [f64; 5]| {
        let of = |(node, degrees): (u8, f64)| seen(node, degrees.to_radians(), b"frames");
        agree((1..=5).zip(degrees).map(of).collect(), &Terms::default()).unwrap()
    };
    let agreement = chain([0.0, 17.0, 34.0, 51.0, 68.0]);
    assert!(!agreement.is_reached && group(&agreement).len() == 2, "{agreement:#?}");
    let agreement = chain([0.0, 9.0, 18.0, 90.0, 108.0]);
    assert!(agreement.is_reached);
    assert_eq!(group(&agreement), ["of-1", "of-2", "of-3"]);
    assert_eq!(group(&chain([0.0, 9.0, 19.0, 90.0, 108.0])).len(), 2);
    let none = agree(vec![], &Terms::default()).unwrap();
    assert!(!none.is_reached && none.subject.is_none() && none.members.is_empty());
}

#[test]
fn among_groups_of_one_size_the_one_with_more_equal_videos_counts_and_then_the_smallest_ids() {
    let two = |videos: [&'static [u8]; 4]| {
        let of = |(node, video): (u8, &[u8])| seen(node, if node < 3 { 0.0 } else { 1.5 }, video);
        agree((1..=4).zip(videos).map(of).collect(), &needing(2)).unwrap()
    };
    assert_eq!(group(&two([b"a", b"b", b"c", b"c"])), ["of-3", "of-4"]);
    assert_eq!(group(&two([b"a", b"a", b"b", b"c"])), ["of-1", "of-2"]);
    let smallest = (1..=4).min_by_key(|node| id(*node).0).unwrap();
    let equal = two([b"a", b"a", b"c", b"c"]);
    assert!(group(&equal).contains(&format!("of-{smallest}").as_str()), "{equal:#?}");
}

#[test]
fn what_does_not_count_is_refused_with_its_reason() {
    let unit = |values: &str| serde_json::from_str(values).unwrap();
    type Change = (&'static str, fn(&mut Manifest));
    let cases: Vec<Change> = vec![
        ("not_completed", |it| {
            let (cause, message) = (Failure::Timeout, "slow".to_owned());
            it.outcome = Outcome::Failed { cause, stage: None, message, reasons: vec![] };
        }),
        ("no_embedding", |it| it.verification = None),
        ("contradiction", |it| it.verification.as_mut().unwrap().passed = false),
        ("contradiction", |it| it.artifacts.retain(|file| file.name != VIDEO)),
        ("other_subject", |it| it.recipe.sha256 = Sha256::of(b"another")),
        ("other_subject", |it| it.recipe_id = SlotId::new(uuid::Uuid::nil())),
    ];
    let mut candidates: Vec<(&str, Candidate)> =
        cases.into_iter().map(|(name, change)| (name, changed(9, change))).collect();
    for (name, embedding) in [("no_embedding", "[]"), ("not_unit", "[0.5, 0.5]")] {
        let wrong = changed(9, |it| it.verification.as_mut().unwrap().embedding = unit(embedding));
        candidates.push((name, wrong));
    }
    candidates.push(("not_unit", infinite(9)));
    candidates.push(("unsigned", Candidate { name: "of-9".into(), text: "{}".into() }));
    for (reason, wrong) in candidates {
        let all = vec![seen(1, 0.0, b"frames"), wrong, seen(2, 0.0, b"frames")];
        let agreement = agree(all, &needing(2)).unwrap();
        let [refused] = &agreement.refused[..] else { panic!("{reason}: {agreement:#?}") };
        assert_eq!((refused.why.name(), refused.name.as_str()), (reason, "of-9"), "{refused:?}");
        assert_eq!(refused.node, (reason != "unsigned").then(|| id(9)));
        assert!(agreement.is_reached, "the others are judged all the same");
    }
}

#[test]
fn a_node_has_one_voice_and_it_is_what_it_said_first() {
    let first = changed(1, |it| it.rendered_at -= 1);
    let second = Candidate { name: "again".into(), ..seen(1, 1.5, b"others") };
    let same = Candidate { name: "copy".into(), text: first.text.clone() };
    let all = vec![second, seen(2, 1.5, b"others"), same, first];
    let agreement = agree(all, &needing(2)).unwrap();
    assert!(!agreement.is_reached, "{agreement:#?}");
    let refused: Vec<_> = agreement.refused.iter().map(|it| (it.name.as_str(), it.why.clone())).collect();
    let why = Refusal::SecondOfNode(id(1));
    assert_eq!(refused, [("again", why.clone()), ("of-1", why)]);
}

#[test]
fn only_known_nodes_count_where_some_are_listed() {
    let all = || (1..=4).map(|node| seen(node, 0.0, b"frames")).collect::<Vec<_>>();
    let known = Terms { known: vec![id(1), id(2), id(3), id(8)], ..Terms::default() };
    let agreement = agree(all(), &known).unwrap();
    assert_eq!(agreement.refused.len(), 1);
    assert_eq!(agreement.refused[0].why, Refusal::UnknownNode(id(4)));
    assert_eq!(group(&agreement), ["of-1", "of-2", "of-3"]);
    let fewer = Terms { known: vec![id(1), id(2)], ..known };
    assert!(!agree(all(), &fewer).unwrap().is_reached);
}

#[test]
fn embeddings_of_other_models_agree_with_nobody() {
    let wide = signed("of-2", 2, &manifest(&[1.0, 0.0, 0.0], b"frames"));
    let agreement = agree(vec![seen(1, 0.0, b"frames"), wide], &needing(2)).unwrap();
    assert_eq!(agreement.pairs, [Pair { of: (0, 1), cosine: None, agrees: false }]);
    assert!(!agreement.is_reached);
}

#[test]
fn more_results_than_can_be_compared_are_told() {
    let all = |count: u8| (1..=count).map(|node| seen(node, 0.0, b"frames")).collect::<Vec<_>>();
    assert_eq!(agree(all(33), &Terms::default()), Err(TooMany(33)));
    assert_eq!(group(&agree(all(32), &Terms::default()).unwrap()).len(), 32);
}

/// Some nodes, what each saw and made, and an order to hear them in.
fn heard() -> impl Strategy<Value = (Vec<Candidate>, Vec<Candidate>)> {
    let one = (1u8..6, 0u8..60, 0u8..3);
    prop::collection::vec(one, 0..7).prop_flat_map(|results| {
        let results = results.into_iter().enumerate().map(|(at, (node, degrees, video))| Candidate {
            name: format!("{at}"),
            ..seen(node, f64::from(degrees).to_radians(), &[video])
        });
        let results: Vec<Candidate> = results.collect();
        (Just(results.clone()), Just(results).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_results_changes_nothing((results, shuffled) in heard()) {
        let agreement = agree(results, &Terms::default()).unwrap();
        prop_assert_eq!(agree(shuffled, &Terms::default()).unwrap(), agreement);
    }

    #[test]
    fn each_two_of_a_group_agree_and_nobody_is_lost((results, _) in heard()) {
        let count = results.len();
        let agreement = agree(results, &Terms::default()).unwrap();
        let in_group: Vec<bool> = agreement.members.iter().map(|member| member.is_in_group).collect();
        for pair in agreement.pairs.iter().filter(|pair| in_group[pair.of.0] && in_group[pair.of.1]) {
            prop_assert!(pair.agrees && pair.cosine > Some(0.95));
        }
        let size = in_group.iter().filter(|is_in| **is_in).count();
        prop_assert_eq!(agreement.is_reached, size >= 3);
        prop_assert_eq!(agreement.members.len() + agreement.refused.len(), count);
        prop_assert!(agreement.identical <= agreement.identical_videos && agreement.identical_videos <= size);
    }

    #[test]
    fn a_result_with_a_changed_byte_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..7) {
        let good = seen(3, 0.0, b"frames");
        let mut bytes = good.text.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let forged = Candidate { name: "forged".into(), text: String::from_utf8_lossy(&bytes).into_owned() };
        let others = [seen(1, 0.0, b"frames"), seen(2, 0.0, b"frames")];
        let whole = agree(others.iter().cloned().chain([good]).collect(), &Terms::default()).unwrap();
        prop_assert!(whole.is_reached);
        let agreement = agree(others.into_iter().chain([forged]).collect(), &Terms::default()).unwrap();
        prop_assert!(!agreement.is_reached, "{:?}", agreement);
        prop_assert_eq!((agreement.refused.len(), agreement.refused[0].node), (1, None));
        prop_assert_eq!(agreement.refused[0].why.name(), "unsigned");
    }
}
