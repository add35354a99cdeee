//! Whoever wants slots in a rehearsal: asks at its times, again where it is patient, and may take them back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::recorder::Recorder;
use super::scenario::Arrivals;
use super::scripted_pipeline::{recipe, slot_id};
use crate::actors::admission::Refusal;
use crate::actors::admission::Request;
use crate::actors::handle::NodeHandle;
use crate::clock;
use crate::journal::Outputs;
use crate::types::Deadline;

/// Whoever wants the slots of one table of arrivals.
pub(super) struct Client {
    pub(super) arrivals: Arrivals,
    pub(super) first: u64,
    pub(super) start: Instant,
    pub(super) handle: Arc<Mutex<Option<NodeHandle>>>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) waits: Duration,
}

impl Client {
    pub(super) async fn go(self) {
        let mut takebacks = JoinSet::new();
        for place in 0..self.arrivals.count {
            let after = u32::try_from(place).ok().and_then(|place| self.arrivals.every.checked_mul(place));
            let at = self.arrivals.at.saturating_add(after.unwrap_or(Duration::MAX));
            if let Some(at) = self.start.checked_add(at) {
                tokio::time::sleep_until(at.into()).await;
            }
            let number = self.first + place;
            if self.ask(number).await
                && let Some(wait) = self.arrivals.cancel_after
            {
                let handle = Arc::clone(&self.handle);
                takebacks.spawn(async move {
                    tokio::time::sleep(wait).await;
                    let handle = handle.lock().clone();
                    if let Some(handle) = handle {
                        handle.cancel(slot_id(number)).await;
                    }
                });
            }
        }
        while takebacks.join_next().await.is_some() {}
    }

    /// Asks for slot `number` until the answer is final; whether it was accepted.
    async fn ask(&self, number: u64) -> bool {
        loop {
            let handle = self.handle.lock().clone();
            let now = clock::now();
            let deadline = Deadline::after(now, self.arrivals.deadline).unwrap_or(Deadline::at(now));
            let (slot, recipe) = (slot_id(number), recipe(number));
            let outputs = Outputs::default();
            let request = Request { slot, recipe, deadline, traceparent: None, outputs };
            let answer = match handle {
                Some(handle) => handle.submit(request).await,
                None => Err(Refusal::NotReady { retry_after: self.waits }),
            };
            let Err(refusal) = answer else {
                self.recorder.promised(slot);
                return true;
            };
            let retry = match &refusal {
                // Known already: an earlier answer was lost with the orchestrator that gave it.
                Refusal::Duplicate => {
                    self.recorder.promised(slot);
                    return true;
                }
                Refusal::Pressure { retry_after, .. }
                | Refusal::NotReady { retry_after }
                | Refusal::QueueFull { retry_after, .. } => Some(*retry_after),
                Refusal::Draining | Refusal::TooLate { .. } | Refusal::Recipe(_) | Refusal::Journal(_) => {
                    None
                }
            };
            match retry.filter(|_| self.arrivals.patient) {
                Some(wait) => tokio::time::sleep(wait.max(self.waits)).await,
                None => {
                    self.recorder.refused(refusal.name());
                    return false;
                }
            }
        }
    }
}
