//! The command from its arguments to its exit code, against a server that plays a node; and what is known of a recipe on
//! its way.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::SubmitCommand;
use super::job::{Change, Job, Stand, waiting};
use super::read::Document;
use crate::api::views::{SlotState, SlotView, StageState};
use crate::cli::remote::testing::{Ran, parse, run};
use crate::client::fake::{
    AT, Fake, ONE, OTHER, Seen, Then, artifact, events, file, frame, problem, reply, slot,
};
use crate::clock;
use crate::exit::Exit;
use crate::network::progress::Progress;
use crate::recipe::example;

struct Recipes {
    folder: tempfile::TempDir,
}

impl Recipes {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn recipe(&self, id: &str) -> String {
        let path = self.path(&format!("{}.json", &id[..4]));
        std::fs::write(&path, example::with_prompt(id.parse().unwrap(), None, &[])).unwrap();
        path.display().to_string()
    }
}

fn submit(url: &str, arguments: &[&str]) -> Ran {
    run::<SubmitCommand>(&[arguments, &["--url", url]].concat(), SubmitCommand::run)
}

fn ended(id: &str, state: SlotState) -> SlotView {
    SlotView { artifacts: vec![artifact(id, "video.mp4", b"moving pictures")], ..slot(id, state) }
}

/// A node on which `ONE` is queued when it is read first (at once, and when its events are listened to), and then ends.
fn node(state: SlotState) -> Fake {
    Fake::start(move |seen| match (seen.method.as_str(), seen.path.rsplit('/').next().unwrap()) {
        ("PUT", _) => reply(202, &slot(ONE, SlotState::Queued)),
        (_, "events") => {
            let event = |id: &str, mut event: Value| {
                event["slot"] = json!(ONE);
                event["at"] = json!(AT + 1.0);
                frame(id, &event)
            };
            let text = [
                event("g-1", json!({ "event": "stage_began", "stage": "image", "attempt": 1 })),
                event(
                    "",
                    json!({ "event": "stage_progress", "stage": "image", "progress": { "done": 2, "total": 4 } }),
                ),
                event("g-2", json!({ "event": "image_complete", "took": 1.5 })),
                event("g-3", json!({ "event": "generation_complete", "elapsed": 34.0 })),
            ];
            events(&text.concat(), Then::Silence)
        }
        (_, "video.mp4") => file(seen, b"moving pictures", 99),
        _ if seen.before < 2 => reply(200, &slot(ONE, SlotState::Queued)),
        _ => reply(200, &ended(ONE, state)),
    })
}

#[test]
fn a_recipe_is_handed_in_and_its_place_told() {
    let recipes = Recipes::new();
    let fake = node(SlotState::Completed);
    let ran = submit(&fake.url, &[&recipes.recipe(ONE)]);
    assert_eq!(ran.exit, Exit::Success);
    assert_eq!(ran.out, format!("accepted {ONE}  queued, 2 before it, about 1 min 35 s\n"));
    assert_eq!((ran.err.as_str(), fake.asked()), ("", vec![format!("PUT /v1/slots/{ONE}")]));
}

#[test]
fn waiting_shows_the_way_and_fetches_what_is_made() {
    let recipes = Recipes::new();
    let fake = node(SlotState::Completed);
    let out = recipes.path("out");
    let ran = submit(&fake.url, &[&recipes.recipe(ONE), "--wait", "--out", out.to_str().unwrap()]);
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    for part in ["in: queued, 2 before it", "image begins", "image 2 of 4", "image done", "completed in 34 s"]
    {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert_eq!(ran.out, format!("{ONE}  completed in 34 s, 1 file\n"));
    assert_eq!(std::fs::read(out.join("video.mp4")).unwrap(), b"moving pictures");
}

#[test]
fn waiting_tells_machines_every_event_and_the_end_last() {
    let recipes = Recipes::new();
    let fake = node(SlotState::Failed);
    let ran = submit(&fake.url, &[&recipes.recipe(ONE), "--wait", "--json"]);
    assert_eq!(ran.exit, Exit::Failure, "a slot that failed is no success: {ran:?}");
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"slot"));
    assert!(kinds.contains(&"stage_began") && kinds.contains(&"stage_progress"), "{kinds:?}");
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["ok"]), (&json!("end"), &json!(false)));
    assert_eq!(last["slots"][0]["slot"]["state"], "failed");
}

#[test]
fn a_node_that_is_full_is_asked_again_within_patience() {
    let recipes = Recipes::new();
    let full = |seen: &Seen| problem(429, "queue-full", "64 of 64 wait", 1, json!({ "before": seen.before }));
    let fake = Fake::start(move |seen| match (seen.method.as_str(), seen.before) {
        ("PUT", 0) => full(seen),
        _ => reply(200, &ended(ONE, SlotState::Completed)),
    });
    let ran = submit(&fake.url, &[&recipes.recipe(ONE), "--wait"]);
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    assert!(ran.err.contains("64 of 64 wait") && ran.err.contains("again in 1 s"), "{}", ran.err);
    // Without --wait, or without patience, it is told and left at that.
    let fake = Fake::start(full);
    let ran = submit(&fake.url, &[&recipes.recipe(ONE)]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.err.contains("come again in 1 s"), "{}", ran.err);
    let ran = submit(&fake.url, &[&recipes.recipe(ONE), "--wait", "--patience", "0s"]);
    assert_eq!((ran.exit, fake.asked().len()), (Exit::Failure, 2));
}

#[test]
fn wrong_recipes_are_told_together_and_nothing_is_sent() {
    let recipes = Recipes::new();
    let fake = node(SlotState::Completed);
    let (good, wrong) = (recipes.recipe(ONE), recipes.path("wrong.json"));
    std::fs::write(&wrong, "{\"version\": \"1.0.0\", \"seed\": -1}").unwrap();
    let missing = recipes.path("missing.json");
    let arguments = [&good, wrong.to_str().unwrap(), missing.to_str().unwrap()];
    let ran = submit(&fake.url, &arguments);
    assert_eq!(ran.exit, Exit::BadInput);
    for part in ["wrong.json", "version", "seed", "missing.json", "cannot be read", "nothing was handed in"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let ran = submit(&fake.url, &[&arguments[..], &["--json"]].concat());
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["recipes"].as_array().unwrap().len(), 2);
    assert!(fake.asked().is_empty());
}

#[test]
fn what_the_node_refuses_decides_the_exit_code_and_stops_nothing_else() {
    let recipes = Recipes::new();
    let (one, other) = (recipes.recipe(ONE), recipes.recipe(OTHER));
    let play = |status: u16, kind: &'static str, extra: Value| {
        Fake::start(move |seen| match seen.path.contains(ONE) {
            true => problem(status, kind, "this one not", 0, extra.clone()),
            false => reply(202, &slot(OTHER, SlotState::Queued)),
        })
    };
    for (status, kind, extra, exit) in [
        (422, "invalid-recipe", json!({ "errors": ["audio_track.voice_id: nobody"] }), Exit::BadInput),
        (403, "signer", json!({}), Exit::BadInput),
        (422, "late", json!({ "eta": 300.0 }), Exit::Failure),
        (409, "conflict", json!({}), Exit::Failure),
        (507, "storage", json!({}), Exit::Failure),
    ] {
        let fake = play(status, kind, extra);
        let ran = submit(&fake.url, &[&one, &other]);
        assert_eq!(ran.exit, exit, "{kind}: {ran:?}");
        assert!(ran.err.contains("this one not") && ran.out.contains(OTHER), "{ran:?}");
    }
    let fake = play(422, "invalid-recipe", json!({ "errors": ["audio_track.voice_id: nobody"] }));
    assert!(submit(&fake.url, &[&one]).err.contains("audio_track.voice_id: nobody"));
    let fake = play(401, "unauthorized", json!({}));
    let ran = submit(&fake.url, &[&one, &other]);
    assert_eq!((ran.exit, fake.asked().len()), (Exit::BadInput, 1), "the others would be refused, too");
    assert!(ran.err.contains("vortex-node token new"), "{}", ran.err);
}

#[test]
fn a_stream_that_breaks_is_no_end() {
    let recipes = Recipes::new();
    let fake = Fake::start(|seen| match (seen.method.as_str(), seen.path.ends_with("events"), seen.before) {
        ("PUT", ..) => reply(202, &slot(ONE, SlotState::Queued)),
        (_, true, 0) => events(": hello\n\n", Then::Break),
        (_, true, _) => events("event: gap\ndata: {}\n\n", Then::Silence),
        // Twice on connecting, and once for the gap: by then it is over.
        (_, false, 0 | 1) => reply(200, &slot(ONE, SlotState::Running)),
        _ => reply(200, &ended(ONE, SlotState::Cancelled)),
    });
    let ran = submit(&fake.url, &[&recipes.recipe(ONE), "--wait"]);
    assert_eq!(ran.exit, Exit::Failure, "{ran:?}");
    assert!(ran.err.contains("trying again") && ran.out.contains("cancelled"), "{ran:?}");
}

#[test]
fn a_slot_whose_result_another_node_had_first_is_no_success_and_says_so() {
    let recipes = Recipes::new();
    let fake = node(SlotState::Superseded);
    let ran = submit(&fake.url, &[&recipes.recipe(ONE), "--wait"]);
    assert_eq!(ran.exit, Exit::Failure, "{ran:?}");
    assert!(ran.out.contains("superseded in 34 s, another node's result was first"), "{ran:?}");
    let mut job = job();
    job.read(slot(ONE, SlotState::Running), clock::now());
    assert_eq!(job.hear("slot_superseded", &json!({ "by": "another" })), Change::Over);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for arguments in [
        &[][..],
        &["a.json", "--patience", "5m"],
        &["a.json", "--out", "x"],
        &["a.json", "--webhook-events", "slot_failed"],
        &["a.json", "--wait", "--patience", "5"],
        &["a.json", "--key", "x"],
        &["a.json", "--replicas", "2"],
        &["a.json", "--again"],
        &["a.json", "--nats", "--replicas", "0"],
        &["a.json", "--nats", "--priority", "top"],
        &["a.json", "--nats", "--timeout", "5s"],
    ] {
        assert!(parse::<SubmitCommand>(arguments).is_err(), "{arguments:?}");
    }
    assert!(
        parse::<SubmitCommand>(&["-", "a.json", "--webhook", "https://x", "--webhook-events", "a,b"]).is_ok()
    );
}

#[test]
fn what_is_for_a_network_is_refused_without_it_and_the_other_way_round() {
    let recipes = Recipes::new();
    let one = recipes.recipe(ONE);
    for (arguments, told) in [
        (&["--prefix", "x"][..], "--prefix is for the network"),
        (&["--store", "file:///x"], "--store is for the network"),
        (&["--nats", "--url", "http://127.0.0.1:1"], "--url is for a node"),
        (&["--nats", "--webhook", "https://x"], "--webhook is for a node"),
        (&["--nats"], "no server of a network is named"),
    ] {
        let ran = run::<SubmitCommand>(&[&[one.as_str()], arguments].concat(), SubmitCommand::run);
        assert_eq!(ran.exit, Exit::BadInput, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
}

#[test]
fn what_nodes_of_a_network_tell_moves_a_rendering_on_and_another_node_begins_anew() {
    let mut job = job();
    let mut queued = slot(ONE, SlotState::Queued);
    queued.stages = crate::types::Stage::ALL.iter().map(|stage| waiting(stage.name())).collect();
    queued.device = None;
    job.read(queued, clock::now());
    let told = |node: &str, stage: &str, done: u64| Progress {
        version: 1,
        work: format!("{ONE}/1/1").parse().unwrap(),
        node: node.to_owned(),
        stage: stage.parse().unwrap(),
        done,
        total: 4,
        at: AT,
    };
    assert_eq!(job.reach(&told("a", "image", 1)), Change::Began("image".to_owned()));
    assert_eq!(job.reach(&told("a", "image", 2)), Change::Progress("image".to_owned()));
    assert_eq!(job.as_open().unwrap().now_doing(), "image 2/4");
    // What came between was missed.
    assert_eq!(job.reach(&told("a", "verify", 4)), Change::Done("verify".to_owned()));
    assert_eq!(job.reach(&told("a", "image", 3)), Change::Nothing, "it is done by then");
    assert!((job.as_open().unwrap().share() - 0.8).abs() < 1e-9);
    assert_eq!(job.reach(&told("b", "audio", 1)), Change::Began("audio".to_owned()));
    let view = &job.as_open().unwrap().view;
    assert_eq!((view.attempts, view.stages[0].attempt, view.stages[1].state), (2, 2, StageState::Waiting));
}

fn job() -> Job {
    let document = Document { name: "a.json".to_owned(), id: ONE.parse().unwrap(), text: Vec::new() };
    Job::new(document, clock::now())
}

#[test]
fn late_events_reopen_nothing() {
    let mut job = job();
    assert_eq!(job.hear("stage_began", &json!({ "stage": "audio" })), Change::Nothing, "it is not in yet");
    assert!(job.read(slot(ONE, SlotState::Running), clock::now()));
    let stage = |job: &Job, at: usize| job.as_open().unwrap().view.stages[at].clone();
    // Audio is done: what was said before its end is known.
    let old = json!({ "stage": "audio", "attempt": 1, "at": stage(&job, 0).began_at });
    assert_eq!(job.hear("stage_began", &old), Change::Nothing);
    let step = json!({ "stage": "audio", "progress": { "done": 1, "total": 9 } });
    assert_eq!(job.hear("stage_progress", &step), Change::Nothing);
    assert_eq!(stage(&job, 0).state, StageState::Done);
    // Begun again after its end, it is.
    let again = json!({ "stage": "audio", "attempt": 2, "at": AT });
    assert_eq!(job.hear("stage_began", &again), Change::Began("audio".to_owned()));
    assert_eq!((stage(&job, 0).state, stage(&job, 0).attempt), (StageState::Running, 2));
    assert_eq!(job.hear("slot_failed", &json!({})), Change::Over);
    assert!(job.is_over());
    assert!(job.read(slot(ONE, SlotState::Failed), clock::now()));
    assert!(!job.read(slot(ONE, SlotState::Running), clock::now()), "an end stays");
    assert!(matches!(job.stand, Stand::Ended(_)));
    assert_eq!(job.hear("video_progress", &json!({})), Change::Nothing);
}

#[test]
fn a_share_grows_with_steps_and_stages() {
    let mut job = job();
    job.read(slot(ONE, SlotState::Running), clock::now());
    let open = job.as_open().unwrap();
    assert!((open.share() - 0.5).abs() < 1e-9, "two stages of five, and half of the third: {}", open.share());
    assert_eq!(open.now_doing(), "video 540/1080");
    job.hear("video_progress", &json!({ "progress": { "done": 1080, "total": 1080 } }));
    assert!((job.as_open().unwrap().share() - 0.6).abs() < 1e-9);
}
