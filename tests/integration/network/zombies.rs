//! Nodes that stop and go on later, not knowing that time has passed: whatever they do then changes no end.

use std::time::Duration;

use vortex_node::clock::now;
use vortex_node::network::Stream;

use super::net::{ACK_WAIT, Net, artifacts_hold};
use crate::support::random::Random;
use crate::support::served::scenario;

/// A node that was stopped has no fresh sample of its memory at first, and takes nothing in for as long as pressure dwells:
/// right, and not what is tried here.
const PATIENT: &str = "[device]\nstale_after = \"1min\"\n";

/// What a node says on the wire, and the window before it.
const WINDOWS: [(&str, &str); 3] = [
    ("after the check and the upload, before the write of the result", "HPUB vortex.results."),
    ("after the result, before the acknowledgement", "+ACK"),
    ("before progress", "+WPI"),
];

async fn is_stopped(net: &mut Net, number: usize, works: &mut Vec<vortex_node::types::WorkId>, window: &str) {
    let session = net.session().await;
    net.proxies[number].hold_before(window);
    // One after the other, until it is this node that has one.
    let mut is_held = false;
    for _ in 0..60 {
        works.push(net.hand_in(&session, works.len() as u64).await);
        is_held = net.proxies[number].is_held_within(Duration::from_millis(500));
        if is_held {
            break;
        }
    }
    assert!(is_held, "node {number} never said {window:?}: {}", net.standing().await);
    // The process stops with its write under way, and both go on when others have had the work for long.
    net.node(number).pause();
    tokio::time::sleep(ACK_WAIT * 2).await;
    net.node(number).resume();
    net.proxies[number].heal();
    net.results(&works[..], Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_in_a_window_and_goes_on_gives_no_second_result() {
    let Some(mut net) = Net::new(2, &scenario("300ms", PATIENT), &[]) else { return };
    net.nodes.start().await;
    let mut works = Vec::new();
    for (what, said) in WINDOWS {
        println!("{what}");
        is_stopped(&mut net, 0, &mut works, said).await;
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    artifacts_hold(&results);
    net.is_done(Duration::from_secs(30)).await;
    assert_eq!(net.count(Stream::Results).await, works.len() as u64);
    assert_eq!(net.count(Stream::Letters).await, 0);
    for proxy in &net.proxies {
        assert_eq!(proxy.counted().naks, 0, "nothing is ever given back");
    }
    let logs = net.stop(0);
    assert!(logs.contains("the claim on this work is lost"), "{logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_of_which_one_is_stopped_for_twice_a_claims_time_end_every_slot_exactly_once() {
    let slots = std::env::var("VORTEX_SOAK_NETWORK_SLOTS").map_or(20, |count| count.parse().unwrap());
    let mut random = Random::seeded("network zombies");
    let Some(mut net) = Net::new(3, &scenario("100ms", PATIENT), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let mut works = Vec::new();
    for number in 0..slots {
        works.push(net.hand_in(&session, number).await);
    }
    let (began, mut stops) = (now(), 0);
    while net.count(Stream::Results).await < slots {
        assert!(now() - began < Duration::from_secs(120 + 2 * slots), "{}", net.standing().await);
        // Any moment is as good as another. Bounded, and the subject of the test.
        tokio::time::sleep(Duration::from_millis(random.below(600))).await;
        let number = random.below(3) as usize;
        net.node(number).pause();
        tokio::time::sleep(ACK_WAIT * 2).await;
        net.node(number).resume();
        stops += 1;
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    artifacts_hold(&results);
    net.is_done(Duration::from_secs(60)).await;
    assert_eq!(net.count(Stream::Results).await, slots);
    for proxy in &net.proxies {
        assert_eq!(proxy.counted().naks, 0, "nothing is ever given back");
    }
    println!("{slots} slots, {stops} stops, {:.0} s", (now() - began).as_secs_f64());
}
