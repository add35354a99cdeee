//! Random operations, a crash between any two writes, and damage to what the crash leaves: every answer holds.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::Index as Place;

use super::super::steps::Steps;
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Accept(u128),
    End(u128, State),
    Cancel(u128),
    Begun(u128),
    TakenUp(u128),
    Event(u128),
    Deliver(bool),
    Expire(u128),
    BackUp,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let slot = 0..6u128;
    prop_oneof![
        6 => slot.clone().prop_map(Op::Accept),
        4 => (slot.clone(), 2..State::ALL.len()).prop_map(|(slot, state)| Op::End(slot, State::ALL[state])),
        1 => slot.clone().prop_map(Op::Cancel),
        1 => slot.clone().prop_map(Op::Begun),
        1 => slot.clone().prop_map(Op::TakenUp),
        2 => slot.clone().prop_map(Op::Event),
        2 => any::<bool>().prop_map(Op::Deliver),
        2 => slot.prop_map(Op::Expire),
        1 => Just(Op::BackUp),
        1 => Just(Op::Restart),
    ]
}

#[derive(Clone, Debug)]
enum Harm {
    Delete,
    Truncate(Place),
    /// Bits at these places, eight to the byte.
    Flip(Vec<(Place, u8)>),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        Just(Harm::Delete),
        any::<Place>().prop_map(Harm::Truncate),
        prop::collection::vec((any::<Place>(), 0..8u8), 1..4).prop_map(Harm::Flip),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Nothing,
    Main,
    Wal,
    Log,
    Mark,
    Backup,
    MainAndLog,
    WalAndLog,
}

fn target() -> impl Strategy<Value = Target> {
    use Target::*;
    prop::sample::select(vec![Nothing, Main, Main, Wal, Wal, Log, Log, Mark, Backup, MainAndLog, WalAndLog])
}

/// What has been answered.
#[derive(Clone, Debug, Default)]
struct Answered {
    accepted: BTreeMap<u128, u64>,
    ended: BTreeMap<u128, State>,
    cancelled: Vec<u128>,
    expired: Vec<u128>,
    delivered: Vec<u64>,
    told: Vec<Arc<KeptEvent>>,
}

/// Does what `op` says, and writes down what was answered.
fn perform(
    index: &Index,
    op: &Op,
    answered: &Mutex<Answered>,
    told: &mut broadcast::Receiver<Arc<KeptEvent>>,
) {
    match op {
        Op::Accept(number) => {
            if let Acceptance::Accepted { order } = index.accept(slot(*number)).wait().unwrap() {
                answered.lock().accepted.insert(*number, order);
            }
        }
        Op::End(number, state) => {
            if let Ok(EndOutcome::Ended) = index.end(end(*number, *state)).wait() {
                assert_eq!(answered.lock().ended.insert(*number, *state), None, "slot {number} ended twice");
            }
        }
        Op::Cancel(number) => {
            if let Ok(Cancellation::Requested) = index.cancel_requested(id(*number), at(9), None).wait() {
                answered.lock().cancelled.push(*number);
            }
        }
        Op::Begun(number) => index.begun(id(*number), at(4), "cpu"),
        Op::TakenUp(number) => index.taken_up(id(*number)),
        Op::Event(number) => index.event(event(Some(*number), "stage", false)),
        Op::Deliver(taken) => {
            for due in index.outbox_due(at(1000), 1).unwrap() {
                let mark = if *taken {
                    DeliveryMark::Delivered { at: at(5) }
                } else {
                    DeliveryMark::Retry { next_at: at(6), error: "503".to_owned() }
                };
                index.outbox_mark(due.id, mark).wait().unwrap();
                if *taken {
                    answered.lock().delivered.push(due.id);
                }
            }
        }
        Op::Expire(number) => {
            if index.expire(id(*number), at(10)).wait().is_ok() {
                answered.lock().expired.push(*number);
            }
        }
        Op::BackUp => {
            index.back_up().wait().unwrap();
            index.flush().wait().unwrap();
        }
        Op::Restart => {}
    }
    let heard = std::iter::from_fn(|| told.try_recv().ok());
    answered.lock().told.extend(heard.filter(|event| event.sequence.is_some()));
}

/// Runs `ops` and copies the folder, with what had been answered, at the `crash`-th step; or at the end.
fn run(ops: &[Op], crash: usize, image: &Path) -> (Answered, Generation) {
    let dir = folder();
    let answered = Arc::new(Mutex::new(Answered::default()));
    let at_crash = Arc::new(Mutex::new(None));
    let steps = {
        let (answered, at_crash) = (Arc::clone(&answered), Arc::clone(&at_crash));
        let (from, to) = (dir.path().to_owned(), image.to_owned());
        let count = AtomicUsize::new(0);
        Steps::hook(move |_| {
            // The writer and the thread that syncs the log may be at a step at the same time; one copies.
            if count.fetch_add(1, Ordering::SeqCst) == crash {
                *at_crash.lock() = Some(answered.lock().clone());
                copy(&from, &to);
            }
            Ok(())
        })
    };
    let start = || Index::open_with(dir.path(), settings(), &NoFolders, steps.clone()).unwrap();
    let (mut index, report) = start();
    let mut told = index.subscribe();
    for op in ops {
        if matches!(op, Op::Restart) {
            drop(index);
            index = start().0;
            told = index.subscribe();
        }
        perform(&index, op, &answered, &mut told);
        // What was copied is what counts from then on.
        if at_crash.lock().is_some() {
            break;
        }
    }
    // What nobody waited for is written now; that may be the step, too.
    index.flush().wait().unwrap();
    let crashed = at_crash.lock().take();
    let crashed = crashed.unwrap_or_else(|| {
        copy(dir.path(), image);
        answered.lock().clone()
    });
    (crashed, report.generation)
}

fn hurt(path: &Path, harm: &Harm) {
    let Ok(mut file) = std::fs::OpenOptions::new().read(true).write(true).open(path) else { return };
    let length = file.metadata().unwrap().len();
    if length == 0 {
        return;
    }
    match harm {
        Harm::Delete => std::fs::remove_file(path).unwrap(),
        Harm::Truncate(place) => file.set_len(place.index(length as usize) as u64).unwrap(),
        Harm::Flip(places) => {
            for (place, bit) in places {
                let place = SeekFrom::Start(place.index(length as usize) as u64);
                let mut byte = [0];
                file.seek(place).unwrap();
                file.read_exact(&mut byte).unwrap();
                file.seek(place).unwrap();
                file.write_all(&[byte[0] ^ 1 << bit]).unwrap();
            }
        }
    }
}

fn damage(dir: &Path, target: Target, harm: &Harm) {
    let log = |place: Option<Place>| {
        let mut files: Vec<_> = std::fs::read_dir(dir.join("log"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        files.sort();
        match place {
            Some(place) if !files.is_empty() => hurt(&files[place.index(files.len())], harm),
            _ => files.iter().for_each(|file| hurt(file, harm)),
        }
    };
    // One file of the log, or all of them.
    let place = match harm {
        Harm::Truncate(place) => Some(*place),
        Harm::Flip(places) => Some(places[0].0),
        Harm::Delete => None,
    };
    let (main, wal) = (dir.join("index.sqlite3"), dir.join("index.sqlite3-wal"));
    match target {
        Target::Nothing => {}
        Target::Main => hurt(&main, harm),
        Target::Wal => hurt(&wal, harm),
        Target::Log => log(place),
        Target::Mark => hurt(&dir.join("mark"), harm),
        Target::Backup => hurt(&dir.join("backup/index.sqlite3"), harm),
        Target::MainAndLog => {
            hurt(&main, harm);
            log(place);
        }
        Target::WalAndLog => {
            hurt(&wal, harm);
            log(place);
        }
    }
}

/// What of `answered` is not so in `index`.
fn missing(index: &Index, answered: &Answered) -> Vec<String> {
    let mut missing = Vec::new();
    let events = kept(index);
    for (number, order) in &answered.accepted {
        let state = answered.ended.get(number);
        match index.slot(id(*number)).unwrap() {
            None => missing.push(format!("slot {number} is gone")),
            Some(Found::Expired(tombstone)) => {
                if state.is_some_and(|state| *state != tombstone.state) {
                    missing.push(format!("slot {number} has another end"));
                }
            }
            Some(Found::Slot(row)) => {
                if row.order != *order {
                    missing.push(format!("slot {number} has another place"));
                }
                if state.is_some_and(|state| row.state != *state || row.end.is_none()) {
                    missing.push(format!("slot {number} has not its end"));
                }
                if answered.expired.contains(number) {
                    missing.push(format!("slot {number} has not expired"));
                }
                if answered.cancelled.contains(number) && row.cancel_requested_at.is_none() {
                    missing.push(format!("slot {number} is not to be cancelled"));
                }
                if !row.state.is_final() && index.recipe(id(*number)).unwrap() != Some(slot(*number).recipe) {
                    missing.push(format!("slot {number} has not its recipe"));
                }
                let open = index.outbox_of(id(*number)).unwrap();
                let again =
                    |row: &Delivery| answered.delivered.contains(&row.id) && row.state == Progress::Pending;
                if open.iter().any(again) {
                    missing.push(format!("a delivery of slot {number} would be made again"));
                }
                if state.is_some() && open.len() != 1 {
                    missing.push(format!("the end of slot {number} would not be delivered"));
                }
            }
        }
    }
    for told in &answered.told {
        if !events.contains(told) {
            missing.push(format!("event {:?} is gone or another", told.sequence));
        }
    }
    missing
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_holds_after_a_crash_and_damage(
        ops in prop::collection::vec(op(), 1..25),
        crash in 0..160usize,
        target in target(),
        harm in harm(),
    ) {
        let image = folder();
        let (answered, generation) = run(&ops, crash, image.path());
        damage(image.path(), target, &harm);
        let (index, report) = open(image.path());
        let missing = missing(&index, &answered);
        let both = matches!(target, Target::MainAndLog | Target::WalAndLog);
        if both {
            prop_assert!(
                missing.is_empty() || report.loss.is_some(),
                "{missing:?} and nothing was told: {:?}", report.findings
            );
        } else {
            prop_assert!(missing.is_empty(), "{missing:?}: {:?}", report.findings);
            prop_assert_eq!(report.loss, None, "{:?}", report.findings);
        }
        // A journal that is gone before anything was written into it is begun anew.
        let fresh = report.findings == [Finding::New];
        prop_assert!(!fresh || answered.told.is_empty());
        prop_assert_eq!(report.loss.is_some() || fresh, report.generation != generation);
        let newest = answered.told.last().and_then(|event| event.sequence).unwrap_or(0);
        prop_assert!(report.loss.is_some() || report.sequence >= newest);
        // A file that is gone is told, unless nothing had been answered that was in it alone.
        let gone = matches!(harm, Harm::Delete) && matches!(target, Target::Main | Target::Log);
        if gone && !answered.accepted.is_empty() {
            prop_assert!(!report.repairs().is_empty(), "{:?}", report.findings);
        }
        if target == Target::Nothing {
            prop_assert!(report.repairs().is_empty(), "{:?}", report.findings);
        }
        // It goes on, and each slot ends once.
        for number in 0..6 {
            let open = matches!(index.slot(id(number)).unwrap(), Some(Found::Slot(row)) if !row.state.is_final());
            let outcome = index.end(end(number, State::Cancelled)).wait();
            prop_assert_eq!(open, matches!(outcome, Ok(EndOutcome::Ended)));
        }
        let before = index.sequence();
        prop_assert!(before >= report.sequence);
        let fresh = index.accept(slot(50)).wait().unwrap();
        let accepted = matches!(fresh, Acceptance::Accepted { .. });
        prop_assert!(accepted, "{fresh:?}");
        drop(index);
        let (index, report) = open(image.path());
        prop_assert_eq!(report.findings, []);
        prop_assert_eq!(index.sequence(), before + 1);
        let sequences: Vec<_> = kept(&index).iter().filter_map(|event| event.sequence).collect();
        prop_assert!(sequences.is_sorted_by(|a, b| a < b));
    }
}
