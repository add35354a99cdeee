//! `vortex-node serve` through the real binary and real HTTP, on scripted devices: what comes in, what is told, what is
//! kept, and how it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::served::{LIMIT, Place, Served, recipe, scenario};

fn id(recipe: &Value) -> &str {
    recipe["recipe_id"].as_str().unwrap()
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
    let mut answer = ask.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (mut text, mut events) = (String::new(), Vec::new());
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(end) = text.find("\n\n") {
            let frame: String = text.drain(..end + 2).collect();
            let field = |name: &str| {
                let mut lines = frame.lines();
                lines.find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
            };
            let Some(data) = field("data:") else { continue };
            let kind = field("event:").unwrap_or_default();
            events.push((field("id:"), serde_json::from_str(&data).unwrap()));
            if kind == last {
                return events;
            }
        }
    }
    events
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

/// Slots handed in while the process is killed again and again: each that was accepted ends once.
#[tokio::test]
async fn killed_again_and_again_it_loses_no_accepted_slot_and_ends_none_twice() {
    // `tests/soak/run kills` asks for more.
    let kills: u64 = std::env::var("VORTEX_SOAK_KILLS").map_or(4, |count| count.parse().unwrap());
    let place = Place::new(&scenario("5ms", "[policy]\nqueue = 100000\n"));
    let mut accepted = Vec::new();
    for round in 0..kills {
        let service = place.serve();
        service.ready().await;
        let many = (0..12).map(|number| recipe(round * 100 + number));
        for recipe in many {
            if service.put(&recipe).await.status() == StatusCode::ACCEPTED {
                accepted.push(recipe);
            }
        }
        // Somewhere in the middle of them.
        service.ended(id(&accepted[accepted.len() - 12 + (round as usize * 5) % 11])).await;
        service.kill();
    }
    assert_eq!(accepted.len() as u64, kills * 12);
    let service = place.serve();
    for recipe in &accepted {
        let ended = tokio::time::timeout(LIMIT, service.ended(id(recipe))).await.unwrap();
        assert_eq!(ended["state"], "completed", "{ended:#}");
        let artifacts = ended["artifacts"].as_array().unwrap();
        assert!(artifacts.iter().any(|it| it["name"] == "result.json"), "{ended:#}");
    }
    let mut ends = std::collections::BTreeMap::new();
    let mut cursor = None;
    loop {
        let path = "/v1/events?limit=500";
        let mut ask = service.ask(Method::GET, path).timeout(Duration::from_secs(5));
        if let Some(cursor) = &cursor {
            ask = ask.header("Last-Event-ID", cursor);
        } else {
            ask = service.ask(Method::GET, &format!("{path}&after=0")).timeout(Duration::from_secs(5));
        }
        let Ok(answer) = ask.send().await else { break };
        let Ok(text) = answer.text().await else { break };
        let before = cursor.clone();
        for line in text.lines() {
            if let Some(id) = line.strip_prefix("id:") {
                cursor = Some(id.trim().to_owned());
            }
            if let Some(data) = line.strip_prefix("data:") {
                let event: Value = serde_json::from_str(data.trim()).unwrap();
                if event["event"] == "generation_complete" {
                    *ends.entry(event["slot"].as_str().unwrap().to_owned()).or_insert(0) += 1;
                }
            }
        }
        if cursor == before {
            break;
        }
    }
    assert!(ends.values().all(|count| *count == 1), "{ends:?}");
}

#[test]
fn a_second_process_in_the_same_folder_is_refused_and_the_port_is_named_where_it_is_taken() {
    let place = Place::new(&scenario("20ms", ""));
    let service = place.serve();
    let second = place.command(&[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&service.pid().to_string()), "{said}");
    let other = Place::new(&scenario("20ms", ""));
    let address = service.url.strip_prefix("http://").unwrap();
    let taken = other.command(&["--set", &format!("http.listen={address}")]).output().unwrap();
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains(address), "{taken:?}");
    let open = other.command(&["--set", "http.listen=0.0.0.0:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&open.stderr).into_owned();
    assert!(open.status.code() == Some(2) && said.contains("token"), "{said}");
}

/// A file of the journal goes wrong between two processes: what was accepted a moment before is there, and it is told.
#[tokio::test]
async fn a_damaged_file_of_the_journal_is_told_and_loses_no_accepted_slot() {
    // What is done to which file below the journal's folder, and whether it must be told.
    type Damage = fn(&std::path::Path) -> std::io::Result<()>;
    let gone: Damage =
        |path| if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    let overwritten: Damage = |path| {
        let mut bytes = std::fs::read(path)?;
        let middle = bytes.len() / 2;
        bytes[..64].fill(0xa5);
        bytes[middle] ^= 0x10;
        std::fs::write(path, bytes)
    };
    let cut: Damage = |path| {
        let bytes = std::fs::read(path)?;
        std::fs::write(path, &bytes[..bytes.len() / 2])
    };
    let place = Place::new(&scenario("20ms", ""));
    let mut accepted = Vec::new();
    let cases = [
        ("index.sqlite3", gone, true),
        // What was overwritten may stand in the WAL again, and then nothing is wrong.
        ("index.sqlite3", overwritten, false),
        ("index.sqlite3-wal", gone, false),
        ("index.sqlite3-wal", cut, false),
        ("log", gone, true),
    ];
    for (number, (file, damage, is_told)) in cases.into_iter().enumerate() {
        let service = place.serve();
        service.ready().await;
        let recipe = recipe(number as u64);
        assert_eq!(service.put(&recipe).await.status(), StatusCode::ACCEPTED);
        accepted.push(recipe);
        service.kill();
        damage(&place.data().join("journal").join(file)).unwrap();
        let service = place.serve();
        if is_told {
            assert!(!service.repaired.is_empty(), "{file}: nothing was told");
        }
        for recipe in &accepted {
            let ended = tokio::time::timeout(LIMIT, service.ended(id(recipe))).await.unwrap();
            assert_eq!(ended["state"], "completed", "{file}: {ended:#}");
        }
        let node = service.get("/v1/node").await;
        assert!(node["journal"]["lost_since"].is_null(), "{file}: {node:#}");
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{file}: {logs}");
    }
}
