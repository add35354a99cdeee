//! A server over TLS that knows its users by their keys: a node whose user is taken from it says so, and goes on once it is back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vortex_node::clock::now;
use vortex_node::network::permissions::{Role, inbox};
use vortex_node::network::results::{self, EndState};
use vortex_node::network::{Credentials, Recipient, Server, Session, Subjects, WorkSubject, hand_in};
use vortex_node::sink::PublicKey;
use vortex_node::types::WorkId;

use super::net::class;
use crate::support::authority::Authority;
use crate::support::lone_binary;
use crate::support::nats::{Config, Nats};
use crate::support::served::{LIMIT, Place, recipe, scenario};

/// For work that waits to come to a node that is let in again. Whoever waits for work over a connection that is gone would
/// wait for longer than that.
const SOON: Duration = Duration::from_secs(10);

/// What the node says of a server that does not let it in.
const REFUSED: &str = "refuses this node's credentials";

/// Somebody on the server, with the seed of its key in a file.
struct User {
    role: Role,
    seed: PathBuf,
    /// Its entry in the server's configuration.
    entry: String,
}

impl User {
    /// As an operator makes one: by what `nats permissions` prints for this role, with a key in place of the password.
    fn new(folder: &Path, role: Role, of: &[&str]) -> Self {
        let pair = nkeys::KeyPair::new_user();
        let seed = folder.join(format!("{}.nk", role.name()));
        std::fs::write(&seed, pair.seed().unwrap()).unwrap();
        let printed = told(&[&["nats", "permissions", "--role", role.name()], of].concat());
        let (_, users) = printed.split_once("users = [\n").unwrap();
        let (users, _) = users.rsplit_once("  ]\n").unwrap();
        let is_kept = |line: &&str| !line.trim_start().starts_with("password:");
        let named = |line: &str| match line.trim_start().starts_with("user:") {
            true => format!("      nkey: {}\n", pair.public_key()),
            false => format!("{line}\n"),
        };
        Self { role, seed, entry: users.lines().filter(is_kept).map(named).collect() }
    }
}

/// What a command prints.
fn told(arguments: &[&str]) -> String {
    let output = lone_binary().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn with(authority: &Authority, users: &[&User]) -> Config {
    let users: String = users.iter().map(|user| user.entry.as_str()).collect();
    Config::default()
        .with_tls(authority, false)
        .with(&format!("authorization {{\n  users = [\n{users}  ]\n}}"))
}

/// A connection of the director's.
async fn session(nats: &Nats, director: &User, ca_file: &Path) -> Session {
    let server = Server {
        addresses: vec![nats.address()],
        credentials: Credentials::Seed(director.seed.clone()),
        ca_file: Some(ca_file.to_owned()),
        inbox: inbox(&director.role, "vortex"),
        ..Server::default()
    };
    server.open(&Arc::new(Subjects::new("vortex").unwrap())).await.unwrap()
}

async fn handed_in(session: &Session, number: u64) -> WorkId {
    let recipe = recipe(number);
    let work = format!("{}/1/1", recipe["recipe_id"].as_str().unwrap()).parse().unwrap();
    let subject = WorkSubject { to: Recipient::Any, class: class(), director: None, work };
    let submitted = vortex_node::clock::unix_time();
    hand_in(session, &subject, recipe.to_string().as_bytes(), None, submitted).await.unwrap();
    work
}

async fn completes(session: &Session, work: WorkId, within: Duration) {
    let began = now();
    loop {
        if let Some(result) = results::read(session, work).await.unwrap() {
            assert_eq!(result.state, EndState::Completed, "{result:?}");
            return;
        }
        assert!(now() - began < within, "{work} does not end within {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn alerts(node: &Value) -> String {
    node["alerts"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_user_is_taken_away_says_so_and_goes_on_once_it_is_back() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = Place::new(&scenario("20ms", ""));
    std::fs::create_dir(place.data()).unwrap();
    // A node's key may be made before the node, so that its user is there when it comes.
    let id = told(&["recipe", "keygen", place.data().join("node.key").to_str().unwrap()]);
    let key: PublicKey = id.trim().parse().unwrap();
    let setup = User::new(folder.path(), Role::Setup, &[]);
    let node = User::new(folder.path(), Role::Node(key), &["--node", id.trim()]);
    let director = User::new(folder.path(), Role::Director(None), &[]);
    let authority = Authority::new();
    let without = with(&authority, &[&setup, &director]);
    let Some(mut nats) = Nats::start_with(without.clone()) else { return };
    let (address, monitor) = (format!("--nats={}", nats.address()), nats.monitor());
    // A copy: the server's own is written anew when it is told something.
    let authority_file = folder.path().join("authority.pem");
    std::fs::write(&authority_file, &authority.certificate).unwrap();
    let (trusted, seed) = (authority_file.to_str().unwrap(), setup.seed.to_str().unwrap());
    told(&[
        "nats",
        "setup",
        &address,
        "--cacert",
        trusted,
        "--nkey",
        seed,
        "--inbox",
        &inbox(&setup.role, "vortex"),
        "--monitor",
        &monitor,
    ]);
    let place = place
        .in_network(&nats.address(), store.path())
        .with_variable("VORTEX_NETWORK__CA_FILE", trusted)
        .with_variable("VORTEX_NETWORK__NKEY", node.seed.to_str().unwrap())
        .with_variable("VORTEX_NETWORK__MONITOR", &format!("[{monitor:?}]"));

    // Whom the server does not know at all does not start.
    let output = place.command(&[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(REFUSED), "{output:?}");

    let all = with(&authority, &[&setup, &director, &node]);
    nats.reload(all.clone());
    let served = place.serve();
    served.ready().await;
    assert_eq!(served.get("/v1/node").await["id"], *id.trim());
    let of_director = session(&nats, &director, &authority_file).await;
    completes(&of_director, handed_in(&of_director, 1).await, LIMIT).await;
    assert!(!alerts(&served.get("/v1/node").await).contains(REFUSED));

    nats.reload(without);
    let told = served.until("/v1/node", |node| alerts(node).contains(REFUSED)).await;
    assert!(alerts(&told).contains(&nats.address()), "{told:#}");
    let of_director = session(&nats, &director, &authority_file).await;
    let second = handed_in(&of_director, 2).await;
    assert!(served.ask(reqwest::Method::GET, "/livez").send().await.unwrap().status().is_success());
    assert_eq!(results::read(&of_director, second).await.unwrap(), None, "nobody is there");

    nats.reload(all);
    let of_director = session(&nats, &director, &authority_file).await;
    completes(&of_director, second, SOON).await;
    served.until("/v1/node", |node| !alerts(node).contains(REFUSED)).await;
    let (code, logs) = served.stop();
    assert_eq!(code, Some(0), "{logs}");
    let refusals = logs.lines().filter(|line| line.contains(REFUSED) && line.contains("ERROR")).count();
    assert!(refusals > 0, "{logs}");
    assert!(logs.contains("connected to the network again"), "{logs}");
}
