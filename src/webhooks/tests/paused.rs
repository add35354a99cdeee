//! Hours in milliseconds: the clock is paused, receivers are scripted.

use super::table::{Act, Scripted};
use super::*;

const DEAD: &str = "http://dead.lan/";
const GOOD: &str = "https://good.lan/";

fn all_answer(status: u16) -> Arc<Scripted<impl Fn(&str, usize) -> Act + Send + Sync + 'static>> {
    Scripted::new(move |_, _| Act::Answer(status))
}

#[tokio::test(start_paused = true)]
async fn a_dead_receiver_is_tried_for_a_day_and_holds_up_nobody_else() {
    let scripted =
        Scripted::new(|origin, _| if origin.contains("dead") { Act::Answer(500) } else { Act::Answer(200) });
    let outbox = Arc::new(Table::default());
    let dead = outbox.add(slot(1), DEAD, START);
    let good: Vec<u64> = (2..200).map(|number| outbox.add(slot(number), GOOD, START)).collect();
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let begun = clock::now();
    while running.outbox.count(State::Delivered) < good.len() {
        running.next().await;
    }
    assert!(clock::now() - begun < Duration::from_secs(2));
    running.settled().await;
    assert_eq!(clock::now() - begun, Duration::from_secs(86_400).max(clock::now() - begun));
    assert!(clock::now() - begun < Duration::from_secs(86_400 + 60));
    let entry = running.outbox.entry(dead);
    assert_eq!((entry.state, entry.error.as_deref()), (State::Undelivered, Some("answered 500")));
    let tries: Vec<_> =
        scripted.tries.lock().iter().filter(|it| it.origin == "http://dead.lan").cloned().collect();
    assert_eq!(tries.len() as u32, entry.row.attempts);
    assert!(tries.iter().all(|it| it.id == tries[0].id));
    let first: Vec<u64> = tries.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).take(4).collect();
    assert_eq!(first, [5, 30, 120, 600]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_s_messages_wait_for_the_one_before_and_go_on_when_it_is_given_up() {
    // The first message is refused twice, then received; the second's receiver says that it is gone.
    let scripted = Scripted::new(|_, before| match before {
        0 | 1 => Act::Answer(404),
        3 => Act::Answer(410),
        _ => Act::Answer(200),
    });
    let outbox = Arc::new(Table::default());
    (0..3).for_each(|_| _ = outbox.add(slot(1), GOOD, START));
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let mut told = running.settled().await;
    assert_eq!(scripted.ids(), ["1", "1", "1", "2", "3"].map(|number| format!("00c0ffee-{number}")));
    assert_eq!(running.outbox.entry(2).state, State::Undelivered);
    assert!(running.outbox.entry(2).error.unwrap().contains("gone for good"));
    assert_eq!(running.outbox.entry(3).state, State::Delivered);
    assert_eq!(running.outbox.entry(2).row.attempts, 1);
    running.stop().await;
    told.extend(std::iter::from_fn(|| running.notices.try_recv().ok()));
    let undelivered = told.iter().filter_map(|notice| match notice {
        Notice::Undelivered { event, attempts, .. } => Some((event.as_str(), *attempts)),
        _ => None,
    });
    assert_eq!(undelivered.collect::<Vec<_>>(), [("00c0ffee-2", 1)]);
}

#[tokio::test(start_paused = true)]
async fn receivers_that_hang_hold_their_share_only() {
    let scripted =
        Scripted::new(|origin, _| if origin.contains("dead") { Act::Hang } else { Act::Answer(200) });
    let outbox = Arc::new(Table::default());
    // More of them than the sender ever asks for at once, and all before the others.
    (1..500).for_each(|number| _ = outbox.add(slot(number), DEAD, START));
    let good: Vec<u64> = (500..600).map(|number| outbox.add(slot(number), GOOD, START)).collect();
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let begun = clock::now();
    while running.outbox.count(State::Delivered) < good.len() {
        running.next().await;
    }
    assert!(clock::now() - begun < Duration::from_secs(5), "{:?}", clock::now() - begun);
    let error = loop {
        if let Notice::Failed { error, .. } = running.next().await {
            break error;
        }
    };
    assert_eq!(error, "no answer within 15s");
    // From then on it gets one at a time.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let tries = scripted.tries.lock().iter().filter(|it| it.origin.contains("dead")).count();
    assert!((20..30).contains(&tries), "{tries}");
    let open = scripted.open.lock().clone();
    assert!(open["http://dead.lan"].1 == 4 && open["https://good.lan"].1 == 4, "{open:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_rest_gets_it_for_all_its_messages() {
    let scripted =
        Scripted::new(|_, before| if before == 0 { Act::Wait(429, "600") } else { Act::Answer(200) });
    let outbox = Arc::new(Table::default());
    outbox.add(slot(1), GOOD, START);
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let Notice::Failed { again, .. } = running.next().await else { panic!() };
    assert_eq!(again, Duration::from_secs(600));
    running.outbox.add(slot(2), GOOD, START);
    running.wake.notify_one();
    running.settled().await;
    let tries = scripted.tries.lock().clone();
    assert_eq!(tries.len(), 3);
    assert!(tries[1].at - tries[0].at >= Duration::from_secs(600));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_not_sent_again_meanwhile() {
    let scripted = all_answer(200);
    let outbox = Arc::new(Table::default());
    *outbox.broken.lock() = (0, 50);
    outbox.add(slot(1), GOOD, START);
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    for _ in 0..50 {
        let Notice::Trouble { error } = running.next().await else { panic!() };
        assert_eq!(error, "no space left on device");
        running.wake.notify_one();
    }
    running.settled().await;
    assert_eq!(scripted.ids().len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_its_grace_and_the_next_process_sends_again_what_was_not_written_down() {
    let hanging =
        Scripted::new(|origin, _| if origin.contains("dead") { Act::Hang } else { Act::Answer(200) });
    let outbox = Arc::new(Table::default());
    outbox.add(slot(1), DEAD, START);
    let mut running = Running::start(Arc::clone(&outbox), hanging.clone(), |options| {
        options.timeout = Duration::from_secs(3600)
    });
    while hanging.tries.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    outbox.add(slot(2), GOOD, START);
    running.wake.notify_one();
    let Notice::Delivered { .. } = running.next().await else { panic!() };
    let begun = clock::now();
    running.stop().await;
    assert_eq!((clock::now() - begun).as_secs(), 5);
    assert_eq!((outbox.entry(1).state, outbox.entry(1).row.attempts), (State::Pending, 0));

    let next = all_answer(200);
    let mut running = Running::start(Arc::clone(&outbox), next.clone(), |_| {});
    running.settled().await;
    assert_eq!(next.ids(), ["00c0ffee-1"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_cannot_be_read_is_told_and_asked_again() {
    let outbox = Arc::new(Table::default());
    *outbox.broken.lock() = (3, 0);
    outbox.add(slot(1), GOOD, START);
    let mut running = Running::start(outbox, all_answer(200), |_| {});
    for _ in 0..3 {
        assert_eq!(running.next().await, Notice::Trouble { error: "disk I/O error".to_owned() });
    }
    assert!(matches!(running.next().await, Notice::Delivered { attempts: 1, .. }));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_sent_when_they_are_told_of_and_old_ones_are_found() {
    let scripted = all_answer(200);
    let outbox = Arc::new(Table::default());
    // An earlier process wrote this one's next try down, and a clock that was an hour ahead that one's.
    let later = outbox.add(slot(1), GOOD, START);
    outbox.entries.lock()[later as usize - 1].next_at = START + Duration::from_secs(40);
    let ahead = outbox.add(slot(2), GOOD, START);
    outbox.entries.lock()[ahead as usize - 1].next_at = START + LONGEST_WAIT + Duration::from_secs(3600);
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let begun = clock::now();
    let Notice::Delivered { slot: whose, .. } = running.next().await else { panic!() };
    assert_eq!(whose, slot(2));
    assert!(clock::now() - begun < Duration::from_secs(1));
    let Notice::Delivered { slot: whose, .. } = running.next().await else { panic!() };
    assert_eq!(whose, slot(1));
    assert!(clock::now() - begun < Duration::from_secs(75));
    let begun = clock::now();
    running.outbox.add(slot(3), GOOD, (running.wall)());
    running.wake.notify_one();
    running.next().await;
    assert!(clock::now() - begun < Duration::from_secs(1));
    // An idle sender looks rarely.
    let looks = *running.outbox.looks.lock();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(*running.outbox.looks.lock() - looks <= 121);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn new_rules_count_from_the_next_try() {
    let scripted = all_answer(200);
    let outbox = Arc::new(Table::default());
    outbox.add(slot(1), "https://hooks.corp/secret", START);
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let Notice::Failed { error, origin, .. } = running.next().await else { panic!() };
    assert!(error.contains("hooks.corp") && !error.contains("secret"), "{error}");
    assert_eq!(origin, "https://hooks.corp");
    running.rules.send_replace(Arc::new(Rules::new(true, &["hooks.corp"]).unwrap()));
    assert!(matches!(running.next().await, Notice::Delivered { attempts: 2, .. }));
    assert_eq!(scripted.ids().len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_breaks_down_costs_its_receiver_a_minute_and_nobody_else() {
    let scripted =
        Scripted::new(
            |origin, before| {
                if origin.contains("dead") && before < 3 { Act::Break } else { Act::Answer(200) }
            },
        );
    let outbox = Arc::new(Table::default());
    outbox.add(slot(1), DEAD, START);
    outbox.add(slot(2), GOOD, START);
    let mut running = Running::start(outbox, scripted.clone(), |_| {});
    let begun = clock::now();
    running.settled().await;
    assert_eq!(running.outbox.count(State::Delivered), 2);
    assert_eq!((clock::now() - begun).as_secs() / 60, 3);
    assert_eq!(scripted.tries.lock().len(), 5);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_failed_in_an_earlier_process_is_tried_again_at_its_time() {
    let scripted = Scripted::new(|_, _| Act::Answer(200));
    let outbox = Arc::new(Table::default());
    outbox.add(slot(1), GOOD, START);
    outbox.entries.lock()[0].next_at = START + Duration::from_secs(7);
    let mut running = Running::start(outbox, scripted, |_| {});
    let begun = clock::now();
    running.settled().await;
    let took = clock::now() - begun;
    assert!((7_000..7_100).contains(&took.as_millis()), "{took:?}");
}
