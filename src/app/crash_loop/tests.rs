//! The record of ends over several processes, and files that are none.

use std::sync::Arc;

use super::*;
use crate::config::{Inputs, load};
use crate::types::DeviceId;

/// Hears everything.
#[derive(Default)]
struct Heard(Mutex<Vec<EventKind>>);

impl Subscriber for Heard {
    fn hear(&self, event: &Event) {
        self.0.lock().push(event.kind.clone());
    }

    fn wants_steps(&self) -> bool {
        false
    }
}

fn settings(folder: &Path) -> Settings {
    let settings = load(&Inputs::default()).unwrap().settings;
    Settings { data_dir: folder.to_owned(), ..settings }
}

/// One process: what it is told at its start, and its end with `exit`, for `cause`.
fn process(folder: &Path, exit: Exit, cause: &str) -> Option<CrashLoop> {
    let record = Arc::new(CrashRecord::read(&settings(folder)));
    assert_eq!(record.trouble(), None);
    let heard = Arc::new(Heard::default());
    let bus = Bus::new(vec![record.clone(), heard.clone()]);
    let standing = record.standing(true);
    record.begin(standing.as_ref(), &bus);
    let told = heard.0.lock().iter().any(|kind| matches!(kind, EventKind::CrashLoop { .. }));
    assert_eq!(told, standing.is_some());
    bus.on(DeviceId::Cpu).tell(EventKind::Escalated { exit, cause: cause.to_owned() });
    record.end(exit, &bus);
    standing
}

#[test]
fn count_and_cause_persist_over_processes_until_one_ends_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("not made yet");
    assert_eq!(process(&data, Exit::DeviceLost, "a thread hangs"), None);
    let second = process(&data, Exit::DeviceLost, "a leak").unwrap();
    assert_eq!((second.count, second.cause.as_str(), second.alert), (1, "cpu: a thread hangs", false));
    assert_eq!(second.delay, Duration::ZERO);
    let third = process(&data, Exit::DeviceLost, "poisoned").unwrap();
    assert_eq!((third.count, third.cause.as_str(), third.alert), (2, "cpu: a leak", false));
    let fourth = process(&data, Exit::Interrupted, "").unwrap();
    assert_eq!((fourth.count, fourth.cause.as_str(), fourth.alert), (3, "cpu: poisoned", true));
    assert!(fourth.delay > third.delay && third.delay > Duration::ZERO, "{third:?} {fourth:?}");
    assert_eq!(process(&data, Exit::Success, ""), None);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn who_only_asks_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    assert_eq!(crash_loop(&settings), None);
    process(folder.path(), Exit::DeviceLost, "x");
    let before = std::fs::read(folder.path().join(FILE)).unwrap();
    assert_eq!(crash_loop(&settings).map(|it| it.count), Some(1));
    assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), before);
    std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
    assert_eq!((crash_loop(&settings), folder.path().join(SET_ASIDE).exists()), (None, false));
}

#[test]
fn who_does_not_wait_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        process(folder.path(), Exit::DeviceLost, "x");
    }
    let record = CrashRecord::read(&settings(folder.path()));
    let standing = record.standing(false).unwrap();
    assert_eq!((standing.count, standing.alert, standing.delay), (3, true, Duration::ZERO));
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_told_and_stops_nobody() {
    let large = format!("{{\"ends\": [], \"x\": \"{}\"}}", "x".repeat(70_000));
    for text in
        ["", "nonsense", "{\"ends\": 3}", "{\"ends\": [{\"at\": -1, \"cause\": \"x\"}]}", "\u{0}", &large]
    {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        std::fs::write(&file, text).unwrap();
        let record = Arc::new(CrashRecord::read(&settings(folder.path())));
        let heard = Arc::new(Heard::default());
        let bus = Bus::new(vec![record.clone(), heard.clone()]);
        assert_eq!(record.standing(true), None);
        record.begin(None, &bus);
        let told = heard.0.lock().clone();
        let [EventKind::CrashRecordFailed { message }] = &told[..] else { panic!("{told:?}") };
        assert!(message.contains("set aside") && message.contains(FILE), "{message}");
        assert_eq!(std::fs::read_to_string(folder.path().join(SET_ASIDE)).unwrap(), text);
        record.end(Exit::DeviceLost, &bus);
        let next = CrashRecord::read(&settings(folder.path()));
        assert_eq!((next.trouble(), next.standing(true).map(|it| it.count)), (None, Some(1)));
    }
}

#[test]
fn a_record_that_cannot_be_written_is_told_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a file, no folder");
    std::fs::write(&data, "").unwrap();
    let record = Arc::new(CrashRecord::read(&settings(&data)));
    let heard = Arc::new(Heard::default());
    let bus = Bus::new(vec![record.clone(), heard.clone()]);
    record.end(Exit::DeviceLost, &bus);
    let told = heard.0.lock().clone();
    let [EventKind::CrashRecordFailed { message }] = &told[..] else { panic!("{told:?}") };
    assert!(message.contains("cannot be written"), "{message}");
}
