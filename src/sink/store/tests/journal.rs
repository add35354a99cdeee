//! A journal of uploads that is a table, and an uploader that runs over it.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Delivered,
    GivenUp,
}

pub(super) struct Entry {
    pub(super) parcel: Parcel,
    pub(super) next_at: Duration,
    pub(super) since: Duration,
    pub(super) state: State,
    pub(super) error: Option<String>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: Mutex<Vec<Entry>>,
    /// Marks that fail: the next so many.
    pub(super) broken: Mutex<usize>,
}

impl Table {
    pub(super) fn add(&self, parcel: Parcel, since: Duration) {
        self.entries.lock().push(Entry { parcel, next_at: since, since, state: State::Pending, error: None });
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.entries.lock().iter().filter(|entry| entry.state == state).count()
    }
}

impl Uploads for Table {
    fn due<'a>(
        &'a self,
        now: Duration,
        limit: usize,
        skip: &'a HashSet<SlotId>,
    ) -> Reply<'a, Result<Vec<Parcel>, AnyError>> {
        let entries = self.entries.lock();
        let is_due = |entry: &&Entry| {
            entry.state == State::Pending && entry.next_at <= now && !skip.contains(&entry.parcel.slot)
        };
        let mut due: Vec<&Entry> = entries.iter().filter(is_due).collect();
        due.sort_by_key(|entry| entry.next_at);
        let parcels: Vec<Parcel> = due.into_iter().take(limit).map(|entry| entry.parcel.clone()).collect();
        Box::pin(async { Ok(parcels) })
    }

    fn pending(&self, limit: usize) -> Reply<'_, Result<Vec<Waiting>, AnyError>> {
        let entries = self.entries.lock();
        let mut waiting: Vec<Waiting> = entries
            .iter()
            .filter(|entry| entry.state == State::Pending)
            .map(|entry| Waiting {
                slot: entry.parcel.slot,
                since: entry.since,
                bytes: entry.parcel.files.iter().map(|file| file.bytes).sum(),
            })
            .collect();
        waiting.sort_by_key(|it| it.since);
        waiting.truncate(limit);
        Box::pin(async { Ok(waiting) })
    }

    fn mark(&self, slot: SlotId, mark: Mark) -> Reply<'_, Result<(), AnyError>> {
        Box::pin(async move {
            let mut broken = self.broken.lock();
            if *broken > 0 {
                *broken -= 1;
                return Err("no space left on device".into());
            }
            let mut entries = self.entries.lock();
            let entry = entries.iter_mut().find(|entry| entry.parcel.slot == slot).unwrap();
            assert_eq!(entry.state, State::Pending, "marked twice");
            match mark {
                Mark::Some { addresses } => entry.parcel.stored.extend(addresses),
                Mark::Retry { next_at, error } => {
                    entry.parcel.attempts += 1;
                    (entry.next_at, entry.error) = (next_at, Some(error));
                }
                Mark::Done { .. } => entry.state = State::Delivered,
                Mark::GivenUp { error, .. } => (entry.state, entry.error) = (State::GivenUp, Some(error)),
            }
            Ok(())
        })
    }
}

/// A running uploader.
pub(super) struct Running {
    pub(super) table: Arc<Table>,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) health: watch::Receiver<Health>,
    pub(super) wake: Arc<Notify>,
    /// Added to the wall clock.
    pub(super) jump: Arc<Mutex<Duration>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

pub(super) const START: Duration = Duration::from_secs(1_800_000_000);

impl Running {
    pub(super) fn start(table: &Arc<Table>, store: Store, change: impl FnOnce(&mut Options)) -> Self {
        let (told, notices) = mpsc::unbounded_channel();
        let (health, watched) = watch::channel(Health::default());
        let (wake, jump) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Duration::ZERO)));
        let (start, jumped) = (clock::now(), Arc::clone(&jump));
        let mut options = Options {
            wall: Arc::new(move || START + (clock::now() - start) + *jumped.lock()),
            random: Arc::new(|| 0.0),
            ..Options::default()
        };
        change(&mut options);
        let parts = Parts {
            store,
            uploads: Arc::clone(table) as Arc<dyn Uploads>,
            health,
            notices: Arc::new(move |notice| {
                let _ = told.send(notice);
            }),
            wake: Arc::clone(&wake),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(parts, options, async {
            let _ = stopped.await;
        }));
        let (table, stop) = (Arc::clone(table), Some(stop));
        Self { table, notices, health: watched, wake, jump, stop, task }
    }

    pub(super) async fn next(&mut self) -> Notice {
        self.notices.recv().await.unwrap()
    }

    /// Waits until nothing is pending; answers with what was told meanwhile.
    pub(super) async fn settled(&mut self) -> Vec<Notice> {
        let mut told = Vec::new();
        while self.table.count(State::Pending) > 0 {
            told.push(self.next().await);
        }
        told
    }

    /// Answers with what was told and not heard.
    pub(super) async fn stop(mut self) -> Vec<Notice> {
        let _ = self.stop.take().unwrap().send(());
        self.task.await.unwrap();
        let mut told = Vec::new();
        while let Ok(notice) = self.notices.try_recv() {
            told.push(notice);
        }
        told
    }
}
