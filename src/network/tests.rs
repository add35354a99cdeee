//! Against a real server.

mod garbage;
mod orders;
mod records;
mod registry;
mod replays;
mod server;
mod setup;

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};

use super::registry::{BundleEntry, ENTRY_VERSION, NodeEntry, Strain};
use super::setup::Setup;
use super::{Class, Session};
use crate::types::{Resolution, Sha256};

/// A small network's.
fn wanted() -> Setup {
    Setup {
        ack_wait: Duration::from_secs(30),
        heartbeat: Duration::from_secs(5),
        replicas: NonZeroU32::MIN,
        queue: 1000,
        nodes: 10,
    }
}

/// Public keys of nodes, by a digit.
fn key(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// What a node says that renders 512x512 in ten seconds.
fn node(digit: char) -> NodeEntry {
    let bundle = Sha256::of(b"bundle");
    let largest = Resolution::new(512, 512).unwrap();
    let classes = Class::able(largest, bundle, Duration::from_secs(10));
    NodeEntry {
        version: ENTRY_VERSION,
        node: key(digit),
        process: uuid::Uuid::new_v4(),
        started_at: 1000.0,
        at: 1000.0,
        software: "0.1.0".to_owned(),
        address: None,
        draining: false,
        ready: true,
        not_ready: Vec::new(),
        pressure: Strain::None,
        capacity: 4,
        open: 0,
        queue: 0,
        models: std::collections::BTreeMap::new(),
        bundle: BundleEntry { name: "synthetic".to_owned(), sha256: bundle },
        classes: classes.iter().map(Class::to_string).collect(),
        max_pixels: largest.pixels(),
        expected_seconds: 10.0,
        stage_seconds: std::collections::BTreeMap::new(),
        devices: Vec::new(),
    }
}

/// Asks JetStream's API.
async fn api(session: &Session, call: &str, body: Value) -> Value {
    session.api("test", call, &body).await.unwrap()
}

/// The settings of a stream.
async fn settings(session: &Session, name: &str) -> Value {
    let told = api(session, &format!("STREAM.INFO.{name}"), json!(null)).await;
    let mut config = told["config"].clone();
    config.as_object_mut().unwrap().remove("metadata");
    config
}

/// Makes a stream anew, with changes.
async fn remake(session: &Session, name: &str, changes: Value) {
    let mut config = settings(session, name).await;
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    replace(session, name, config).await;
}

/// Makes a stream anew.
async fn replace(session: &Session, name: &str, config: Value) {
    api(session, &format!("STREAM.DELETE.{name}"), json!(null)).await;
    api(session, &format!("STREAM.CREATE.{name}"), config).await;
}
