//! Two holders of one rendering: the loser's end changes nothing of what the winner left.

use std::time::Duration;

use reqwest::Method;
use vortex_node::network::Stream;

use super::net::{ACK_WAIT, Net, artifacts_hold};
use crate::support::served::scenario;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_leaves_the_winners_artifacts_alone_and_says_that_it_was_second() {
    let Some(mut net) = Net::new(2, &scenario("50ms", ""), &[]) else { return };
    net.nodes.start_one(0);
    net.node(0).ready().await;
    net.proxies[0].hold_before("HPUB vortex.results.");
    let session = net.session().await;
    let work = net.hand_in(&session, 1).await;
    assert!(net.proxies[0].is_held_within(Duration::from_secs(20)), "{}", net.standing().await);
    // Everything of the first is in the store, its result on the way. The second finds the same files there.
    net.nodes.start_one(1);
    net.node(1).ready().await;
    let results = net.results(&[work], ACK_WAIT * 10).await;
    artifacts_hold(&results);
    net.proxies[0].heal();
    let path = format!("/v1/slots/{}", work.slot);
    net.node(0).until(&path, |slot| slot["state"] == "superseded").await;
    net.node(1).until(&path, |slot| slot["state"] == "completed").await;
    let second = net.nodes[1].ask(Method::GET, "/v1/node").send().await.unwrap();
    let second: serde_json::Value = second.json().await.unwrap();
    assert_eq!(results[&work].node, second["id"]);
    artifacts_hold(&net.results(&[work], ACK_WAIT).await);
    net.is_done(Duration::from_secs(20)).await;
    assert_eq!(net.count(Stream::Results).await, 1);
    // Stopped and started again, neither thinks otherwise, nor takes anything away.
    for number in 0..2 {
        net.stop(number);
    }
    net.nodes.start().await;
    net.node(0).until(&path, |slot| slot["state"] == "superseded").await;
    artifacts_hold(&net.results(&[work], ACK_WAIT).await);
}
