//! Settings that are read again while the service runs: what was applied is told and counts at once, what waits for a restart
//! is named, and with anything wrong everything stays.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::served::{Place, Served, recipe, scenario};

async fn reload(service: &Served) -> (StatusCode, Value) {
    let answer = service.ask(Method::POST, "/v1/node/reload").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn put(service: &Served, number: u64) -> StatusCode {
    let recipe = recipe(number);
    let path = format!("/v1/slots/{}", recipe["recipe_id"].as_str().unwrap());
    let ask = service.ask(Method::PUT, &path).header("Vortex-Webhook", "http://127.0.0.1:9/");
    ask.json(&recipe).send().await.unwrap().status()
}

#[tokio::test]
async fn a_reload_tells_what_was_applied_and_what_waits_for_a_restart() {
    let place = Place::new(&scenario("20ms", ""));
    let file = place.file("config/node.toml", "");
    let folder = file.parent().unwrap().to_str().unwrap().to_owned();
    let service = place.serve_with(&["--config-dir", &folder]);
    service.ready().await;
    let (status, nothing) = reload(&service).await;
    assert_eq!(
        (status, &nothing["changed"], &nothing["needs_restart"]),
        (StatusCode::OK, &json!([]), &json!([]))
    );
    assert_eq!(put(&service, 1).await, StatusCode::UNPROCESSABLE_ENTITY);

    let allowed = "[webhooks]\nallow = [\"http://127.0.0.1:9\"]\n[journal]\nkeep = \"2h\"\n";
    place.file("config/node.toml", allowed);
    let (status, done) = reload(&service).await;
    assert_eq!(status, StatusCode::OK, "{done:#}");
    assert_eq!(
        (&done["changed"], &done["needs_restart"]),
        (&json!(["webhooks.allow"]), &json!(["journal.keep"]))
    );
    assert_eq!(put(&service, 1).await, StatusCode::ACCEPTED, "it counts at once");
    let (_, again) = reload(&service).await;
    assert_eq!((&again["changed"], &again["needs_restart"]), (&json!([]), &json!(["journal.keep"])));

    // One good change beside one that is none: neither counts.
    place.file("config/node.toml", "[webhooks]\nallow = []\n[http]\nrate = 0\n");
    let (status, problem) = reload(&service).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("/problems/state")), "{problem:#}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("http.rate") && detail.contains("node.toml"), "{detail}");
    assert_eq!(put(&service, 2).await, StatusCode::ACCEPTED, "what was in force stays");

    place.file("config/node.toml", "");
    let (_, back) = reload(&service).await;
    assert_eq!((&back["changed"], &back["needs_restart"]), (&json!(["webhooks.allow"]), &json!([])));
    assert_eq!(put(&service, 3).await, StatusCode::UNPROCESSABLE_ENTITY);
}
