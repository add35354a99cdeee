//! A queue of bounded length that nobody waits for, and what sends its items in batches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::settings::Batches;
use super::{Losses, Receive, Signal, Told, end};

/// Pauses between tries of one batch; after the last it is dropped.
const AGAIN: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Where items are handed over.
pub(super) struct Queue<T> {
    items: mpsc::Sender<T>,
    signal: Signal,
    losses: Arc<Losses>,
}

impl<T> Queue<T> {
    /// Hands one over. Never waits.
    pub(super) fn send(&self, item: T) {
        if self.items.try_send(item).is_err() {
            self.losses.lose(self.signal, 1);
        }
    }
}

/// What sends the queue's items; runs on the thread.
pub(super) struct Sender<T, R> {
    waiting: mpsc::Receiver<T>,
    receiver: R,
    signal: Signal,
    batches: Batches,
    losses: Arc<Losses>,
    told: Told,
}

/// A queue, and what sends its items to `receiver`.
pub(super) fn new<T, R>(
    signal: Signal,
    receiver: R,
    batches: Batches,
    losses: &Arc<Losses>,
) -> (Queue<T>, Sender<T, R>)
where
    T: Send + Sync,
    R: Receive<Batch = [T]>,
{
    let (items, waiting) = mpsc::channel(batches.queue);
    let queue = Queue { items, signal, losses: Arc::clone(losses) };
    let losses = Arc::clone(losses);
    (queue, Sender { waiting, receiver, signal, batches, losses, told: Told::new(signal) })
}

impl<T: Send + Sync, R: Receive<Batch = [T]>> Sender<T, R> {
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let (most, delay) = (self.batches.batch, self.batches.delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = self.waiting.recv_many(&mut batch, most) => {
                    if count == 0 {
                        return;
                    }
                }
                () = end(&mut stopped) => break,
            }
            // Others come along, unless this is the end.
            let is_last = batch.len() < most
                && tokio::select! {
                    () = tokio::time::sleep(delay) => false,
                    () = end(&mut stopped) => true,
                };
            self.fill(&mut batch);
            if is_last || self.deliver(&mut batch, Some(&mut stopped)).await {
                break;
            }
        }
        // The end: each once.
        loop {
            self.fill(&mut batch);
            if batch.is_empty() {
                return;
            }
            self.deliver(&mut batch, None).await;
        }
    }

    fn fill(&mut self, batch: &mut Vec<T>) {
        while batch.len() < self.batches.batch
            && let Ok(item) = self.waiting.try_recv()
        {
            batch.push(item);
        }
    }

    /// Sends `batch`, again where that fails; whether the end came meanwhile, which leaves it as it is. With nobody to stop
    /// it there is one try.
    async fn deliver(&mut self, batch: &mut Vec<T>, mut stopped: Option<&mut watch::Receiver<bool>>) -> bool {
        let mut pauses = AGAIN.into_iter();
        loop {
            let Err(error) = self.receiver.send(batch).await else {
                batch.clear();
                return false;
            };
            self.losses.fail(self.signal);
            let Some((stopped, pause)) = stopped.as_deref_mut().zip(pauses.next()) else {
                self.losses.lose(self.signal, batch.len());
                self.told.tell(&error, &self.losses);
                batch.clear();
                return false;
            };
            self.told.tell(&error, &self.losses);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end(stopped) => return true,
            }
        }
    }
}
