//! How long the server is busy with each kind of request. Times without a source of their own are what the part `queue`
//! printed for "64 at once", nats-server 2.15.1, as the benches' README has them, rounded up.

use std::time::Duration;

use enum_map::Enum;

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Kind {
    /// A recipe into the work stream.
    Publish,
    /// Work out of one consumer, or that there is none, or a wait for some.
    Pull,
    /// Whether a result or a cancel marker is there.
    Look,
    /// A line of the history.
    Attempt,
    /// Confirmed progress.
    Progress,
    /// A result, compared and set.
    Create,
    /// The last acknowledgement.
    Acknowledge,
    /// A node's entry in the registry.
    Heartbeat,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Publish,
        Self::Pull,
        Self::Look,
        Self::Attempt,
        Self::Progress,
        Self::Create,
        Self::Acknowledge,
        Self::Heartbeat,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "hand-ins",
            Self::Pull => "pulls",
            Self::Look => "looks",
            Self::Attempt => "attempts",
            Self::Progress => "progress",
            Self::Create => "results",
            Self::Acknowledge => "acks",
            Self::Heartbeat => "heartbeats",
        }
    }
}

/// What does one request after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Lane {
    /// The work stream with its consumers.
    Work,
    Results,
    Attempts,
    /// The bucket of nodes.
    Registry,
}

impl Lane {
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Publish | Kind::Pull | Kind::Progress | Kind::Acknowledge => Self::Work,
            Kind::Look | Kind::Create => Self::Results,
            Kind::Attempt => Self::Attempts,
            Kind::Heartbeat => Self::Registry,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Work => "work stream",
            Self::Results => "results stream",
            Self::Attempts => "attempts stream",
            Self::Registry => "registry",
        }
    }
}

/// How far streams are in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Each stream by itself: two that were measured side by side took no longer than the slower one.
    Apart,
    /// One after the other, whatever the stream: at the worst, a disk that does one sync at a time.
    InOneLine,
    /// The same, with the registry in memory.
    RegistryInMemory,
}

/// Handed in at once by an atomic batch.
pub const BATCH: u32 = 500;
/// Of which each takes so much of the server: 500 in 50 ms on a loaded machine, three times what was measured here.
const BATCHED: Duration = Duration::from_micros(100);
/// One request to one consumer, whatever comes of it.
const PULL: Duration = Duration::from_micros(20);
/// Two reads: result and cancel marker.
const LOOK: Duration = Duration::from_micros(80);
const PROGRESS: Duration = Duration::from_micros(12);
/// A write, beside its sync: three times one that is kept in memory.
const WRITE: Duration = Duration::from_micros(30);

/// One server.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// The disk's sync. Every synced write waits for one of its own.
    pub sync: Duration,
    pub writes: Writes,
}

impl Costs {
    /// Which of the server's lanes it takes.
    pub fn lane(&self, kind: Kind) -> Lane {
        if self.writes == Writes::Apart { Lane::of(kind) } else { Lane::Work }
    }

    /// Of so many requests of a kind.
    pub fn of(&self, kind: Kind, count: u32) -> Duration {
        let each = match kind {
            Kind::Publish if count > 1 => BATCHED,
            Kind::Heartbeat if self.writes == Writes::RegistryInMemory => WRITE,
            Kind::Publish | Kind::Attempt | Kind::Create | Kind::Acknowledge | Kind::Heartbeat => {
                self.sync + WRITE
            }
            Kind::Pull => PULL,
            Kind::Look => LOOK,
            Kind::Progress => PROGRESS,
        };
        each * count
    }
}
