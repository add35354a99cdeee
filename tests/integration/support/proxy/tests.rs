//! That a client and a real server behind the proxy see each outage as what it is called.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, RequestErrorKind};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use vortex_node::clock::since_boot;

use super::Proxy;
use crate::support::nats::Nats;
use crate::support::served::LIMIT;

/// Shorter than anything that has to be waited for, longer than what a server on this machine takes to answer.
const SHORT: Duration = Duration::from_millis(500);

/// A client that asks by itself for nothing, and what happens to its connection.
async fn client(proxy: &Proxy) -> (Client, UnboundedReceiver<Event>) {
    let (told, events) = unbounded_channel();
    let options = ConnectOptions::new()
        .ping_interval(LIMIT)
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .event_callback(move |event| {
            let told = told.clone();
            async move { told.send(event).unwrap_or_default() }
        });
    (options.connect(proxy.address()).await.unwrap(), events)
}

async fn happens(events: &mut UnboundedReceiver<Event>, wanted: &Event) {
    let told = async { while events.recv().await.unwrap() != *wanted {} };
    tokio::time::timeout(LIMIT, told).await.unwrap();
}

/// Waits for an answer: the server's own, that nobody listens.
async fn answers(client: &Client) {
    let answer = tokio::time::timeout(LIMIT, client.request("nobody", "".into())).await.unwrap();
    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders);
}

/// Whether an answer that would come soon does not come.
async fn is_silent(client: &Client) -> bool {
    tokio::time::timeout(SHORT, client.request("nobody", "".into())).await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_a_client_is_told_and_gets_no_new_connection_until_it_is_healed() {
    let Some(server) = Nats::start() else { return };
    let proxy = Proxy::before(server.socket());
    let (client, mut events) = client(&proxy).await;
    answers(&client).await;
    let counted = proxy.counted();
    assert_eq!((counted.accepted, counted.open, counted.refused), (1, 1, 0), "{counted:?}");
    assert!(counted.to_server > 0 && counted.to_client > 0, "{counted:?}");
    proxy.cut();
    happens(&mut events, &Event::Disconnected).await;
    let counted = proxy.until(|counted| counted.refused > 1);
    assert_eq!((counted.accepted, counted.open), (1, 0), "{counted:?}");
    assert!(ConnectOptions::new().connect(proxy.address()).await.is_err());
    proxy.heal();
    happens(&mut events, &Event::Connected).await;
    answers(&client).await;
    assert_eq!(proxy.counted().accepted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_swallowed_never_arrives_and_its_connection_ends_once_healed() {
    let Some(server) = Nats::start() else { return };
    let proxy = Proxy::before(server.socket());
    let (client, mut events) = client(&proxy).await;
    let beside = async_nats::connect(server.address()).await.unwrap();
    let mut heard = beside.subscribe("said").await.unwrap();
    beside.flush().await.unwrap();
    let before = proxy.counted();
    proxy.swallow();
    client.publish("said", "lost".into()).await.unwrap();
    assert!(is_silent(&client).await);
    let counted = proxy.until(|counted| counted.swallowed > 0);
    assert_eq!((counted.to_server, counted.to_client, counted.open), (before.to_server, before.to_client, 1));
    while let Ok(event) = events.try_recv() {
        assert_ne!(event, Event::Disconnected, "neither side is told");
    }
    proxy.heal();
    happens(&mut events, &Event::Disconnected).await;
    happens(&mut events, &Event::Connected).await;
    client.publish("said", "kept".into()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().payload, "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_answers_are_swallowed_what_a_client_says_arrives() {
    let Some(server) = Nats::start() else { return };
    let proxy = Proxy::before(server.socket());
    let (client, _events) = client(&proxy).await;
    let beside = async_nats::connect(server.address()).await.unwrap();
    let mut heard = beside.subscribe("said").await.unwrap();
    beside.flush().await.unwrap();
    proxy.swallow_answers();
    client.publish("said", "heard".into()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().payload, "heard");
    assert!(is_silent(&client).await);
    assert!(proxy.counted().swallowed > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_arrives_late_on_the_same_connection() {
    let Some(server) = Nats::start() else { return };
    let proxy = Proxy::before(server.socket());
    let (client, _events) = client(&proxy).await;
    let beside = async_nats::connect(server.address()).await.unwrap();
    let mut heard = beside.subscribe("said").await.unwrap();
    beside.flush().await.unwrap();
    proxy.hold();
    client.publish("said", "late".into()).await.unwrap();
    assert!(is_silent(&client).await);
    proxy.until(|counted| counted.waiting > 0);
    beside.flush().await.unwrap();
    assert!(tokio::time::timeout(SHORT, heard.next()).await.is_err());
    proxy.heal();
    assert_eq!(heard.next().await.unwrap().payload, "late");
    answers(&client).await;
    let counted = proxy.until(|counted| counted.waiting == 0);
    assert_eq!((counted.accepted, counted.swallowed), (1, 0), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_a_round_trip_takes_twice_as_long_and_a_hundred_messages_no_longer_than_one() {
    const DELAY: Duration = Duration::from_millis(200);
    let Some(server) = Nats::start() else { return };
    let proxy = Proxy::before(server.socket());
    let (client, _events) = client(&proxy).await;
    answers(&client).await;
    proxy.delay(DELAY);
    let begun = since_boot();
    let all = (0..100).map(|_| client.request("nobody", "".into()));
    futures_util::future::join_all(all).await;
    let took = since_boot() - begun;
    assert!(took >= DELAY * 2 && took < DELAY * 20, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_down_behind_its_proxy_and_comes_back_behind_it() {
    let Some(mut server) = Nats::start() else { return };
    let proxy = Proxy::before(server.socket());
    let (client, mut events) = client(&proxy).await;
    server.kill();
    happens(&mut events, &Event::Disconnected).await;
    proxy.until(|counted| counted.refused > 0 && counted.open == 0);
    server.start_again();
    happens(&mut events, &Event::Connected).await;
    answers(&client).await;
}
