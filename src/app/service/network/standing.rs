//! Standing in for nodes that are away: what is addressed to one of them is rendered by a node that has no other replica.

use std::collections::HashMap;
use std::time::Duration;

use super::Network;
use crate::app::service::Service;
use crate::clock;
use crate::journal::index::Found;
use crate::network::{Session, Stream, registry};
use crate::types::WorkId;

/// Since when nodes have been away, by this node's own watching.
#[derive(Default)]
pub(super) struct Away {
    since: HashMap<String, Duration>,
    looked_at: Option<Duration>,
    served: Vec<String>,
}

impl Network {
    /// Consumers of nodes that have been away for long, whose next work this node may render.
    pub(super) async fn served_for_others(
        &self,
        service: &Service,
        session: &Session,
        away: &mut Away,
    ) -> Vec<String> {
        let now = clock::since_boot();
        // The registry is read once in a heartbeat, whatever the pace of the pulls.
        if away.looked_at.is_some_and(|at| now.saturating_sub(at) < self.settings.heartbeat) {
            return away.served.clone();
        }
        away.looked_at = Some(now);
        let orphans = match registry::orphans(session).await {
            Ok(orphans) => orphans,
            Err(error) => {
                tracing::debug!(%error, "who is away is not known");
                self.stands_in_for.lock().clear();
                return std::mem::take(&mut away.served);
            }
        };
        away.since.retain(|node, _| orphans.iter().any(|orphan| orphan.node == *node));
        let (mut served, mut nodes) = (Vec::new(), Vec::new());
        for orphan in orphans.into_iter().filter(|orphan| orphan.node != *self.id) {
            let since = *away.since.entry(orphan.node.clone()).or_insert(now);
            let is_long = now.saturating_sub(since) >= self.settings.away;
            if is_long && self.may_render(service, session, &orphan.node).await {
                served.push(session.subjects().consumer_of(&orphan.node));
                nodes.push(orphan.node);
            }
        }
        away.served = served.clone();
        *self.stands_in_for.lock() = nodes;
        served
    }

    /// Whether the first work that is addressed to `node` may be rendered here: this node has no replica of that slot, and
    /// none is addressed to it.
    async fn may_render(&self, service: &Service, session: &Session, node: &str) -> bool {
        let subjects = session.subjects();
        let first = session.next(Stream::Work, 1, &subjects.work_for(node)).await;
        let Ok(Some(first)) = first else { return false };
        let Some(subject) = subjects.read_work(&first.subject) else { return false };
        let WorkId { slot, epoch, .. } = subject.work;
        let own = session.next(Stream::Work, 1, &subjects.work_of_for(slot, &self.id)).await;
        if !matches!(own, Ok(None)) {
            return false;
        }
        match service.found(slot).await {
            Ok(Some(Found::Slot(row))) => row.work.is_some_and(|known| known.epoch < epoch),
            Ok(None | Some(Found::Expired(_))) => true,
            Err(_) => false,
        }
    }
}
