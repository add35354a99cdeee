//! The task that sends: what is due, in order per slot, slots and receivers side by side.
//!
//! Owns which rows are in work and which receivers asked for rest; what became of each row is the outbox's. A receiver that
//! is slow or down holds up its own rows only. At least once: a row whose mark was not written is sent again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{sleep, timeout};

use super::Secrets;
use super::outbox::{Outbox, Row, Skip};
use super::target::{Rules, origin_of};
use super::transport::Transport;
use crate::clock;
use crate::types::SlotId;

mod delivery;

use delivery::Delivery;

/// What is due is looked for at least this often: not all times are remembered, and the wall clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// After the outbox could not be read.
const TROUBLE: Duration = Duration::from_secs(5);
/// Times of retries that are remembered; those beyond are found by looking.
const MOST_TIMES: usize = 4096;
/// Origins that are known to fail, at most; beyond them all are forgotten, and learnt again.
const MOST_FAILING: usize = 10_000;
/// A receiver whose delivery broke down inside this process is left alone so long.
const BROKEN: Duration = Duration::from_secs(60);

/// How the sender works.
#[derive(Clone)]
pub struct Options {
    /// Deliveries in work at once.
    pub concurrent: usize,
    /// Of these, to one origin; one only while its last try failed.
    pub per_origin: usize,
    /// For one try, from looking up the host to the answer's status.
    pub timeout: Duration,
    /// For what is in work when the sender stops; what takes longer is sent again by the next process.
    pub grace: Duration,
    /// The wall clock, since the Unix epoch.
    pub wall: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Random numbers between 0 and 1, so that deliveries that failed together do not return together.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // A few thousand a minute to receivers that answer in 0.2 s; more would only be a burden to them.
            concurrent: 32,
            // So that seven receivers that begin to hang leave room for others, and thirty-one that go on.
            per_origin: 4,
            // Receivers are told to answer first and work later.
            timeout: Duration::from_secs(15),
            grace: Duration::from_secs(5),
            wall: Arc::new(clock::unix_time),
            random: Arc::new(|| {
                getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
            }),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("concurrent", &self.concurrent)
            .field("per_origin", &self.per_origin)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// What the sender tells. Addresses are told by their origin: the rest may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A message was received.
    Delivered {
        /// Whose.
        slot: SlotId,
        /// The event's id.
        event: String,
        /// Where.
        origin: String,
        /// How many tries it took.
        attempts: u32,
        /// How long the last one took.
        took: Duration,
    },
    /// A try failed.
    Failed {
        /// Whose.
        slot: SlotId,
        /// The event's id.
        event: String,
        /// Where.
        origin: String,
        /// How many tries there were.
        attempts: u32,
        /// How long this one took.
        took: Duration,
        /// Why.
        error: String,
        /// Until the next try.
        again: Duration,
    },
    /// A message is given up.
    Undelivered {
        /// Whose.
        slot: SlotId,
        /// The event's id.
        event: String,
        /// Where.
        origin: String,
        /// How many tries there were.
        attempts: u32,
        /// How long the last one took.
        took: Duration,
        /// Why the last one failed.
        error: String,
    },
    /// The outbox could not be read or written; it is tried again.
    Trouble {
        /// Why.
        error: String,
    },
}

/// What the sender works with.
#[derive(Clone)]
pub struct Parts {
    /// What is to be sent.
    pub outbox: Arc<dyn Outbox>,
    /// How.
    pub transport: Arc<dyn Transport>,
    /// Where to; a new value counts from the next try.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Signed with these; a new value counts from the next try.
    pub secrets: watch::Receiver<Arc<Secrets>>,
    /// Who is told. Must not block.
    pub notices: Arc<dyn Fn(Notice) + Send + Sync>,
    /// Told (`notify_one`) when rows were added.
    pub wake: Arc<Notify>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Sends until `stop` comes; then waits for what is in work, up to the grace.
pub async fn run(parts: Parts, options: Options, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let wake = Arc::clone(&parts.wake);
    let mut desk = Desk::new(parts, options);
    desk.recall().await;
    loop {
        let pause = desk.take_up().await;
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(done) = desk.work.join_next_with_id() => {
                desk.put_away(done);
                while let Some(done) = desk.work.try_join_next_with_id() {
                    desk.put_away(done);
                }
            }
            () = wake.notified() => {}
            () = sleep(pause) => {}
        }
    }
    let grace = desk.options.grace;
    // What does not end in time is dropped with the set, its mark unwritten.
    let _ = timeout(grace, async { while desk.work.join_next().await.is_some() {} }).await;
}

/// What came of a delivery, for what comes next.
#[derive(Debug, Default)]
struct Done {
    /// Whether it was not received.
    failed: bool,
    /// When it is to be tried again, on the wall clock.
    next_at: Option<Duration>,
    /// How long the receiver wants to be left alone.
    rest: Option<Duration>,
}

/// What is in work.
struct Desk {
    parts: Parts,
    options: Options,
    work: JoinSet<Done>,
    /// Of each task in `work`.
    rows: HashMap<Id, (SlotId, String)>,
    slots: HashSet<SlotId>,
    /// Deliveries in work to each origin.
    origins: HashMap<String, usize>,
    /// Origins whose last try failed.
    failing: HashSet<String>,
    /// Origins that are left alone, and until when.
    resting: HashMap<String, Instant>,
    /// When rows come due again that failed, on the wall clock.
    times: BinaryHeap<Reverse<Duration>>,
}

impl Desk {
    fn new(parts: Parts, options: Options) -> Self {
        Self {
            parts,
            options,
            work: JoinSet::new(),
            rows: HashMap::new(),
            slots: HashSet::new(),
            origins: HashMap::new(),
            failing: HashSet::new(),
            resting: HashMap::new(),
            times: BinaryHeap::new(),
        }
    }

    /// Learns when rows come due that failed in an earlier process.
    async fn recall(&mut self) {
        match self.parts.outbox.later((self.options.wall)(), MOST_TIMES).await {
            Ok(times) => self.times.extend(times.into_iter().map(Reverse)),
            // They are found by looking.
            Err(error) => (self.parts.notices)(Notice::Trouble { error: error.to_string() }),
        }
    }

    /// Begins what is due, as far as there is room; says how long nothing more will be, unless something ends or is added.
    async fn take_up(&mut self) -> Duration {
        let now = (self.options.wall)();
        while self.times.peek().is_some_and(|Reverse(time)| *time <= now) {
            self.times.pop();
        }
        let present = clock::now();
        self.resting.retain(|_, until| *until > present);
        // Rows of one origin may fill an answer and then have no room there: ask again without that origin.
        loop {
            let room = self.options.concurrent.saturating_sub(self.work.len());
            if room == 0 {
                return LOOK;
            }
            let skipped = self.skipped();
            let skip = Skip::of(&self.slots, &skipped);
            let rows = match self.parts.outbox.due(now, room, skip).await {
                Ok(rows) => rows,
                Err(error) => {
                    (self.parts.notices)(Notice::Trouble { error: error.to_string() });
                    return TROUBLE;
                }
            };
            let (full, before) = (rows.len() >= room, self.work.len());
            rows.into_iter().for_each(|row| self.begin(row));
            if !full || self.work.len() == before {
                break;
            }
        }
        let due = self.times.peek().map(|Reverse(time)| time.saturating_sub(now));
        let rested = self.resting.values().map(|until| until.saturating_duration_since(present)).min();
        // The timer's own steps are a millisecond: never earlier than the time it waits for.
        let step = Duration::from_millis(1);
        due.into_iter().chain(rested).map(|wait| wait + step).fold(LOOK, Duration::min)
    }

    /// Origins that get nothing now.
    fn skipped(&self) -> HashSet<String> {
        let full = self.origins.iter().filter(|(origin, count)| **count >= self.share(origin));
        full.map(|(origin, _)| origin).chain(self.resting.keys()).cloned().collect()
    }

    /// How many deliveries an origin may have in work.
    fn share(&self, origin: &str) -> usize {
        if self.failing.contains(origin) { 1 } else { self.options.per_origin }
    }

    fn begin(&mut self, row: Row) {
        let origin = origin_of(&row.url);
        let count = self.origins.get(&origin).copied().unwrap_or_default();
        // The outbox answers by rows that are in work already at most where it does not know better.
        if count >= self.share(&origin) || self.resting.contains_key(&origin) || !self.slots.insert(row.slot)
        {
            return;
        }
        self.origins.insert(origin.clone(), count + 1);
        let slot = row.slot;
        let delivery = Delivery {
            parts: self.parts.clone(),
            options: self.options.clone(),
            row,
            origin: origin.clone(),
        };
        let task = self.work.spawn(delivery.carry_out());
        self.rows.insert(task.id(), (slot, origin));
    }

    fn put_away(&mut self, done: Result<(Id, Done), tokio::task::JoinError>) {
        let (id, done) = match done {
            Ok(done) => done,
            // Its row is due still; without a rest it would be begun again at once, and for ever.
            Err(error) => {
                (self.parts.notices)(Notice::Trouble { error: format!("a delivery broke down: {error}") });
                (error.id(), Done { failed: true, next_at: None, rest: Some(BROKEN) })
            }
        };
        let Some((slot, origin)) = self.rows.remove(&id) else { return };
        self.slots.remove(&slot);
        if let Some(count) = self.origins.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.origins.remove(&origin);
            }
        }
        if !done.failed {
            self.failing.remove(&origin);
        } else {
            if self.failing.len() >= MOST_FAILING {
                self.failing.clear();
            }
            self.failing.insert(origin.clone());
        }
        if let Some(rest) = done.rest {
            self.resting.insert(origin, clock::now() + rest);
        }
        if let Some(time) = done.next_at
            && self.times.len() < MOST_TIMES
        {
            self.times.push(Reverse(time));
        }
    }
}
