//! What is written about work, against a real server.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use super::server::{TestServer, make};
use crate::network::attempts::{self, Attempt, Happening};
use crate::network::cancels::{self, CancelMarker};
use crate::network::progress::{self, Progress};
use crate::network::results::tests::result;
use crate::network::results::{self, Put, ResultRecord};
use crate::network::session::ANSWER;
use crate::network::{NetworkError, Stream, VERSION, listing};
use crate::types::{SlotId, Stage, WorkId};

fn slot(number: u32) -> SlotId {
    format!("{number:08x}-5d7c-4a52-9a3e-2b8f0c1d7e90").parse().unwrap()
}

fn work(number: u32, epoch: u32, replica: u32) -> WorkId {
    format!("{}/{epoch}/{replica}", slot(number)).parse().unwrap()
}

#[tokio::test]
async fn a_rendering_has_one_result_whoever_comes_second() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    make(&session, Stream::Results, json!({})).await;
    let mine = result(work(1, 1, 1), "mine");
    assert_eq!(results::read(&session, mine.work).await.unwrap(), None);
    assert_eq!(results::create(&session, &mine, ANSWER).await.unwrap(), Put::First);
    let late = result(work(1, 1, 1), "late");
    let Put::Taken(there) = results::create(&session, &late, ANSWER).await.unwrap() else { panic!() };
    assert_eq!((*there).clone(), mine);
    assert!(there.is_same(&mine) && !there.is_same(&late));

    for other in [work(1, 10, 1), work(1, 2, 1), work(2, 1, 1)] {
        assert_eq!(results::create(&session, &result(other, "mine"), ANSWER).await.unwrap(), Put::First);
    }
    let records = results::of_slot(&session, slot(1)).await.unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(results::highest(&records).unwrap().work, work(1, 10, 1));

    let huge = ResultRecord { result: Some("x".repeat(session.largest())), ..result(work(3, 1, 1), "mine") };
    let error = results::create(&session, &huge, ANSWER).await.unwrap_err();
    assert!(matches!(error, NetworkError::TooLarge { .. }) && error.is_final(), "{error:?}");
    assert!(error.to_string().contains(&session.largest().to_string()), "{error}");
    assert!(!session.is_over());
}

#[tokio::test]
async fn of_many_that_create_at_once_one_is_first() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    make(&session, Stream::Results, json!({})).await;
    let nodes: Vec<String> = (0..20).map(|number| format!("node {number}")).collect();
    let create =
        async |node: &String| results::create(&session, &result(work(1, 1, 1), node), ANSWER).await.unwrap();
    let puts = join_all(nodes.iter().map(create)).await;
    assert_eq!(puts.iter().filter(|put| **put == Put::First).count(), 1);
    let taken: BTreeSet<&str> = puts
        .iter()
        .filter_map(|put| match put {
            Put::First => None,
            Put::Taken(there) => Some(there.node.as_str()),
        })
        .collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
}

#[tokio::test]
async fn a_second_try_after_a_lost_answer_finds_its_own_result() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    make(&session, Stream::Results, json!({})).await;
    let mine = result(work(1, 1, 1), "mine");
    server.stand_still();
    let lost = results::create(&session, &mine, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(lost, NetworkError::NoAnswer { .. }) && lost.is_open(), "{lost:?}");
    server.go_on();
    let Put::Taken(there) = results::create(&session, &mine, ANSWER).await.unwrap() else { panic!() };
    assert!(there.is_same(&mine));
}

#[tokio::test]
async fn two_thousand_results_are_listed_at_once_and_what_is_no_result_is_told_apart() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    make(&session, Stream::Results, json!({ "storage": "memory" })).await;
    let all: Vec<WorkId> = (0..2000).map(|number| work(number, 1, 1)).collect();
    let create = async |work: &WorkId| {
        results::create(&session, &result(*work, "node"), Duration::from_secs(20)).await.unwrap()
    };
    join_all(all.iter().map(create)).await;
    // Headers that claim to be the server's, and the record of other work.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Subject", session.subjects().of(Stream::Results, work(7, 1, 1)).as_str());
    headers.insert("Nats-Sequence", "7");
    let odd = session.subjects().of(Stream::Results, work(9999, 1, 1));
    let payload = serde_json::to_vec(&result(work(7, 1, 1), "forger")).unwrap();
    session.publish("forge", &odd, headers, payload.into(), ANSWER).await.unwrap();

    let begun = crate::clock::now();
    let listing = results::list(&session, 0, 10_000).await.unwrap();
    let took = crate::clock::now() - begun;
    let found: BTreeSet<WorkId> = listing.found.iter().map(|listed| listed.record.work).collect();
    assert_eq!((found, listing.next), (all.iter().copied().collect(), None));
    assert_eq!(listing.unreadable.len(), 1);
    assert!(listing.unreadable[0].to_string().contains(&odd), "{:?}", listing.unreadable);
    assert!(took < Duration::from_secs(2), "{took:?}");

    let first = results::list(&session, 0, 1500).await.unwrap();
    let rest = results::list(&session, first.next.unwrap(), 1500).await.unwrap();
    assert_eq!((first.found.len(), rest.found.len(), rest.next), (1500, 500, None));
    let filter = session.subjects().of_slot(Stream::Results, slot(5));
    let named = listing::works(&session, Stream::Results, &filter).await.unwrap();
    assert_eq!(named, BTreeSet::from([work(5, 1, 1)]));
    let filter = session.subjects().all(Stream::Results);
    assert_eq!(listing::works(&session, Stream::Results, &filter).await.unwrap().len(), 2001);
}

#[tokio::test]
async fn lists_of_what_is_not_there_are_empty_or_say_so() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    let error = results::list(&session, 0, 10).await.unwrap_err();
    assert!(error.to_string().contains("allow_direct"), "{error}");
    make(&session, Stream::Results, json!({})).await;
    let listing = results::list(&session, 0, 10).await.unwrap();
    assert_eq!((listing.found.len(), listing.next), (0, None));
    assert_eq!(results::of_slot(&session, slot(1)).await.unwrap(), Vec::new());
}

fn marker(number: u32, epoch: u32) -> CancelMarker {
    CancelMarker {
        version: VERSION,
        slot: slot(number),
        epoch: NonZeroU32::new(epoch).unwrap(),
        by: format!("director {epoch}"),
        at: 1.5,
        reason: None,
    }
}

#[tokio::test]
async fn the_marker_of_the_highest_epoch_stands_whoever_comes_last() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    make(&session, Stream::Cancels, json!({ "max_msgs": 2 })).await;
    let mut told = cancels::watch(&session).await.unwrap();
    assert_eq!(cancels::read(&session, slot(1)).await.unwrap(), None);
    assert_eq!(cancels::put(&session, &marker(1, 2)).await.unwrap(), marker(1, 2));
    // The same again, and an earlier one: the first stands.
    let again = CancelMarker { by: "other".to_owned(), ..marker(1, 2) };
    assert_eq!(cancels::put(&session, &again).await.unwrap(), marker(1, 2));
    assert_eq!(cancels::put(&session, &marker(1, 1)).await.unwrap(), marker(1, 2));
    assert_eq!(cancels::put(&session, &marker(1, 3)).await.unwrap(), marker(1, 3));

    let epochs = (1..=10).map(|epoch| (epoch * 7) % 11);
    let other = server.session().await;
    let put = async |epoch: u32| {
        let session = if epoch.is_multiple_of(2) { &session } else { &other };
        cancels::put(session, &marker(2, epoch)).await.unwrap()
    };
    let stood = join_all(epochs.map(put)).await;
    assert_eq!(cancels::read(&session, slot(2)).await.unwrap(), Some(marker(2, 10)));
    assert_eq!(stood.iter().map(|marker| marker.epoch.get()).max(), Some(10));

    // Full: no marker is given up for a new slot's, and those that are there can still be replaced.
    let full = cancels::put(&session, &marker(3, 1)).await.unwrap_err();
    assert!(full.is_full(), "{full}");
    assert_eq!(cancels::put(&session, &marker(1, 4)).await.unwrap(), marker(1, 4));
    let subject = session.subjects().cancel(slot(1));
    session.publish("spoil", &subject, HeaderMap::new(), "{".into(), ANSWER).await.unwrap();
    assert!(cancels::read(&session, slot(1)).await.is_err());
    assert_eq!(cancels::put(&session, &marker(1, 5)).await.unwrap(), marker(1, 5));

    let first = timeout(ANSWER, told.next()).await.unwrap().unwrap();
    assert_eq!(first, marker(1, 2));
    drop(server);
    let rest: Vec<CancelMarker> = timeout(ANSWER, told.collect()).await.unwrap();
    assert!(rest.contains(&marker(2, 10)) && rest.contains(&marker(1, 5)));
}

#[tokio::test]
async fn the_last_sixteen_attempts_are_kept_and_progress_is_told_to_whoever_listens() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    make(&session, Stream::Attempts, json!({})).await;
    let attempt = |delivery: u64| Attempt {
        version: VERSION,
        work: work(1, 1, 1),
        node: "node".to_owned(),
        at: 2.5,
        delivery,
        what: Happening::Failed,
        detail: Some("out of memory".to_owned()),
    };
    for delivery in 1..=20 {
        attempts::tell(&session, &attempt(delivery)).await.unwrap();
    }
    let other = Attempt { work: work(1, 2, 1), ..attempt(1) };
    attempts::tell(&session, &other).await.unwrap();
    // What one connection sends is in its order: these are kept when this is.
    let subject = session.subjects().of(Stream::Attempts, work(1, 3, 1));
    session.publish("wait", &subject, HeaderMap::new(), "no attempt".into(), ANSWER).await.unwrap();
    let found = attempts::of(&session, work(1, 1, 1)).await.unwrap();
    assert_eq!(found, (5..=20).map(attempt).collect::<Vec<_>>());
    assert_eq!(attempts::of(&session, work(1, 2, 1)).await.unwrap(), [other]);
    assert_eq!(attempts::of(&session, work(1, 3, 1)).await.unwrap(), []);

    let mut told = progress::watch(&session, slot(1)).await.unwrap();
    let step = |number: u32, done: u64| Progress {
        version: VERSION,
        work: work(number, 1, 2),
        node: "node".to_owned(),
        stage: Stage::Video,
        done,
        total: 10,
        at: 3.5,
    };
    progress::tell(&session, &step(2, 1)).await.unwrap();
    progress::tell(&session, &step(1, 2)).await.unwrap();
    assert_eq!(timeout(ANSWER, told.next()).await.unwrap(), Some(step(1, 2)));
    drop(server);
    assert_eq!(timeout(ANSWER, told.next()).await.unwrap(), None);
}
