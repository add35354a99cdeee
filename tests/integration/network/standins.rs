//! What is addressed to a node that is away, handed in twice, or ended before: one rendering, one end.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use vortex_node::network::results::EndState;
use vortex_node::network::{Recipient, Stream, letters, registry};
use vortex_node::types::WorkId;

use super::net::{Net, artifacts_hold};
use crate::support::served::{recipe, scenario};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_of_a_node_that_is_away_is_rendered_by_one_that_has_no_other_replica() {
    let Some(mut net) = Net::new(3, &scenario("10ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let ids: Vec<String> = {
        let mut ids = Vec::new();
        for number in 0..3 {
            let node: Value =
                net.node(number).ask(Method::GET, "/v1/node").send().await.unwrap().json().await.unwrap();
            ids.push(node["id"].as_str().unwrap().to_owned());
        }
        ids
    };
    net.nodes.kill(0);
    let recipe = recipe(1);
    let mut works = Vec::new();
    for (id, replica) in ids[..2].iter().zip(1..) {
        works.push(net.hand_in_to(&session, &recipe, Recipient::Node(id.clone()), replica).await);
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    artifacts_hold(&results);
    assert_eq!(results[&works[0]].node, ids[2], "the one that has no other replica stands in");
    assert_eq!(results[&works[1]].node, ids[1]);
    net.is_done(Duration::from_secs(20)).await;
    assert_eq!(net.count(Stream::Letters).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_comes_by_http_and_by_the_network_ends_once() {
    let Some(mut net) = Net::new(2, &scenario("100ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    for number in 0..6 {
        let recipe = recipe(number);
        let path = format!("/v1/slots/{}", recipe["recipe_id"].as_str().unwrap());
        let answer = net.node(0).ask(Method::PUT, &path).json(&recipe).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
        net.hand_in(&session, number).await;
    }
    let works: Vec<WorkId> = (0..6)
        .map(|number| WorkId::first(recipe(number)["recipe_id"].as_str().unwrap().parse().unwrap()))
        .collect();
    let results = net.results(&works, Duration::from_secs(60)).await;
    artifacts_hold(&results);
    net.is_done(Duration::from_secs(30)).await;
    assert_eq!(net.count(Stream::Results).await, 6);
    for work in &works {
        let path = format!("/v1/slots/{}", work.slot);
        let slot = net.node(0).until(&path, is_ended).await;
        let node: Value =
            net.node(0).ask(Method::GET, "/v1/node").send().await.unwrap().json().await.unwrap();
        let is_own = results[work].node == node["id"];
        assert_eq!(slot["state"], if is_own { "completed" } else { "superseded" }, "{work}");
    }
}

fn is_ended(slot: &Value) -> bool {
    !matches!(slot["state"].as_str(), Some("queued" | "running"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_letter_is_rendered_under_the_next_epoch_by_the_node_that_had_given_it_up() {
    let Some(mut net) = Net::new(1, &scenario("10ms", ""), &[("VORTEX_NETWORK__SIGNED_ONLY", "true")]) else {
        return;
    };
    net.nodes.start().await;
    let session = net.session().await;
    let first = net.hand_in(&session, 1).await;
    let dead = net.results(&[first], Duration::from_secs(30)).await;
    assert_eq!(dead[&first].state, EndState::Dead);
    net.stop(0);
    // Whoever operates the network changes their mind.
    net.nodes.place_mut(0).set_variable("VORTEX_NETWORK__SIGNED_ONLY", "false");
    net.nodes.start().await;
    let second = letters::replay(&session, first).await.unwrap();
    assert_eq!((second.slot, second.epoch.get()), (first.slot, 2));
    artifacts_hold(&net.results(&[second], Duration::from_secs(30)).await);
    net.is_done(Duration::from_secs(20)).await;
    assert_eq!(net.count(Stream::Letters).await, 0);
    assert_eq!(registry::nodes(&session).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_nothing_for_a_while_costs_time_and_no_result() {
    let Some(mut net) = Net::new(1, &scenario("50ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let first = net.hand_in(&session, 1).await;
    artifacts_hold(&net.results(&[first], Duration::from_secs(30)).await);
    // A file where its folders were: nothing can be written below it.
    let aside = net.store().join("aside");
    std::fs::rename(net.store().join("work"), &aside).unwrap();
    std::fs::write(net.store().join("work"), "").unwrap();
    let second = net.hand_in(&session, 2).await;
    net.until(Stream::Attempts, 2).await;
    // Longer than a claim holds without progress. Bounded, and the subject of the test.
    tokio::time::sleep(super::net::ACK_WAIT * 2).await;
    assert_eq!(net.count(Stream::Results).await, 1);
    std::fs::remove_file(net.store().join("work")).unwrap();
    std::fs::rename(&aside, net.store().join("work")).unwrap();
    let results = net.results(&[first, second], Duration::from_secs(60)).await;
    artifacts_hold(&results);
    assert_eq!(results[&second].deliveries, 1, "its claim held all the time");
    net.is_done(Duration::from_secs(20)).await;
}
