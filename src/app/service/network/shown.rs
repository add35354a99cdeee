//! How this node stands in its network, for whoever looks: the API's view, what an operator is told, and metrics.
//!
//! Reads what the rest keeps, and changes nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Network;
use crate::api::views::NetworkView;
use crate::app::service::metrics::truth;
use crate::app::service::uploads::shortened;
use crate::clock;
use crate::network::ClockOffset;
use crate::telemetry::metrics::definition as metric;
use crate::telemetry::metrics::observed::Observations;

/// Further than this a machine's clock is wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

impl Network {
    /// As the API shows it; `superseded` are the renderings of which another's result was first.
    pub(in crate::app::service) fn view(&self, is_ready: bool, superseded: u64) -> NetworkView {
        let down = self.link.down();
        let not_pulling = self.not_pulling(is_ready);
        NetworkView {
            prefix: self.settings.prefix.clone(),
            connected: down.is_none(),
            since: down.as_ref().map(|(since, _)| since.as_secs_f64()),
            error: down.map(|(_, error)| shortened(&error)),
            pulls: not_pulling.is_empty(),
            not_pulling,
            claims: u32::try_from(self.claims.count()).unwrap_or(u32::MAX),
            claims_lost: self.losses.load(Ordering::Relaxed),
            letters: self.letters.load(Ordering::Relaxed),
            superseded,
            stands_in_for: self.stands_in_for.lock().clone(),
        }
    }

    /// What an operator has to look at.
    pub(in crate::app::service) fn alert(&self) -> Option<String> {
        if let Some((since, error)) = self.link.down() {
            let gone = clock::unix_time().saturating_sub(since).as_secs();
            return Some(format!("the network has been away for {gone} s: {}", shortened(&error)));
        }
        let why = self.clock_off().or_else(|| self.held_off.lock().as_deref().map(shortened))?;
        Some(format!("nothing is pulled from the network: {why}"))
    }

    /// What metrics ask.
    pub(in crate::app::service) fn observe(&self, seen: &mut Observations) {
        seen.set(&metric::NETWORK_CONNECTED, &[], truth(self.link.down().is_none()));
        seen.set(&metric::NETWORK_CLAIMS, &[], self.claims.count() as f64);
        seen.set(&metric::NETWORK_CLAIMS_LOST, &[], self.losses.load(Ordering::Relaxed) as f64);
        seen.set(&metric::NETWORK_LETTERS, &[], self.letters.load(Ordering::Relaxed) as f64);
        if let Some(ClockOffset { ahead, by }) = *self.clock.lock() {
            let seconds = by.as_secs_f64();
            seen.set(&metric::NETWORK_CLOCK_OFFSET, &[], if ahead { seconds } else { -seconds });
        }
    }

    /// In words, where this machine's clock is too far from the server's.
    pub(super) fn clock_off(&self) -> Option<String> {
        let ClockOffset { ahead, by } = (*self.clock.lock()).filter(|offset| offset.by > CLOCKS_DIFFER)?;
        let where_to = if ahead { "ahead of" } else { "behind" };
        Some(format!("this machine's clock is {:.1} s {where_to} the network's", by.as_secs_f64()))
    }

    fn not_pulling(&self, is_ready: bool) -> Vec<String> {
        let mut why = Vec::new();
        if self.link.down().is_some() {
            why.push("the network is away".to_owned());
        }
        if !is_ready {
            why.push("the node takes nothing in".to_owned());
        }
        why.extend(self.clock_off());
        if !*self.alone.borrow() {
            why.push("it is not known yet that no other process has this node's id".to_owned());
        }
        match self.held_off.lock().as_deref() {
            Some(error) => why.push(shortened(error)),
            None if !*self.prepared.borrow() => {
                why.push("its streams have not been looked at yet".to_owned())
            }
            None => {}
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Notify, watch};

    use super::*;
    use crate::app::service::network::Claims;
    use crate::config;
    use crate::network::{Link, Server, Subjects};
    use crate::sink::store::{Store, StoreAddress, StoreSettings};
    use crate::types::Sha256;

    /// Of a server that nobody can reach.
    fn away(folder: &std::path::Path) -> Network {
        let server = Server { addresses: vec!["nats://127.0.0.1:1".to_owned()], ..Server::default() };
        let settings = config::load(&config::Inputs::default()).unwrap().settings.network;
        Network {
            link: Link::keep(server, Arc::new(Subjects::new("vortex").unwrap()), None),
            store: Store::open(&StoreSettings::at(StoreAddress::Folder(folder.to_owned()))).unwrap(),
            claims: Arc::new(Claims::new(true)),
            settings: Arc::new(settings),
            id: Arc::from("00".repeat(32)),
            bundle: Sha256::of(b""),
            prepared: watch::Sender::new(true),
            alone: watch::Sender::new(true),
            clock: Arc::default(),
            room: Arc::new(Notify::new()),
            losses: Arc::default(),
            letters: Arc::default(),
            stands_in_for: Arc::default(),
            held_off: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_network_that_is_away_is_shown_with_why_nothing_is_pulled() {
        let folder = tempfile::tempdir().unwrap();
        let network = away(folder.path());
        let view = network.view(true, 3);
        assert!(!view.connected && view.since.is_some() && view.error.is_some(), "{view:?}");
        assert_eq!(
            (view.pulls, view.not_pulling.as_slice()),
            (false, &["the network is away".to_owned()][..])
        );
        assert_eq!((view.prefix.as_str(), view.claims, view.superseded), ("vortex", 0, 3));
        assert!(network.alert().unwrap().starts_with("the network has been away for 0 s: "));

        network.alone.send_replace(false);
        *network.clock.lock() = Some(ClockOffset { ahead: false, by: Duration::from_secs(7) });
        *network.held_off.lock() = Some("a stream is full".to_owned());
        *network.stands_in_for.lock() = vec!["ab".repeat(32)];
        network.letters.fetch_add(2, Ordering::Relaxed);
        network.losses.fetch_add(1, Ordering::Relaxed);
        let view = network.view(false, 0);
        let reasons = [
            "the network is away",
            "the node takes nothing in",
            "this machine's clock is 7.0 s behind the network's",
            "it is not known yet that no other process has this node's id",
            "a stream is full",
        ];
        assert_eq!(view.not_pulling, reasons);
        assert_eq!((view.claims_lost, view.letters, view.stands_in_for.len()), (1, 2, 1));
    }

    #[tokio::test]
    async fn metrics_have_the_last_comparison_of_clocks_once_there_was_one() {
        let folder = tempfile::tempdir().unwrap();
        let network = away(folder.path());
        network.losses.fetch_add(4, Ordering::Relaxed);
        let told = |metric: &metric::Metric| {
            let mut seen = Observations::default();
            network.observe(&mut seen);
            seen.of(metric).iter().map(|(_, value)| *value).collect::<Vec<_>>()
        };
        assert_eq!(told(&metric::NETWORK_CONNECTED), [0.0]);
        assert_eq!(told(&metric::NETWORK_CLAIMS), [0.0]);
        assert_eq!(told(&metric::NETWORK_CLAIMS_LOST), [4.0]);
        assert_eq!(told(&metric::NETWORK_LETTERS), [0.0]);
        assert!(told(&metric::NETWORK_CLOCK_OFFSET).is_empty());
        let second = Duration::from_secs(1);
        for (ahead, by, seconds) in [(true, 2 * second, 2.0), (false, 5 * second, -5.0)] {
            *network.clock.lock() = Some(ClockOffset { ahead, by });
            assert_eq!(told(&metric::NETWORK_CLOCK_OFFSET), [seconds]);
            assert_eq!(network.clock_off(), None, "as far as clocks may be");
        }
    }
}
