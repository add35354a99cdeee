//! The commands on a server that lets each role do its part and nothing else.

use serde_json::{Value, json};
use vortex_node::network::Credentials;
use vortex_node::network::permissions::{Permissions, Role, inbox};
use vortex_node::network::results::EndState;

use super::net::{Net, announce, entry, node, slot, work};
use crate::support::nats::Config;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_its_part_by_its_own_key_and_no_more() {
    let roles = [Role::Setup, Role::Node(node(1)), Role::Director(None), Role::Watcher];
    let pairs = roles.map(|role| (role, nkeys::KeyPair::new_user()));
    let user = |(role, pair): &(Role, nkeys::KeyPair)| {
        let Permissions { publish, subscribe, .. } = Permissions::of(role, "vortex");
        let permissions = json!({ "publish": { "allow": publish }, "subscribe": { "allow": subscribe } });
        json!({ "nkey": pair.public_key(), "permissions": permissions })
    };
    let users: Vec<Value> = pairs.iter().map(user).collect();
    let Some(net) = Net::of(Config::default().with(&format!("authorization {{ users: {} }}", json!(users))))
    else {
        return;
    };
    for (role, pair) in &pairs {
        std::fs::write(net.path(role.name()), pair.seed().unwrap()).unwrap();
    }
    let run = |role: Role, arguments: &[&str]| {
        let inbox = inbox(&role, "vortex");
        net.run(&[arguments, &["--nats", "@", "--nkey", role.name(), "--inbox", &inbox]].concat())
    };
    let monitor = net.nats.monitor();
    let ran = run(Role::Setup, &["nats", "setup", "--monitor", &monitor]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let nodes_inbox = inbox(&roles[1], "vortex");
    let session = net.session_by(Credentials::Seed(net.path("node")), &nodes_inbox).await;
    announce(&session, &entry(1)).await;
    let one = net.recipe(1);
    let ran = run(Role::Director(None), &["submit", &one]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for role in [Role::Director(None), Role::Watcher] {
        for command in ["nodes", "slots"] {
            let ran = run(role, &[command, "--json"]);
            assert_eq!((ran.code, &ran.json()["open"]), (0, &json!(1)), "{command}: {ran:?}");
        }
    }
    assert_eq!(run(Role::Director(None), &["cancel", &slot(1)]).code, 0);
    net.end(&session, work(1, "1/1"), 1, EndState::Completed, b"moving pictures").await;
    let store = net.store_url();
    let ran = run(Role::Watcher, &["fetch", &slot(1), "--store", &store, "--out", "got"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // Who only looks hands nothing in, and without a key nobody does anything.
    let two = net.recipe(2);
    let ran = run(Role::Watcher, &["submit", &two]);
    assert!(
        ran.code == 1 && ran.err.contains("does not answer what its permissions do not allow"),
        "{ran:?}"
    );
    let ran = net.run(&["nodes", "--nats", "@"]);
    assert!(ran.code == 2 && ran.err.contains("--credentials or --nkey"), "{ran:?}");
}
