//! The journal's index on this machine's disk: acceptances, ends, events and reads a second, beside what a sync costs.
//!
//! `cargo bench --bench journal [-- DIR [SLOTS]]`; without a folder it works in a temporary one. Figures of one run are
//! comparable with each other, and with nothing else: disks differ.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vortex_node::clock::now;
use vortex_node::journal::index::*;
use vortex_node::types::{Sha256, SlotId};

fn id(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
}

fn slot(number: u128, recipe: &Arc<[u8]>) -> NewSlot {
    NewSlot {
        slot: id(number),
        recipe: Arc::clone(recipe),
        recipe_sha256: Sha256::of(b"r"),
        bundle_sha256: Sha256::of(b"b"),
        accepted_at: Duration::from_secs(1_800_000_000),
        deadline: None,
        traceparent: None,
        webhook: None,
        origin: "http".into(),
        work: None,
        event: Some(event(Some(number))),
    }
}

fn event(number: Option<u128>) -> NewEvent {
    NewEvent {
        at: Duration::from_secs(1_800_000_000),
        slot: number.map(id),
        kind: "slot_accepted".into(),
        json: format!(
            "{{\"event\":\"slot_accepted\",\"at\":1800000000.5,\"filler\":\"{}\"}}",
            "x".repeat(150)
        )
        .into(),
        deliver_to: None,
    }
}

fn end(number: u128) -> EndRecord {
    EndRecord {
        slot: id(number),
        state: State::Completed,
        end: EndRow {
            at: Duration::from_secs(1_800_000_030),
            deadline_met: Some(true),
            cause: None,
            stage: None,
            message: None,
            elapsed: Duration::from_secs(30),
            stage_seconds: [
                (vortex_node::types::Stage::Audio, 1.5),
                (vortex_node::types::Stage::Video, 20.25),
            ]
            .into(),
            artifacts: (0..8)
                .map(|n| ArtifactRow {
                    name: format!("keyframes/{n:05}.png"),
                    sha256: Sha256::of(b"a"),
                    bytes: 100_000,
                })
                .collect(),
        },
        upload: false,
        event: Some(event(Some(number))),
    }
}

fn percentiles(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(0.5), at(0.99), at(1.0))
}

fn rss() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
}

fn main() {
    // Cargo adds a flag of its own.
    let mut args = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let temporary = tempfile::tempdir().unwrap();
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let slots: u128 = args.next().map_or(20_000, |text| text.parse().unwrap());
    std::fs::create_dir_all(&dir).unwrap();
    let mut file = std::fs::File::create(dir.join("probe")).unwrap();
    let block = vec![7u8; 10_000];
    let syncs = (0..300)
        .map(|_| {
            let began = now();
            file.write_all(&block).unwrap();
            file.sync_data().unwrap();
            now() - began
        })
        .collect();
    println!("fdatasync after 10 kB: {}", percentiles(syncs));
    let settings = IndexSettings { backup_every: Duration::from_secs(20), ..IndexSettings::default() };
    let began = now();
    let (index, _) = Index::open(&dir.join("journal"), settings.clone(), &NoFolders).unwrap();
    println!("open, empty: {:?}", now() - began);
    let recipe: Arc<[u8]> = vec![b'r'; 4000].into();

    for threads in [1u128, 64] {
        let each = if threads == 1 { 300 } else { slots / 64 };
        let base = threads << 64;
        let began = now();
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (index, recipe) = (index.clone(), Arc::clone(&recipe));
                std::thread::spawn(move || {
                    (0..each)
                        .map(|round| {
                            let began = now();
                            let number = base | thread << 32 | round;
                            assert!(matches!(
                                index.accept(slot(number, &recipe)).wait().unwrap(),
                                Acceptance::Accepted { .. }
                            ));
                            now() - began
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let times: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        let took = (now() - began).as_secs_f64();
        println!("accept, {threads} callers: {:.0}/s, {}", times.len() as f64 / took, percentiles(times));
    }
    println!("groups {}, RSS {} MB", index.health().group, rss());

    // Submissions at 200/s, one by one from a pool.
    let began = now();
    let mut waiting = Vec::new();
    for round in 0..1000u128 {
        let due = began + Duration::from_micros(5000) * round as u32;
        std::thread::sleep(due.saturating_duration_since(now()));
        let (index, recipe) = (index.clone(), Arc::clone(&recipe));
        waiting.push(std::thread::spawn(move || {
            let began = now();
            index.accept(slot(5 << 64 | round, &recipe)).wait().unwrap();
            now() - began
        }));
    }
    println!("accept at 200/s: {}", percentiles(waiting.into_iter().map(|it| it.join().unwrap()).collect()));

    let began = now();
    let answers: Vec<_> = (0..64u128)
        .flat_map(|thread| (0..slots / 64).map(move |round| (64 << 64) | thread << 32 | round))
        .map(|number| index.end(end(number)))
        .collect();
    let ends = answers.len();
    answers.into_iter().for_each(|it| assert_eq!(it.wait().unwrap(), EndOutcome::Ended));
    println!("end, {ends} at once: {:.0}/s", ends as f64 / (now() - began).as_secs_f64());

    let mut told = index.subscribe();
    let began = now();
    let listener = std::thread::spawn(move || {
        let mut heard = 0u64;
        loop {
            match told.blocking_recv() {
                Ok(event) if &*event.kind == "last" => return heard,
                Ok(_) => heard += 1,
                Err(tokio::sync::broadcast::error::RecvError::Lagged(missed)) => heard += missed,
                Err(_) => return heard,
            }
        }
    });
    for _ in 0..50_000 {
        index.event(event(None));
    }
    index.flush().wait().unwrap();
    let took = (now() - began).as_secs_f64();
    index.transient(NewEvent { kind: "last".into(), ..event(None) });
    println!("events, kept and told: {:.0}/s (heard {})", 50_000.0 / took, listener.join().unwrap());

    for threads in [1u128, 2] {
        let began = now();
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let index = index.clone();
                std::thread::spawn(move || {
                    for round in 0..20_000u128 {
                        let number =
                            (64 << 64) | ((round % 64) << 32) | ((thread * 7 + round) % (slots / 64));
                        assert!(index.slot(id(number)).unwrap().is_some());
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        println!(
            "point reads, {threads} threads: {:.0}/s",
            20_000.0 * threads as f64 / (now() - began).as_secs_f64()
        );
    }
    let began = now();
    println!("expirable: {} in {:?}", index.expirable().unwrap().len(), now() - began);
    let began = now();
    println!("counts: {:?} in {:?}", index.counts().unwrap().slots, now() - began);
    let began = now();
    index.back_up().wait().unwrap();
    println!("backup: {:?}, RSS {} MB", now() - began, rss());
    let began = now();
    index.close().wait().unwrap();
    drop(index);
    println!("close: {:?}", now() - began);
    let began = now();
    let (index, report) = Index::open(&dir.join("journal"), settings, &NoFolders).unwrap();
    println!(
        "open again: {:?}, {} open, main {} MB, RSS {} MB",
        now() - began,
        report.open,
        std::fs::metadata(dir.join("journal/index.sqlite3")).unwrap().len() / 1_000_000,
        rss()
    );
    drop(index);
}
