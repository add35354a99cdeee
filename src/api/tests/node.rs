//! The node, its probes, and what operators tell it.

use serde_json::json;

use super::fake::problem;
use super::*;
use crate::api::backend::{Operation, ProblemKind};
use crate::api::views::NodeView;

#[tokio::test]
async fn metrics_are_served_as_prometheus_declares_its_text() {
    let it = setup();
    let answer = get(&it.router, "/metrics?anything=goes").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "# TYPE up gauge\nup 1\n"));
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    it.fake.table().refusal = Some(problem(ProblemKind::Internal, "no metrics"));
    get(&it.router, "/metrics").await.problem(500, "internal");
}

#[tokio::test]
async fn the_node_shows_itself() {
    let it = setup();
    let node: NodeView = serde_json::from_value(get(&it.router, "/v1/node").await.json()).unwrap();
    assert!(node.ready && node.bundle == "demo");
    assert_eq!(get(&it.router, "/v1/node/snapshots").await.json(), json!({ "cpu": [] }));
    get(&it.router, "/v1/node?x").await.problem(400, "bad-request");
}

#[tokio::test]
async fn operations_reach_the_node_each_as_what_it_is() {
    let it = setup();
    for name in ["drain", "undrain", "reload", "acknowledge"] {
        let answer = send(&it.router, request("POST", &format!("/v1/node/{name}"))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["done"].as_str().unwrap().to_lowercase(), name);
        send(&it.router, request("POST", &format!("/v1/node/{name}?now=1")))
            .await
            .problem(400, "bad-request");
    }
    let all = [Operation::Drain, Operation::Undrain, Operation::Reload, Operation::Acknowledge];
    assert_eq!(it.fake.table().operations, all);
    it.fake.table().refusal = Some(problem(ProblemKind::State, "nothing was lost"));
    send(&it.router, request("POST", "/v1/node/acknowledge")).await.problem(409, "state");
}

#[tokio::test]
async fn probes_say_yes_or_why_not_as_it_is_wanted() {
    let it = setup();
    for path in ["/livez", "/readyz", "/startupz"] {
        let yes = get(&it.router, path).await;
        assert_eq!((yes.status.as_u16(), yes.text()), (200, "ok\n"));
        let yes = send(&it.router, with(request("GET", path), "accept", "application/json")).await;
        assert_eq!((yes.status.as_u16(), yes.json()), (200, json!({ "status": "ok" })));
    }
    it.fake.table().not_ready = vec!["flux is loading".to_owned(), "memory is short".to_owned()];
    let no = get(&it.router, "/readyz").await;
    assert_eq!((no.status.as_u16(), no.text()), (503, "flux is loading\nmemory is short\n"));
    assert!(no.header("content-type").starts_with("text/plain"));
    let no =
        send(&it.router, with(request("GET", "/readyz"), "accept", "application/json, text/plain;q=0.5"))
            .await;
    assert_eq!(no.problem(503, "not-ready"), "flux is loading; memory is short");
    assert_eq!(no.json()["reasons"], json!(["flux is loading", "memory is short"]));
    let no = send(&it.router, with(request("GET", "/readyz?verbose"), "accept", "text/html, */*")).await;
    assert!(no.header("content-type").starts_with("text/plain"));
    assert_eq!(get(&it.router, "/livez").await.status, 200);
    assert_eq!(send(&it.router, request("HEAD", "/readyz")).await.status, 503);
}
