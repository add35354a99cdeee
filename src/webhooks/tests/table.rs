//! An outbox that is a table, and receivers that are a function.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Delivered,
    Undelivered,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) row: Row,
    pub(super) next_at: Duration,
    pub(super) state: State,
    pub(super) error: Option<String>,
}

/// Keeps what an outbox must.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: Mutex<Vec<Entry>>,
    closed: Mutex<bool>,
    /// Calls that fail: the next so many of `due`, and of `mark`.
    pub(super) broken: Mutex<(usize, usize)>,
    pub(super) looks: Mutex<usize>,
}

impl Table {
    pub(super) fn add(&self, slot: SlotId, url: &str, since: Duration) -> u64 {
        let mut entries = self.entries.lock();
        let id = entries.len() as u64 + 1;
        let event = format!(r#"{{"event":"slot_failed","number":{id}}}"#);
        let body =
            body("slot_failed", since, &event, &serde_json::json!({ "id": slot.to_string() })).unwrap();
        let row = Row {
            id,
            slot,
            event: format!("00c0ffee-{id}"),
            url: url.to_owned(),
            body: body.into(),
            attempts: 0,
            since,
            traceparent: None,
        };
        entries.push(Entry { row, next_at: since, state: State::Pending, error: None });
        id
    }

    /// Nothing is due until it is opened.
    pub(super) fn closed() -> Self {
        Self { closed: Mutex::new(true), ..Self::default() }
    }

    pub(super) fn open(&self) {
        *self.closed.lock() = false;
    }

    pub(super) fn entry(&self, id: u64) -> Entry {
        self.entries.lock()[id as usize - 1].clone()
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.entries.lock().iter().filter(|entry| entry.state == state).count()
    }
}

impl Outbox for Table {
    fn due<'a>(
        &'a self,
        now: Duration,
        limit: usize,
        skip: Skip<'a>,
    ) -> Reply<'a, Result<Vec<Row>, AnyError>> {
        *self.looks.lock() += 1;
        let mut broken = self.broken.lock();
        if broken.0 > 0 {
            broken.0 -= 1;
            return Box::pin(async { Err("disk I/O error".into()) });
        }
        if *self.closed.lock() {
            return Box::pin(async { Ok(Vec::new()) });
        }
        let entries = self.entries.lock();
        let mut heads: HashMap<SlotId, &Entry> = HashMap::new();
        for entry in entries.iter().filter(|entry| entry.state == State::Pending) {
            heads.entry(entry.row.slot).or_insert(entry);
        }
        let is_due = |entry: &&Entry| {
            (entry.next_at <= now || entry.next_at > now + LONGEST_WAIT)
                && !skip.skips(entry.row.slot, &entry.row.url)
        };
        let mut due: Vec<&Entry> = heads.into_values().filter(is_due).collect();
        due.sort_by_key(|entry| (entry.next_at, entry.row.id));
        let rows: Vec<Row> = due.into_iter().take(limit).map(|entry| entry.row.clone()).collect();
        Box::pin(async { Ok(rows) })
    }

    fn later(&self, now: Duration, limit: usize) -> Reply<'_, Result<Vec<Duration>, AnyError>> {
        let entries = self.entries.lock();
        let waiting = entries.iter().filter(|entry| entry.state == State::Pending && entry.next_at > now);
        let mut times: Vec<Duration> = waiting.map(|entry| entry.next_at).collect();
        times.sort();
        times.truncate(limit);
        Box::pin(async { Ok(times) })
    }

    fn mark(&self, id: u64, mark: Mark) -> Reply<'_, Result<(), AnyError>> {
        Box::pin(async move {
            let mut broken = self.broken.lock();
            if broken.1 > 0 {
                broken.1 -= 1;
                return Err("no space left on device".into());
            }
            let mut entries = self.entries.lock();
            let entry = &mut entries[id as usize - 1];
            assert_eq!(entry.state, State::Pending, "marked twice");
            entry.row.attempts += 1;
            match mark {
                Mark::Delivered { .. } => entry.state = State::Delivered,
                Mark::Retry { next_at, error } => (entry.next_at, entry.error) = (next_at, Some(error)),
                Mark::Undelivered { error, .. } => {
                    (entry.state, entry.error) = (State::Undelivered, Some(error));
                }
            }
            Ok(())
        })
    }
}

/// What a scripted receiver does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Answer(u16),
    Wait(u16, &'static str),
    Hang,
    Break,
}

/// A try that was made.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) at: Instant,
    pub(super) id: String,
    pub(super) origin: String,
}

/// Receivers.
pub(super) struct Scripted<F> {
    act: F,
    pub(super) tries: Mutex<Vec<Try>>,
    /// Tries in work at once to each origin: now and at most.
    pub(super) open: Mutex<HashMap<String, (usize, usize)>>,
}

impl<F: Fn(&str, usize) -> Act + Send + Sync + 'static> Scripted<F> {
    /// `act` is asked with an origin and how many tries there were to it before.
    pub(super) fn new(act: F) -> Arc<Self> {
        Arc::new(Self { act, tries: Mutex::default(), open: Mutex::default() })
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.tries.lock().iter().map(|it| it.id.clone()).collect()
    }
}

struct Leave<'a>(&'a Mutex<HashMap<String, (usize, usize)>>, String);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.lock().get_mut(&self.1).unwrap().0 -= 1;
    }
}

impl<F: Fn(&str, usize) -> Act + Send + Sync + 'static> Transport for Scripted<F> {
    fn post(&self, post: Post) -> Reply<'_, Result<Answer, TransportError>> {
        Box::pin(async move {
            let origin = post.target.origin();
            let before = {
                let mut tries = self.tries.lock();
                let id = post.headers["webhook-id"].to_str().unwrap().to_owned();
                let before = tries.iter().filter(|it| it.origin == origin).count();
                tries.push(Try { at: clock::now(), id, origin: origin.clone() });
                before
            };
            {
                let mut open = self.open.lock();
                let (now, most) = open.entry(origin.clone()).or_default();
                *now += 1;
                *most = (*most).max(*now);
            }
            let _leave = Leave(&self.open, origin.clone());
            // Other tries begin meanwhile, as they do on a network.
            tokio::time::sleep(Duration::from_millis(10)).await;
            match (self.act)(&origin, before) {
                Act::Answer(status) => Ok(Answer { status, retry_after: None }),
                Act::Wait(status, wait) => Ok(Answer { status, retry_after: Some(wait.to_owned()) }),
                Act::Hang => std::future::pending().await,
                Act::Break => panic!("broke down"),
            }
        })
    }
}
