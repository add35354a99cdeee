//! Slots of the network that are open in this node's journal and that it has no claim on: after a restart, or after a claim
//! was lost. They wait until their work comes to this node again, or their end stands in the network, or their time is over.

use std::sync::Arc;
use std::time::Duration;

use super::Network;
use crate::app::service::Service;
use crate::clock;
use crate::journal::index::{Found, OpenRow, SlotRow};
use crate::network::results::{self, EndState, ResultRecord};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Looks after them until the node ends.
pub(super) async fn run(network: Network, service: Arc<Service>) {
    let mut look = tokio::time::interval(LOOK.min(network.settings.ack_wait / 2));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let index = service.index.clone();
        let open = tokio::task::spawn_blocking(move || index.open_slots()).await;
        let Ok(Ok(open)) = open else { continue };
        for OpenRow { row, .. } in open {
            let Some(work) = row.work else { continue };
            if network.claims.of(row.slot).is_some() {
                continue;
            }
            if let Some(session) = network.link.session() {
                match results::read(&session, work).await {
                    Ok(Some(result)) => {
                        network.settle(&service, &result).await;
                        continue;
                    }
                    Ok(None) => {}
                    Err(_) => continue,
                }
            }
            // By its deadline and a claim's time it would have been given to some node.
            let over = row.deadline.map(|deadline| deadline.saturating_add(network.settings.ack_wait));
            if over.is_some_and(|over| over < clock::unix_time()) && network.claims.of(row.slot).is_none() {
                tracing::warn!(%work, "the work was not given to this node again by its deadline; its record ends");
                service.journal.expire(row.slot).await;
            }
        }
    }
}

impl Network {
    /// Ends this node's record of a rendering that has a result, where it is open.
    pub(super) async fn settle(&self, service: &Service, result: &ResultRecord) {
        // What is at work here finds the result at its end; what is only just being left is looked after later.
        let is_ours = |row: &SlotRow| !row.state.is_final() && row.work == Some(result.work);
        match service.found(result.work.slot).await {
            Ok(Some(Found::Slot(row))) if is_ours(&row) && self.claims.of(row.slot).is_none() => {}
            _ => return,
        }
        if result.node == *self.id && !matches!(result.state, EndState::Dead) {
            // A process before this one, or this one, created it, and the record of the end did not follow.
            if service.journal.ends_as_in_folder(result.work.slot).await {
                return;
            }
        }
        let by = match result.state {
            EndState::Cancelled => "whoever cancelled it".to_owned(),
            EndState::Dead => "its dead letter".to_owned(),
            EndState::Completed | EndState::Failed => format!("node {}", result.node),
        };
        service.journal.supersede(result.work.slot, &by).await;
    }
}
