//! A node whose memory is short pulls nothing while the others go on.

use std::time::Duration;

use serde_json::Value;
use vortex_node::network::registry;

use super::net::{Net, artifacts_hold};
use crate::support::served::scenario;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_under_soft_pressure_pulls_nothing_and_what_others_render_was_delivered_once() {
    let calm = scenario("60ms", "");
    let Some(mut net) = Net::new(
        2,
        &calm,
        &[("VORTEX_TELEMETRY__FILTER", "info,vortex_node::app::service=debug,vortex_node::network=debug")],
    ) else {
        return;
    };
    // Somebody else takes memory beside the first node, for as long as the test lasts.
    let pressed =
        format!("{calm}\n[[faults]]\nkind = \"others\"\nat = \"1s\"\nlasts = \"10min\"\nbytes = \"4.2GB\"\n");
    std::fs::write(net.nodes.place(0).scenario_file(), pressed).unwrap();
    net.nodes.start_one(0);
    net.nodes.start_one(1);
    net.node(1).ready().await;
    net.node(0).until("/v1/node", is_pressed).await;
    // What it had asked for by then is taken back within moments.
    net.until_counted(|counts| {
        consumers(counts).iter().all(|consumer| consumer["num_waiting"].as_u64() <= Some(1))
    })
    .await;
    let session = net.session().await;
    let mut works = Vec::new();
    for number in 0..20 {
        works.push(net.hand_in(&session, number).await);
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    artifacts_hold(&results);
    let nodes = registry::nodes(&session).await.unwrap();
    let calm = nodes.iter().find(|node| node.ready).unwrap();
    assert_eq!(nodes.len(), 2, "a node under pressure stays in the registry: {nodes:?}");
    for result in results.values() {
        assert_eq!((&result.node, result.deliveries), (&calm.node, 1));
    }
    let counts = net.counts();
    assert_eq!(redelivered(&counts), 0);
}

fn is_pressed(node: &Value) -> bool {
    node["not_ready"]
        .as_array()
        .is_some_and(|reasons| reasons.iter().any(|it| it.as_str().unwrap().contains("pressure is soft")))
}

/// All consumers of all streams.
fn consumers(counts: &Value) -> Vec<&Value> {
    let streams = counts["account_details"][0]["stream_detail"].as_array().unwrap();
    streams.iter().filter_map(|stream| stream["consumer_detail"].as_array()).flatten().collect()
}

/// All redeliveries.
fn redelivered(counts: &Value) -> u64 {
    consumers(counts).iter().map(|consumer| consumer["num_redelivered"].as_u64().unwrap_or(0)).sum()
}
