//! What was told to webhooks, listed and told again.

use serde_json::{Value, json};

use super::WebhooksCommand;
use crate::cli::remote::testing::{Ran, parse, run};
use crate::client::fake::{Fake, ONE, problem, reply};
use crate::exit::Exit;

fn webhooks(fake: &Fake, arguments: &[&str]) -> Ran {
    run::<WebhooksCommand>(&[arguments, &["--url", &fake.url]].concat(), WebhooksCommand::run)
}

fn delivery(state: &str) -> Value {
    json!({
        "id": "17", "slot": ONE, "event": "slot_failed", "state": state, "url": "https://example.org/hook",
        "attempts": 9, "error": "HTTP 500",
    })
}

#[test]
fn what_could_not_be_told_is_listed_and_told_again() {
    let fake = Fake::start(|seen| match seen.method.as_str() {
        "GET" => reply(200, &json!({ "webhooks": [delivery("undelivered")] })),
        _ => reply(200, &delivery("pending")),
    });
    let ran = webhooks(&fake, &["list", "--state", "undelivered"]);
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    for part in ["undelivered 17", ONE, "slot_failed", "https://example.org/hook", "9 tries", "HTTP 500"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = webhooks(&fake, &["replay", "17", "--json"]);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["webhooks"][0]["state"], "pending");
    assert_eq!(fake.asked(), ["GET /v1/webhooks", "POST /v1/webhooks/17/replay"]);
    assert_eq!(fake.seen()[0].query, "state=undelivered");
}

#[test]
fn an_id_leads_nowhere_else_and_an_unknown_one_is_told() {
    let fake = Fake::start(|_| problem(404, "not-found", "no such event", 0, json!({})));
    let ran = webhooks(&fake, &["replay", "../node/drain?x"]);
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.err.contains("no such event"));
    assert_eq!(fake.asked(), ["POST /v1/webhooks/..%2Fnode%2Fdrain%3Fx/replay"]);
    for arguments in [&["list", "--state", "lost"][..], &["replay"], &[]] {
        assert!(parse::<WebhooksCommand>(arguments).is_err(), "{arguments:?}");
    }
}
