//! Nodes that share a queue: a fleet in accelerated time against a model of the queue's server, the queue itself on a real
//! server, and three real nodes against one.
//!
//! `cargo bench --bench network [-- PART...]` with the parts `simulated`, `queue` and `nodes`; all of them where none is named.
//! `simulated` needs nothing: `--slots N` and `--seed N` change what it plays, `--plots DIR` where its plots go. the others
//! need a nats-server, by the variable `NATS_SERVER` or in `PATH`; `--dir DIR` puts the server's files on another disk.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

#[path = "network/agenda.rs"]
mod agenda;
#[path = "network/costs.rs"]
mod costs;
#[path = "network/dice.rs"]
mod dice;
#[path = "network/fleet.rs"]
mod fleet;
#[path = "network/nodes.rs"]
mod nodes;
#[path = "network/plot.rs"]
mod plot;
#[path = "network/queue.rs"]
mod queue;
#[path = "network/server.rs"]
mod server;
#[path = "network/simulated.rs"]
mod simulated;
#[path = "network/wire.rs"]
mod wire;
#[path = "network/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

const PARTS: [&str; 3] = ["simulated", "queue", "nodes"];

fn main() {
    let (mut asked, mut dir, mut slots, mut seed) = (Vec::new(), std::env::temp_dir(), 100_000, 1);
    let mut plots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benches/network");
    // Cargo adds a flag of its own.
    let mut args = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = args.next() {
        match argument.as_str() {
            "--dir" => dir = args.next().map(PathBuf::from).unwrap(),
            "--slots" => slots = args.next().unwrap().parse().unwrap(),
            "--seed" => seed = args.next().unwrap().parse().unwrap(),
            "--plots" => plots = args.next().map(PathBuf::from).unwrap(),
            part if PARTS.contains(&part) => asked.push(argument),
            other => panic!("{other:?} is no part; there are {}", PARTS.join(", ")),
        }
    }
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    if is_asked("simulated") {
        simulated::measure(slots, seed, &plots);
    }
    if is_asked("queue") {
        queue::measure(&dir);
    }
    if is_asked("nodes") {
        nodes::measure(&dir);
    }
}

/// What so large a share of all is not above; zero of nothing. All must be in order.
fn quantile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share) as usize).copied().unwrap_or_default()
}

/// In milliseconds.
fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
