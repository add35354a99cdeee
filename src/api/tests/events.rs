//! Streams of events: how they begin, what they carry, when they end.

use axum::body::BodyDataStream;
use futures_util::StreamExt;

use super::fake::{GENERATION, id};
use super::*;
use crate::api::views::SlotState;
use crate::clock;

/// An open stream, read frame by frame.
pub(super) struct Stream {
    body: BodyDataStream,
    buffer: String,
}

impl Stream {
    pub(super) async fn open(router: &Router, path: &str, seen: Option<&str>) -> Self {
        let mut request = request("GET", path);
        if let Some(seen) = seen {
            request = with(request, "last-event-id", seen);
        }
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.into_body().into_data_stream(), buffer: String::new() }
    }

    /// The next frame; none when the stream has ended.
    pub(super) async fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(frame);
            }
            self.buffer.push_str(std::str::from_utf8(&self.body.next().await?.unwrap()).unwrap());
        }
    }

    /// The next event's id (empty where it has none) and kind; comments and openings are passed over.
    pub(super) async fn event(&mut self) -> Option<(String, String)> {
        loop {
            let frame = self.frame().await?;
            let field = |name: &str| {
                frame.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
            };
            if frame.contains("data:") {
                return Some((field("id:"), field("event:")));
            }
        }
    }

    async fn events(mut self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        while let Some(event) = self.event().await {
            all.push(event);
        }
        all
    }
}

fn kept(sequence: u64, kind: &str) -> (String, String) {
    (format!("{GENERATION}-{sequence}"), kind.to_owned())
}

fn told(kind: &str) -> (String, String) {
    (String::new(), kind.to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_happens_at_once_goes_out_together_and_what_comes_soon_after_a_moment_later() {
    let it = setup();
    it.fake.add(id(1));
    let mut stream = Stream::open(&it.router, "/v1/events", None).await;
    let mut chunk = async || {
        let bytes = stream.body.next().await.unwrap().unwrap();
        std::str::from_utf8(&bytes).unwrap().matches("event: stage_began").count()
    };
    assert_eq!(chunk().await, 0, "the opening");
    for _ in 0..5 {
        it.fake.happen(Some(id(1)), "stage_began");
    }
    assert_eq!(chunk().await, 5);
    // Within the moment: this one is no reason to wake anybody by itself.
    it.fake.happen(Some(id(1)), "stage_began");
    let began = clock::now();
    assert_eq!(chunk().await, 1);
    assert_eq!(clock::now() - began, Duration::from_millis(50));
    // After a quiet time it goes out at once.
    tokio::time::advance(Duration::from_secs(1)).await;
    it.fake.happen(Some(id(1)), "stage_began");
    let began = clock::now();
    assert_eq!((chunk().await, clock::now() - began), (1, Duration::ZERO));
}

#[tokio::test]
async fn a_new_listener_hears_what_happens_from_now_on_and_knows_where_that_is() {
    let it = setup();
    it.fake.add(id(1));
    let mut stream = Stream::open(&it.router, "/v1/events", None).await;
    assert_eq!(stream.frame().await.unwrap(), format!("retry: 2000\nid: {GENERATION}-1"));
    it.fake.happen(Some(id(1)), "stage_began");
    it.fake.step(None, "memory");
    let frame = stream.frame().await.unwrap();
    let data = format!(r#"{{"event":"stage_began","number":2,"slot":"{}"}}"#, id(1));
    assert_eq!(frame, format!("id: {GENERATION}-2\nevent: stage_began\ndata: {data}"));
    assert_eq!(stream.frame().await.unwrap(), "event: memory\ndata: {\"event\":\"memory\",\"slot\":null}");
}

#[tokio::test]
async fn whoever_comes_back_hears_what_was_missed_and_then_goes_on() {
    let it = setup();
    it.fake.happen_often(600);
    let mut stream = Stream::open(&it.router, "/v1/events", Some(&format!("{GENERATION}-10"))).await;
    for sequence in 11..=600 {
        assert_eq!(stream.event().await.unwrap(), kept(sequence, "kept"));
    }
    it.fake.happen(None, "new");
    assert_eq!(stream.event().await.unwrap(), kept(601, "new"));

    let everything = Stream::open(&it.router, "/v1/events?after=oldest&limit=601", None).await.events().await;
    assert_eq!((everything.len(), &everything[600]), (601, &kept(601, "new")));
    let path = format!("/v1/events?after={GENERATION}-599&limit=2");
    assert_eq!(
        Stream::open(&it.router, &path, None).await.events().await,
        [kept(600, "kept"), kept(601, "new")]
    );
    // A browser repeats the address when it comes again: what it has seen counts.
    let path = format!("/v1/events?after={GENERATION}-1&limit=1");
    let seen = format!("{GENERATION}-600");
    assert_eq!(Stream::open(&it.router, &path, Some(&seen)).await.events().await, [kept(601, "new")]);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_a_gap() {
    let it = setup();
    it.fake.happen_often(20);
    it.fake.table().events.drain(..9);
    for from in [format!("{GENERATION}-3"), "other-15".to_owned(), format!("{GENERATION}-999")] {
        let mut stream = Stream::open(&it.router, "/v1/events", Some(&from)).await;
        stream.frame().await.unwrap();
        let gap = stream.frame().await.unwrap();
        assert_eq!(gap, format!("event: gap\ndata: {{\"from\":\"{from}\",\"oldest\":\"{GENERATION}-10\"}}"));
        for sequence in 10..=20 {
            assert_eq!(stream.event().await.unwrap(), kept(sequence, "kept"));
        }
        let next = it.fake.happen(None, "new");
        assert_eq!(stream.event().await.unwrap(), kept(next, "new"), "and it goes on");
        it.fake.table().events.pop();
        it.fake.table().newest = 20;
    }
    let edge = format!("{GENERATION}-9");
    let mut stream = Stream::open(&it.router, "/v1/events", Some(&edge)).await;
    assert_eq!(stream.event().await.unwrap(), kept(10, "kept"), "the next one is there: no gap");
}

#[tokio::test]
async fn an_id_that_is_none_and_parameters_that_are_none_are_refused() {
    let it = setup();
    for seen in ["x", "5", "a1b2-x", "a1b2-", "a b-1"] {
        let answer = send(&it.router, with(request("GET", "/v1/events"), "last-event-id", seen)).await;
        assert!(answer.problem(400, "bad-request").contains("GENERATION-SEQUENCE"));
        get(&it.router, &format!("/v1/events?after={}", seen.replace(' ', "+")))
            .await
            .problem(400, "bad-request");
    }
    for query in ["limit=0", "limit=1000001", "state=queued", "after=a-1&after=a-1"] {
        get(&it.router, &format!("/v1/events?{query}")).await.problem(400, "bad-request");
    }
    let twice = with(with(request("GET", "/v1/events"), "last-event-id", "a-1"), "last-event-id", "a-1");
    send(&it.router, twice).await.problem(400, "bad-request");
    assert_eq!(it.fake.listeners(), 0);
    let mut none = Stream::open(&it.router, "/v1/events", Some("")).await;
    assert!(none.frame().await.unwrap().contains("id: a1b2-0"), "seen none yet");
}

#[tokio::test]
async fn a_slots_stream_holds_its_events_only_and_ends_with_its_end() {
    let it = setup();
    it.fake.add(id(1));
    it.fake.add(id(2));
    let path = format!("/v1/slots/{}/events", id(1));
    let stream = Stream::open(&it.router, &path, None).await;
    it.fake.happen(None, "admission_changed");
    it.fake.happen(Some(id(2)), "stage_began");
    it.fake.happen(Some(id(1)), "stage_began");
    it.fake.step(Some(id(2)), "video_progress");
    it.fake.step(Some(id(1)), "video_progress");
    it.fake.end(id(2), SlotState::Failed);
    it.fake.end(id(1), SlotState::Completed);
    it.fake.happen(Some(id(1)), "late_progress");
    let own =
        [kept(1, "accepted"), kept(5, "stage_began"), told("video_progress"), kept(7, "generation_complete")];
    assert_eq!(stream.events().await, own);

    // It has ended: what is kept, and no waiting.
    it.fake.table().events.pop();
    let own = [kept(1, "accepted"), kept(5, "stage_began"), kept(7, "generation_complete")];
    assert_eq!(Stream::open(&it.router, &path, None).await.events().await, own);
    let seen = format!("{GENERATION}-5");
    assert_eq!(Stream::open(&it.router, &path, Some(&seen)).await.events().await, own[2..]);
    // A browser whose stream has ended comes again and again until it is told that there is nothing more.
    let seen = format!("{GENERATION}-7");
    assert_eq!(send(&it.router, with(request("GET", &path), "last-event-id", &seen)).await.status, 204);
    get(&it.router, &format!("/v1/slots/{}/events", id(3))).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn steps_are_thinned_and_what_is_kept_is_not() {
    let it = setup_with(Fake::new(4096), ApiSettings::default());
    it.fake.add(id(1));
    let stream = Stream::open(&it.router, &format!("/v1/slots/{}/events", id(1)), None).await;
    let reading = tokio::spawn(stream.events());
    for _ in 0..200 {
        it.fake.step(Some(id(1)), "stage_progress");
        it.fake.happen(Some(id(1)), "kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    it.fake.end(id(1), SlotState::Completed);
    let events = reading.await.unwrap();
    assert_eq!(events.iter().filter(|event| event.1 == "kept").count(), 200);
    assert_eq!(events.iter().filter(|event| event.1 == "stage_progress").count(), 8, "of two seconds");
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_says_that_it_is_there() {
    let it = setup();
    it.fake.add(id(1));
    let mut stream = Stream::open(&it.router, &format!("/v1/slots/{}/events", id(1)), None).await;
    stream.frame().await.unwrap();
    stream.frame().await.unwrap();
    let begin = clock::now();
    assert_eq!(stream.frame().await.unwrap(), ":");
    assert_eq!((clock::now() - begin).as_secs(), 15);
    // What happens to others keeps no connection alive.
    let fake = it.fake.clone();
    tokio::spawn(async move {
        loop {
            fake.happen(None, "memory");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(stream.frame().await.unwrap(), ":");
    assert_eq!((clock::now() - begin).as_secs(), 30);
}

#[tokio::test]
async fn streams_end_when_the_node_goes_and_new_ones_hold_what_is_kept() {
    let it = setup();
    it.fake.add(id(1));
    let all = Stream::open(&it.router, "/v1/events", None).await;
    let own = Stream::open(&it.router, &format!("/v1/slots/{}/events", id(1)), None).await;
    it.draining.send(true).unwrap();
    assert_eq!(all.events().await, []);
    own.events().await;
    let later = Stream::open(&it.router, &format!("/v1/slots/{}/events", id(1)), None).await;
    assert_eq!(later.events().await, [kept(1, "accepted")]);
    let later = Stream::open(&it.router, "/v1/events", None).await;
    assert_eq!(later.events().await, []);
    assert_eq!(it.fake.listeners(), 0);
}

#[tokio::test]
async fn only_so_many_streams_are_open() {
    let it = setup_with(Fake::new(8), ApiSettings { max_streams: 2, ..ApiSettings::default() });
    let first = Stream::open(&it.router, "/v1/events", None).await;
    let _second = Stream::open(&it.router, "/v1/events", None).await;
    let refused = get(&it.router, "/v1/events").await;
    refused.problem(503, "too-many-streams");
    assert_eq!(refused.header("retry-after"), "5");
    drop(first);
    let _third = Stream::open(&it.router, "/v1/events", None).await;
    // A refused one holds no place.
    get(&it.router, "/v1/events").await.problem(503, "too-many-streams");
    assert_eq!(it.fake.listeners(), 2);
}

#[tokio::test]
async fn an_events_bytes_are_made_once_for_all() {
    let it = setup();
    let open = async || {
        let response = it.router.clone().oneshot(request("GET", "/v1/events")).await.unwrap();
        let mut body = response.into_body().into_data_stream();
        body.next().await.unwrap().unwrap();
        body
    };
    let (mut one, mut other) = (open().await, open().await);
    it.fake.happen(None, "kept");
    let (one, other) = (one.next().await.unwrap().unwrap(), other.next().await.unwrap().unwrap());
    assert_eq!(one, other);
    assert_eq!(one.as_ptr(), other.as_ptr(), "the same bytes, not equal ones");
}
