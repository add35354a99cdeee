//! Pulling work: as much as there is room for, while this node takes slots in, and only what it can do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Network;
use super::standing::Away;
use crate::app::service::Service;
use crate::models::workspace::SlotSize;
use crate::network::setup::{self, SetupError};
use crate::network::{Class, NetworkError, Session};

/// One wait for work takes this share of AckWait at most, since a claim counts from when it was asked for; the next follows.
const WAIT: u32 = 5;
/// Whether slots may be taken in is looked at so often.
const LOOK: Duration = Duration::from_millis(10);
/// A node that is at work, and has room for a slot more, asks for one so often.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// After an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Pulls until the node ends. What is not acknowledged then comes again, and is found to have its result.
pub(super) async fn run(network: Network, service: Arc<Service>, ends: watch::Receiver<bool>) {
    let mut holders = JoinSet::new();
    let mut known = Consumers::default();
    loop {
        if *ends.borrow() {
            break;
        }
        while holders.try_join_next().is_some() {}
        match network.pull(&service, &mut known, &mut holders).await {
            Ok(()) => {}
            Err(error) => {
                // Somebody has taken a consumer or a stream away.
                if matches!(&error, SetupError::Network(error) if error.is_missing() || is_going(error)) {
                    known = Consumers::default();
                    network.prepared.send_replace(false);
                }
                tracing::warn!(%error, "nothing is pulled from the network");
                *network.held_off.lock() = Some(error.to_string());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether a pull was broken off because its consumer was deleted.
fn is_going(error: &NetworkError) -> bool {
    matches!(error, NetworkError::Refused { code: 409, said, .. } if said.to_ascii_lowercase().contains("deleted"))
}

/// Consumers that are known to be there.
#[derive(Default)]
struct Consumers {
    classes: BTreeSet<Class>,
    away: Away,
}

impl Network {
    /// One round.
    async fn pull(
        &self,
        service: &Arc<Service>,
        known: &mut Consumers,
        holders: &mut JoinSet<()>,
    ) -> Result<(), SetupError> {
        let (mut prepared, mut alone) = (self.prepared.subscribe(), self.alone.subscribe());
        if prepared.wait_for(|prepared| *prepared).await.is_err()
            || alone.wait_for(|alone| *alone).await.is_err()
        {
            return Ok(());
        }
        let Some(session) = self.link.up().await else { return Ok(()) };
        if self.takes_in(service) == 0 {
            tokio::select! {
                () = self.room.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            return Ok(());
        }
        let consumers = self.consumers(service, &session, known).await?;
        let full = async {
            loop {
                tokio::time::sleep(LOOK).await;
                if self.takes_in(service) == 0 {
                    return;
                }
            }
        };
        // A node at work takes what there is and waits for nothing: whoever is idle begins sooner with what comes next.
        let counts = service.table.counts();
        let is_idle = counts.running + counts.waiting + self.claims.count() == 0;
        let wait = if is_idle { self.settings.ack_wait / WAIT } else { Duration::ZERO };
        let room = || self.takes_in(service);
        let found = session.pull(&consumers, room, self.settings.ack_wait, wait, full).await?;
        *self.held_off.lock() = None;
        if found.is_empty() && !is_idle {
            tokio::select! {
                () = self.room.notified() => {}
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
        for delivery in found {
            holders.spawn(self.clone().hold(Arc::clone(service), delivery));
        }
        Ok(())
    }

    /// How many slots more this node takes in now; none while it is not ready, drained, or under pressure.
    fn takes_in(&self, service: &Service) -> usize {
        if !service.why_not_ready().is_empty() || self.clock_off().is_some() {
            return 0;
        }
        let ahead: usize = service.node.cards().iter().map(|tree| tree.limits().slots.lookahead.get()).sum();
        let counts = service.table.counts();
        // What is claimed and not accepted yet has room set aside; what is both counts once.
        let claimed =
            self.claims.all().iter().filter(|held| !service.table.is_at_work(held.work.slot)).count();
        ahead.saturating_sub(counts.running + counts.waiting + claimed)
    }

    /// Consumers to pull from, those of this node's own work first.
    async fn consumers(
        &self,
        service: &Service,
        session: &Session,
        known: &mut Consumers,
    ) -> Result<Vec<String>, SetupError> {
        let classes = Class::able(SlotSize::PLANNED.resolution, self.bundle, self.expected(service));
        let wanted: BTreeSet<Class> = classes.iter().cloned().collect();
        if wanted != known.classes {
            setup::consumers(session, &classes, &self.id, self.settings.ack_wait).await?;
            known.classes = wanted;
        }
        let own = session.subjects().consumer_of(&self.id);
        let foreign = self.served_for_others(service, session, &mut known.away).await;
        Ok(std::iter::once(own).chain(classes.iter().map(Class::consumer)).chain(foreign).collect())
    }

    /// How long a slot is expected to take here.
    pub(super) fn expected(&self, service: &Service) -> Duration {
        service.expected().values().sum()
    }
}
