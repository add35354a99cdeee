//! What watchers of a slot hear, whose trace it is in, and that it can be stopped.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use vortex_node::clock::unix_time;
use vortex_node::network::cancels::{self, CancelMarker};
use vortex_node::network::directors::{self, Director};
use vortex_node::network::letters::{self, LetterReason};
use vortex_node::network::results::EndState;
use vortex_node::network::{Class, Priority, Recipient, VERSION, WorkSubject, hand_in, progress};
use vortex_node::types::{Stage, WorkId};

use super::net::{Net, artifacts_hold, class};
use crate::support::served::{recipe, scenario};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_hear_each_stage_and_the_slot_is_in_the_callers_trace() {
    let Some(mut net) = Net::new(1, &scenario("100ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let text = recipe(1);
    let work = WorkId::first(text["recipe_id"].as_str().unwrap().parse().unwrap());
    let mut told = progress::watch(&session, work.slot).await.unwrap();
    let subject = WorkSubject { to: Recipient::Any, class: class(), director: None, work };
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap();
    hand_in(&session, &subject, text.to_string().as_bytes(), Some(&parent), unix_time()).await.unwrap();
    let results = net.results(&[work], Duration::from_secs(30)).await;
    artifacts_hold(&results);
    let mut stages = Vec::new();
    while !stages.contains(&Stage::Verify) {
        let next = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
        let next = next.unwrap_or_else(|_| panic!("only {stages:?} were told")).unwrap();
        assert_eq!((next.work, &next.node), (work, &results[&work].node));
        stages.push(next.stage);
    }
    for stage in [Stage::Audio, Stage::Image, Stage::Video] {
        assert!(stages.contains(&stage), "{stage} of {stages:?}");
    }
    let slot: Value =
        net.node(0).until(&format!("/v1/slots/{}", work.slot), |slot| slot["state"] == "completed").await;
    assert_eq!(slot["trace_id"], TRACE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_cancels_ends_as_cancelled_before_and_while_it_is_rendered() {
    let Some(mut net) = Net::new(1, &scenario("60s", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let first = net.hand_in(&session, 1).await;
    net.node(0)
        .until("/v1/slots?state=running", |all| all["slots"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    let mut works = vec![first];
    for number in 2..8 {
        works.push(net.hand_in(&session, number).await);
    }
    for work in &works {
        let (slot, epoch) = (work.slot, work.epoch);
        let (by, at, reason) = ("a test".to_owned(), unix_time().as_secs_f64(), None);
        cancels::put(&session, &CancelMarker { version: VERSION, slot, epoch, by, at, reason })
            .await
            .unwrap();
    }
    let results = net.results(&works, Duration::from_secs(60)).await;
    for (work, result) in &results {
        assert_eq!(result.state, EndState::Cancelled, "{work}: {result:?}");
    }
    net.is_done(Duration::from_secs(20)).await;
    net.node(0).until(&format!("/v1/slots/{}", first.slot), |slot| slot["state"] == "cancelled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_above_its_directors_priority_is_rendered_by_nobody() {
    let Some(mut net) = Net::new(1, &scenario("10ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    directors::put(&session, None, &Director { priority: Priority::Normal, queued: None }).await.unwrap();
    let text = recipe(1);
    let work = WorkId::first(text["recipe_id"].as_str().unwrap().parse().unwrap());
    let class = Class { priority: Priority::High, ..class() };
    let subject = WorkSubject { to: Recipient::Any, class, director: None, work };
    hand_in(&session, &subject, text.to_string().as_bytes(), None, unix_time()).await.unwrap();
    let results = net.results(&[work], Duration::from_secs(30)).await;
    assert_eq!(results[&work].state, EndState::Dead);
    let letter = letters::read(&session, work).await.unwrap().unwrap().record;
    assert_eq!(letter.reason, LetterReason::Priority);
    assert!(letter.detail.contains("high") && letter.detail.contains("normal"), "{}", letter.detail);
    let usual = net.hand_in(&session, 2).await;
    artifacts_hold(&net.results(&[usual], Duration::from_secs(30)).await);
}
