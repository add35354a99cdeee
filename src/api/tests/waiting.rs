//! The long poll.

use std::sync::atomic::Ordering;

use super::fake::id;
use super::*;
use crate::api::views::SlotState;
use crate::clock;

fn wait(number: u128, wait: &str) -> Request<Body> {
    request("GET", &format!("/v1/slots/{}?wait={wait}", id(number)))
}

#[tokio::test(start_paused = true)]
async fn it_is_answered_when_the_slot_ends_and_not_before() {
    let it = setup();
    it.fake.add(id(1));
    it.fake.add(id(2));
    let begin = clock::now();
    let router = it.router.clone();
    let waiting = tokio::spawn(async move { send(&router, wait(1, "60s")).await });
    until(|| it.fake.listeners() == 1).await;
    it.fake.happen(Some(id(1)), "stage_began");
    it.fake.step(Some(id(1)), "video_progress");
    it.fake.end(id(2), SlotState::Failed);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!waiting.is_finished());
    it.fake.end(id(1), SlotState::Completed);
    assert_eq!(waiting.await.unwrap().json()["state"], "completed");
    assert_eq!((clock::now() - begin).as_secs(), 20);
    assert_eq!(
        it.fake.reads.load(Ordering::Relaxed),
        2,
        "looked at when it began and at the end: no polling"
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_answered_when_the_time_is_over() {
    let it = setup();
    it.fake.add(id(1));
    let begin = clock::now();
    assert_eq!(send(&it.router, wait(1, "60s")).await.json()["state"], "queued");
    assert_eq!((clock::now() - begin).as_secs(), 60);
    assert_eq!(send(&it.router, wait(1, "0")).await.json()["state"], "queued");
    it.fake.end(id(1), SlotState::Completed);
    assert_eq!(send(&it.router, wait(1, "60s")).await.json()["state"], "completed");
    assert_eq!((clock::now() - begin).as_secs(), 60, "at once");
    send(&it.router, wait(2, "60s")).await.problem(404, "not-found");
    send(&it.router, wait(1, "61s")).await.problem(400, "bad-request");
}

#[tokio::test(start_paused = true)]
async fn it_is_answered_at_once_when_the_node_goes() {
    let it = setup();
    it.fake.add(id(1));
    let begin = clock::now();
    let router = it.router.clone();
    let waiting = tokio::spawn(async move { send(&router, wait(1, "60s")).await });
    until(|| it.fake.listeners() == 1).await;
    it.draining.send(true).unwrap();
    assert_eq!(waiting.await.unwrap().json()["state"], "queued");
    assert_eq!(send(&it.router, wait(1, "60s")).await.json()["state"], "queued");
    assert_eq!(clock::now(), begin);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_not_heard_is_seen_nevertheless() {
    let it = setup_with(Fake::new(2), ApiSettings::default());
    it.fake.add(id(1));
    let begin = clock::now();
    let router = it.router.clone();
    let waiting = tokio::spawn(async move { send(&router, wait(1, "60s")).await });
    until(|| it.fake.listeners() == 1).await;
    // More than the listener may be behind, without its being given a turn.
    it.fake.end(id(1), SlotState::Completed);
    (0..10).for_each(|_| it.fake.step(None, "memory"));
    assert_eq!(waiting.await.unwrap().json()["state"], "completed");
    assert_eq!(clock::now(), begin);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_may_wait() {
    let it = setup_with(Fake::new(8), ApiSettings { max_waits: 1, ..ApiSettings::default() });
    it.fake.add(id(1));
    let router = it.router.clone();
    let waiting = tokio::spawn(async move { send(&router, wait(1, "60s")).await });
    until(|| it.fake.listeners() == 1).await;
    let refused = send(&it.router, wait(1, "60s")).await;
    refused.problem(503, "too-many-streams");
    assert_eq!(refused.header("retry-after"), "5");
    // Whoever goes away gives his place back.
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(send(&it.router, wait(1, "1s")).await.status, 200);
}
