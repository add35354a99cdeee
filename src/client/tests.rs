//! The client against a server that is slow, busy, broken, wrong or something else.

mod downloads;
mod streams;
mod tls;

use serde_json::json;

use super::fake::{Fake, ONE, Then, pieces, problem, reply, slot};
use super::*;
use crate::api::views::SlotState;

fn id() -> crate::types::SlotId {
    ONE.parse().unwrap()
}

fn submission() -> Submission {
    Submission { id: id(), document: b"{ } // as it is".to_vec(), webhook: None, webhook_events: Vec::new() }
}

#[tokio::test]
async fn a_recipe_goes_out_as_it_is_with_its_webhook_in_headers() {
    let fake =
        Fake::start(|seen| reply(if seen.before == 0 { 202 } else { 200 }, &slot(ONE, SlotState::Queued)));
    let client = fake.client();
    let with_webhook = Submission {
        webhook: Some("https://example.org/hook".to_owned()),
        webhook_events: vec!["slot_failed".to_owned(), "generation_complete".to_owned()],
        ..submission()
    };
    let receipt = client.submit(&with_webhook).await.unwrap();
    assert!(!receipt.known);
    assert_eq!(receipt.slot.position, Some(2));
    assert!(client.submit(&submission()).await.unwrap().known, "the same recipe again");
    let seen = fake.seen();
    assert_eq!(seen[0].what(), format!("PUT /v1/slots/{ONE}"));
    assert_eq!(seen[0].body, "{ } // as it is");
    assert_eq!(seen[0].header("content-type"), "application/json");
    assert_eq!(seen[0].header("vortex-webhook"), "https://example.org/hook");
    assert_eq!(seen[0].header("vortex-webhook-events"), "slot_failed,generation_complete");
    assert_eq!(seen[0].header("authorization"), "Bearer vxn_secret");
    assert!(!seen[1].headers.contains_key("vortex-webhook"));
    let split = Submission { webhook: Some("https://x/\r\nA: b".to_owned()), ..submission() };
    assert!(client.submit(&split).await.unwrap_err().is_bad_input(), "a header cannot be smuggled in");
}

#[tokio::test]
async fn what_is_safe_is_sent_again_after_a_broken_connection_and_the_rest_is_not() {
    let fake = Fake::start(|seen| {
        if seen.before < 2 {
            let body = pieces(vec![b"{\"id\":"[..].into()], Then::Break);
            return axum::response::Response::builder()
                .header("content-type", "application/json")
                .body(body)
                .unwrap();
        }
        reply(200, &slot(ONE, SlotState::Cancelled))
    });
    let client = fake.client();
    assert!(client.submit(&submission()).await.is_ok());
    assert!(client.cancel(id()).await.is_ok());
    assert_eq!(fake.asked().len(), 6);
    assert!(matches!(client.replay_webhook("w1").await, Err(ClientError::Broken { .. })));
    assert_eq!(fake.asked().len(), 7, "a replay asks for one delivery each time");
}

#[tokio::test]
async fn a_pause_that_the_node_asks_for_is_kept_where_it_is_short_and_told_where_it_is_long() {
    let fake = Fake::start(|seen| match (seen.method.as_str(), seen.before) {
        ("GET", 0) => problem(429, "rate-limited", "too many", 1, json!({})),
        ("GET", 1) => reply(200, &slot(ONE, SlotState::Queued)),
        _ => problem(503, "not-ready", "flux is loading", 60, json!({})),
    });
    let client = fake.client();
    let before = crate::clock::now();
    assert!(client.slot(id()).await.is_ok());
    assert!(crate::clock::now() - before >= std::time::Duration::from_secs(1), "it came again too early");
    let error = client.slot(id()).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.retry_after, Some(std::time::Duration::from_secs(60)));
    assert!(error.passes() && !error.is_bad_input());
    assert_eq!(fake.asked().len(), 3, "a minute is the caller's to wait");
    // Handing in is never repeated by itself: whoever hands in decides.
    assert!(client.submit(&submission()).await.unwrap_err().to_string().contains("flux is loading"));
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn a_problem_document_is_told_with_all_its_errors() {
    let errors = json!({ "errors": [
        { "path": "audio_track.speed", "found": "9", "accepted": "0.8 to 1.2" },
        { "path": "seed", "found": "\"x\u{1b}[31m\"", "accepted": "a whole number" },
    ] });
    let fake = Fake::start(move |_| problem(422, "invalid-recipe", "2 mistakes", 0, errors.clone()));
    let error = fake.client().submit(&submission()).await.unwrap_err();
    assert!(error.is_bad_input());
    let told = error.to_string();
    for part in
        ["2 mistakes", "422", "invalid-recipe", "audio_track.speed: 9; accepted: 0.8 to 1.2", "seed: "]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\u{1b}'), "a server's text moves no cursor");
}

#[tokio::test]
async fn what_is_no_node_is_told_as_such() {
    let answers = |text: &'static str, status: u16, kind: &'static str| {
        Fake::start(move |_| {
            axum::response::Response::builder()
                .status(status)
                .header("content-type", kind)
                .body(text.into())
                .unwrap()
        })
    };
    for (text, status, kind) in [
        ("<h1>It works!</h1>", 200, "text/html"),
        ("<h1>Not Found</h1>", 404, "text/html"),
        ("[]", 200, "application/json"),
        ("{\"hello\": 1}", 200, "application/json"),
        ("{\"error\": 1}", 404, "application/json"),
    ] {
        let fake = answers(text, status, kind);
        let error = fake.client().slot(id()).await.unwrap_err();
        assert!(matches!(error, ClientError::NotVortex { .. }), "{text}: {error}");
        assert!(error.is_bad_input() && error.to_string().contains("no vortex-node"), "{error}");
        assert_eq!(fake.asked().len(), 1, "{text}: it is not asked again");
    }
    // A load balancer in front of a node that is down.
    let fake = answers("<h1>Bad Gateway</h1>", 502, "text/html");
    let error = fake.client().slot(id()).await.unwrap_err();
    assert!(error.passes() && error.to_string().contains("502"), "{error}");
    assert_eq!(fake.asked().len(), 4, "it may pass");
}

#[tokio::test]
async fn a_token_goes_to_no_other_address() {
    let other = Fake::start(|_| reply(200, &slot(ONE, SlotState::Queued)));
    let url = format!("{}/v1/slots/{ONE}", other.url);
    let fake = Fake::start(move |_| {
        axum::response::Response::builder().status(307).header("location", &url).body("".into()).unwrap()
    });
    let error = fake.client().slot(id()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotVortex { .. }), "{error}");
    assert!(other.asked().is_empty(), "a redirection is not followed");
}

#[tokio::test]
async fn where_nobody_listens_it_says_how_to_start_a_node() {
    fake::install_provider();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [None, Some(format!("http://127.0.0.1:{port}"))] {
        let folder = tempfile::tempdir().unwrap();
        local::Serving { url: format!("http://127.0.0.1:{port}"), pid: std::process::id() }
            .write(folder.path())
            .unwrap();
        let wanted = Wanted { url, data_dir: Some(folder.path().to_owned()), ..Wanted::default() };
        let client = Client::new(Access::find(&wanted).unwrap(), fake::quick()).unwrap();
        let error = client.slot(id()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }) && !error.is_bad_input(), "{error}");
        assert!(error.to_string().contains("vortex-node serve"), "{error}");
    }
}

#[tokio::test]
async fn slots_are_asked_for_by_state_and_page() {
    let fake = Fake::start(|_| reply(200, &json!({ "slots": [], "after": null })));
    let client = fake.client();
    client.slots(&[SlotState::Queued, SlotState::Running], 7, Some("a b&c")).await.unwrap();
    client.slots(&[], 20, None).await.unwrap();
    let queries: Vec<String> = fake.seen().into_iter().map(|seen| seen.query).collect();
    assert_eq!(queries, ["limit=7&state=queued%2Crunning&after=a+b%26c", "limit=20"]);
}

#[test]
fn nothing_shows_a_token() {
    let fake = Fake::start(|_| reply(200, &()));
    let client = fake.client();
    assert!(!format!("{client:?}").contains("vxn_secret"), "{client:?}");
}
