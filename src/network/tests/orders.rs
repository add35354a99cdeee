//! Handing in: once, together, and clearly refused.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::server::TestServer;
use super::{api, key, node, remake, wanted};
use crate::network::registry::Announcer;
use crate::network::setup::{LARGEST_RECIPE, prepare};
use crate::network::{
    EpochRule, Order, PlanError, Priority, Session, Standing, Stream, SubmitError, Submitted, submit,
};
use crate::types::{Resolution, SlotId, WorkId};

const NOW: Duration = Duration::from_secs(1_000_000);

fn order(slot: u128, replicas: u32) -> Order {
    Order {
        slot: SlotId::new(uuid::Uuid::from_u128(slot)),
        recipe: Bytes::from_static(b"{}"),
        signer: Some(key('d')),
        resolution: Resolution::new(512, 512).unwrap(),
        deadline: None,
        replicas: NonZeroU32::new(replicas).unwrap(),
        priority: Priority::Normal,
        bundle: None,
        epoch: EpochRule::First,
        traceparent: None,
    }
}

/// With three nodes.
async fn started(server: &TestServer) -> Session {
    let session = server.session().await;
    prepare(&session, &wanted()).await.unwrap();
    for name in ['a', 'b', 'c'] {
        Announcer::new().announce(&session, &node(name)).await.unwrap();
    }
    session
}

async fn count(session: &Session) -> u64 {
    api(session, "STREAM.INFO.net_work", json!(null)).await["state"]["messages"].as_u64().unwrap()
}

fn standings(submitted: &[Submitted]) -> Vec<(u32, u32, Standing)> {
    let parts = |it: &Submitted| (it.work.epoch.get(), it.work.replica.get(), it.standing.clone());
    submitted.iter().map(parts).collect()
}

async fn end(session: &Session, work: WorkId, state: &str) {
    let subject = session.subjects().of(Stream::Results, work);
    let record = json!({"state": state}).to_string().into();
    session.create("end", &subject, Default::default(), record, Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn an_order_is_handed_in_once_and_told_from_then_on() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    let first = order(1, 1);
    let submitted = submit(&session, std::slice::from_ref(&first), NOW).await.unwrap();
    assert_eq!(standings(&submitted), [(1, 1, Standing::New)]);
    let stored = session.next(Stream::Work, 1, "net.work.>").await.unwrap().unwrap();
    let read = session.subjects().read_work(&stored.subject).unwrap();
    assert_eq!((read.work, read.director), (submitted[0].work, Some(key('d')[..16].to_owned())));
    assert_eq!(stored.headers.get("Vortex-Submitted").unwrap().as_str(), "1000000000");
    // Less time is left, and the subject is another: it is the same rendering.
    let sooner = Order { deadline: Some(NOW + Duration::from_secs(300)), ..first.clone() };
    let again = submit(&session, &[sooner], NOW).await.unwrap();
    assert_eq!(standings(&again), [(1, 1, Standing::Queued)]);
    let again = Order { epoch: EpochRule::Again, ..first.clone() };
    let told = submit(&session, std::slice::from_ref(&again), NOW).await.unwrap();
    assert_eq!(standings(&told), [(1, 1, Standing::Queued)], "it has not ended");
    assert_eq!(count(&session).await, 1);
    end(&session, submitted[0].work, "failed").await;
    api(&session, "STREAM.PURGE.net_work", json!(null)).await;
    let ended = Standing::Ended { state: "failed".to_owned() };
    assert_eq!(
        standings(&submit(&session, std::slice::from_ref(&first), NOW).await.unwrap()),
        [(1, 1, ended)]
    );
    assert_eq!(standings(&submit(&session, &[again], NOW).await.unwrap()), [(2, 1, Standing::New)]);
    assert_eq!(standings(&submit(&session, &[first], NOW).await.unwrap()), [(2, 1, Standing::Queued)]);
}

#[tokio::test]
async fn replicas_go_to_distinct_nodes_and_too_few_are_refused() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    submit(&session, &[order(1, 3)], NOW).await.unwrap();
    for name in ['a', 'b', 'c'] {
        let filter = session.subjects().work_of_for(order(1, 1).slot, &key(name));
        assert!(session.next(Stream::Work, 1, &filter).await.unwrap().is_some(), "{name}");
    }
    let error = submit(&session, &[order(2, 1), order(3, 5)], NOW).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Plan(PlanError::TooFew { wanted: 5, found: 3, .. })), "{error}");
    assert_eq!(count(&session).await, 3, "all or none");
}

#[tokio::test]
async fn five_hundred_orders_are_one_batch() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    let orders: Vec<Order> = (0..500).map(|slot| order(slot, 1)).collect();
    let submitted = submit(&session, &orders, NOW).await.unwrap();
    assert!(submitted.len() == 500 && submitted.iter().all(|it| it.standing == Standing::New));
    assert_eq!(count(&session).await, 500);
    // Those that are there are told, and the others handed in.
    let orders: Vec<Order> = (490..510).map(|slot| order(slot, 1)).collect();
    let submitted = submit(&session, &orders, NOW).await.unwrap();
    let new = submitted.iter().filter(|it| it.standing == Standing::New).count();
    assert_eq!((submitted.len(), new, count(&session).await), (20, 10, 510));
}

#[tokio::test]
async fn two_that_hand_in_the_same_at_the_same_time_hand_it_in_once() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    let other = server.session().await;
    let orders: Vec<Order> = (0..40).map(|slot| order(slot, 1)).collect();
    let (a, b) = tokio::join!(submit(&session, &orders, NOW), submit(&other, &orders[20..], NOW));
    let new = |it: Vec<Submitted>| it.iter().filter(|it| it.standing == Standing::New).count();
    assert_eq!(new(a.unwrap()) + new(b.unwrap()), 40);
    assert_eq!(count(&session).await, 40);
}

#[tokio::test]
async fn a_full_queue_is_refused_with_the_limit_that_is_reached() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    remake(&session, "net_work", json!({"max_msgs": 5})).await;
    let orders: Vec<Order> = (0..4).map(|slot| order(slot, 1)).collect();
    submit(&session, &orders, NOW).await.unwrap();
    let orders: Vec<Order> = (10..12).map(|slot| order(slot, 1)).collect();
    let error = submit(&session, &orders, NOW).await.unwrap_err().to_string();
    for part in
        ["max_msgs of stream net_work is 5, it has 4, and 2 more", "--max-msgs=NUMBER", "0 of them are"]
    {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(count(&session).await, 4, "none of them");
    submit(&session, &orders[..1], NOW).await.unwrap();
    let error = submit(&session, &orders[1..], NOW).await.unwrap_err();
    assert!(matches!(error, SubmitError::Full { found: 5, wanted: 1, .. }), "{error}");
    remake(&session, "net_work", json!({"max_msgs": 1000, "max_bytes": 300})).await;
    let error = submit(&session, &[order(20, 1), order(21, 1), order(22, 1)], NOW).await.unwrap_err();
    assert!(matches!(error, SubmitError::Full { limit: "max_bytes", .. }), "{error}");
}

#[tokio::test]
async fn what_cannot_be_handed_in_is_refused_before_anything_is() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    let large = Order { recipe: vec![b' '; LARGEST_RECIPE + 1].into(), ..order(1, 1) };
    let error = submit(&session, &[order(2, 1), large], NOW).await.unwrap_err();
    assert!(error.to_string().contains("has 163841 bytes; accepted in a network: at most 163840"), "{error}");
    assert!(matches!(
        submit(&session, &[order(1, 1), order(1, 1)], NOW).await,
        Err(SubmitError::Twice { .. })
    ));
    let late = Order { deadline: Some(NOW), ..order(1, 1) };
    assert!(matches!(submit(&session, &[late], NOW).await, Err(SubmitError::Plan(PlanError::Late { .. }))));
    assert_eq!(count(&session).await, 0);
    let largest = Order { recipe: vec![b' '; LARGEST_RECIPE].into(), ..order(1, 1) };
    submit(&session, &[largest], NOW).await.unwrap();
    // The stream knows the message by its id, and has neither it nor a result.
    api(&session, "STREAM.PURGE.net_work", json!(null)).await;
    for orders in [vec![order(1, 1)], vec![order(1, 1), order(2, 1)]] {
        let error = submit(&session, &orders, NOW).await.unwrap_err();
        assert!(error.to_string().contains("within the last two minutes"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_without_batches_says_so() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server).await;
    remake(&session, "net_work", json!({"allow_atomic": false})).await;
    let error = submit(&session, &[order(1, 1), order(2, 1)], NOW).await.unwrap_err().to_string();
    assert!(error.contains("atomic publish is disabled"), "{error}");
}
