//! What telemetry costs: slots that cost nothing with everything exported and with nothing exported, in pairs; and how long
//! a scrape takes with all those slots behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vortex_node::clock::now;

use super::client::Connection;
use super::node::Node;
use super::{CLIENTS, percentiles};

/// Of each run of a pair: a slot costs some syncs of the disk.
const SLOTS: u64 = 1_500;
const PAIRS: usize = 3;
/// Behind the node that is scraped.
const BEHIND: u64 = 10_000;

/// Prints both.
pub fn measure(dir: &Path) {
    let (receiver, taken) = receiver();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut lost = Vec::new();
    for pair in 0..PAIRS {
        for exported in [pair % 2 == 0, pair % 2 != 0] {
            let node = Node::exporting(dir, exported.then_some(receiver.as_str()));
            let began = now();
            render(&node, SLOTS);
            let rate = SLOTS as f64 / (now() - began).as_secs_f64();
            let processor = node.processor_time().as_secs_f64() * 1e6 / SLOTS as f64;
            let mut connection = Connection::open(&node.address, &node.token);
            let (_, text) = connection.try_get("/metrics").unwrap();
            if exported {
                lost = told(&text);
            }
            if exported { &mut with } else { &mut without }.push((rate, processor));
        }
    }
    let mean = |all: &[(f64, f64)], part: fn(&(f64, f64)) -> f64| {
        all.iter().map(part).sum::<f64>() / all.len() as f64
    };
    for (what, unit, part) in [
        ("throughput", "slots/s", (|it| it.0) as fn(&(f64, f64)) -> f64),
        ("processor time", "us a slot", |it| it.1),
    ] {
        let (off, on) = (mean(&without, part), mean(&with, part));
        println!(
            "{what}: {off:.0} {unit} with nothing exported, {on:.0} with everything ({:+.1} %)",
            (on / off - 1.0) * 100.0
        );
    }
    println!("runs of {SLOTS} slots, (slots/s, us a slot): {without:.0?} without, {with:.0?} with");
    println!("the receiver took {} MB; lost: {lost:?}", taken.load(Ordering::Acquire) / 1_000_000);
    println!("a scrape with {BEHIND} slots behind: {}", percentiles(scrapes(dir)));
}

/// Hands slots in and waits for their ends.
fn render(node: &Node, slots: u64) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let mut connection = Connection::open(&node.address, &node.token);
            let mine = (client..slots).step_by(CLIENTS as usize);
            std::thread::spawn(move || mine.for_each(|number| connection.put((7 << 40) + number)))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    node.until_ended(slots);
}

/// What scrapes take of a node that has rendered much.
fn scrapes(dir: &Path) -> Vec<Duration> {
    let node = Node::exporting(dir, None);
    render(&node, BEHIND);
    let mut connection = Connection::open(&node.address, &node.token);
    let scrape = |_| {
        let sent = now();
        connection.try_get("/metrics").unwrap();
        now() - sent
    };
    (0..50).map(scrape).collect()
}

/// What the node says that it did not export.
fn told(text: &str) -> Vec<String> {
    let lost = |line: &&str| line.starts_with("vortex_telemetry_") && !line.ends_with(" 0");
    text.lines().filter(lost).map(str::to_owned).collect()
}

/// Takes whatever is sent to it by HTTP and says that all is well; its address, and how many bytes came.
fn receiver() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || take(&stream, &counted));
        }
    });
    (address, taken)
}

fn take(stream: &TcpStream, counted: &AtomicU64) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut reader = BufReader::new(stream);
    let mut body = Vec::new();
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            // The node has ended, or has nothing more to say.
            let Ok(1..) = reader.read_line(&mut line) else { return };
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).unwrap();
        counted.fetch_add(length as u64, Ordering::AcqRel);
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}
