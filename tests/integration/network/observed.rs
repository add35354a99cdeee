//! What a node says of its network to whoever looks: in the API, and when it is scraped.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use vortex_node::clock::now;

use super::net::Net;
use crate::support::served::{LIMIT, Served, scenario};

/// The value of a series without labels.
async fn scraped(node: &Served, name: &str) -> Option<f64> {
    let text = node.ask(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.map(|value| value.parse().unwrap())
}

/// Waits until it is so; a scrape may show what was asked a second ago.
async fn is_scraped(node: &Served, name: &str, is_so: impl Fn(f64) -> bool) {
    let began = now();
    loop {
        let value = scraped(node, name).await;
        if value.is_some_and(&is_so) {
            return;
        }
        assert!(now() - began < LIMIT, "{name} is {value:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_shows_its_network_its_claim_and_that_it_was_cut_off() {
    // One run takes longer than the test looks for the claim.
    let Some(mut net) = Net::new(1, &scenario("3s", ""), &[]) else { return };
    net.nodes.start().await;
    let node = net.node(0);
    let shown = node.until("/v1/node", |node| node["network"]["pulls"] == true).await;
    let network = &shown["network"];
    assert_eq!((&network["connected"], &network["prefix"]), (&json!(true), &json!("vortex")), "{network}");
    assert_eq!((&network["claims"], &network["letters"]), (&json!(0), &json!(0)), "{network}");
    assert!(network["error"].is_null() && network["since"].is_null(), "{network}");
    assert_eq!(shown["alerts"], json!([]));
    is_scraped(node, "vortex_network_connected", |value| value == 1.0).await;
    is_scraped(node, "vortex_network_clock_offset_seconds", |value| value.abs() < 5.0).await;
    assert_eq!(scraped(node, "vortex_network_claims_lost_total").await, Some(0.0));
    assert_eq!(scraped(node, "vortex_network_letters_total").await, Some(0.0));

    let session = net.session().await;
    net.hand_in(&session, 1).await;
    let node = net.node(0);
    let shown = node.until("/v1/node", |node| node["network"]["claims"] == 1).await;
    assert_eq!(shown["network"]["connected"], true, "{shown}");
    is_scraped(node, "vortex_network_claims", |value| value == 1.0).await;

    net.proxies[0].swallow();
    let shown = node.until("/v1/node", |node| node["network"]["connected"] == false).await;
    let network = &shown["network"];
    assert!(network["since"].is_number() && network["error"].is_string(), "{network}");
    assert_eq!(network["pulls"], false, "{network}");
    assert!(network["not_pulling"].as_array().unwrap().contains(&json!("the network is away")), "{network}");
    let alerts = shown["alerts"].to_string();
    assert!(alerts.contains("the network has been away for"), "{alerts}");
    is_scraped(node, "vortex_network_connected", |value| value == 0.0).await;
    // Nothing confirms the claim any more.
    node.until("/v1/node", |node| node["network"]["claims_lost"] == 1).await;
    is_scraped(node, "vortex_network_claims_lost_total", |value| value == 1.0).await;

    net.proxies[0].heal();
    let shown = node.until("/v1/node", |node| node["network"]["connected"] == true).await;
    assert!(!shown["alerts"].to_string().contains("has been away"), "{shown}");
    is_scraped(node, "vortex_network_connected", |value| value == 1.0).await;
}
