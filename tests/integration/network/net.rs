//! A server, a store and some nodes; what was handed in, and how it ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vortex_node::clock::now;
use vortex_node::network::results::{self, EndState, ResultRecord};
use vortex_node::network::{
    Class, Handed, Pace, Priority, Recipient, Server, Session, Size, Stream, Subjects, WorkSubject, hand_in,
    listing,
};
use vortex_node::types::{SlotId, WorkId};

use crate::support::nats::Nats;
use crate::support::nodes::Nodes;
use crate::support::proxy::Proxy;
use crate::support::served::{LIMIT, Place, Served, recipe};

/// As short as settings allow, so that claims end within a test.
pub const ACK_WAIT: Duration = Duration::from_secs(2);

/// Lines of a node's log that a test which fails shows.
const SHOWN: usize = 60;

/// Everything of a test.
pub struct Net {
    pub nats: Nats,
    pub nodes: Nodes,
    /// One before the server for each node.
    pub proxies: Vec<Proxy>,
    store: tempfile::TempDir,
    subjects: Arc<Subjects>,
}

impl Net {
    /// A server and `count` nodes with this scenario and these variables, which do not serve yet; none where there is no
    /// server to be had.
    pub fn new(count: usize, scenario: &str, variables: &[(&str, &str)]) -> Option<Self> {
        Self::of(count, || Place::new(scenario), variables)
    }

    /// The same with nodes that serve from such places.
    pub fn of(count: usize, place: impl Fn() -> Place, variables: &[(&str, &str)]) -> Option<Self> {
        let nats = Nats::start()?;
        let store = tempfile::tempdir().unwrap();
        let proxies: Vec<Proxy> = (0..count).map(|_| Proxy::before(nats.socket())).collect();
        let places = proxies.iter().map(|proxy| {
            let place = place()
                .in_network(&proxy.address(), store.path())
                .with_variable("VORTEX_NETWORK__ACK_WAIT", "2s")
                .with_variable("VORTEX_NETWORK__HEARTBEAT", "1s")
                .with_variable("VORTEX_NETWORK__AWAY", "4s")
                .with_variable("VORTEX_NETWORK__DELIVERIES", "1000")
                .with_variable("VORTEX_NETWORK__MONITOR", &format!("[{:?}]", nats.monitor()));
            variables.iter().fold(place, |place, (name, value)| place.with_variable(name, value))
        });
        let nodes = Nodes::new(places.collect::<Vec<_>>());
        let subjects = Arc::new(Subjects::new("vortex").unwrap());
        Some(Self { nats, nodes, proxies, store, subjects })
    }

    /// A connection of the test's own, past the proxies.
    pub async fn session(&self) -> Session {
        let server = Server { addresses: vec![self.nats.address()], ..Server::default() };
        let began = now();
        loop {
            match server.open(&self.subjects).await {
                Ok(session) => return session,
                Err(error) => assert!(now() - began < LIMIT, "{error}"),
            }
            // The server is starting.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Hands the slot of this number in, for whoever has it first.
    pub async fn hand_in(&self, session: &Session, number: u64) -> WorkId {
        self.hand_in_to(session, &recipe(number), Recipient::Any, 1).await
    }

    /// Hands a replica in.
    pub async fn hand_in_to(&self, session: &Session, recipe: &Value, to: Recipient, replica: u32) -> WorkId {
        let slot: SlotId = recipe["recipe_id"].as_str().unwrap().parse().unwrap();
        let work = format!("{slot}/1/{replica}").parse().unwrap();
        let subject = WorkSubject { to, class: class(), director: None, work };
        let document = recipe.to_string();
        let submitted = vortex_node::clock::unix_time();
        let handed = hand_in(session, &subject, document.as_bytes(), None, submitted).await.unwrap();
        assert!(matches!(handed, Handed::New(_)), "{handed:?}");
        work
    }

    /// Waits until each of these has its result, and says them all.
    pub async fn results(&self, works: &[WorkId], within: Duration) -> BTreeMap<WorkId, ResultRecord> {
        let began = now();
        loop {
            let session = self.session().await;
            let there = listing::works(&session, Stream::Results, &self.subjects.all(Stream::Results)).await;
            if let Ok(there) = there
                && works.iter().all(|work| there.contains(work))
            {
                let mut found = BTreeMap::new();
                for work in works {
                    let result = results::read(&session, *work).await.unwrap().unwrap();
                    found.insert(*work, result);
                }
                return found;
            }
            assert!(now() - began < within, "not all have ended: {}", self.standing().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How many messages a stream has.
    pub async fn count(&self, stream: Stream) -> u64 {
        let name = self.subjects.stream(stream);
        let all = self.nats.asked("/jsz?streams=true&accounts=true");
        let streams = all["account_details"][0]["stream_detail"].as_array().unwrap();
        let found = streams.iter().find(|stream| stream["name"] == *name).unwrap();
        found["state"]["messages"].as_u64().unwrap()
    }

    /// What the server says of its streams and consumers.
    pub fn counts(&self) -> Value {
        self.nats.asked("/jsz?streams=true&consumers=true&accounts=true")
    }

    /// Waits until that is so.
    pub async fn until_counted(&self, is_so: impl Fn(&Value) -> bool) {
        let began = now();
        while !is_so(&self.counts()) {
            assert!(now() - began < LIMIT, "{}", self.standing().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a stream has so many messages.
    pub async fn until(&self, stream: Stream, messages: u64) {
        let began = now();
        while self.count(stream).await < messages {
            assert!(now() - began < LIMIT, "{}", self.standing().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the work stream is empty.
    pub async fn is_done(&self, within: Duration) {
        let began = now();
        while self.count(Stream::Work).await > 0 {
            assert!(now() - began < within, "work is left: {}", self.standing().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// For messages of failures.
    pub async fn standing(&self) -> String {
        let mut text = String::new();
        for stream in Stream::ALL {
            text.push_str(&format!("{}: {} ", stream.name(), self.count(stream).await));
        }
        text
    }

    /// Stops one, and says what it logged.
    pub fn stop(&mut self, number: usize) -> String {
        let (code, logs) = self.nodes.stop(number);
        assert_eq!(code, Some(0), "{logs}");
        logs
    }

    /// Where artifacts and shared stages go.
    pub fn store(&self) -> &Path {
        self.store.path()
    }

    /// The node that serves at this place.
    pub fn node(&self, number: usize) -> &Served {
        &self.nodes[number]
    }
}

impl Drop for Net {
    /// Of a test that fails, the nodes' last words.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for number in (0..self.nodes.count()).filter(|number| self.nodes.serves(*number)).collect::<Vec<_>>()
        {
            let logs = self.nodes.kill(number);
            let lines: Vec<&str> = logs.lines().collect();
            println!("the last lines of node {number}:");
            lines[lines.len().saturating_sub(SHOWN)..].iter().for_each(|line| println!("{line}"));
        }
    }
}

/// What the test's recipes are.
pub fn class() -> Class {
    Class { priority: Priority::Normal, size: Size::Small, bundle: None, pace: Pace::Free }
}

/// Every artifact of these results is in the store and is what the result says.
pub fn artifacts_hold(results: &BTreeMap<WorkId, ResultRecord>) {
    for (work, result) in results {
        assert_eq!(result.state, EndState::Completed, "{work}: {result:?}");
        assert!(!result.artifacts.is_empty(), "{work}");
        for artifact in &result.artifacts {
            let path = artifact.address.strip_prefix("file://").unwrap();
            let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{work}: {path}: {error}"));
            assert_eq!(vortex_node::types::Sha256::of(&bytes), artifact.sha256, "{work}: {path}");
        }
    }
}
