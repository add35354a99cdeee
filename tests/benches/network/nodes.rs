//! Real nodes that share a queue: how many times as fast three are as one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vortex_node::clock::{now, unix_time};
use vortex_node::network::{
    Class, Pace, Priority, Recipient, Server as Address, Session, Size, Stream, Subjects, WorkSubject,
    hand_in, listing,
};
use vortex_node::types::{SlotId, WorkId};

use super::wire::{Server, program};

/// What each model takes for a job.
const RUN: &str = "100ms";
/// Slots for each node of a run.
const SLOTS: u64 = 100;
const PAIRS: usize = 3;

/// Prints it.
pub fn measure(dir: &Path) {
    let Some(program) = program() else {
        println!("nodes: no nats-server; NATS_SERVER may say where one is");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut one, mut three) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let order = if pair % 2 == 0 { [1, 3] } else { [3, 1] };
        for count in order {
            let rate = runtime.block_on(rate(&program, dir, count));
            if count == 1 { &mut one } else { &mut three }.push(rate);
        }
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    println!(
        "nodes, models of {RUN}: one {:.2} slots/s, three {:.2}: {:.2} times as many (goal 2.9); runs {one:.2?}, {three:.2?}",
        mean(&one),
        mean(&three),
        mean(&three) / mean(&one)
    );
}

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    /// One that takes slots.
    fn start(folder: &Path, name: &str, queue: &str, store: &Path) -> Self {
        let place = folder.join(name);
        std::fs::create_dir_all(&place).unwrap();
        let models: String = ["flux", "liveportrait", "kokoro", "clip_b", "clip_l"]
            .map(|model| {
                format!("[models.{model}]\nload = \"1ms\"\ncanary = \"1ms\"\nrun = \"{RUN}\"\nsteps = 1\n")
            })
            .concat();
        let scenario = place.join("scenario.toml");
        let about = "about = \"a node to be measured\"\npackage = \"0s\"\n";
        let arrivals = "[[arrivals]]\nat = \"1s\"\ncount = 1\n";
        std::fs::write(&scenario, format!("{about}{models}{arrivals}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vortex-node"));
        command.args(["serve", "--json", "--log", "error", "--scripted"]).arg(&scenario);
        command.arg("--data-dir").arg(place.join("data"));
        command.arg("--config-dir").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"));
        command.args(["--set", "http.listen=127.0.0.1:0", "--set", "network.assume_synced=true"]);
        command.args(["--set", &format!("network.servers={queue}")]);
        command.args(["--set", &format!("store.url={}", store.display())]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready =
            |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("\"ready\""));
        assert!(lines.by_ref().any(|line| is_ready(&line)), "{name} does not start");
        // It says no more until it ends; its lines must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

/// Slots a second of so many nodes.
async fn rate(program: &Path, dir: &Path, count: u64) -> f64 {
    let folder = tempfile::tempdir_in(dir).unwrap();
    let queue = Server::start(program, folder.path());
    let store = folder.path().join("store");
    let nodes: Vec<Node> = (0..count)
        .map(|number| Node::start(folder.path(), &format!("node{number}"), &queue.address, &store))
        .collect();
    let subjects = Arc::new(Subjects::new("vortex").unwrap());
    let address = Address { addresses: vec![queue.address.clone()], ..Address::default() };
    let session = address.open(&subjects).await.unwrap();
    let began = now();
    for number in 0..SLOTS * count {
        put(&session, number).await;
    }
    let all = subjects.all(Stream::Results);
    while (listing::works(&session, Stream::Results, &all).await.unwrap().len() as u64) < SLOTS * count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = now() - began;
    drop(nodes);
    (SLOTS * count) as f64 / took.as_secs_f64()
}

async fn put(session: &Session, number: u64) {
    let id = uuid::Uuid::from_u128(0x5e20_0000_0000_4000_8000_0000_0000_0000 + u128::from(number));
    let recipe = vortex_node::recipe::example::with_id(id);
    let class = Class { priority: Priority::Normal, size: Size::Small, bundle: None, pace: Pace::Free };
    let work = WorkId::first(SlotId::new(id));
    let subject = WorkSubject { to: Recipient::Any, class, director: None, work };
    hand_in(session, &subject, recipe.as_bytes(), None, unix_time()).await.unwrap();
}
