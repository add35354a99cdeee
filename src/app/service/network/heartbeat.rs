//! This node's entry in the registry: what it is, what it can do, how it stands. It expires when the node says no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Network;
use crate::app::service::Service;
use crate::clock;
use crate::exit::Exit;
use crate::models::workspace::SlotSize;
use crate::network::registry::{
    AnnounceError, Announced, Announcer, BundleEntry, ENTRY_VERSION, NodeEntry, Strain,
};
use crate::network::{Class, ClockOffset, Session};
use crate::vram::policy::Level;

/// For what runs when another node turns out to have this one's id.
const GRACE: Duration = Duration::from_secs(5);

/// Tells it until the node ends, and takes it away then. Nothing is pulled before it is known that no other process has
/// this node's id.
pub(super) async fn run(network: Network, service: Arc<Service>, mut ends: watch::Receiver<bool>) {
    let mut announcer = Announcer::new();
    let mut beat = tokio::time::interval(network.settings.heartbeat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Beats to come before the node counts as the only one of its id; none while it has not been announced.
    let mut doubts: Option<u32> = None;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            // A sender that is gone ends it, too.
            _ = ends.wait_for(|ends| *ends) => break,
        }
        let Some(session) = network.link.session() else { continue };
        network.compare_clocks(&session).await;
        let entry = network.entry(&service);
        match announcer.announce(&session, &entry).await {
            Ok(Announced::Replaced(other)) if other.place != entry.place => doubts = Some(2),
            // Its own last life: two processes never have one place.
            Ok(_) => doubts = Some(doubts.map_or(0, |beats| beats.saturating_sub(1))),
            Err(error @ AnnounceError::Duplicate { .. }) => {
                tracing::error!(%error, "this node leaves the network and ends");
                network.alone.send_replace(false);
                service.node.shut_down(Exit::BadInput, GRACE);
                return;
            }
            Err(AnnounceError::Network(error)) => tracing::debug!(%error, "the registry is not told"),
        }
        if doubts == Some(0) {
            network.alone.send_replace(true);
        }
    }
    // A clean stop: nobody need wait for the entry to expire.
    let Some(session) = network.link.session() else { return };
    if let Err(error) = announcer.withdraw(&session, &network.id).await {
        tracing::debug!(%error, "the registry keeps this node's entry until it expires");
    }
}

impl Network {
    /// A node whose clock is far from the server's pulls nothing: it would call work late that is not, or the other way round.
    async fn compare_clocks(&self, session: &Session) {
        let Ok(offset @ ClockOffset { ahead, by }) = session.clock_offset().await else { return };
        let was_off = self.clock_off().is_some();
        *self.clock.lock() = Some(offset);
        let is_off = self.clock_off().is_some();
        if is_off && !was_off {
            tracing::error!(
                seconds = by.as_secs_f64(),
                "nothing is pulled: this machine's clock is {} the network's; set it right, by NTP for example",
                if ahead { "ahead of" } else { "behind" }
            );
        } else if was_off && !is_off {
            tracing::info!("this machine's clock is right again");
        }
    }

    fn entry(&self, service: &Service) -> NodeEntry {
        let not_ready = service.why_not_ready();
        let counts = service.table.counts();
        let cards = service.node.cards();
        let ahead: usize = cards.iter().map(|tree| tree.limits().slots.lookahead.get()).sum();
        let expected = self.expected(service);
        let classes = Class::able(SlotSize::PLANNED.resolution, self.bundle, expected);
        let mut models = BTreeMap::new();
        for tree in cards {
            for (model, state) in tree.registry().states() {
                models.insert(format!("{}/{model}", tree.device()), state.name().to_owned());
            }
        }
        let strain = cards.iter().map(|tree| match tree.gauge.last().level {
            Level::Normal => Strain::None,
            Level::Soft => Strain::Soft,
            Level::Hard => Strain::Hard,
        });
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        NodeEntry {
            version: ENTRY_VERSION,
            node: self.id.to_string(),
            process: service.facts.process,
            place: service.facts.place.clone(),
            started_at: service.facts.started_at.as_secs_f64(),
            at: clock::unix_time().as_secs_f64(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            address: service.facts.address.get().cloned(),
            draining: service.is_draining(),
            ready: not_ready.is_empty(),
            not_ready,
            pressure: strain.max().unwrap_or(Strain::None),
            capacity: count(ahead),
            open: count(counts.running + counts.waiting),
            queue: count(counts.waiting),
            models,
            bundle: BundleEntry { name: service.facts.bundle.clone(), sha256: self.bundle },
            classes: classes.iter().map(ToString::to_string).collect(),
            max_pixels: SlotSize::PLANNED.resolution.pixels(),
            expected_seconds: expected.as_secs_f64(),
            stage_seconds: service
                .expected()
                .iter()
                .map(|(stage, time)| (stage.name().to_owned(), time.as_secs_f64()))
                .collect(),
            devices: cards.iter().map(|tree| tree.device().to_string()).collect(),
        }
    }
}
