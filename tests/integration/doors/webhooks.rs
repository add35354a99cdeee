//! Webhooks of a real service, posted to receivers on this machine, whose address the settings allow.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

// The one that the sender's own tests use: it shares no code with the node.
#[allow(dead_code)]
#[path = "../../../src/webhooks/receiver.rs"]
mod receiver;

use receiver::{Got, Receiver, Reply, is_signed};

use crate::support::served::{Place, Served, recipe, scenario};
use crate::support::skip;

/// Checks messages as a receiver would: with the reference library of Standard Webhooks.
const VERIFIER: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook
secret, messages = json.load(sys.stdin)
for body, headers in messages:
    Webhook(secret).verify(body.encode(), headers)
    try:
        Webhook(secret).verify((body + " ").encode(), headers)
    except Exception:
        continue
    sys.exit("a changed body was taken for genuine")
"#;

fn allow(receivers: &[&Receiver]) -> Vec<String> {
    let origins: Vec<String> = receivers.iter().map(|it| format!("http://{}", it.address)).collect();
    vec!["--set".to_owned(), format!("webhooks.allow={}", json!(origins))]
}

fn serve(place: &Place, arguments: &[String]) -> Served {
    place.serve_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn put(service: &Served, recipe: &Value, url: &str, events: &str) -> reqwest::Response {
    let path = format!("/v1/slots/{}", recipe["recipe_id"].as_str().unwrap());
    let mut ask = service.ask(Method::PUT, &path).header("Vortex-Webhook", url);
    if !events.is_empty() {
        ask = ask.header("Vortex-Webhook-Events", events);
    }
    ask.json(recipe).send().await.unwrap()
}

fn id(recipe: &Value) -> &str {
    recipe["recipe_id"].as_str().unwrap()
}

/// Which events messages tell, in the order in which they came.
fn kinds(got: &[Got]) -> Vec<String> {
    let kind =
        |got: &Got| serde_json::from_slice::<Value>(&got.body).unwrap()["type"].as_str().unwrap().to_owned();
    got.iter().map(kind).collect()
}

/// The messages that the command lists.
fn listed(place: &Place, more: &[&str]) -> Vec<Value> {
    let words: Vec<&str> = ["webhooks", "list", "--json"].iter().chain(more).copied().collect();
    let answer: Value = serde_json::from_str(&place.told(&words)).unwrap();
    answer["webhooks"].as_array().unwrap().clone()
}

/// Waits until as many messages stand so as there should be; the sender notes an answer after it was given.
async fn standing(service: &Served, place: &Place, state: &str, count: usize) -> Vec<Value> {
    loop {
        let found = listed(place, &["--state", state]);
        if found.len() == count {
            return found;
        }
        // Each look is a request of its own; nothing tells of a mark.
        service.get("/v1/node").await;
    }
}

#[tokio::test]
async fn messages_are_signed_filtered_in_order_tried_again_and_kept_over_a_kill() {
    let place = Place::new(&scenario("20ms", ""));
    let receiver = Receiver::start(vec![Reply::Status(500, "")]).await;
    let allowed = allow(&[&receiver]);
    let service = serve(&place, &allowed);
    service.ready().await;
    let slot = recipe(1);
    let url = format!("http://{}/hook?key=hidden", receiver.address);
    let accepted = put(&service, &slot, &url, "accepted,audio_complete,generation_complete").await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED, "{:?}", accepted.text().await);
    receiver.until(|got| got.len() == 1).await;
    let ended = service.ended(id(&slot)).await;
    assert_eq!(ended["state"], "completed", "a webhook that fails is not in its way: {ended:#}");
    let was_tried = |page: &Value| {
        page["webhooks"].as_array().unwrap().iter().any(|it| it["attempts"].as_u64() > Some(0))
    };
    service.until("/v1/webhooks", was_tried).await;
    let kept = listed(&place, &[]);
    assert_eq!(kept.len(), 3, "{kept:#?}");
    let logs = service.kill();
    assert!(!logs.contains("hidden"), "paths may be secrets: {logs}");

    let service = serve(&place, &allowed);
    let got = receiver.until(|got| kinds(got).iter().any(|kind| kind == "generation_complete")).await;
    // A slow machine may have been killed between an answer and its note: the same message may come once more.
    let mut told = kinds(&got);
    told.dedup();
    assert_eq!(told, ["accepted", "audio_complete", "generation_complete"], "what comes later waits");
    let ids: Vec<&str> = got.iter().map(|it| it.headers["webhook-id"].as_str()).collect();
    assert_eq!(ids[0], ids[1], "the same message has the same id");
    let sequence = |id: &&str| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    assert!(ids.is_sorted_by_key(sequence), "{ids:?}");
    assert!(got.iter().all(|it| it.path == "/hook?key=hidden"));
    let secret = place.told(&["webhooks", "secret"]).trim().to_owned();
    for message in &got {
        assert!(is_signed(message, &secret), "{message:?}");
        assert!(!message.headers.contains_key("authorization") && !message.headers.contains_key("cookie"));
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(body["data"]["event"]["event"], body["type"]);
        assert_eq!(body["data"]["slot"]["id"], slot["recipe_id"]);
    }
    verified_by_the_reference(&got, &secret);

    let delivered = standing(&service, &place, "delivered", 3).await;
    let shown = |messages: &[Value]| messages.iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    assert_eq!(shown(&delivered), shown(&kept), "none is lost or made anew");
    assert_eq!(service.ended(id(&slot)).await["webhook"]["state"], "delivered");
    let text = place.told(&["webhooks", "list"]);
    assert!(text.contains("generation_complete") && text.contains("delivered"), "{text}");
    // The newest stands first.
    let again = place.told(&["webhooks", "replay", delivered[0]["id"].as_str().unwrap()]);
    assert!(again.contains("generation_complete"), "{again}");
    let before = got.len();
    let got = receiver.until(|got| got.len() > before).await;
    assert_eq!(got.last().unwrap().headers["webhook-id"], delivered[0]["id"].as_str().unwrap());
    let nothing = place.tool(&["webhooks", "replay", "nothing-1"]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
}

/// The same messages, checked by the library that receivers use; skips aloud where it is missing.
fn verified_by_the_reference(got: &[Got], secret: &str) {
    let python = std::env::var_os("VORTEX_PYTHON").unwrap_or_else(|| "python3".into());
    let has = Command::new(&python).args(["-c", "import standardwebhooks"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        return skip("python3 with standardwebhooks");
    }
    let message = |it: &Got| json!([String::from_utf8(it.body.clone()).unwrap(), it.headers]);
    let messages: Vec<Value> = got.iter().map(message).collect();
    let mut child = Command::new(python).args(["-c", VERIFIER]).stdin(Stdio::piped()).spawn().unwrap();
    let input = json!([secret, messages]).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn a_receiver_that_says_it_is_gone_is_given_up_and_told_again_on_request() {
    let place = Place::new(&scenario("20ms", ""));
    let receiver = Receiver::start(vec![Reply::Status(410, "")]).await;
    let service = serve(&place, &allow(&[&receiver]));
    service.ready().await;
    let slot = recipe(1);
    let url = format!("http://{}/", receiver.address);
    assert_eq!(put(&service, &slot, &url, "").await.status(), StatusCode::ACCEPTED);
    let given_up = standing(&service, &place, "undelivered", 1).await;
    assert_eq!(
        given_up[0]["event"], "generation_complete",
        "without a filter the end is told: {given_up:#?}"
    );
    assert!(given_up[0]["error"].as_str().unwrap().contains("410"), "{given_up:#?}");
    let shown = service.ended(id(&slot)).await;
    assert_eq!(shown["webhook"]["state"], "undelivered", "{shown:#}");
    // Meanwhile the secret changes: for a while messages are signed by both.
    let old = place.told(&["webhooks", "secret"]).trim().to_owned();
    let new = place.told(&["webhooks", "rotate", "--keep", "1h"]).trim().to_owned();
    let reloaded = service.ask(Method::POST, "/v1/node/reload").send().await.unwrap();
    assert_eq!(reloaded.status(), StatusCode::OK);
    place.told(&["webhooks", "replay", given_up[0]["id"].as_str().unwrap()]);
    standing(&service, &place, "delivered", 1).await;
    let got = receiver.got();
    assert_eq!(kinds(&got), ["generation_complete", "generation_complete"]);
    assert_eq!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
    assert!(is_signed(&got[0], &old) && !is_signed(&got[0], &new));
    assert!(is_signed(&got[1], &old) && is_signed(&got[1], &new));
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_slot_and_no_other_receiver() {
    let place = Place::new(&scenario("10ms", ""));
    let hangs = Receiver::start(vec![Reply::Silence; 64]).await;
    let answers = Receiver::start(Vec::new()).await;
    // However slow the machine is, none of them is given another try meanwhile.
    let patient = ["--set", "webhooks.timeout=10min"].map(str::to_owned);
    let service = serve(&place, &[&allow(&[&hangs, &answers])[..], &patient].concat());
    service.ready().await;
    let events = "accepted,stage_began,generation_complete";
    for number in 0..6 {
        let accepted = put(&service, &recipe(number), &format!("http://{}/", hangs.address), events).await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    }
    let last = recipe(6);
    let accepted = put(&service, &last, &format!("http://{}/", answers.address), events).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    for number in 0..7 {
        assert_eq!(service.ended(id(&recipe(number))).await["state"], "completed");
    }
    let is_end = |got: &Got| {
        got.headers["webhook-id"].len() > 1 && kinds(std::slice::from_ref(got))[0] == "generation_complete"
    };
    answers.until(|got| got.iter().any(is_end)).await;
    let hanging = hangs.got();
    assert!((1..=4).contains(&hanging.len()), "so many are under way to one receiver: {}", hanging.len());
    assert!(kinds(&hanging).iter().all(|kind| kind == "accepted"), "each slot's first waits for its answer");
}

#[tokio::test]
async fn what_is_not_public_is_refused_and_a_redirection_is_not_followed() {
    let place = Place::new(&scenario("20ms", ""));
    let elsewhere = Receiver::start(Vec::new()).await;
    let header = format!("location: http://{}/elsewhere\r\n", elsewhere.address);
    let redirects = Receiver::start(vec![Reply::Status(307, header.leak())]).await;
    let service = serve(&place, &allow(&[&redirects]));
    service.ready().await;
    let port = elsewhere.address.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://[::ffff:7f00:1]:{port}/"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[fe80::1]/".to_owned(),
        "https://10.0.0.5/".to_owned(),
        "http://hooks.example.org/".to_owned(),
        format!("http://{}@127.0.0.1:{port}/", redirects.address),
        format!("https://2130706433:{port}/"),
        "not an address".to_owned(),
    ] {
        let refused = put(&service, &recipe(1), &url, "").await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["type"], "/problems/webhook", "{url}: {problem:#}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("accepted: ") || detail.contains("write it like that"), "{url}: {detail}");
    }
    let page = service.get("/v1/slots").await;
    assert_eq!(page["slots"], json!([]), "none of them was taken in");

    let slot = recipe(1);
    let accepted = put(&service, &slot, &format!("http://{}/", redirects.address), "").await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    redirects.until(|got| got.len() == 1).await;
    let pending = loop {
        let pending = standing(&service, &place, "pending", 1).await;
        if pending[0]["attempts"] == 1 {
            break pending;
        }
    };
    assert!(pending[0]["error"].as_str().unwrap().contains("redirects are not followed"), "{pending:#?}");
    assert_eq!(elsewhere.got().len(), 0);
}
