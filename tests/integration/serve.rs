//! `vortex-node serve` through the real binary and real HTTP, on scripted devices: what comes in, what is told, what is
//! kept, and how it ends.

use std::collections::BTreeSet;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::served::{Place, Served, recipe, scenario};

mod accounts;
mod clock;
mod damage;
mod disk;
mod kills;
mod stops;

fn id(recipe: &Value) -> &str {
    recipe["recipe_id"].as_str().unwrap()
}

/// The id of a slot as the API shows it.
fn id_of(slot: &Value) -> &str {
    slot["id"].as_str().unwrap()
}

/// One event of a stream.
pub(crate) struct Frame {
    id: Option<String>,
    kind: String,
    data: Value,
}

/// The events that `answer` brings until `is_last` holds of one, or it ends.
async fn frames_until(mut answer: Response, is_last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    while let Some(chunk) = answer.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = bytes.drain(..end + 2).collect();
            let frame = String::from_utf8(frame).unwrap();
            let field = |name: &str| {
                let mut lines = frame.lines();
                lines.find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
            };
            let Some(data) = field("data:") else { continue };
            let data = serde_json::from_str(&data).unwrap();
            frames.push(Frame { id: field("id:"), kind: field("event:").unwrap_or_default(), data });
            if frames.last().is_some_and(&is_last) {
                return frames;
            }
        }
    }
    frames
}

/// The events that a stream brings until one of kind `last`.
async fn events_until(
    service: &Served,
    path: &str,
    after: Option<&str>,
    last: &str,
) -> Vec<(Option<String>, Value)> {
    let mut ask = service.ask(Method::GET, path);
    if let Some(after) = after {
        ask = ask.header("Last-Event-ID", after);
    }
    let answer = ask.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let frames = frames_until(answer, |frame| frame.kind == last).await;
    frames.into_iter().map(|frame| (frame.id, frame.data)).collect()
}

#[tokio::test]
async fn a_slot_comes_in_is_followed_and_leaves_files_and_the_same_again_is_the_same_slot() {
    let place = Place::new(&scenario("20ms", ""));
    let service = place.serve();
    service.ready().await;
    let recipe = recipe(1);
    let path = format!("/v1/slots/{}", id(&recipe));
    let accepted = service.put(&recipe).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    assert_eq!(accepted.headers()["location"].to_str().unwrap(), path);
    let events = events_until(&service, &format!("{path}/events"), None, "generation_complete").await;
    // Progress has no number and may overtake what has to be written first.
    let numbered: Vec<&(Option<String>, Value)> = events.iter().filter(|(id, _)| id.is_some()).collect();
    let kinds: Vec<&str> = numbered.iter().map(|(_, event)| event["event"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("accepted", "generation_complete"), "{kinds:?}");
    let slot = service.ended(id(&recipe)).await;
    assert_eq!(slot["state"], "completed", "{slot:#}");
    assert!(slot["expires_at"].as_f64() > slot["ended_at"].as_f64());
    let names: BTreeSet<&str> =
        slot["artifacts"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.contains("result.json") && names.contains("recipe.json"), "{names:?}");
    for artifact in slot["artifacts"].as_array().unwrap() {
        let answer = service.ask(Method::GET, artifact["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{artifact}");
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(vortex_node::types::Sha256::of(&bytes).to_string(), artifact["sha256"].as_str().unwrap());
    }
    let again = service.put(&recipe).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap()["state"], "completed");
    let mut other = recipe.clone();
    other["seed"] = json!(77);
    assert_eq!(service.put(&other).await.status(), StatusCode::CONFLICT);
    // Whoever comes back with an id misses nothing and hears nothing twice.
    let first = numbered[0].0.clone().unwrap();
    let rest = events_until(&service, &format!("{path}/events"), Some(&first), "generation_complete").await;
    let kept = |events: &[(Option<String>, Value)]| -> Vec<String> {
        events.iter().filter_map(|(id, _)| id.clone()).collect()
    };
    assert_eq!(kept(&rest), kept(&events)[1..]);
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    // A new process has it all.
    let service = place.serve();
    let slot = service.get(&path).await;
    assert_eq!(slot["state"], "completed");
    assert_eq!(service.put(&recipe).await.status(), StatusCode::OK, "known, though nothing is ready yet");
}

#[tokio::test]
async fn whoever_has_no_token_learns_nothing() {
    let service = Place::new(&scenario("20ms", ""));
    let served = service.serve();
    let client = reqwest::Client::new();
    for (method, path) in [
        (Method::GET, "/v1/slots"),
        (Method::GET, "/v1/node"),
        (Method::GET, "/v1/events"),
        (Method::POST, "/v1/node/drain"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/nowhere"),
    ] {
        let url = format!("{}{path}", served.url);
        let bare = client.request(method.clone(), &url).send().await.unwrap();
        assert_eq!(bare.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        let wrong = client.request(method, &url).bearer_auth("vxn_0123456789ab_wrong").send().await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(client.get(format!("{}/livez", served.url)).send().await.unwrap().status(), StatusCode::OK);
    let (_, logs) = served.stop();
    assert!(!logs.contains("vxn_"), "no token is logged");
}

#[tokio::test]
async fn soft_pressure_is_answered_with_429_and_passes_by_itself() {
    // Another process takes memory from the second second on, for three.
    let others = "[[faults]]\nkind = \"others\"\nat = \"2s\"\nlasts = \"3s\"\nbytes = \"4.2GB\"\n";
    let place = Place::new(&scenario("20ms", &format!("[device]\ndwell = \"500ms\"\n{others}")));
    let service = place.serve();
    service.ready().await;
    let mut events = service.ask(Method::GET, "/v1/events").send().await.unwrap();
    let mut wait_for = async |closed: &str| {
        let mut text = String::new();
        while !text.contains(closed) {
            text.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    wait_for("\"closed\":\"pressure\"").await;
    let refused = service.put(&recipe(1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let ready = service.ask(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text().await.unwrap().contains("pressure"));
    wait_for("\"closed\":null").await;
    assert_eq!(service.put(&recipe(1)).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_drain_ends_with_an_open_stream_and_a_running_slot_and_a_queued_one_is_kept() {
    let place = Place::new(&scenario("700ms", "[policy]\nlookahead = 1\n"));
    let service = place.serve();
    service.ready().await;
    let (first, second) = (recipe(1), recipe(2));
    assert_eq!(service.put(&first).await.status(), StatusCode::ACCEPTED);
    assert_eq!(service.put(&second).await.status(), StatusCode::ACCEPTED);
    let mut stream = service.ask(Method::GET, "/v1/events").send().await.unwrap();
    stream.chunk().await.unwrap();
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
    let service = place.serve();
    let done = service.ended(id(&first)).await;
    assert_eq!(done["state"], "completed", "it had the grace to end: {done:#}");
    let kept = service.ended(id(&second)).await;
    assert_eq!((&kept["state"], &kept["attempts"]), (&json!("completed"), &json!(2)), "{kept:#}");
}

#[tokio::test]
async fn a_slot_can_be_cancelled_wherever_it_stands_and_again() {
    let place = Place::new(&scenario("300ms", "[policy]\nlookahead = 1\n"));
    let service = place.serve();
    service.ready().await;
    let slots = [recipe(1), recipe(2)];
    for slot in &slots {
        assert_eq!(service.put(slot).await.status(), StatusCode::ACCEPTED);
    }
    // The second waits, the first runs.
    for slot in slots.iter().rev() {
        let path = format!("/v1/slots/{}", id(slot));
        assert!(service.ask(Method::DELETE, &path).send().await.unwrap().status().is_success());
        let ended = service.ended(id(slot)).await;
        assert_eq!(
            (&ended["state"], &ended["cause"]),
            (&json!("cancelled"), &json!("requested")),
            "{ended:#}"
        );
        let again = service.ask(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(again.json::<Value>().await.unwrap()["state"], "cancelled");
        let result = format!("{path}/artifacts/result.json");
        assert_eq!(service.ask(Method::GET, &result).send().await.unwrap().status(), StatusCode::OK);
    }
    let nobody = uuid::Uuid::from_u128(1);
    let unknown = service.ask(Method::DELETE, &format!("/v1/slots/{nobody}")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_second_process_in_the_same_folder_is_refused_and_the_port_is_named_where_it_is_taken() {
    let place = Place::new(&scenario("20ms", ""));
    let service = place.serve();
    let second = place.command(&[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&service.pid().to_string()), "{said}");
    // Nor does a rendering share the folder with it.
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/config/recipes/hello.json");
    let out = place.data().with_file_name("out");
    let render = place.tool(&["render", recipe, "--output", out.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&render.stderr).into_owned();
    assert!(render.status.code() == Some(1) && said.contains(&service.pid().to_string()), "{said}");
    assert!(!out.join("video.mp4").exists());
    let other = Place::new(&scenario("20ms", ""));
    let address = service.url.strip_prefix("http://").unwrap();
    let taken = other.command(&["--set", &format!("http.listen={address}")]).output().unwrap();
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains(address), "{taken:?}");
    let open = other.command(&["--set", "http.listen=0.0.0.0:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&open.stderr).into_owned();
    assert!(open.status.code() == Some(2) && said.contains("token"), "{said}");
}
