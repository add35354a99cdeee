//! A node whose clock is wrong takes no work that it would call late, and takes part again once the clock is right.

use std::time::Duration;

use serde_json::{Value, json};

use super::net::{Net, artifacts_hold};
use crate::support::preload::Faults;
use crate::support::served::{recipe, scenario};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_an_hour_ahead_pulls_nothing_and_says_so() {
    let Some(faults) = Faults::new() else { return };
    let Some(mut net) = Net::new(2, &scenario("20ms", ""), &[]) else { return };
    let place = net.nodes.place(0);
    let skewed = faults.of(place.command(&[]), &place.data());
    faults.clock(3600);
    net.nodes.start_by(0, skewed);
    net.nodes.start_one(1);
    net.node(1).ready().await;
    net.node(0).until("/v1/node", is_off).await;
    let session = net.session().await;
    let mut works = Vec::new();
    for number in 0..10 {
        // Ten minutes by a clock that is right; long over by the other.
        let mut recipe = recipe(number);
        recipe["deadline"] = json!(vortex_node::clock::unix_time().as_secs() + 600);
        works.push(net.hand_in_to(&session, &recipe, vortex_node::network::Recipient::Any, 1).await);
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    artifacts_hold(&results);
    let own = net.node(0).until("/v1/node", |_| true).await;
    assert!(results.values().all(|result| own["id"] != *result.node), "only the other one renders");
    faults.clock(0);
    net.node(0).until("/v1/node", |node| !is_off(node)).await;
    net.stop(1);
    let last = net.hand_in(&session, 20).await;
    artifacts_hold(&net.results(&[last], Duration::from_secs(30)).await);
    let logs = net.stop(0);
    assert!(logs.contains("clock is ahead of the network's"), "{logs}");
}

fn is_off(node: &Value) -> bool {
    node["alerts"]
        .as_array()
        .is_some_and(|alerts| alerts.iter().any(|it| it.as_str().unwrap().contains("clock")))
}
