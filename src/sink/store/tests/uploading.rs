//! The uploader: order, outages of hours on a paused clock, bounds, stops.

use super::journal::{Running, START, State, Table};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

struct Set {
    root: tempfile::TempDir,
    failing: Failing,
    table: Arc<Table>,
}

impl Set {
    fn new(slots: u128, sizes: &[usize]) -> Self {
        let (root, table) = (tempfile::tempdir().unwrap(), Arc::new(Table::default()));
        for number in 1..=slots {
            table.add(parcel(root.path(), number, sizes), START);
        }
        Self { root, failing: Failing::default(), table }
    }

    fn start(&self, change: impl FnOnce(&mut Options)) -> Running {
        Running::start(&self.table, Store::over(Arc::new(self.failing.clone()), PART), change)
    }

    fn folder(&self, number: u128) -> PathBuf {
        self.root.path().join(number.to_string())
    }

    fn states(&self) -> Vec<State> {
        self.table.entries.lock().iter().map(|entry| entry.state).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_s_result_comes_after_everything_that_it_names() {
    let set = Set::new(20, &[10, PART * 2 + 1]);
    let mut running = set.start(|_| {});
    running.settled().await;
    assert_eq!(*running.health.borrow(), Health::Up);
    let written: Vec<String> = set
        .failing
        .log()
        .into_iter()
        .filter(|(kind, _)| ["put", "complete"].contains(kind))
        .map(|(_, key)| key)
        .collect();
    assert_eq!(written.len(), 20 * 3);
    for entry in set.table.entries.lock().iter() {
        let at = |key: &Key| written.iter().position(|it| *it == key.to_string()).unwrap();
        let result = at(&Key::from(format!("p/slots/{}/result.json", entry.parcel.slot)));
        assert!(entry.parcel.files.iter().all(|file| at(&content_key(file)) < result));
        assert_eq!(entry.parcel.stored.len(), 3);
        assert!(entry.parcel.stored["result.json"].starts_with("s3://test/p/slots/"));
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_asked_now_and_then_and_gets_all_of_it_when_it_is_back() {
    let set = Set::new(50, &[10]);
    set.failing.switch(true);
    let running = set.start(|_| {});
    tokio::time::sleep(10 * HOUR).await;
    let asked = set.failing.log().len();
    assert!((100..150).contains(&asked), "{asked}");
    let Health::Down { since, failures, error } = running.health.borrow().clone() else { panic!() };
    assert!(
        since - START < Duration::from_secs(1)
            && failures as usize <= asked
            && error.contains("connection refused"),
        "{error}"
    );
    set.failing.switch(false);
    let mut running = running;
    let told = running.settled().await;
    let told: Vec<Notice> = told.into_iter().chain(running.stop().await).collect();
    let count = |wanted: fn(&Notice) -> bool| told.iter().filter(|notice| wanted(notice)).count();
    assert_eq!(count(|notice| matches!(notice, Notice::StoreDown { .. })), 1);
    assert_eq!(count(|notice| matches!(notice, Notice::StoreUp { after } if *after >= 10 * HOUR)), 1);
    assert_eq!(count(|notice| matches!(notice, Notice::Delivered { files: 2, .. })), 50);
    assert_eq!(set.table.count(State::Delivered), 50);
}

#[tokio::test(start_paused = true)]
async fn after_a_day_without_the_store_slots_are_given_up_and_told() {
    let set = Set::new(3, &[10]);
    set.failing.switch(true);
    let running = set.start(|_| {});
    tokio::time::sleep(12 * HOUR).await;
    set.table.add(parcel(set.root.path(), 4, &[10]), START + 12 * HOUR);
    tokio::time::sleep(12 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(set.table.count(State::GivenUp), 0);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(set.states(), [State::GivenUp, State::GivenUp, State::GivenUp, State::Pending]);
    let error = set.table.entries.lock()[0].error.clone().unwrap();
    assert!(error.contains("down for 86") && error.contains("connection refused"), "{error}");
    let told = running.stop().await;
    assert_eq!(told.iter().filter(|notice| matches!(notice, Notice::Undelivered { .. })).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn too_many_waiting_bytes_cost_those_that_wait_for_longest() {
    let set = Set::new(0, &[]);
    for number in 1..=6u128 {
        set.table
            .add(parcel(set.root.path(), number, &[100]), START - Duration::from_secs(10 - number as u64));
    }
    set.failing.switch(true);
    let running = set.start(|options| options.most_bytes = 250);
    tokio::time::sleep(HOUR).await;
    assert_eq!(set.states()[..4], [State::GivenUp; 4]);
    assert_eq!(set.states()[4..], [State::Pending; 2]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_gives_nothing_up_while_the_store_answers() {
    let set = Set::new(2, &[10]);
    set.failing.switch(true);
    let mut running = set.start(|_| {});
    let Notice::Failed { .. } = running.next().await else { panic!() };
    *running.jump.lock() = 1000 * HOUR;
    set.failing.switch(false);
    running.settled().await;
    assert_eq!(set.table.count(State::Delivered), 2);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn damage_is_the_slot_s_own_and_the_others_go_on() {
    let set = Set::new(3, &[10, 20]);
    std::fs::write(set.folder(2).join("keyframes/1.png"), [0; 20]).unwrap();
    let mut running = set.start(|_| {});
    let told = running.settled().await;
    let told: Vec<Notice> = told.into_iter().chain(running.stop().await).collect();
    assert_eq!(set.states(), [State::Delivered, State::GivenUp, State::Delivered]);
    let undelivered = told.iter().find_map(|notice| match notice {
        Notice::Undelivered { slot, error } => Some((*slot, error.clone())),
        _ => None,
    });
    let (whose, error) = undelivered.unwrap();
    assert!(whose == slot(2) && error.contains("keyframes/1.png is damaged"), "{error}");
    let key = Key::from(format!("p/slots/{}/result.json", slot(2)));
    assert_eq!(read(&set.failing, &key).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_where_it_was_after_failures_and_restarts() {
    let set = Set::new(1, &[10, 20, PART * 4, 30]);
    set.failing.parts_left(Some(2));
    let mut running = set.start(|_| {});
    let Notice::Failed { attempts: 1, error, .. } = running.next().await else { panic!() };
    assert!(error.contains("write a part of"), "{error}");
    assert_eq!(set.failing.aborted(), 1);
    running.stop().await;
    assert_eq!(set.table.entries.lock()[0].parcel.stored.len(), 2);
    set.failing.parts_left(None);
    let before = set.failing.log().len();
    let mut running = set.start(|_| {});
    running.settled().await;
    running.stop().await;
    let again = set.failing.log().split_off(before);
    let first = content_key(&set.table.entries.lock()[0].parcel.files[0]).to_string();
    assert!(again.iter().all(|(_, key)| *key != first), "{again:?}");
    let large = set.table.entries.lock()[0].parcel.files[2].clone();
    assert_eq!(
        read(&set.failing, &content_key(&large)).await.unwrap(),
        std::fs::read(set.folder(1).join(&large.name)).unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_not_sent_again() {
    let set = Set::new(1, &[10, 20]);
    *set.table.broken.lock() = 20;
    let mut running = set.start(|_| {});
    while let Notice::Trouble { error } = running.next().await {
        assert_eq!(error, "no space left on device");
        running.wake.notify_one();
    }
    assert_eq!((set.failing.count("put"), set.table.count(State::Delivered)), (3, 1));
    running.stop().await;

    // A process that ended before its mark was written: the next one looks, and finds.
    set.table.entries.lock()[0].state = State::Pending;
    set.table.entries.lock()[0].parcel.stored.clear();
    let mut running = set.start(|_| {});
    running.settled().await;
    assert_eq!(set.failing.count("put"), 3);
    running.stop().await;
}
