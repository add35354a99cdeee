//! A server that is killed and started again, and one that a node cannot reach for long: nothing is lost.

use std::time::Duration;

use vortex_node::network::Stream;

use super::net::{Net, artifacts_hold};
use crate::support::served::scenario;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_and_started_again_loses_nothing() {
    let Some(mut net) = Net::new(2, &scenario("200ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let mut works = Vec::new();
    for number in 0..16 {
        works.push(net.hand_in(&session, number).await);
    }
    for _ in 0..2 {
        let there = net.count(Stream::Results).await;
        net.until(Stream::Results, there + 2).await;
        net.nats.kill();
        net.nats.start_again();
    }
    artifacts_hold(&net.results(&works, Duration::from_secs(60)).await);
    net.is_done(Duration::from_secs(30)).await;
    assert_eq!(net.count(Stream::Results).await, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_for_long_loses_its_claims_and_goes_on_where_it_was() {
    let seconds = std::env::var("VORTEX_SOAK_NETWORK_CUT").map_or(6, |count| count.parse().unwrap());
    let Some(mut net) = Net::new(2, &scenario("200ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let mut works = Vec::new();
    for number in 0..20 {
        works.push(net.hand_in(&session, number).await);
    }
    net.until(Stream::Results, 4).await;
    net.proxies[0].swallow();
    // As long as a partition: the subject of the test.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    net.proxies[0].heal();
    artifacts_hold(&net.results(&works, Duration::from_secs(60)).await);
    // What was cut off takes part again.
    let more: Vec<u64> = (20..30).collect();
    for number in more {
        works.push(net.hand_in(&session, number).await);
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    let nodes: std::collections::BTreeSet<&String> = results.values().map(|result| &result.node).collect();
    assert_eq!(nodes.len(), 2);
    net.is_done(Duration::from_secs(30)).await;
    assert_eq!(net.count(Stream::Results).await, 30);
    let logs = net.stop(0);
    assert!(logs.contains("the connection to the network is gone"), "{logs}");
    assert!(logs.contains("connected to the network again"), "{logs}");
}
