//! `vortex-node serve` over HTTP on this machine: slots accepted a second, how long one hand-in takes, reads, listeners,
//! memory over many slots, and the time to be ready. The load comes from this process, on the same cores.
//!
//! `cargo bench --bench serve [-- PART...]` with the parts `intake`, `rate`, `reads`, `events`, `memory`, `start`, `lookahead`, `telemetry`; all but
//! `memory` where none is named. `--dir DIR` puts the data folder on another disk, `--slots N` sets how many `memory`
//! renders, `--against URL` sends the load of `intake` elsewhere instead. Models are scripted and cost nothing, so that
//! what is measured is the node. Figures of one run are comparable with each other, and with nothing else.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

#[path = "serve/client.rs"]
mod client;
#[path = "serve/node.rs"]
mod node;
#[path = "serve/telemetry.rs"]
mod telemetry;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use client::{Connection, Listeners};
use node::Node;
use vortex_node::clock::now;

const CLIENTS: u64 = 64;

fn main() {
    let (mut parts, mut dir, mut slots, mut against) = (Vec::new(), None, 100_000, None);
    // Cargo adds a flag of its own.
    let mut args = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = args.next() {
        match argument.as_str() {
            "--dir" => dir = args.next().map(PathBuf::from),
            "--slots" => slots = args.next().unwrap().parse().unwrap(),
            "--against" => against = args.next(),
            _ => parts.push(argument),
        }
    }
    if let Some(url) = against {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        println!("{url}: {}", intake(&address, "none", Duration::from_secs(10), 1 << 40));
        return;
    }
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    let is_asked = |part: &str| {
        if parts.is_empty() { part != "memory" } else { parts.iter().any(|asked| asked == part) }
    };
    println!("fdatasync after 10 kB, idle: {}", percentiles(syncs(&dir, 300, Duration::ZERO)));
    if is_asked("intake") {
        let node = Node::scripted(&dir);
        let accepted = intake(&node.address, &node.token, Duration::from_secs(10), 1 << 40);
        println!("intake, {CLIENTS} clients: {accepted}; ended meanwhile: {}", node.ended());
    }
    if is_asked("rate") {
        rate(&dir);
    }
    if is_asked("reads") {
        reads(&dir);
    }
    if is_asked("events") {
        events(&dir);
    }
    if is_asked("memory") {
        memory(&dir, slots);
    }
    if is_asked("lookahead") {
        lookahead(&dir);
    }
    if is_asked("telemetry") {
        telemetry::measure(&dir);
    }
    if is_asked("start") {
        let times = (0..5).map(|_| Node::demo(&dir)).collect();
        println!("start to ready, demo weights: {}", percentiles(times));
    }
}

/// Times of `count` syncs of 10 kB, so far apart.
fn syncs(dir: &std::path::Path, count: usize, apart: Duration) -> Vec<Duration> {
    let mut file = tempfile::tempfile_in(dir).unwrap();
    let block = vec![7u8; 10_000];
    (0..count)
        .map(|_| {
            std::thread::sleep(apart);
            let began = now();
            file.write_all(&block).unwrap();
            file.sync_data().unwrap();
            now() - began
        })
        .collect()
}

/// As many hand-ins as go through in `lasts`, each with an id of its own, from `base` on.
fn intake(address: &str, token: &str, lasts: Duration, base: u64) -> String {
    let began = now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let mut connection = Connection::open(address, token);
            std::thread::spawn(move || {
                let mut times = Vec::new();
                while now() - began < lasts {
                    let number = base + ((client << 32) | times.len() as u64);
                    let sent = now();
                    connection.put(number);
                    times.push(now() - sent);
                }
                times
            })
        })
        .collect();
    let times: Vec<Duration> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let took = (now() - began).as_secs_f64();
    format!("{:.0} accepted/s, {}", times.len() as f64 / took, percentiles(times))
}

/// 200 hand-ins a second, whatever the answers take, beside a probe of the disk.
fn rate(dir: &std::path::Path) {
    const EVERY: Duration = Duration::from_millis(5);
    const COUNT: u64 = 2000;
    let node = Node::scripted(dir);
    let probe = {
        let dir = dir.to_owned();
        std::thread::spawn(move || syncs(&dir, 300, Duration::from_millis(25)))
    };
    let began = now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let mut connection = Connection::open(&node.address, &node.token);
            std::thread::spawn(move || {
                let mine = (client..COUNT).step_by(CLIENTS as usize);
                mine.map(|number| {
                    let due = began + EVERY * number as u32;
                    std::thread::sleep(due.saturating_duration_since(now()));
                    connection.put((2 << 40) + number);
                    // From when it was due: a client that comes late counts, too.
                    now() - due
                })
                .collect::<Vec<_>>()
            })
        })
        .collect();
    let times: Vec<Duration> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    println!("hand-in at 200/s: {}", percentiles(times));
    println!("fdatasync after 10 kB, beside it: {}", percentiles(probe.join().unwrap()));
}

/// Reads of slots' states.
fn reads(dir: &std::path::Path) {
    const SLOTS: u64 = 2000;
    let node = Node::scripted(dir);
    let mut connection = Connection::open(&node.address, &node.token);
    (0..SLOTS).for_each(|number| connection.put((3 << 40) + number));
    node.until_ended(SLOTS);
    let (began, lasts) = (now(), Duration::from_secs(5));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let mut connection = Connection::open(&node.address, &node.token);
            std::thread::spawn(move || {
                let mut times = Vec::new();
                while now() - began < lasts {
                    let number = (client * 31 + times.len() as u64 * 7) % SLOTS;
                    let sent = now();
                    connection.slot((3 << 40) + number);
                    times.push(now() - sent);
                }
                times
            })
        })
        .collect();
    let times: Vec<Duration> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let rate = times.len() as f64 / (now() - began).as_secs_f64();
    println!("status reads, {CLIENTS} clients: {rate:.0}/s, {}", percentiles(times));
}

/// Slots ended a second with and without 100 listeners, in pairs.
fn events(dir: &std::path::Path) {
    const WINDOW: Duration = Duration::from_secs(6);
    let node = Node::scripted(dir);
    // Enough to be at work all the while.
    let waiting = 30_000;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let mut connection = Connection::open(&node.address, &node.token);
            std::thread::spawn(move || {
                (0..waiting / CLIENTS)
                    .for_each(|number| connection.put((4 << 40) + ((client << 32) | number)));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let ended_in = |listeners: usize| {
        let listeners = Listeners::open(&node.address, &node.token, listeners);
        let (began, before) = (now(), node.ended());
        std::thread::sleep(WINDOW);
        let rate = (node.ended() - before) as f64 / (now() - began).as_secs_f64();
        (rate, listeners.close())
    };
    let (mut alone, mut heard, mut bytes) = (Vec::new(), Vec::new(), 0);
    for pair in 0..4 {
        for listened in [pair % 2 == 0, pair % 2 != 0] {
            let (rate, read) = ended_in(if listened { 100 } else { 0 });
            if listened {
                heard.push(rate)
            } else {
                alone.push(rate)
            }
            bytes += read;
        }
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let (without, with) = (mean(&alone), mean(&heard));
    println!(
        "slots ended: {without:.0}/s without listeners, {with:.0}/s with 100 ({:+.1} %), {} MB told; pairs {:.0?} {:.0?}",
        (with / without - 1.0) * 100.0,
        bytes / 1_000_000,
        alone,
        heard
    );
    assert!(node.ended() < waiting, "there was nothing left to do; the rates mean nothing");
}

/// How long ten slots take whose stages take 100 (audio), 200 (image), 400 (video) and 50 ms, with one and with two in work.
fn lookahead(dir: &std::path::Path) {
    const SLOTS: u64 = 10;
    let took = |lookahead: usize| {
        let runs = [("kokoro", 100), ("flux", 200), ("liveportrait", 400), ("clip_b", 50), ("clip_l", 50)];
        let node = Node::playing(dir, lookahead, &runs);
        let mut connection = Connection::open(&node.address, &node.token);
        let began = now();
        (0..SLOTS).for_each(|number| connection.put((6 << 40) + number));
        node.until_ended(SLOTS);
        (now() - began).as_secs_f64() / SLOTS as f64
    };
    let (one, two) = (took(1), took(2));
    println!("a slot takes {one:.2} s with one in work, {two:.2} s with two ({:.2} of it)", two / one);
}

/// Resident memory while so many slots come and go.
fn memory(dir: &std::path::Path, slots: u64) {
    let node = Node::scripted(dir);
    let (sent, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let feeder = {
        let (sent, done) = (Arc::clone(&sent), Arc::clone(&done));
        let mut connections: Vec<_> = (0..8).map(|_| Connection::open(&node.address, &node.token)).collect();
        let ended = Arc::clone(&node.ended);
        std::thread::spawn(move || {
            while !done.load(Ordering::Acquire) {
                let number = sent.load(Ordering::Acquire);
                // Some hundred wait at any time.
                if number >= slots || number > ended.load(Ordering::Acquire) + 400 {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                connections[number as usize % 8].put((5 << 40) + number);
                sent.store(number + 1, Ordering::Release);
            }
        })
    };
    let (began, mut next) = (now(), 0);
    while node.ended() < slots {
        std::thread::sleep(Duration::from_millis(200));
        if node.ended() >= next {
            let took = (now() - began).as_secs_f64();
            println!("memory: {} MB after {} slots, {took:.0} s", node.rss() / 1_000_000, node.ended());
            next += slots / 10;
        }
    }
    println!("memory: {} MB after {} slots", node.rss() / 1_000_000, node.ended());
    done.store(true, Ordering::Release);
    feeder.join().unwrap();
}

fn percentiles(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(0.5), at(0.99), at(1.0))
}
