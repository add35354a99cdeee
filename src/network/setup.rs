//! What the network keeps on its servers: streams, buckets and consumers, made where they are missing and checked where they
//! are there. What the protocol cannot work with is refused, all of it at once; nothing that is there is ever changed.

mod account;
mod consumers;
mod wanted;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::NetworkError;
use super::session::Session;

pub use consumers::consumers;

use wanted::{Kept, Needs};

/// The oldest server that has atomic batches, and says of a stream how it persists.
pub(super) const OLDEST: (u64, u64) = (2, 12);
/// The largest recipe that can be handed in. Its dead letter has it in base64, with all that happened to it, and must fit
/// into the smallest [`MESSAGE`] that a server may take.
pub const LARGEST_RECIPE: usize = 160 << 10;
/// What a server's messages may at least be as large as.
const MESSAGE: usize = 256 << 10;
/// What a message of the work stream is at most: a recipe with its headers.
const WORK_MESSAGE: usize = LARGEST_RECIPE + (8 << 10);
/// Room for one message of the work stream with its result: the recipes and results that were seen have half of it.
const ROOM: u64 = 8 << 10;

/// The server has a stream of this name with other settings.
const NAME_IN_USE: u64 = 10_058;
/// The account, or the server, has no room for what a stream needs.
const NO_ROOM: [u64; 4] = [10_023, 10_027, 10_028, 10_047];
/// There are not as many servers as copies are wanted.
const NO_COPIES: [u64; 2] = [10_005, 10_074];

/// What a network is to be able to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// How long a claim holds without progress.
    pub ack_wait: Duration,
    /// How often a node writes its entry in the registry.
    pub heartbeat: Duration,
    /// How many servers have a copy of each stream, at least.
    pub replicas: NonZeroU32,
    /// How many messages the work stream takes, at least.
    pub queue: u64,
    /// How many nodes there will be, at most.
    pub nodes: u32,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Streams that were made.
    pub created: Vec<String>,
    /// Streams that were there and are as they must be.
    pub found: Vec<String>,
    /// What could not be looked at.
    pub warnings: Vec<String>,
}

/// One thing that cannot stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose setting: a stream, a consumer, the account, a server.
    pub what: String,
    /// Which.
    pub setting: String,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub wanted: String,
    /// What mends it: a command, or a change.
    pub mend: String,
}

/// Why a network cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Settings are wrong.
    #[error("the network cannot be used as it is:{}", listed(.0))]
    Wrong(Vec<Finding>),
    /// It could not be asked for.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, setting, found, wanted, mend } = self;
        write!(f, "{what}: {setting} is {found}, wanted {wanted}: {mend}")
    }
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

impl SetupError {
    /// What is wrong; nothing where it could not be asked for.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Wrong(findings) => findings,
            Self::Network(_) => &[],
        }
    }

    /// An error where there are findings.
    pub(super) fn unless_none(findings: Vec<Finding>) -> Result<(), Self> {
        if findings.is_empty() { Ok(()) } else { Err(Self::Wrong(findings)) }
    }
}

/// A stream, as the server tells it.
#[derive(Deserialize)]
struct Told {
    config: Value,
}

/// What came of one stream.
enum Outcome {
    Created(Vec<Finding>),
    Found(Vec<Finding>),
    Failed(Finding),
}

/// Makes what is missing and checks what is there. Any number of nodes may do it at the same time, and a node whose credentials
/// do not let it make streams finds those that others made.
pub async fn prepare(session: &Session, setup: &Setup) -> Result<Report, SetupError> {
    let mut report = Report::default();
    let mut findings = server(session);
    let needs = Needs { setup: setup.clone(), subjects: session.subjects().clone() };
    let account = account::of(session).await;
    match &account {
        Ok(account) => findings.extend(account.check(setup)),
        Err(error) => report.warnings.push(format!("the account's limits are not known: {error}")),
    }
    let outcomes = join_all(Kept::ALL.map(|kept| stream(session, &needs, kept))).await;
    for (kept, outcome) in Kept::ALL.into_iter().zip(outcomes) {
        let name = needs.name(kept);
        match outcome? {
            Outcome::Created(wrong) => {
                findings.extend(wrong);
                report.created.push(name);
            }
            Outcome::Found(wrong) => {
                findings.extend(wrong);
                report.found.push(name);
            }
            Outcome::Failed(finding) => findings.push(finding),
        }
    }
    SetupError::unless_none(findings)?;
    Ok(report)
}

/// What the server at the other end is.
fn server(session: &Session) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(old("server", &session.server().0));
    if session.largest() < MESSAGE {
        findings.push(Finding {
            what: "server".to_owned(),
            setting: "max_payload".to_owned(),
            found: session.largest().to_string(),
            wanted: format!("at least {MESSAGE}"),
            mend: "write max_payload: 1MB into its configuration, and have it reloaded".to_owned(),
        });
    }
    findings
}

/// A server's version, where it is too old or none.
pub(super) fn old(what: &str, version: &str) -> Option<Finding> {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u64>().ok());
    let read = (parts.next().flatten(), parts.next().flatten());
    let is_new = matches!(read, (Some(major), Some(minor)) if (major, minor) >= OLDEST);
    (!is_new).then(|| Finding {
        what: what.to_owned(),
        setting: "version".to_owned(),
        found: format!("{version:?}"),
        wanted: format!("at least {}.{}", OLDEST.0, OLDEST.1),
        mend: "update nats-server".to_owned(),
    })
}

async fn stream(session: &Session, needs: &Needs, kept: Kept) -> Result<Outcome, NetworkError> {
    let name = needs.name(kept);
    let found = match look(session, &name).await {
        Ok(found) => found,
        // A server does not answer what the credentials do not allow.
        Err(NetworkError::NoAnswer { after, .. }) => {
            let asked = format!("$JS.API.STREAM.INFO.{name}");
            return Ok(Outcome::Failed(silent(
                &name,
                &format!("unknown: no answer within {after:?}"),
                &asked,
            )));
        }
        Err(error) => return Err(error),
    };
    if let Some(config) = found {
        return Ok(Outcome::Found(needs.check(kept, &config)));
    }
    let doing = format!("make stream {name}");
    let created: Result<Told, _> =
        session.api(&doing, &format!("STREAM.CREATE.{name}"), &needs.config(kept)).await;
    Ok(match created {
        // The server may have filled in what it was not told.
        Ok(told) => Outcome::Created(needs.check(kept, &told.config)),
        Err(NetworkError::Refused { code: NAME_IN_USE, .. }) => match look(session, &name).await? {
            Some(config) => Outcome::Found(needs.check(kept, &config)),
            None => Outcome::Failed(refused(&name, needs, "it came and went meanwhile")),
        },
        Err(NetworkError::NoAnswer { after, .. }) => {
            // Made by another node meanwhile, or by a server whose answer was lost.
            match look(session, &name).await? {
                Some(config) => Outcome::Found(needs.check(kept, &config)),
                None => {
                    let found = format!("missing, and to make it is not answered within {after:?}");
                    Outcome::Failed(silent(&name, &found, &format!("$JS.API.STREAM.CREATE.{name}")))
                }
            }
        }
        Err(NetworkError::Refused { code, said, .. }) => Outcome::Failed(
            refused(&name, needs, &format!("{said} (error {code} of the server)")).mended(code),
        ),
        Err(error) => return Err(error),
    })
}

/// The settings of a stream, where there is one.
async fn look(session: &Session, name: &str) -> Result<Option<Value>, NetworkError> {
    let doing = format!("look at stream {name}");
    match session.api::<Told>(&doing, &format!("STREAM.INFO.{name}"), &json!(null)).await {
        Ok(told) => Ok(Some(told.config)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn silent(name: &str, found: &str, asked: &str) -> Finding {
    Finding {
        what: format!("stream {name}"),
        setting: "it".to_owned(),
        found: found.to_owned(),
        wanted: "there".to_owned(),
        mend: format!(
            "either these credentials may not publish to {asked} (allow it, or start a node first whose credentials may), or \
             the servers have no leader (nats server report jetstream)"
        ),
    }
}

fn refused(name: &str, needs: &Needs, said: &str) -> Finding {
    Finding {
        what: format!("stream {name}"),
        setting: "it".to_owned(),
        found: format!("missing, and cannot be made: {said}"),
        wanted: format!("there, with {} copies", needs.setup.replicas),
        mend: "see what the server says".to_owned(),
    }
}

impl Finding {
    /// With what mends it where the server said `code`.
    fn mended(mut self, code: u64) -> Self {
        if NO_ROOM.contains(&code) {
            self.mend =
                "raise max_file and max_streams of the account, or max_file_store of the servers".to_owned();
        } else if NO_COPIES.contains(&code) {
            self.mend = "start as many servers as one cluster, or set network.replicas lower".to_owned();
        }
        self
    }
}
