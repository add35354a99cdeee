//! Nothing is lost and nothing comes twice, however often a client breaks off and however far it falls behind.

use proptest::prelude::*;

use super::events::Stream;
use super::fake::{GENERATION, id};
use super::wire::{client, serve};
use super::*;
use crate::api::views::SlotState;

/// Reads a stream in pieces of so many events each, coming back with the last id after each, while `happening` events
/// happen in bursts; gives the sequences in the order in which they came.
async fn read_in_pieces(
    capacity: usize,
    pieces: &[u64],
    bursts: &[usize],
    before: usize,
    own: bool,
) -> Vec<u64> {
    let it = setup_with(Fake::new(capacity), ApiSettings::default());
    it.fake.add(id(1));
    for _ in 1..before {
        it.fake.happen(Some(id(1)), "kept");
    }
    let fake = it.fake.clone();
    let bursts = bursts.to_vec();
    let producing = tokio::spawn(async move {
        for burst in bursts {
            (0..burst).for_each(|_| {
                fake.happen(Some(id(1)), "kept");
                fake.step(Some(id(1)), "video_progress");
            });
            tokio::task::yield_now().await;
        }
        fake.end(id(1), SlotState::Completed);
    });
    let path = if own { format!("/v1/slots/{}/events", id(1)) } else { "/v1/events".to_owned() };
    let (mut seen, mut last) = (Vec::new(), format!("{GENERATION}-0"));
    let mut pieces = pieces.iter().copied().cycle();
    'connections: loop {
        let mut left = pieces.next().unwrap();
        let mut stream = Stream::open(&it.router, &path, Some(&last)).await;
        while let Some((event, kind)) = stream.event().await {
            assert_ne!(kind, "gap");
            if event.is_empty() {
                continue;
            }
            seen.push(event.rsplit_once('-').unwrap().1.parse().unwrap());
            last = event;
            if kind == "generation_complete" {
                break 'connections;
            }
            left -= 1;
            if left == 0 {
                // The connection breaks, with whatever was under way.
                continue 'connections;
            }
        }
        panic!("the stream ended before the slot did, after {last}");
    }
    producing.await.unwrap();
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(
        capacity in 1usize..32,
        pieces in prop::collection::vec(1u64..40, 1..8),
        bursts in prop::collection::vec(0usize..60, 1..12),
        before in 1usize..700,
        own in any::<bool>(),
        threads in 1usize..3,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        let reading = read_in_pieces(capacity, &pieces, &bursts, before, own);
        let seen = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), reading).await }).unwrap();
        let all = (before + bursts.iter().sum::<usize>() + 1) as u64;
        prop_assert_eq!(seen, (1..=all).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn a_listener_that_falls_behind_catches_up() {
    let it = setup_with(Fake::new(2), ApiSettings::default());
    let mut stream = Stream::open(&it.router, "/v1/events", None).await;
    stream.frame().await.unwrap();
    for round in 0..3u64 {
        it.fake.happen_often(1000);
        for sequence in 1..=1000 {
            assert_eq!(stream.event().await.unwrap().0, format!("{GENERATION}-{}", round * 1000 + sequence));
        }
    }
    // So far behind that the rest is gone.
    it.fake.happen_often(1000);
    it.fake.table().events.drain(..3990);
    assert_eq!(stream.event().await.unwrap().1, "gap");
    assert_eq!(stream.event().await.unwrap().0, format!("{GENERATION}-3991"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_over_a_real_connection_ends_when_the_node_goes() {
    let it = setup();
    it.fake.add(id(1));
    let address = serve(&it).await;
    let url = format!("http://{address}/v1/slots/{}/events", id(1));
    let mut answer = client().get(url).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("accepted") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    it.fake.happen(Some(id(1)), "stage_began");
    while !text.contains("stage_began") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    it.draining.send(true).unwrap();
    while answer.chunk().await.expect("a clean end").is_some() {}
    until(|| it.fake.listeners() == 0).await;
}
