use std::sync::atomic::AtomicBool;

use opentelemetry_sdk::metrics::data::ResourceMetrics;
use parking_lot::Mutex;

use super::settings::Batches;
use super::*;

/// A receiver that can be away; what it took.
#[derive(Clone, Default)]
struct Fake {
    away: Arc<AtomicBool>,
    hangs: bool,
    took: Arc<Mutex<Vec<&'static str>>>,
}

impl Fake {
    async fn take(&self, names: &[&'static str]) -> Result<(), String> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.away.load(Ordering::Acquire) {
            return Err("nobody is there".to_owned());
        }
        self.took.lock().extend(names);
        Ok(())
    }
}

impl Receive for Fake {
    type Batch = [&'static str];

    async fn send(&mut self, batch: &[&'static str]) -> Result<(), String> {
        self.take(batch).await
    }
}

/// The same for metrics: each export is one name.
struct Metered(Fake);

impl Receive for Metered {
    type Batch = ResourceMetrics;

    async fn send(&mut self, _: &ResourceMetrics) -> Result<(), String> {
        self.0.take(&["all"]).await
    }
}

/// A thread with one task, on a clock that runs by itself, so that pauses take no time.
struct Rig {
    losses: Arc<Losses>,
    stop: watch::Sender<bool>,
    ended: blocking::Receiver<()>,
}

impl Rig {
    fn finish(&self, patience: Duration) -> bool {
        self.stop.send_replace(true);
        self.ended.recv_timeout(patience).is_ok()
    }

    fn lost(&self) -> (u64, u64) {
        (self.losses.dropped(Signal::Traces), self.losses.failures(Signal::Traces))
    }

    fn run(losses: Arc<Losses>, task: impl FnOnce(watch::Receiver<bool>) -> Task) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (stop, stopped) = watch::channel(false);
        Self { losses, stop, ended: super::start(runtime.unwrap(), vec![task(stopped)]).unwrap() }
    }
}

const LONG: Duration = Duration::from_secs(10);

fn start(fake: &Fake, most: usize) -> (Rig, Queue<&'static str>) {
    let (losses, batches) = (Arc::default(), Batches { queue: most, ..Batches::DEFAULT });
    let (queue, sender) = queue::new(Signal::Traces, fake.clone(), batches, &losses);
    (Rig::run(losses, |stopped| Box::pin(sender.run(stopped))), queue)
}

#[test]
fn what_is_sent_before_the_end_arrives_in_order() {
    let fake = Fake::default();
    let (rig, queue) = start(&fake, 100);
    for name in ["a", "b", "c"] {
        queue.send(name);
    }
    assert!(rig.finish(LONG));
    assert_eq!(*fake.took.lock(), ["a", "b", "c"]);
    assert_eq!(rig.lost(), (0, 0));
    // Nothing is taken any more, and that is counted.
    queue.send("d");
    assert_eq!(rig.lost(), (1, 0));
}

#[test]
fn a_receiver_that_is_away_costs_spans_that_are_counted_and_later_ones_arrive() {
    let fake = Fake::default();
    fake.away.store(true, Ordering::Release);
    let (rig, queue) = start(&fake, 100);
    queue.send("lost");
    // One try and three more; its clock runs by itself.
    while rig.lost().0 == 0 {
        std::thread::yield_now();
    }
    assert_eq!(rig.lost(), (1, 4));
    assert_eq!(rig.losses.dropped(Signal::Logs), 0);
    fake.away.store(false, Ordering::Release);
    queue.send("back");
    assert!(rig.finish(LONG));
    assert_eq!(*fake.took.lock(), ["back"]);
}

#[test]
fn a_receiver_that_hangs_holds_nobody_up() {
    let fake = Fake { hangs: true, ..Fake::default() };
    let (rig, queue) = start(&fake, 4);
    for _ in 0..1000 {
        queue.send("x");
    }
    // What did not fit was counted: all but what waits, and what the thread has taken.
    let (dropped, _) = rig.lost();
    assert!((484..=996).contains(&dropped), "{dropped}");
    assert!(!rig.finish(Duration::from_millis(1)), "it was given up");
}

#[test]
fn a_receiver_that_is_away_at_the_end_is_asked_once() {
    let fake = Fake::default();
    fake.away.store(true, Ordering::Release);
    let (rig, queue) = start(&fake, 2000);
    for _ in 0..1000 {
        queue.send("x");
    }
    assert!(rig.finish(LONG));
    assert_eq!(rig.lost().0, 1000);
}

#[test]
fn metrics_go_out_every_so_often_and_at_the_end_and_failures_are_counted() {
    let fake = Fake::default();
    fake.away.store(true, Ordering::Release);
    let (losses, away) = (Arc::<Losses>::default(), Arc::clone(&fake.away));
    let (mut times, counted) = (0, Arc::clone(&losses));
    let collect: Collect = Box::new(move || {
        times += 1;
        // It comes back for the third.
        if times == 3 {
            assert_eq!(counted.failures(Signal::Metrics), 2);
            away.store(false, Ordering::Release);
        }
        Ok(ResourceMetrics::default())
    });
    let periodic =
        Periodic::new(collect, Metered(fake.clone()), Duration::from_secs(60), Arc::clone(&losses));
    let rig = Rig::run(losses, |stopped| Box::pin(periodic.run(stopped)));
    while fake.took.lock().is_empty() {
        std::thread::yield_now();
    }
    fake.took.lock().clear();
    assert!(rig.finish(LONG));
    assert!(!fake.took.lock().is_empty(), "the last one");
    assert_eq!((rig.losses.failures(Signal::Metrics), rig.losses.dropped(Signal::Metrics)), (2, 0));
}
