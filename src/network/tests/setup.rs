//! What is made, what is checked, and that each thing that is wrong is refused.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::server::TestServer;
use super::{api, key, remake, replace, settings, wanted};
use crate::network::setup::{Finding, Setup, consumers, prepare};
use crate::network::sync::{Monitors, synced};
use crate::network::{Class, Credentials, Session, registry};
use crate::types::{Resolution, Sha256};

async fn findings(session: &Session, setup: &Setup) -> Vec<Finding> {
    match prepare(session, setup).await {
        Ok(_) => Vec::new(),
        Err(error) => error.findings().to_vec(),
    }
}

#[tokio::test]
async fn nodes_that_start_together_make_everything_once() {
    let Some(server) = TestServer::start().await else { return };
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(server.session().await);
    }
    let reports =
        join_all(sessions.iter().map(async |session| prepare(session, &wanted()).await.unwrap())).await;
    assert!(reports.iter().all(|report| report.created.len() + report.found.len() == 7), "{reports:?}");
    assert!(reports.iter().any(|report| !report.created.is_empty()), "{reports:?}");
    let again = prepare(&sessions[0], &wanted()).await.unwrap();
    assert_eq!((again.created.len(), again.found.len(), again.warnings.len()), (0, 7, 0), "{again:?}");
    assert!(again.found.contains(&"KV_net_nodes".to_owned()), "{again:?}");
}

#[tokio::test]
async fn every_setting_that_the_protocol_rests_on_is_checked() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    prepare(&session, &wanted()).await.unwrap();
    api(&session, "STREAM.CREATE.other", json!({"name": "other", "subjects": ["other"], "storage": "file"}))
        .await;
    let cases = [
        ("net_work", json!({"retention": "limits"}), "retention", "it cannot be changed"),
        ("net_work", json!({"storage": "memory"}), "storage", "nats stream rm net_work"),
        (
            "net_work",
            json!({"discard_new_per_subject": false}),
            "discard_new_per_subject",
            "--discard-per-subject",
        ),
        ("net_work", json!({"allow_atomic": false}), "allow_atomic", "--allow-batch"),
        ("net_work", json!({"max_msgs": 999}), "max_msgs", "--max-msgs=1000"),
        ("net_work", json!({"max_bytes": 1000}), "max_bytes", "--max-bytes=4096000"),
        ("net_work", json!({"max_msg_size": 1000}), "max_msg_size", "--max-msg-size=172032"),
        ("net_work", json!({"max_consumers": 20}), "max_consumers", "--max-consumers=280"),
        ("net_work", json!({"max_age": 1_000_000_000u64, "duplicate_window": 0}), "max_age", "--max-age=0s"),
        (
            "net_work",
            json!({"consumer_limits": {"max_ack_pending": 5}}),
            "consumer_limits",
            "--limit-consumer",
        ),
        ("net_work", json!({"no_ack": true}), "no_ack", "nats stream edit net_work --ack"),
        ("net_work", json!({"republish": {"src": ">", "dest": "copy.>"}}), "republish", "--no-republish"),
        ("net_results", json!({"persist_mode": "async"}), "persist_mode", "it cannot be changed"),
        ("net_results", json!({"max_age": 86_400_000_000_000u64}), "max_age", "--max-age=0s"),
        (
            "net_results",
            json!({"max_msgs_per_subject": 2}),
            "max_msgs_per_subject",
            "--max-msgs-per-subject=1",
        ),
        ("net_results", json!({"allow_msg_ttl": true}), "allow_msg_ttl", "it cannot be changed"),
        ("net_results", json!({"sources": [{"name": "other"}]}), "sources", "--interactive"),
        (
            "net_results",
            json!({"subject_transform": {"src": ">", "dest": "x.>"}}),
            "subject_transform",
            "--no-transform",
        ),
        ("net_results", json!({"subjects": ["net.results.*"]}), "subjects", "--subjects='net.results.>'"),
        ("net_letters", json!({"deny_delete": true}), "deny_delete", "it cannot be changed"),
        ("net_letters", json!({"allow_direct": false}), "allow_direct", "--allow-direct"),
        (
            "net_cancels",
            json!({"discard_new_per_subject": true}),
            "discard_new_per_subject",
            "--no-discard-per-subject",
        ),
        ("net_attempts", json!({"discard": "new"}), "discard", "--discard=old"),
        ("KV_net_nodes", json!({"max_age": 60_000_000_000u64}), "max_age", "--max-age=15s"),
        ("KV_net_directors", json!({"allow_rollup_hdrs": false}), "allow_rollup_hdrs", "--allow-rollup"),
    ];
    for (name, wrong, setting, mend) in cases {
        let before = settings(&session, name).await;
        remake(&session, name, wrong).await;
        let found = findings(&session, &wanted()).await;
        let [finding] = &found[..] else { panic!("{name} {setting}: {found:?}") };
        assert_eq!((&*finding.what, &*finding.setting), (&*format!("stream {name}"), setting));
        assert!(finding.mend.contains(mend), "{finding}");
        replace(&session, name, before).await;
    }
    // No stream is made sealed.
    let open = settings(&session, "net_results").await;
    let mut sealed = open.clone();
    sealed["sealed"] = json!(true);
    api(&session, "STREAM.UPDATE.net_results", sealed).await;
    let found = findings(&session, &wanted()).await;
    assert!(found.len() == 1 && found[0].setting == "sealed", "{found:?}");
    replace(&session, "net_results", open).await;
    assert!(findings(&session, &wanted()).await.is_empty());
    // All at once, in one error.
    remake(&session, "net_work", json!({"allow_atomic": false, "max_msgs": 5})).await;
    remake(&session, "net_results", json!({"persist_mode": "async"})).await;
    let error = prepare(&session, &wanted()).await.unwrap_err().to_string();
    for part in ["stream net_work: allow_atomic is false", "max_msgs is 5", "persist_mode is \"async\""] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_one_server_cannot_give_is_said() {
    let Some(server) = TestServer::start_with("sync_interval: always", "max_payload: 100KB").await else {
        return;
    };
    let session = server.session().await;
    let setup = Setup { replicas: 3.try_into().unwrap(), ..wanted() };
    let found = findings(&session, &setup).await;
    let text: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(text[0].contains("max_payload is 102400, wanted at least 262144"), "{text:?}");
    assert_eq!(text.len(), 8, "{text:?}");
    assert!(text[1..].iter().all(|finding| finding.contains("as many servers as one cluster")), "{text:?}");
}

#[tokio::test]
async fn an_account_that_is_too_small_is_refused_with_its_numbers() {
    let accounts = "accounts { A { jetstream { max_file: 1MB, max_streams: 3, max_consumers: 5 }, \
                    users = [{ user: a, password: a }] } }";
    let Some(server) = TestServer::start_with("sync_interval: always", accounts).await else { return };
    let credentials = Credentials::Password { user: "a".to_owned(), password: "a".to_owned() };
    let session = server.session_as(credentials).await;
    let text: Vec<String> = findings(&session, &wanted()).await.iter().map(Finding::to_string).collect();
    for part in [
        "max_streams is 3, wanted at least 7",
        "max_consumers is 5, wanted at least 280",
        "max_storage is 1048576, wanted at least 8192000",
        "cannot be made: maximum number of streams reached (error 10027 of the server)",
    ] {
        assert!(text.iter().any(|finding| finding.contains(part)), "{part}: {text:#?}");
    }
}

#[tokio::test]
async fn a_node_that_may_not_make_streams_uses_those_that_are_there() {
    let users = "authorization { users = [{ user: all, password: a }, { user: node, password: b, permissions: { \
                 publish: { deny: [\"$JS.API.STREAM.CREATE.>\", \"$JS.API.CONSUMER.CREATE.>\"] } } }] }";
    let Some(server) = TestServer::start_with("sync_interval: always", users).await else { return };
    let user = |user: &str, password: &str| Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let (all, node) = (server.session_as(user("all", "a")).await, server.session_as(user("node", "b")).await);
    // Nothing answers what is not allowed: time has to pass, and does so on its own.
    let refused = findings(&node, &wanted()).await;
    assert_eq!(refused.len(), 7, "{refused:?}");
    assert!(refused[0].found.contains("missing, and to make it is not answered"), "{refused:?}");
    assert!(refused[0].mend.contains("may not publish to $JS.API.STREAM.CREATE.net_work"), "{refused:?}");
    prepare(&all, &wanted()).await.unwrap();
    assert_eq!(prepare(&node, &wanted()).await.unwrap().found.len(), 7);
}

#[tokio::test]
async fn consumers_are_made_once_and_those_of_other_settings_refused() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    prepare(&session, &wanted()).await.unwrap();
    let largest = Resolution::new(512, 512).unwrap();
    let classes = Class::able(largest, Sha256::of(b"bundle"), Duration::from_secs(10));
    let wait = Duration::from_secs(30);
    for node in ['a', 'b', 'a'] {
        consumers(&session, &classes, &key(node), wait).await.unwrap();
    }
    let told = api(&session, "STREAM.INFO.net_work", json!(null)).await;
    assert_eq!(told["state"]["consumer_count"], 18 + 2);
    let error = consumers(&session, &classes, &key('a'), Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error.findings().len(), 19, "{error}");
    let text = error.to_string();
    assert!(text.contains("ack_wait is 30000000000, wanted 10000000000 (10 s)"), "{text}");
    assert!(text.contains("all nodes of a network have the same network.ack_wait"), "{text}");

    let (name, filter) = (classes[0].consumer(), session.subjects().work_for_any(&classes[0]));
    api(&session, &format!("CONSUMER.DELETE.net_work.{name}"), json!(null)).await;
    let wrong = json!({"stream_name": "net_work", "action": "create", "config": {
        "name": name, "durable_name": name, "filter_subject": filter, "ack_policy": "explicit",
        "backoff": [1_000_000_000u64, 2_000_000_000u64], "max_deliver": 5, "pause_until": "2100-01-01T00:00:00Z",
    }});
    api(&session, &format!("CONSUMER.CREATE.net_work.{name}.{filter}"), wrong).await;
    let error = consumers(&session, &classes, &key('a'), wait).await.unwrap_err();
    let settings: Vec<&str> = error.findings().iter().map(|finding| &*finding.setting).collect();
    assert_eq!(settings, ["ack_wait", "backoff", "max_ack_pending", "max_deliver", "pause_until"], "{error}");
    api(&session, &format!("CONSUMER.DELETE.net_work.{name}"), json!(null)).await;
    let other = json!({"stream_name": "net_work", "action": "create", "config": {
        "name": "other", "durable_name": "other", "filter_subject": filter, "ack_policy": "explicit"}});
    api(&session, &format!("CONSUMER.CREATE.net_work.other.{filter}"), other).await;
    let error = consumers(&session, &classes, &key('a'), wait).await.unwrap_err().to_string();
    assert!(
        error.contains("filtered consumer not unique") && error.contains("nats consumer ls net_work"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_syncs_lazily_is_refused_and_one_that_does_not_tell_too() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(always) = TestServer::start().await else { return };
    let Some(lazy) = TestServer::start_with("", "").await else { return };
    let (session, monitors) =
        (always.session().await, |addresses: Vec<String>| Monitors { addresses, assume_synced: false });
    assert_eq!(synced(&session, &monitors(vec![always.monitor()])).await.unwrap(), Vec::<String>::new());
    let asked = monitors(vec![lazy.monitor()]);
    let error = synced(&lazy.session().await, &asked).await.unwrap_err().to_string();
    assert!(error.contains("sync_interval is 120s, wanted always"), "{error}");
    assert!(error.contains("write sync_interval: always into the jetstream block"), "{error}");
    // To assume it does not help against a monitor that says otherwise.
    let assumed = Monitors { assume_synced: true, ..asked };
    assert!(synced(&lazy.session().await, &assumed).await.is_err());
    for addresses in [Vec::new(), vec!["http://127.0.0.1:1".to_owned()]] {
        let error = synced(&session, &monitors(addresses.clone())).await.unwrap_err().to_string();
        assert!(error.contains("not known") && error.contains("network.assume_synced = true"), "{error}");
        let assumed = Monitors { addresses, assume_synced: true };
        let warnings = synced(&session, &assumed).await.unwrap();
        assert!(warnings.len() == 1 && warnings[0].starts_with("assumed: server"), "{warnings:?}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_told_as_that() {
    let Some(server) = TestServer::start().await else { return };
    let error = registry::nodes(&server.session().await).await.unwrap_err().to_string();
    assert!(error.contains("there is no such bucket"), "{error}");
}
