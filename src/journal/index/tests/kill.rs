//! A process that is killed at random moments under load, again and again over the same folder.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Where the child finds its folder.
const DIR: &str = "VORTEX_NODE_TEST_INDEX";
/// How often it is killed.
const KILLS: usize = 24;

/// Not a test of its own: what the child does until it is killed. It says what was answered, each in one line.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let quick = IndexSettings {
        backup_every: Duration::from_millis(40),
        log_file: Bytes::new(40_000),
        ..IndexSettings::default()
    };
    let (index, report) = Index::open(Path::new(&dir), quick, &NoFolders).unwrap();
    // Written at once and whole, so that a line that was begun was answered.
    let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
    say(format!("S {} {} {:?}\n", report.generation, report.sequence, report.repairs()));
    let mut told = index.subscribe();
    let teller = std::thread::spawn(move || {
        while let Ok(event) = told.blocking_recv() {
            if let Some(sequence) = event.sequence {
                say(format!("V {sequence}\n"));
            }
        }
    });
    let threads: Vec<_> = (0..4u128)
        .map(|thread| {
            let index = index.clone();
            std::thread::spawn(move || {
                for round in 0u128.. {
                    let number = u128::from(std::process::id()) << 64 | thread << 32 | round;
                    if let Acceptance::Accepted { order } = index.accept(slot(number)).wait().unwrap() {
                        say(format!("A {number} {order}\n"));
                    }
                    if round % 3 != 0 {
                        let state = State::ALL[2 + (round % 3) as usize];
                        let outcome = index.end(end_of(number, state)).wait().unwrap();
                        assert_eq!(outcome, EndOutcome::Ended);
                        say(format!("E {number} {state}\n"));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(index);
    teller.join().unwrap();
}

fn end_of(number: u128, state: State) -> EndRecord {
    let mut record = end(1, state);
    record.slot = id(number);
    record.event = Some(event(Some(number), state.name(), true));
    record
}

#[test]
fn a_process_that_is_killed_loses_nothing_that_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let name = module_path!().split_once("::").unwrap().1;
    let mut accepted: BTreeMap<u128, u64> = BTreeMap::new();
    let mut ended: BTreeMap<u128, String> = BTreeMap::new();
    let mut generation = None;
    let mut newest = 0u64;
    let complaints = dir.path().join("complaints");
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{name}::child"), "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path().join("journal"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&complaints).unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another number of answers each time; what is still in the pipe was answered as well.
        let most = 5 + kill * 37 % 211;
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            // The harness writes the test's name before the first one.
            let line = line.rsplit(" ... ").next().unwrap_or_default();
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["S", this, sequence, ..] => {
                    assert_eq!(*generation.get_or_insert(this.to_string()), *this);
                    assert!(sequence.parse::<u64>().unwrap() >= newest);
                    assert!(line.ends_with("[]"), "{line}");
                }
                ["A", number, order] => {
                    let order = order.parse().unwrap();
                    assert!(accepted.insert(number.parse().unwrap(), order).is_none());
                }
                ["E", number, state] => {
                    assert!(ended.insert(number.parse().unwrap(), state.to_string()).is_none());
                }
                ["V", sequence] => {
                    let sequence = sequence.parse().unwrap();
                    // Never again, and none left out within a process.
                    assert!(sequence > newest, "{sequence} after {newest}");
                    newest = sequence;
                }
                _ => continue,
            }
            seen += 1;
            if seen == most {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let complaints = std::fs::read_to_string(&complaints).unwrap();
        assert!(seen >= most, "the child ended by itself after {seen} lines: {complaints}");
    }
    let (index, report) = open(&dir.path().join("journal"));
    assert_eq!((report.repairs(), report.loss), (Vec::new(), None));
    assert_eq!(Some(report.generation.to_string()), generation);
    let mut orders: Vec<_> = accepted.values().collect();
    orders.sort_unstable();
    assert!(orders.is_sorted_by(|a, b| a < b));
    for (number, order) in &accepted {
        let Some(Found::Slot(row)) = index.slot(id(*number)).unwrap() else { panic!("slot {number}") };
        assert_eq!(row.order, *order);
        match ended.get(number) {
            Some(state) => assert_eq!(row.state.name(), state),
            // It may have ended without an answer.
            None => assert_eq!(row.state.is_final(), row.end.is_some()),
        }
        let open = !row.state.is_final();
        assert_eq!(index.recipe(id(*number)).unwrap(), open.then(|| slot(*number).recipe));
    }
    // Every event has its number, without a hole.
    let sequences: Vec<_> = kept(&index).iter().filter_map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert!(report.sequence >= newest && accepted.len() > KILLS && ended.len() > KILLS);
}
