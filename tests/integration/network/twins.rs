//! Two nodes with one id, and a node that the network no longer lets in.

use std::time::Duration;

use vortex_node::network::registry;

use super::net::{Net, artifacts_hold};
use crate::support::served::scenario;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_with_one_id_the_younger_ends_and_says_why() {
    let Some(mut net) = Net::new(2, &scenario("10ms", ""), &[]) else { return };
    net.nodes.start_one(0);
    net.node(0).ready().await;
    let session = net.session().await;
    let first = net.hand_in(&session, 1).await;
    artifacts_hold(&net.results(&[first], Duration::from_secs(30)).await);
    let copied = net.nodes.place(1).data();
    std::fs::create_dir_all(&copied).unwrap();
    std::fs::copy(net.nodes.place(0).data().join("node.key"), copied.join("node.key")).unwrap();
    net.nodes.start_one(1);
    let (code, logs) = net.nodes.ended(1);
    assert_eq!(code, Some(2), "{logs}");
    assert!(logs.contains("runs twice") && logs.contains("key of its own"), "{logs}");
    let second = net.hand_in(&session, 2).await;
    artifacts_hold(&net.results(&[second], Duration::from_secs(30)).await);
    assert_eq!(registry::nodes(&session).await.unwrap().len(), 1);
    net.stop(0);
    // A clean stop takes the entry away at once.
    assert!(registry::nodes(&session).await.unwrap().is_empty());
}
