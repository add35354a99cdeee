//! `nats permissions`, and a real server that holds roles to them.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{self, AckKind, kv, stream};
use async_nats::{Client, ConnectOptions, Event, HeaderMap};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use vortex_node::network::permissions::{Permissions, Role, conf};
use vortex_node::sink::PublicKey;

use crate::support::lone_binary;
use crate::support::nats::{Config, Nats};

const NODE: PublicKey = PublicKey([0xab; 32]);
const OTHER: PublicKey = PublicKey([0xcd; 32]);
const DIRECTOR: PublicKey = PublicKey([0xef; 32]);
const SLOT: &str = "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90";
/// For a server on this machine to say what it has to say.
const ANSWER: Duration = Duration::from_secs(10);

/// A user of the server, and what the server forbade it.
struct User {
    client: Client,
    forbidden: mpsc::UnboundedReceiver<String>,
}

impl User {
    async fn connect(server: &Nats, permissions: &Permissions) -> Self {
        let (told, forbidden) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_user_and_password(permissions.user.clone(), password(permissions))
            .custom_inbox_prefix(&permissions.inbox)
            .event_callback(move |event| {
                let told = told.clone();
                async move {
                    if let Event::ServerError(error) = event {
                        let _ = told.send(error.to_string());
                    }
                }
            });
        Self { client: options.connect(server.address()).await.unwrap(), forbidden }
    }

    fn streams(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    async fn heard(&mut self, of: &str) {
        let said = tokio::time::timeout(ANSWER, self.forbidden.recv()).await;
        let said = said.unwrap_or_else(|_| panic!("{of} is allowed")).unwrap().to_lowercase();
        assert!(said.contains("permissions violation") && said.contains(&of.to_lowercase()), "{of}: {said}");
    }

    async fn may_not_publish(&mut self, subjects: &[&str]) {
        for subject in subjects {
            self.client.publish((*subject).to_owned(), "".into()).await.unwrap();
            self.client.flush().await.unwrap();
            self.heard(subject).await;
        }
    }

    async fn may_not_hear(&mut self, subjects: &[&str]) {
        for subject in subjects {
            let _subscription = self.client.subscribe((*subject).to_owned()).await.unwrap();
            self.client.flush().await.unwrap();
            self.heard(subject).await;
        }
    }

    /// Nothing that was tried so far was forbidden.
    fn was_allowed(&mut self) {
        assert_eq!(self.forbidden.try_recv().ok(), None);
    }
}

fn password(permissions: &Permissions) -> String {
    format!("secret-of-{}", permissions.user)
}

/// As a network has them, as far as reading and writing goes.
fn streams() -> Vec<stream::Config> {
    let config = |name: &str, retention, allow_direct| stream::Config {
        name: format!("net_{name}"),
        subjects: vec![format!("net.{name}.>")],
        retention,
        allow_direct,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        ..Default::default()
    };
    let kept = ["results", "letters", "cancels", "attempts"];
    let work = config("work", RetentionPolicy::WorkQueue, false);
    let kept = kept.iter().map(|name| config(name, RetentionPolicy::Limits, true));
    std::iter::once(work).chain(kept).collect()
}

fn work(director: &str) -> String {
    format!("net.work.any.normal.p512.any.free.{director}.{SLOT}.1.1")
}

#[tokio::test]
async fn a_real_server_lets_each_role_do_its_part_and_nothing_else() {
    let roles = [Role::Setup, Role::Node(NODE), Role::Director(Some(DIRECTOR)), Role::Watcher];
    let users = roles.map(|role| Permissions::of(&role, "net"));
    let block = conf(&users);
    let variable = |line: &str| line.trim().strip_prefix("password: $").map(str::to_owned);
    let variables = block.lines().filter_map(variable).zip(users.iter().map(password)).collect::<Vec<_>>();
    assert_eq!(variables.len(), 4);
    let block =
        variables.iter().fold(block, |block, (name, value)| block.replace(&format!("${name}"), value));
    let Some(server) = Nats::start_with(Config::default().with(&block)) else { return };
    let [setup, node, director, watcher] = &users;
    let mut setup = User::connect(&server, setup).await;
    let mut node = User::connect(&server, node).await;
    let mut director = User::connect(&server, director).await;
    let mut watcher = User::connect(&server, watcher).await;

    let streams_of_setup = setup.streams();
    for config in streams() {
        streams_of_setup.create_stream(config.clone()).await.unwrap();
        streams_of_setup.update_stream(config).await.unwrap();
    }
    for bucket in ["net_nodes", "net_directors"] {
        let config = kv::Config { bucket: bucket.to_owned(), history: 1, ..Default::default() };
        streams_of_setup.create_key_value(config).await.unwrap();
    }
    let quotas = streams_of_setup.get_key_value("net_directors").await.unwrap();
    quotas.put(DIRECTOR.to_string(), "{}".into()).await.unwrap();
    setup.was_allowed();

    let own = &DIRECTOR.to_string()[..16];
    let streams_of_director = director.streams();
    let mut told = director.client.subscribe("net.results.>").await.unwrap();
    let mut progress = watcher.client.subscribe("net.progress.>").await.unwrap();
    // So that the server has both before anything is said.
    streams_of_director.get_stream("net_work").await.unwrap();
    watcher.streams().get_stream("net_work").await.unwrap();
    streams_of_director.publish(work(own), "recipe".into()).await.unwrap().await.unwrap();
    streams_of_director.publish(format!("net.cancels.{SLOT}"), "{}".into()).await.unwrap().await.unwrap();
    director.was_allowed();

    renders(&node).await;
    node.was_allowed();
    let result = tokio::time::timeout(ANSWER, told.next()).await.unwrap().unwrap();
    assert_eq!(result.payload, "result");
    tokio::time::timeout(ANSWER, progress.next()).await.unwrap().unwrap();

    let seen = watcher.streams();
    let results = seen.get_stream("net_results").await.unwrap();
    let subject = format!("net.results.{SLOT}.1.1");
    assert_eq!(results.direct_get_last_for_subject(&subject).await.unwrap().payload, "result");
    assert_eq!(results.get_last_raw_message_by_subject(&subject).await.unwrap().payload, "result");
    let registry = seen.get_key_value("net_nodes").await.unwrap();
    assert_eq!(registry.get(NODE.to_string()).await.unwrap().unwrap(), "here");
    assert_eq!(seen.get_stream("net_work").await.unwrap().get_info().await.unwrap().state.messages, 0);
    watcher.was_allowed();

    let (key, other) = (NODE.to_string(), OTHER.to_string());
    let result = format!("net.results.{SLOT}.2.1");
    let cancel = format!("net.cancels.{SLOT}");
    let (entry, others) = (format!("$KV.net_nodes.{key}"), format!("$KV.net_nodes.{other}"));
    let ack = "$JS.ACK.net_work.any-normal-p512-any-free.1.1.1.1.0";
    let (purge, delete) = ("$JS.API.STREAM.PURGE.net_work", "$JS.API.STREAM.DELETE.net_work");
    let next = "$JS.API.CONSUMER.MSG.NEXT.net_work.any-normal-p512-any-free";
    watcher
        .may_not_publish(&[&work(own), &work("open"), &cancel, &result, &entry, ack, next, purge, delete])
        .await;
    let read = "$JS.API.STREAM.MSG.GET.net_work";
    watcher.may_not_publish(&["$JS.API.CONSUMER.CREATE.net_results.x.net.results.>", read]).await;
    watcher.may_not_hear(&["net.work.>", ">", &format!("_INBOX_net.node.{key}.>"), "_INBOX.>"]).await;
    director
        .may_not_publish(&[ack, &result, next, &work("open"), &work(&key[..16]), &entry, purge, delete])
        .await;
    let quota = format!("$KV.net_directors.{DIRECTOR}");
    node.may_not_publish(&[&others, &quota, &work(own), &work("open"), &cancel, purge, delete]).await;
    let create = "$JS.API.STREAM.CREATE.net_more";
    let (foreign, all) = (
        format!("$JS.API.CONSUMER.CREATE.net_work.to-{other}.net.work.{other}.>"),
        "$JS.API.CONSUMER.CREATE.net_work.all",
    );
    node.may_not_publish(&[create, &foreign, all]).await;
    node.may_not_hear(&["net.work.>", &format!("_INBOX_net.node.{other}.>")]).await;
    setup.may_not_publish(&[&work(own), &result, ack, next, create]).await;
}

/// What a node does with a piece of work, from the consumer to the acknowledgement.
async fn renders(node: &User) {
    let streams = node.streams();
    let queue = streams.get_stream("net_work").await.unwrap();
    let consumer = |name: &str, filter: String| pull::Config {
        durable_name: Some(name.to_owned()),
        filter_subject: filter,
        ack_policy: AckPolicy::Explicit,
        ..Default::default()
    };
    let own = format!("to-{NODE}");
    queue.create_consumer(consumer(&own, format!("net.work.{NODE}.>"))).await.unwrap();
    let class = "any-normal-p512-any-free";
    let any = consumer(class, "net.work.any.normal.p512.any.free.>".to_owned());
    let any: PullConsumer = queue.create_consumer(any).await.unwrap();
    let mut messages = any.fetch().max_messages(1).expires(ANSWER).messages().await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    assert_eq!(message.payload, "recipe");

    let cancels = streams.get_stream("net_cancels").await.unwrap();
    cancels.get_last_raw_message_by_subject(&format!("net.cancels.{SLOT}")).await.unwrap();
    let registry = streams.get_key_value("net_nodes").await.unwrap();
    registry.put(NODE.to_string(), "here".into()).await.unwrap();
    message.ack_with(AckKind::Progress).await.unwrap();
    for kind in ["progress", "letters", "attempts"] {
        node.client.publish(format!("net.{kind}.{SLOT}.1.1"), "{}".into()).await.unwrap();
    }
    let mut first = HeaderMap::new();
    first.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let subject = format!("net.results.{SLOT}.1.1");
    let kept = streams.publish_with_headers(subject, first, "result".into()).await.unwrap();
    kept.await.unwrap();
    message.double_ack().await.unwrap();
}

fn answer(arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments = ["nats", "permissions"].iter().chain(arguments);
    let output = lone_binary().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_prints_what_the_library_makes_and_refuses_what_does_not_belong_together() {
    let key = NODE.to_string();
    let node = ["--role", "node", "--node", &key];
    let (code, text, _) = answer(&node);
    let expected = Permissions::of(&Role::Node(NODE), "vortex");
    assert_eq!((code, text), (Some(0), conf(std::slice::from_ref(&expected))));
    let (_, text, _) = answer(&[&node[..], &["--json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected.json());
    let (_, text, _) = answer(&["--role", "watcher", "--prefix", "net-1"]);
    assert!(text.contains("_INBOX_net-1.watcher.>"), "{text}");
    let (_, text, _) = answer(&["--role", "director"]);
    assert!(text.contains("vortex.work.*.*.*.*.*.open.*.*.*"), "{text}");
    for (wrong, told) in [
        (vec!["--role", "node"], "--node"),
        (vec!["--role", "watcher", "--node", &key], "--role node only"),
        (vec!["--role", "setup", "--director", &key], "--role director only"),
        (vec!["--role", "node", "--node", &key, "--director", &key], "--role director only"),
        (vec!["--role", "node", "--node", "ab"], "64 hexadecimal digits"),
        (vec!["--role", "watcher", "--prefix", "a.b"], "letters, digits"),
        (vec!["--role", "king"], "watcher"),
    ] {
        let (code, text, error) = answer(&wrong);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(error.contains(told), "{wrong:?}: {error}");
    }
}
