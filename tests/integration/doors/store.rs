//! Artifacts of a real service on their way to a folder and to a bucket: at their addresses, whole, and later where the store
//! is down, which stops no slot.

use std::path::Path;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use vortex_node::types::Sha256;

use crate::support::served::{Place, Served, recipe, scenario};
use crate::support::weed::{KEY, SECRET, Weed};

fn path(recipe: &Value) -> String {
    format!("/v1/slots/{}", recipe["recipe_id"].as_str().unwrap())
}

async fn completed(service: &Served, recipe: &Value) -> Value {
    assert_eq!(service.put(recipe).await.status(), StatusCode::ACCEPTED);
    let slot = service.ended(recipe["recipe_id"].as_str().unwrap()).await;
    assert_eq!(slot["state"], "completed", "{slot:#}");
    slot
}

async fn delivered(service: &Served, recipe: &Value) -> Value {
    service.until(&path(recipe), |slot| slot["delivery"] == "delivered").await
}

/// Whether every file of a slot lies in the folder under its hash, and its result under its id.
fn holds(store: &Path, slot: &Value) {
    for artifact in slot["artifacts"].as_array().unwrap() {
        let sha256 = artifact["sha256"].as_str().unwrap();
        let place = match artifact["name"].as_str().unwrap() {
            "result.json" => store.join("slots").join(slot["id"].as_str().unwrap()).join("result.json"),
            _ => store.join("sha256").join(&sha256[..2]).join(&sha256[2..]),
        };
        assert_eq!(Sha256::of(&std::fs::read(&place).unwrap()).to_string(), sha256, "{artifact}");
    }
}

#[tokio::test]
async fn a_folder_gets_every_file_and_while_it_is_away_slots_are_rendered_and_the_node_says_so() {
    let place = Place::new(&scenario("20ms", ""));
    let (store, away) = (place.data().with_file_name("store"), place.data().with_file_name("away"));
    let service = place.serve_with(&["--set", &format!("store.url=file://{}", store.display())]);
    service.ready().await;
    let node = service.get("/v1/node").await;
    assert_eq!(node["store"]["state"], "unknown", "{node:#}");
    completed(&service, &recipe(1)).await;
    let slot = delivered(&service, &recipe(1)).await;
    holds(&store, &slot);
    let stages = slot["stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["ended_at"].is_number()), "a delivery forgets no time: {slot:#}");
    let page = service.get("/v1/slots").await;
    assert_eq!(
        (&page["slots"][0]["delivery"], &page["slots"][0]["stages"]),
        (&slot["delivery"], &slot["stages"])
    );
    let node = service.until("/v1/node", |node| node["store"]["state"] == "up").await;
    assert_eq!((&node["store"]["waiting"], &node["alerts"]), (&0.into(), &serde_json::json!([])), "{node:#}");

    // A file in its place: nothing can be written below it.
    std::fs::rename(&store, &away).unwrap();
    std::fs::write(&store, b"in the way").unwrap();
    let slot = completed(&service, &recipe(2)).await;
    assert_eq!(slot["delivery"], "pending", "{slot:#}");
    let node = service.until("/v1/node", |node| node["store"]["state"] == "down").await;
    let store_view = &node["store"];
    assert!(store_view["failures"].as_u64() >= Some(1) && store_view["waiting"] == 1, "{node:#}");
    assert!(
        store_view["since"].as_f64() > node["started_at"].as_f64() && !store_view["error"].is_null(),
        "{node:#}"
    );
    let alert = node["alerts"][0].as_str().unwrap();
    assert!(alert.contains("artifact store") && alert.contains("delivered later"), "{node:#}");
    assert_eq!(node["ready"], true, "{node:#}");
    completed(&service, &recipe(3)).await;
    // This node serves them meanwhile.
    for artifact in slot["artifacts"].as_array().unwrap() {
        let answer = service.ask(Method::GET, artifact["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{artifact}");
    }

    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    for number in 1..=3 {
        holds(&store, &delivered(&service, &recipe(number)).await);
    }
    let node = service.until("/v1/node", |node| node["store"]["state"] == "up").await;
    assert_eq!((&node["store"]["waiting"], &node["alerts"]), (&0.into(), &serde_json::json!([])), "{node:#}");
}

#[tokio::test]
async fn a_bucket_that_comes_up_late_gets_every_file_and_readers_get_addresses_of_their_own() {
    let Some(mut weed) = Weed::new() else { return };
    let place = Place::new(&scenario("20ms", ""))
        .with_variable("AWS_ACCESS_KEY_ID", KEY)
        .with_variable("AWS_SECRET_ACCESS_KEY", SECRET);
    let endpoint = format!("store.endpoint={}", weed.endpoint());
    let settings = ["store.url=s3://slots/of/a-node", &endpoint, "store.allow_http=true"];
    let service = place.serve_with(&settings.map(|setting| ["--set", setting]).concat());
    service.ready().await;
    let slot = completed(&service, &recipe(1)).await;
    assert_eq!(slot["delivery"], "pending", "{slot:#}");
    let down = service.until("/v1/node", |node| node["store"]["state"] == "down").await;
    assert_eq!((&down["store"]["url"], &down["ready"]), (&"s3://slots/of/a-node".into(), &true.into()));
    assert!(!down.to_string().contains(SECRET));

    weed.start().await;
    let slot = delivered(&service, &recipe(1)).await;
    let client = Client::new();
    for artifact in slot["artifacts"].as_array().unwrap() {
        let url = artifact["url"].as_str().unwrap();
        assert!(url.starts_with(&weed.endpoint()) && url.contains("X-Amz-Signature="), "{artifact}");
        let answer = client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{artifact}");
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(Sha256::of(&bytes).to_string(), artifact["sha256"].as_str().unwrap());
        let bare = client.get(url.split('?').next().unwrap()).send().await.unwrap();
        assert_eq!(bare.status(), StatusCode::FORBIDDEN);
    }
    service.until("/v1/node", |node| node["store"]["state"] == "up").await;
    // A command that knows no store gets its files nevertheless.
    let out = place.data().with_file_name("out");
    let id = slot["id"].as_str().unwrap();
    place.told(&["fetch", id, "--out", out.to_str().unwrap()]);
    for artifact in slot["artifacts"].as_array().unwrap() {
        let bytes = std::fs::read(out.join(artifact["name"].as_str().unwrap())).unwrap();
        assert_eq!(Sha256::of(&bytes).to_string(), artifact["sha256"].as_str().unwrap());
    }
    let (code, logs) = service.stop();
    assert!(code == Some(0) && !logs.contains(SECRET) && !logs.contains("X-Amz-Signature"), "{logs}");
}
