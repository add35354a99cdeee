//! Metrics: all of them, every so often, and once more at the end.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::metrics::data::ResourceMetrics;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::{Losses, Receive, Signal, Told, end};

/// What all metrics are at the moment; may block for a moment.
pub type Collect = Box<dyn FnMut() -> Result<ResourceMetrics, String> + Send>;

/// What sends metrics; runs on the thread.
pub(super) struct Periodic<R> {
    collect: Collect,
    receiver: R,
    every: Duration,
    losses: Arc<Losses>,
    told: Told,
}

impl<R: Receive<Batch = ResourceMetrics>> Periodic<R> {
    pub(super) fn new(collect: Collect, receiver: R, every: Duration, losses: Arc<Losses>) -> Self {
        Self { collect, receiver, every, losses, told: Told::new(Signal::Metrics) }
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once, when there is nothing to tell yet.
        ticks.tick().await;
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = end(&mut stopped) => true,
            };
            // What is not taken comes again: the next export holds all that was counted.
            let sent = match (self.collect)() {
                Ok(all) => self.receiver.send(&all).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                self.losses.fail(Signal::Metrics);
                self.told.tell(&error, &self.losses);
            }
            if is_last {
                return;
            }
        }
    }
}
