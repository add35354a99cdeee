//! The task that uploads: what is due, a few slots side by side, and one at a time while the store is down.
//!
//! Owns which slots are in work and how the store is doing; how far each slot came is the journal's. At least once: a file
//! whose mark was not written is looked for in the store and not sent again if it is there.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::health::Health;
use super::open::Store;
use super::uploads::{Mark, Uploads};
use crate::clock;
use crate::types::SlotId;

mod upload;

use upload::{Ended, Upload};

/// What is due is looked for at least this often.
const LOOK: Duration = Duration::from_secs(30);
/// After the journal could not be read, or an upload broke down.
const TROUBLE: Duration = Duration::from_secs(5);
/// Waits after the first failure in a row and after the last of many; doubled in between. A store is back within minutes of
/// its return, and asked a few hundred times a day while it is gone.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// How far each wait is stretched at most, so that nodes do not return together.
const SPREAD: f64 = 0.2;
/// Failures in a row before anything is given up: a clock that jumps a day ahead does so no harm while the store answers.
const SURE: u32 = 3;
/// Slots that are looked at once for what to give up.
const AT_ONCE: usize = 1024;

/// How the uploader works.
#[derive(Clone)]
pub struct Options {
    /// Slots in work at once; each holds one part of a file in memory.
    pub concurrent: usize,
    /// A slot that waits for longer while the store is down is given up.
    pub longest: Duration,
    /// While the store is down and more bytes wait, the slots that wait for longest are given up.
    pub most_bytes: u64,
    /// For what is in work when the uploader stops; what takes longer is taken up by the next process.
    pub grace: Duration,
    /// The wall clock, since the Unix epoch.
    pub wall: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Random numbers between 0 and 1.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrent: 4,
            longest: Duration::from_secs(24 * 3600),
            most_bytes: 20_000_000_000,
            grace: Duration::from_secs(10),
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
            .field("longest", &self.longest)
            .field("most_bytes", &self.most_bytes)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// What the uploader tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All of a slot is in the store.
    Delivered {
        /// Whose.
        slot: SlotId,
        /// How many files, with the result.
        files: usize,
    },
    /// A try failed; it is tried again.
    Failed {
        /// Whose.
        slot: SlotId,
        /// How many tries there were.
        attempts: u32,
        /// Why.
        error: String,
    },
    /// A slot is given up: its files stay on this node as long as those of any other.
    Undelivered {
        /// Whose.
        slot: SlotId,
        /// Why.
        error: String,
    },
    /// The store went down.
    StoreDown {
        /// Why.
        error: String,
    },
    /// It is back.
    StoreUp {
        /// How long it was down.
        after: Duration,
    },
    /// The journal could not be read or written; it is tried again.
    Trouble {
        /// Why.
        error: String,
    },
}

/// What the uploader works with.
#[derive(Clone)]
pub struct Parts {
    /// Where to.
    pub store: Store,
    /// What.
    pub uploads: Arc<dyn Uploads>,
    /// How the store is doing.
    pub health: watch::Sender<Health>,
    /// Who is told. Must not block.
    pub notices: Arc<dyn Fn(Notice) + Send + Sync>,
    /// Told (`notify_one`) when slots were added.
    pub wake: Arc<Notify>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Uploads until `stop` comes; then waits for what is in work, up to the grace.
pub async fn run(parts: Parts, options: Options, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let wake = Arc::clone(&parts.wake);
    let mut desk = Desk::new(parts, options);
    loop {
        let pause = desk.take_up().await;
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(done) = desk.work.join_next_with_id() => desk.put_away(done).await,
            () = wake.notified() => {}
            () = sleep(pause) => {}
        }
    }
    let grace = desk.options.grace;
    // What does not end in time is dropped with the set; a file is in the store whole or not at all.
    let _ = timeout(grace, async { while desk.work.join_next().await.is_some() {} }).await;
}

/// What is in work.
struct Desk {
    parts: Parts,
    options: Options,
    work: JoinSet<Ended>,
    of: HashMap<Id, SlotId>,
    slots: HashSet<SlotId>,
    /// Failures of the store in a row.
    failures: u32,
    /// Nothing is begun before.
    not_before: Option<Instant>,
    /// When slots come due again that failed by themselves.
    times: Vec<Duration>,
}

impl Desk {
    fn new(parts: Parts, options: Options) -> Self {
        Self {
            parts,
            options,
            work: JoinSet::new(),
            of: HashMap::new(),
            slots: HashSet::new(),
            failures: 0,
            not_before: None,
            times: Vec::new(),
        }
    }

    /// Begins what is due, as far as there is room; says how long nothing more will be, unless something ends or is added.
    async fn take_up(&mut self) -> Duration {
        // The timer's own steps are a millisecond: never earlier than the time it waits for.
        let step = Duration::from_millis(1);
        if let Some(wait) = self.not_before.map(|time| time.saturating_duration_since(clock::now()))
            && !wait.is_zero()
        {
            return wait + step;
        }
        // One is enough to see whether a store that was down is back.
        let most = if self.failures > 0 { 1 } else { self.options.concurrent };
        let room = most.saturating_sub(self.work.len());
        if room == 0 {
            return LOOK;
        }
        let now = (self.options.wall)();
        self.times.retain(|time| *time > now);
        match self.parts.uploads.due(now, room, &self.slots).await {
            Ok(parcels) => {
                for parcel in parcels {
                    if self.slots.insert(parcel.slot) {
                        let slot = parcel.slot;
                        let upload =
                            Upload { parts: self.parts.clone(), options: self.options.clone(), parcel };
                        let task = self.work.spawn(upload.carry_out());
                        self.of.insert(task.id(), slot);
                    }
                }
                let next = self.times.iter().map(|time| time.saturating_sub(now) + step).min();
                next.map_or(LOOK, |wait| wait.min(LOOK))
            }
            Err(error) => {
                (self.parts.notices)(Notice::Trouble { error: error.to_string() });
                TROUBLE
            }
        }
    }

    async fn put_away(&mut self, done: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match done {
            Ok(done) => done,
            Err(error) => {
                (self.parts.notices)(Notice::Trouble { error: format!("an upload broke down: {error}") });
                self.not_before = Some(clock::now() + TROUBLE);
                (error.id(), Ended::Slot { next_at: None })
            }
        };
        if let Some(slot) = self.of.remove(&id) {
            self.slots.remove(&slot);
        }
        match ended {
            Ended::Delivered => self.is_up(),
            Ended::Slot { next_at } => {
                if let Some(next_at) = next_at
                    && self.times.len() < AT_ONCE
                {
                    self.times.push(next_at);
                }
            }
            Ended::Store { error } => self.is_down(error).await,
        }
    }

    fn is_up(&mut self) {
        self.failures = 0;
        self.not_before = None;
        let before = self.parts.health.send_replace(Health::Up);
        if let Health::Down { since, .. } = before {
            let after = (self.options.wall)().saturating_sub(since);
            (self.parts.notices)(Notice::StoreUp { after });
        }
    }

    async fn is_down(&mut self, error: String) {
        // Several may have been in work when it went down: their failures are one.
        if self.not_before.is_some_and(|time| time > clock::now()) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(clock::now() + wait_after(self.failures, (self.options.random)()));
        let now = (self.options.wall)();
        let since = match &*self.parts.health.borrow() {
            Health::Down { since, .. } => *since,
            _ => now,
        };
        let failures = self.failures;
        self.parts.health.send_replace(Health::Down { since, failures, error: error.clone() });
        if failures == 1 {
            (self.parts.notices)(Notice::StoreDown { error: error.clone() });
        }
        if failures >= SURE
            && let Err(error) = self.give_up(now, &error).await
        {
            (self.parts.notices)(Notice::Trouble { error: error.to_string() });
        }
    }

    /// Gives up what has waited for too long, and what is too much.
    async fn give_up(&self, now: Duration, error: &str) -> Result<(), super::AnyError> {
        loop {
            let waiting = self.parts.uploads.pending(AT_ONCE).await?;
            let mut bytes: u64 = waiting.iter().map(|it| it.bytes).sum();
            let (full, mut any) = (waiting.len() >= AT_ONCE, false);
            for it in waiting.iter().filter(|it| !self.slots.contains(&it.slot)) {
                let waited = now.saturating_sub(it.since);
                let why = if waited >= self.options.longest {
                    format!("the artifact store was down for {} s", waited.as_secs())
                } else if bytes > self.options.most_bytes {
                    format!(
                        "{bytes} bytes wait for the artifact store, more than {}",
                        self.options.most_bytes
                    )
                } else {
                    continue;
                };
                bytes -= it.bytes;
                any = true;
                let error = format!("{why}; the last try said: {error}");
                self.parts.uploads.mark(it.slot, Mark::GivenUp { at: now, error: error.clone() }).await?;
                (self.parts.notices)(Notice::Undelivered { slot: it.slot, error });
            }
            if !full || !any {
                return Ok(());
            }
        }
    }
}

/// Until the store is tried again after so many failures in a row.
fn wait_after(failures: u32, random: f64) -> Duration {
    let (first, last) = WAITS;
    let doubled = first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(last).mul_f64(1.0 + SPREAD * random.clamp(0.0, 1.0))
}
