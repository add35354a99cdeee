//! Handing orders in: each once, several together or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use bytes::Bytes;

use super::error::NetworkError;
use super::plan::{EpochRule, Order, PlanError, plan};
use super::registry;
use super::session::Session;
use super::setup::LARGEST_RECIPE;
use super::subjects::WorkSubject;
use crate::types::{SlotId, WorkId};

mod known;
mod publish;

use known::Known;

/// Messages of one batch: the server refuses larger ones.
const BATCH: usize = 1000;
/// Rounds of looking and handing in: each is lost to somebody who hands in the same slots at the same time.
const ROUNDS: u32 = 3;

/// How a rendering stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was handed in now.
    New,
    /// It was there already, and has not ended.
    Queued,
    /// It has ended.
    Ended {
        /// How: `completed`, `failed`, `cancelled` or `dead`.
        state: String,
    },
}

/// A rendering of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Which.
    pub work: WorkId,
    /// How it stands.
    pub standing: Standing,
}

/// Why orders were not handed in.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// An order goes to nobody. Nothing was handed in.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A recipe is too large. Nothing was handed in.
    #[error("the recipe of slot {slot} has {bytes} bytes; accepted in a network: at most {LARGEST_RECIPE}")]
    Large {
        /// Whose.
        slot: SlotId,
        /// Its size.
        bytes: usize,
    },
    /// A slot is ordered twice. Nothing was handed in.
    #[error("slot {slot} is ordered twice at once; accepted: one order for each slot")]
    Twice {
        /// Which.
        slot: SlotId,
    },
    /// An order has more renderings than can be handed in together.
    #[error("slot {slot} is to be rendered {wanted} times; accepted: at most {BATCH}")]
    Many {
        /// Which.
        slot: SlotId,
        /// How often.
        wanted: u32,
    },
    /// The work stream takes no more.
    #[error(
        "the queue is full: {limit} of stream {stream} is {allowed}, it has {found}, and {wanted} more were to be handed in, \
         {handed} of them are: wait until nodes have done some, hand in fewer, or raise it (nats stream edit {stream} {mend})"
    )]
    Full {
        /// Which stream.
        stream: String,
        /// Which of its limits.
        limit: &'static str,
        /// What that is.
        allowed: String,
        /// How much there is.
        found: u64,
        /// How many renderings were to be added.
        wanted: usize,
        /// How many of them were, in batches before.
        handed: usize,
        /// The flag that raises it.
        mend: String,
    },
    /// Others hand the same in all the time, or the stream remembers a message that is not there any more.
    #[error(
        "the queue refuses {} ({said}), and has neither it nor its result: it was handed in within the last two minutes and \
         taken out since; hand it in again after that", shown(.works)
    )]
    Refused {
        /// What was refused; together with these, all others of the batch.
        works: Vec<WorkId>,
        /// What the server said.
        said: String,
    },
    /// It could not be asked for. Where no answer came ([`NetworkError::is_open`]) it may be there: whoever tries again is told.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

fn shown(works: &[WorkId]) -> String {
    let some: Vec<String> = works.iter().take(5).map(WorkId::to_string).collect();
    let more = works.len().saturating_sub(some.len());
    let rest = if more > 0 { format!(" and {more} more of its batch") } else { String::new() };
    format!("{}{rest}", some.join(", "))
}

/// A message of the work stream.
struct Message {
    work: WorkId,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Message {
    /// What the server counts as its size.
    fn new(session: &Session, order: &Order, subject: &WorkSubject, now: Duration) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        // A rendering under another subject, whose deadline has come closer or whose node is another, is the same one.
        headers.insert(NATS_MESSAGE_ID, subject.work.to_string());
        headers.insert("Vortex-Submitted", now.as_millis().to_string());
        if let Some(traceparent) = &order.traceparent {
            headers.insert("traceparent", traceparent.as_str());
        }
        let name = session.subjects().work(subject);
        Self { work: subject.work, subject: name, headers, payload: order.recipe.clone() }
    }
}

/// Hands orders in at `now` since the Unix epoch, and says how each of their renderings stands. What was handed in before is
/// told and not doubled, also where it was for fewer renderings; and a slot is rendered once more only if its highest epoch has
/// a result.
///
/// All orders are handed in together or none of them is, up to 1,000 renderings; more go in several batches, each whole, in
/// the order of the orders, none of which is divided: an error after the first batch says so, and trying again tells what is
/// there.
pub async fn submit(
    session: &Session,
    orders: &[Order],
    now: Duration,
) -> Result<Vec<Submitted>, SubmitError> {
    check(orders)?;
    let nodes = registry::nodes(session).await?;
    let mut handed: BTreeSet<WorkId> = BTreeSet::new();
    let mut said = String::new();
    let mut refused = Vec::new();
    for _ in 0..ROUNDS {
        let known = Known::look(session, orders).await?;
        let mut submitted = Vec::new();
        let mut batches: Vec<Vec<Message>> = Vec::new();
        for order in orders {
            let Some(epoch) = next_epoch(order, &known) else {
                submitted.extend(known.newest(order.slot).into_iter().map(|mut it| {
                    if handed.contains(&it.work) {
                        it.standing = Standing::New;
                    }
                    it
                }));
                continue;
            };
            let planned = plan(order, &nodes, now, epoch)?;
            let fits = batches.last().is_some_and(|batch| batch.len() + planned.len() <= BATCH);
            if !fits {
                batches.push(Vec::new());
            }
            for subject in planned {
                submitted.push(Submitted { work: subject.work, standing: Standing::New });
                if let Some(batch) = batches.last_mut() {
                    batch.push(Message::new(session, order, &subject, now));
                }
            }
        }
        let wanted = batches.iter().map(Vec::len).sum();
        let mut is_done = true;
        for batch in batches {
            match publish::publish(session, &batch).await {
                Ok(()) => handed.extend(batch.iter().map(|message| message.work)),
                Err(error) if publish::is_known(&error) => {
                    said = error.to_string();
                    refused = batch.iter().map(|message| message.work).collect();
                    is_done = false;
                    break;
                }
                Err(error) => return Err(publish::explained(session, error, wanted, handed.len()).await),
            }
        }
        if is_done {
            return Ok(submitted);
        }
    }
    Err(SubmitError::Refused { works: refused, said })
}

fn check(orders: &[Order]) -> Result<(), SubmitError> {
    let mut slots = BTreeMap::new();
    for order in orders {
        let slot = order.slot;
        if order.recipe.len() > LARGEST_RECIPE {
            return Err(SubmitError::Large { slot, bytes: order.recipe.len() });
        }
        if order.replicas.get() as usize > BATCH {
            return Err(SubmitError::Many { slot, wanted: order.replicas.get() });
        }
        if slots.insert(slot, ()).is_some() {
            return Err(SubmitError::Twice { slot });
        }
    }
    Ok(())
}

/// The epoch that an order begins; none where it is told how the slot stands.
fn next_epoch(order: &Order, known: &Known) -> Option<NonZeroU32> {
    let Some(highest) = known.highest(order.slot) else { return Some(NonZeroU32::MIN) };
    let has_ended = known.newest(order.slot).iter().any(|it| matches!(it.standing, Standing::Ended { .. }));
    match order.epoch {
        EpochRule::Again if has_ended => highest.checked_add(1),
        EpochRule::First | EpochRule::Again => None,
    }
}
