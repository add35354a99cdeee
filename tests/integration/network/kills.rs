//! Nodes that are killed while they render: each slot ends exactly once.

use std::time::Duration;

use super::net::{Net, artifacts_hold};
use crate::support::random::Random;
use crate::support::served::scenario;
use vortex_node::clock::now;
use vortex_node::network::Stream;

fn asked(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_of_which_one_is_killed_now_and_then_end_every_slot_exactly_once() {
    let slots = asked("VORTEX_SOAK_NETWORK_SLOTS", 24);
    let mut random = Random::seeded("network kills");
    let Some(mut net) = Net::new(3, &scenario("60ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let mut works = Vec::new();
    for number in 0..slots {
        works.push(net.hand_in(&session, number).await);
    }
    let began = now();
    let mut kills = 0;
    while net.count(Stream::Results).await < slots {
        assert!(now() - began < Duration::from_secs(60 + slots), "{}", net.standing().await);
        // Anywhere between two kills is as good a moment as any other. Bounded, and the subject of the test.
        tokio::time::sleep(Duration::from_millis(500 + random.below(2000))).await;
        let number = random.below(3) as usize;
        net.nodes.kill(number);
        kills += 1;
        net.nodes.start_one(number);
    }
    let results = net.results(&works, Duration::from_secs(30)).await;
    artifacts_hold(&results);
    net.is_done(Duration::from_secs(30)).await;
    assert_eq!(net.count(Stream::Results).await, slots);
    assert_eq!(net.count(Stream::Letters).await, 0);
    println!("{slots} slots, {kills} kills, {:.0} s", (now() - began).as_secs_f64());
}
