//! Lists and details of slots, and what is cancelled.

use serde_json::{Value, json};

use super::SlotsCommand;
use crate::api::views::{DeliveryState, SlotState, SlotView, WebhookView};
use crate::cli::cancel::CancelCommand;
use crate::cli::remote::testing::{parse, run};
use crate::client::fake::{Fake, ONE, OTHER, artifact, problem, reply, slot};
use crate::exit::Exit;

#[test]
fn slots_are_listed_page_by_page_up_to_the_limit() {
    let fake = Fake::start(|seen| {
        let page = |id: &str, state, after: Option<&str>| {
            let slots = vec![slot(id, state); 500];
            reply(200, &json!({ "slots": slots, "after": after }))
        };
        match seen.query.contains("after") {
            false => page(ONE, SlotState::Running, Some("next")),
            true => page(OTHER, SlotState::Queued, Some("more")),
        }
    });
    let ran = run::<SlotsCommand>(
        &["--url", &fake.url, "--limit", "600", "--state", "running,queued"],
        SlotsCommand::run,
    );
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    let queries: Vec<String> = fake.seen().into_iter().map(|seen| seen.query).collect();
    assert_eq!(queries, ["limit=500&state=running%2Cqueued", "limit=100&state=running%2Cqueued&after=next"]);
    assert_eq!(ran.out.lines().count(), 601);
    let line = ran.out.lines().nth(1).unwrap();
    for part in [ONE, "running", "video 540/1080", "1 min 35 s", "+3 min 25 s"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(ran.err.contains("there are more"));
}

#[test]
fn all_about_one_slot_is_shown() {
    let view = SlotView {
        cause: Some("check".to_owned()),
        message: Some("clip_b 0.1 below 0.2".to_owned()),
        attempts: 2,
        artifacts: vec![artifact(ONE, "video.mp4", b"x")],
        delivery: Some(DeliveryState::Pending),
        webhook: Some(WebhookView {
            url: "https://example.org/\u{1b}hook".to_owned(),
            events: Vec::new(),
            state: Some(DeliveryState::Undelivered),
            attempts: 9,
            error: Some("HTTP 500".to_owned()),
        }),
        expires_at: Some(crate::clock::unix_time().as_secs_f64() + 86_430.0),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        deadline_margin: Some(-12.0),
        ..slot(ONE, SlotState::Failed)
    };
    let answer = view.clone();
    let fake = Fake::start(move |_| reply(200, &answer));
    let ran = run::<SlotsCommand>(&[ONE, "--url", &fake.url], SlotsCommand::run);
    for part in [
        "failed",
        "clip_b 0.1 below 0.2",
        "check",
        "12 s late",
        "cuda:0",
        "a restart interrupted it",
        "audio     done",
        "video.mp4",
        "still to be delivered",
        "given up, 9 tries: HTTP 500",
        "for 1 d",
        "0af7651916cd43dd8448eb211c80319c",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = run::<SlotsCommand>(&[ONE, "--json", "--url", &fake.url], SlotsCommand::run);
    assert_eq!(serde_json::from_str::<SlotView>(&ran.out).unwrap(), view);
}

#[test]
fn an_unknown_slot_is_wrong_input() {
    let fake = Fake::start(|_| problem(404, "not-found", "no such slot", 0, json!({})));
    let ran = run::<SlotsCommand>(&[ONE, "--url", &fake.url], SlotsCommand::run);
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.err.contains("no such slot"));
    for arguments in [&["hello"][..], &["--state", "runing"], &["--limit", "0"], &[ONE, "--state", "failed"]]
    {
        assert!(parse::<SlotsCommand>(arguments).is_err(), "{arguments:?}");
    }
    let told = parse::<SlotsCommand>(&["--state", "runing"]).unwrap_err().to_string();
    assert!(told.contains("running"), "{told}");
}

#[test]
fn several_are_cancelled_and_each_tells_its_state() {
    let fake = Fake::start(|seen| match seen.path.contains(ONE) {
        true => reply(200, &slot(ONE, SlotState::Running)),
        false => reply(200, &slot(OTHER, SlotState::Completed)),
    });
    let cancel = |arguments: &[&str]| {
        run::<CancelCommand>(&[arguments, &["--url", &fake.url]].concat(), CancelCommand::run)
    };
    let ran = cancel(&[ONE]);
    assert_eq!((ran.exit, ran.out), (Exit::Success, format!("cancelling {ONE}\n")));
    let ran = cancel(&[OTHER, ONE, "--json"]);
    assert_eq!(ran.exit, Exit::Failure, "one had ended before");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&answer["ok"], &answer["slots"][0]["slot"]["state"]), (&json!(false), &json!("completed")));
    assert_eq!(fake.asked().iter().filter(|asked| asked.starts_with("DELETE")).count(), 3);
    let unknown = Fake::start(|_| problem(404, "not-found", "no such slot", 0, json!({})));
    let ran = run::<CancelCommand>(&[ONE, OTHER, "--url", &unknown.url], CancelCommand::run);
    assert_eq!(ran.exit, Exit::BadInput);
    assert_eq!(ran.err.matches("no such slot").count(), 2, "{}", ran.err);
}
