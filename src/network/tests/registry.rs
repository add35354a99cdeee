//! Who is there, who was, and who is there twice.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use super::server::TestServer;
use super::{api, key, node, wanted};
use crate::network::directors::{self, Director, DirectorError};
use crate::network::registry::{AnnounceError, Announced, Announcer, NodeEntry, Orphan, nodes, orphans};
use crate::network::setup::{Setup, consumers, prepare};
use crate::network::{Priority, Session};

/// With a heartbeat that is over in a moment.
async fn started(server: &TestServer, heartbeat: Duration) -> Session {
    let session = server.session().await;
    prepare(&session, &Setup { heartbeat, ..wanted() }).await.unwrap();
    session
}

async fn names(session: &Session) -> Vec<String> {
    nodes(session).await.unwrap().into_iter().map(|entry| entry.node).collect()
}

/// Until it is so; fails after ten seconds.
async fn until(is_so: impl AsyncFn() -> bool) {
    let begun = crate::clock::now();
    while !is_so().await {
        assert!(crate::clock::now() - begun < Duration::from_secs(10), "it does not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn entries_expire_by_the_servers_clock_and_are_taken_out_at_a_clean_stop() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server, Duration::from_millis(400)).await;
    let (mut a, mut b) = (Announcer::new(), Announcer::new());
    // Clocks that are wrong by years.
    let past = NodeEntry { at: 5.0, ..node('a') };
    let future = NodeEntry { at: 9e9, ..node('b') };
    assert_eq!(a.announce(&session, &past).await.unwrap(), Announced::Kept);
    assert_eq!(b.announce(&session, &future).await.unwrap(), Announced::Kept);
    assert_eq!(names(&session).await, [key('a'), key('b')]);
    b.withdraw(&session, &key('b')).await.unwrap();
    assert_eq!(names(&session).await, [key('a')]);
    until(async || names(&session).await.is_empty()).await;
    // What has expired is no obstacle, and neither is what was taken out.
    assert_eq!(a.announce(&session, &past).await.unwrap(), Announced::Kept);
    assert_eq!(Announcer::new().announce(&session, &future).await.unwrap(), Announced::Kept);
    assert_eq!(names(&session).await, [key('a'), key('b')]);
}

#[tokio::test]
async fn of_two_processes_with_one_key_the_younger_ends() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server, Duration::from_secs(5)).await;
    let old = NodeEntry { address: Some("http://old:1".to_owned()), ..node('a') };
    let young = NodeEntry { started_at: 1001.0, ..node('a') };
    let (mut first, mut second) = (Announcer::new(), Announcer::new());
    first.announce(&session, &old).await.unwrap();
    assert_eq!(first.announce(&session, &old).await.unwrap(), Announced::Kept);
    // It may be of a life that was killed: it is replaced, and said.
    assert_eq!(second.announce(&session, &young).await.unwrap(), Announced::Replaced(Box::new(old.clone())));
    assert_eq!(first.announce(&session, &old).await.unwrap(), Announced::Replaced(Box::new(young.clone())));
    let error = second.announce(&session, &young).await.unwrap_err();
    let AnnounceError::Duplicate { other, own } = &error else { panic!("{error}") };
    assert_eq!((&**other, own), (&old, &young.process));
    assert!(
        error.to_string().contains("at http://old:1") && error.to_string().contains("must end"),
        "{error}"
    );
    second.withdraw(&session, &key('a')).await.unwrap();
    assert_eq!(
        nodes(&session).await.unwrap(),
        std::slice::from_ref(&old),
        "the younger takes nothing with it"
    );
    // Started in the same moment, the process' id decides, for both alike.
    let (mut low, mut high) = (old.clone(), old);
    (low.process, high.process) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let (mut first, mut second) = (Announcer::new(), Announcer::new());
    second.announce(&session, &high).await.unwrap();
    first.announce(&session, &low).await.unwrap();
    assert!(second.announce(&session, &high).await.is_err());
    first.announce(&session, &low).await.unwrap();
}

#[tokio::test]
async fn more_nodes_than_one_page_are_listed_and_what_cannot_be_read_is_passed_over() {
    let Some(server) = TestServer::start_with("", "").await else { return };
    let session = started(&server, Duration::from_secs(60)).await;
    for number in 0..300 {
        let mut entry = node('a');
        entry.node = format!("{number:064x}");
        Announcer::new().announce(&session, &entry).await.unwrap();
    }
    for (key, value) in [("other", "{}"), ("twin", &serde_json::to_string(&node('a')).unwrap())] {
        let subject = format!("$KV.net_nodes.{key}");
        session
            .publish("test", &subject, Default::default(), value.to_owned().into(), Duration::from_secs(5))
            .await
            .unwrap();
    }
    let names = names(&session).await;
    assert!(names.len() == 300 && names.is_sorted(), "{}", names.len());
}

#[tokio::test]
async fn work_for_nodes_that_are_away_is_found() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server, Duration::from_secs(60)).await;
    for name in ['a', 'b', 'c'] {
        consumers(&session, &[], &key(name), wanted().ack_wait).await.unwrap();
    }
    for subject in [key('a') + ".x", key('a') + ".y", key('b') + ".x"] {
        let subject = format!("net.work.{subject}");
        session
            .publish("test", &subject, Default::default(), "x".into(), Duration::from_secs(5))
            .await
            .unwrap();
    }
    Announcer::new().announce(&session, &node('b')).await.unwrap();
    assert_eq!(orphans(&session).await.unwrap(), [Orphan { node: key('a'), pending: 2, claimed: 0 }]);
    let call = format!("$JS.API.CONSUMER.MSG.NEXT.net_work.to-{}", key('a'));
    let inbox = session.inbox();
    let mut taken = session.listen(&inbox).await.unwrap();
    session.send(&call, Some(&inbox), "1".into()).await.unwrap();
    taken.next().await.unwrap();
    assert_eq!(orphans(&session).await.unwrap(), [Orphan { node: key('a'), pending: 1, claimed: 1 }]);
}

#[tokio::test]
async fn directors_have_the_priority_and_the_share_that_the_operator_gave_them() {
    let Some(server) = TestServer::start().await else { return };
    let session = started(&server, Duration::from_secs(60)).await;
    let (much, little) = (key('1'), key('2'));
    let allow =
        async |director: &str, wanted, more| directors::allow(&session, Some(director), wanted, more).await;
    directors::put(&session, Some(&much), &Director { priority: Priority::High, queued: None })
        .await
        .unwrap();
    let says = Director { priority: Priority::Low, queued: Some(3) };
    directors::put(&session, Some(&little), &says).await.unwrap();
    directors::put(&session, Some(&little), &says).await.unwrap();
    assert_eq!(directors::list(&session).await.unwrap().len(), 2);
    assert_eq!(allow(&much, None, 1).await.unwrap(), Priority::Normal);
    assert_eq!(allow(&much, Some(Priority::High), 1).await.unwrap(), Priority::High);
    assert_eq!(allow(&little, None, 3).await.unwrap(), Priority::Low);
    assert_eq!(
        directors::allow(&session, None, None, 1).await.unwrap(),
        Priority::Normal,
        "nothing was said of open"
    );
    let error = allow(&little, Some(Priority::Normal), 1).await.unwrap_err();
    assert!(error.to_string().ends_with("may hand in at low priority at most, not at normal"), "{error}");
    for number in 1..=2 {
        let subject = format!("net.work.any.low.p512.any.free.{}.{number}.1.1", &little[..16]);
        session
            .publish("test", &subject, Default::default(), "x".into(), Duration::from_secs(5))
            .await
            .unwrap();
    }
    assert_eq!(directors::queued(&session, Some(&little)).await.unwrap(), 2);
    assert_eq!(directors::queued(&session, None).await.unwrap(), 0);
    assert!(allow(&little, None, 1).await.is_ok());
    let error = allow(&little, None, 2).await.unwrap_err();
    assert!(matches!(error, DirectorError::Queued { queued: 2, allowed: 3, wanted: 2, .. }), "{error}");
    assert!(directors::remove(&session, Some(&little)).await.unwrap());
    assert!(!directors::remove(&session, Some(&little)).await.unwrap());
    assert!(allow(&little, None, 2).await.is_ok());
    assert!(directors::get(&session, Some("abc")).await.unwrap_err().to_string().contains("64 lower-case"));
    let told = api(&session, "STREAM.INFO.KV_net_directors", json!(null)).await;
    assert_eq!(told["config"]["max_age"], 0);
}
