//! Handing in, letters and their replay, against a real server.

use std::num::NonZeroU32;
use std::time::Duration;

use async_nats::HeaderMap;
use serde_json::json;

use super::server::{TestServer, make};
use crate::network::attempts::{Attempt, Happening};
use crate::network::letters::{self, Letter, LetterReason, ReplayError};
use crate::network::results::{self, tests::result};
use crate::network::session::ANSWER;
use crate::network::{
    Class, Handed, Pace, Priority, Recipient, Session, Size, Stream, VERSION, WorkSubject, hand_in, listing,
};
use crate::types::{TraceParent, WorkId};

const RECIPE: &[u8] = b"{\"recipe\": 1}";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn subject(epoch: u32) -> WorkSubject {
    WorkSubject {
        to: Recipient::Any,
        class: Class { priority: Priority::High, size: Size::Small, bundle: None, pace: Pace::Soon },
        director: Some("0123456789abcdef".to_owned()),
        work: format!("6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/{epoch}/1").parse().unwrap(),
    }
}

async fn streams(session: &Session, work: serde_json::Value) {
    make(session, Stream::Work, work).await;
    make(session, Stream::Results, json!({})).await;
    make(session, Stream::Letters, json!({})).await;
}

/// Hands in, and writes the letter that says that it is dead.
async fn die(session: &Session, subject: &WorkSubject, reason: LetterReason) -> Letter {
    let trace: TraceParent = TRACE.parse().unwrap();
    let submitted = Duration::from_millis(1_790_000_000_125);
    let handed = hand_in(session, subject, RECIPE, Some(&trace), submitted).await.unwrap();
    assert!(matches!(handed, Handed::New(_)), "{handed:?}");
    let name = session.subjects().work(subject);
    let message = session.last(Stream::Work, &name).await.unwrap().unwrap();
    let mut letter = Letter::of(session.subjects(), &message, reason, "too often", "node");
    letter.deliveries = 6;
    letter.history = vec![Attempt {
        version: VERSION,
        work: subject.work,
        node: "node".to_owned(),
        at: 1.5,
        delivery: 6,
        what: Happening::Lost,
        detail: None,
    }];
    letters::put(session, &letter).await.unwrap();
    remove(session, message.sequence).await;
    letter
}

/// What an acknowledgement does.
async fn remove(session: &Session, sequence: u64) {
    let call = format!("STREAM.MSG.DELETE.{}", session.subjects().stream(Stream::Work));
    let _: serde_json::Value = session.api("remove work", &call, &json!({ "seq": sequence })).await.unwrap();
}

async fn waiting(session: &Session) -> Vec<WorkId> {
    let all = session.subjects().all(Stream::Work);
    listing::works(session, Stream::Work, &all).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn work_is_handed_in_once_and_a_full_queue_says_so() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    streams(&session, json!({ "max_msgs": 2, "max_msg_size": 4096 })).await;
    let now = Duration::from_secs(1_790_000_000);
    assert_eq!(hand_in(&session, &subject(1), RECIPE, None, now).await.unwrap(), Handed::New(1));
    assert_eq!(hand_in(&session, &subject(1), RECIPE, None, now).await.unwrap(), Handed::Taken);
    // The class may have changed by the second try.
    let later = WorkSubject { class: Class { pace: Pace::Urgent, ..subject(1).class }, ..subject(1) };
    assert_eq!(hand_in(&session, &later, RECIPE, None, now).await.unwrap(), Handed::Taken);
    assert_eq!(waiting(&session).await, [subject(1).work]);
    let name = session.subjects().work(&subject(1));
    let message = session.last(Stream::Work, &name).await.unwrap().unwrap();
    assert_eq!(message.headers.get("Vortex-Submitted").unwrap().as_str(), "1790000000000");
    assert_eq!(message.headers.get("traceparent"), None);

    assert!(matches!(hand_in(&session, &subject(2), RECIPE, None, now).await, Ok(Handed::New(_))));
    let full = hand_in(&session, &subject(3), RECIPE, None, now).await.unwrap_err();
    assert!(full.is_full(), "{full}");
    let large = hand_in(&session, &subject(4), &[b' '; 8192], None, now).await.unwrap_err();
    assert!(!large.is_open() && large.to_string().contains("maximum"), "{large}");
}

#[tokio::test]
async fn a_letter_says_all_and_the_first_stands_until_it_is_dropped() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    streams(&session, json!({})).await;
    let letter = die(&session, &subject(1), LetterReason::Deliveries).await;
    let second = Letter { reason: LetterReason::Expired, ..letter.clone() };
    letters::put(&session, &second).await.unwrap();
    let read = letters::read(&session, subject(1).work).await.unwrap().unwrap();
    assert_eq!(read.record, letter);
    assert_eq!(read.record.submitted_at, Some(1_790_000_000.125));
    assert_eq!(read.record.headers["traceparent"], TRACE);
    assert_eq!(read.record.recipe().unwrap(), RECIPE);

    let odd = Letter { work: None, subject: "net.work.odd".to_owned(), sequence: 77, ..letter.clone() };
    letters::put(&session, &odd).await.unwrap();
    let listing = letters::list(&session, 0, 10).await.unwrap();
    let records: Vec<Letter> = listing.found.iter().map(|listed| listed.record.clone()).collect();
    assert_eq!(records, [letter, odd]);
    for listed in listing.found {
        assert!(letters::drop_letter(&session, listed.sequence).await.unwrap());
        assert!(!letters::drop_letter(&session, listed.sequence).await.unwrap());
    }
    assert!(!letters::drop_letter(&session, 1000).await.unwrap());
    assert_eq!(letters::read(&session, subject(1).work).await.unwrap(), None);
}

#[tokio::test]
async fn a_letter_too_large_with_its_recipe_is_kept_without_it() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    streams(&session, json!({})).await;
    let recipe = vec![b' '; session.largest() - 1000];
    let handed = hand_in(&session, &subject(1), &recipe, None, Duration::ZERO).await.unwrap();
    assert_eq!(handed, Handed::New(1));
    let message = session.last(Stream::Work, &session.subjects().work(&subject(1))).await.unwrap().unwrap();
    let letter = Letter::of(session.subjects(), &message, LetterReason::Oversized, "", "node");
    letters::put(&session, &letter).await.unwrap();
    let read = letters::read(&session, subject(1).work).await.unwrap().unwrap();
    assert_eq!((read.record.recipe.as_ref(), read.record.left_out), (None, vec!["recipe".to_owned()]));
    let error = letters::replay(&session, subject(1).work).await.unwrap_err();
    assert!(error.to_string().contains("too large to be kept"), "{error}");
}

#[tokio::test]
async fn a_replay_makes_the_next_epoch_and_no_other_however_often_it_is_tried() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    // No id is remembered: what keeps a second epoch out must be the protocol.
    streams(&session, json!({ "duplicate_window": 100_000_000 })).await;
    let letter = die(&session, &subject(1), LetterReason::Deliveries).await;
    let (first, next) = (subject(1).work, subject(2).work);

    // Whoever carries it stops between the two halves: both are there, and the next try finds them.
    for _ in 0..2 {
        assert_eq!(letters::again(&session, first, &letter).await.unwrap(), next);
        assert_eq!(waiting(&session).await, [next]);
        assert!(letters::read(&session, first).await.unwrap().is_some());
    }
    let message = session.last(Stream::Work, &session.subjects().work(&subject(2))).await.unwrap().unwrap();
    assert_eq!(message.payload, RECIPE);
    assert_eq!(message.headers.get("traceparent").unwrap().as_str(), TRACE);
    let replayed = Letter::of(session.subjects(), &message, LetterReason::Deliveries, "", "node");
    assert_eq!(replayed.replayed, NonZeroU32::new(1));

    // Or it stops, and the work is done before anybody tries again.
    results::create(&session, &result(next, "node"), ANSWER).await.unwrap();
    remove(&session, message.sequence).await;
    assert_eq!(letters::replay(&session, first).await.unwrap(), next);
    assert_eq!(waiting(&session).await, []);
    assert!(letters::read(&session, first).await.unwrap().is_none());
    let gone = letters::replay(&session, first).await.unwrap_err();
    assert!(matches!(gone, ReplayError::Missing(work) if work == first), "{gone}");
    assert_eq!(waiting(&session).await, []);
}

#[tokio::test]
async fn a_replay_finds_the_next_epoch_under_another_class_and_two_at_once_make_one() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    streams(&session, json!({})).await;
    die(&session, &subject(1), LetterReason::Deliveries).await;
    let work = subject(1).work;
    let (one, two) = tokio::join!(letters::replay(&session, work), letters::replay(&session, work));
    let made = [&one, &two].map(|it| it.as_ref().ok().copied());
    assert!(made.contains(&Some(subject(2).work)), "{one:?} {two:?}");
    assert_eq!(waiting(&session).await, [subject(2).work]);

    let moved = WorkSubject { to: Recipient::Node("ab".repeat(32)), ..subject(2) };
    let name = session.subjects().work(&subject(2));
    let message = session.last(Stream::Work, &name).await.unwrap().unwrap();
    remove(&session, message.sequence).await;
    let other = session.subjects().work(&moved);
    session.publish("move", &other, HeaderMap::new(), message.payload, ANSWER).await.unwrap();
    let letter = Letter::of(
        session.subjects(),
        &crate::network::Stored {
            subject: session.subjects().work(&subject(1)),
            sequence: 1,
            headers: HeaderMap::new(),
            payload: RECIPE.into(),
        },
        LetterReason::Refused,
        "",
        "node",
    );
    letters::put(&session, &letter).await.unwrap();
    assert_eq!(letters::replay(&session, work).await.unwrap(), subject(2).work);
    let found =
        listing::subjects(&session, Stream::Work, &session.subjects().all(Stream::Work)).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [other]);
}

#[tokio::test]
async fn what_is_no_recipe_is_not_replayed_and_its_letter_stays() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    streams(&session, json!({})).await;
    let letter = die(&session, &subject(1), LetterReason::Unreadable).await;
    let error = letters::replay(&session, subject(1).work).await.unwrap_err().to_string();
    assert!(error.contains("is no recipe: too often"), "{error}");
    let wrong = Letter {
        work: Some(subject(3).work),
        recipe: Some("no base64".to_owned()),
        reason: LetterReason::Invalid,
        ..letter
    };
    letters::put(&session, &wrong).await.unwrap();
    let error = letters::replay(&session, subject(3).work).await.unwrap_err().to_string();
    assert!(error.contains("it holds no recipe: "), "{error}");
    assert!(letters::read(&session, subject(3).work).await.unwrap().is_some());
    assert_eq!(waiting(&session).await, []);
}
