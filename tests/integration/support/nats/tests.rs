//! That the server of the tests is what they take it for.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use async_nats::{ConnectOptions, Event};
use tokio::sync::mpsc;

use super::{Config, Nats};
use crate::support::authority::Authority;
use crate::support::served::LIMIT;

/// A client that tries again at once, for as long as it takes.
fn patient() -> ConnectOptions {
    ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .request_timeout(Some(Duration::from_secs(5)))
}

fn work(max_bytes: i64) -> stream::Config {
    stream::Config { name: "work".into(), subjects: vec!["work.>".into()], max_bytes, ..Default::default() }
}

#[tokio::test]
async fn killed_and_started_again_it_has_every_message_that_it_confirmed_at_the_same_address() {
    let Some(mut server) = Nats::start() else { return };
    let address = server.address();
    let client = patient().connect(&address).await.unwrap();
    let context = jetstream::new(client);
    context.create_stream(work(-1)).await.unwrap();
    for number in 1..=10 {
        let confirmed = context.publish("work.any", "a slot".into()).await.unwrap().await.unwrap();
        assert_eq!(confirmed.sequence, number);
    }
    server.kill();
    assert!(async_nats::connect(&address).await.is_err());
    server.start_again();
    assert_eq!(server.address(), address);
    let again = jetstream::new(async_nats::connect(&address).await.unwrap());
    assert_eq!(again.get_stream("work").await.unwrap().cached_info().state.messages, 10);
    // The first client finds it again by itself.
    let ask = async { while context.get_stream("work").await.is_err() {} };
    tokio::time::timeout(LIMIT, ask).await.unwrap();
    server.stop();
    assert!(server.log().contains("Server Exiting"), "{}", server.log());
    server.start_again();
    let after = jetstream::new(async_nats::connect(&address).await.unwrap());
    assert_eq!(after.get_stream("work").await.unwrap().cached_info().state.messages, 10);
}

#[tokio::test]
async fn its_monitor_tells_whether_writes_are_synced_and_its_room_is_what_was_said() {
    let Some(server) = Nats::start() else { return };
    let synced = |server: &Nats| server.asked("/varz")["jetstream"]["config"]["sync_always"].clone();
    assert!(server.monitor().starts_with("http://127.0.0.1:"));
    assert_eq!(synced(&server), true);
    let lazy = Nats::start_with(Config::default().lazily_synced().with_file_store(100_000)).unwrap();
    assert_ne!(synced(&lazy), true);
    assert_ne!(lazy.socket(), server.socket());
    let context = jetstream::new(async_nats::connect(lazy.address()).await.unwrap());
    assert!(context.create_stream(work(200_000)).await.is_err(), "more than there is room for");
    context.create_stream(work(100_000)).await.unwrap();
}

#[tokio::test]
async fn it_lets_in_whom_it_is_told_to_over_tls_until_it_is_told_otherwise() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let authority = Authority::new();
    let users = |names: &[&str]| {
        let users: Vec<String> =
            names.iter().map(|name| format!("{{ user: {name}, password: of-{name} }}")).collect();
        Config::default()
            .with_tls(&authority, false)
            .with(&format!("authorization {{ users: [{}] }}", users.join(", ")))
    };
    let Some(mut server) = Nats::start_with(users(&["first", "second"])) else { return };
    assert!(server.address().starts_with("tls://"));
    let (told, mut events) = mpsc::unbounded_channel();
    let options = |password: &str| {
        ConnectOptions::with_user_and_password("first".into(), password.into())
            .add_root_certificates(server.file("authority.pem"))
            .max_reconnects(1)
    };
    assert!(options("of-second").connect(server.address()).await.is_err(), "a wrong password");
    let strange = ConnectOptions::with_user_and_password("first".into(), "of-first".into());
    assert!(strange.connect(server.address()).await.is_err(), "nobody vouches for its certificate");
    let options = options("of-first").event_callback(move |event| {
        let told = told.clone();
        async move { told.send(event).unwrap_or_default() }
    });
    let client = options.connect(server.address()).await.unwrap();
    client.flush().await.unwrap();
    server.reload(users(&["second"]));
    let revoked = async { while !matches!(events.recv().await.unwrap(), Event::Disconnected) {} };
    tokio::time::timeout(LIMIT, revoked).await.unwrap();
}

#[tokio::test]
async fn it_asks_clients_for_certificates_where_it_is_told_to() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let authority = Authority::new();
    let Some(server) = Nats::start_with(Config::default().with_tls(&authority, true)) else { return };
    let trusting = || ConnectOptions::new().add_root_certificates(server.file("authority.pem"));
    assert!(trusting().connect(server.address()).await.is_err());
    let (certificate, key) = authority.signs();
    std::fs::write(server.file("client.pem"), certificate).unwrap();
    std::fs::write(server.file("client.key"), key).unwrap();
    let named = trusting().add_client_certificate(server.file("client.pem"), server.file("client.key"));
    named.connect(server.address()).await.unwrap().flush().await.unwrap();
}
