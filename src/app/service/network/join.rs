//! Joining the network: connection, streams, and the tasks that run as long as the node does.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::claims::Conclude;
use super::{Network, heartbeat, pulling, waiting};
use crate::app::service::Service;
use crate::app::service::start::ServeError;
use crate::config::Settings;
use crate::network::permissions::{self, Role};
use crate::network::setup::{self, Setup, SetupError};
use crate::network::sync::{self, Monitors};
use crate::network::{Credentials, Link, Server, Session, Subjects};
use crate::sink::PublicKey;
use crate::types::Sha256;

/// The largest fleet that limits of the server are checked for.
const FLEET: u32 = 1000;
/// A network that cannot be joined, or is not as it has to be, is looked at again after this.
const AGAIN: Duration = Duration::from_secs(15);

/// Where the settings say that the network is; none where they name none.
pub(super) fn server(settings: &crate::config::Network, key: PublicKey) -> Server {
    let credentials = match (&settings.credentials, &settings.nkey) {
        (Some(path), _) => Credentials::File(path.clone()),
        (None, Some(path)) => Credentials::Seed(path.clone()),
        (None, None) => Credentials::None,
    };
    let certificate = settings.client_certificate.clone().zip(settings.client_key.clone());
    Server {
        addresses: settings.servers.clone(),
        credentials,
        ca_file: settings.ca_file.clone(),
        certificate,
        inbox: permissions::inbox(&Role::Node(key), &settings.prefix),
        name: format!("vortex-node {key}"),
    }
}

/// Joins the network that the settings name. What is wrong with it is refused now where a server answers; one that does not
/// is waited for while the node serves.
pub(in crate::app::service) async fn start(
    service: &Arc<Service>,
    settings: &Settings,
    bundle: Sha256,
    ends: &watch::Receiver<bool>,
    beside: &mut JoinSet<()>,
) -> Result<(), ServeError> {
    let wanted = &settings.network;
    if wanted.servers.is_empty() {
        return Ok(());
    }
    let refused = |error: &dyn std::fmt::Display| ServeError::Access(format!("[network]: {error}"));
    let store = match service.store.get() {
        Some(hand_over) => hand_over.store.clone(),
        None => {
            return Err(refused(&"store.url is off; a node in a network hands its results over to a store"));
        }
    };
    let subjects = Arc::new(Subjects::new(&wanted.prefix).map_err(|error| refused(&error))?);
    let id: Arc<str> = Arc::from(service.facts.id.as_str());
    let key = service.facts.id.parse().map_err(|error: String| refused(&error))?;
    let server = server(wanted, key);
    let first = match server.open(&subjects).await {
        Ok(session) => Some(session),
        Err(error) if error.is_final() => return Err(refused(&error)),
        Err(error) => {
            tracing::warn!(%error, "the network is not there yet; slots are taken in by HTTP meanwhile");
            None
        }
    };
    let (prepared, alone) = (watch::Sender::new(false), watch::Sender::new(false));
    let network = Network {
        link: Link::keep(server, Arc::clone(&subjects), first.clone()),
        store,
        claims: Arc::clone(&service.claims),
        settings: Arc::new(wanted.clone()),
        id,
        bundle,
        prepared,
        alone,
        clock: Arc::default(),
        room: Arc::new(Notify::new()),
        losses: Arc::default(),
        letters: Arc::default(),
        stands_in_for: Arc::default(),
        held_off: Arc::default(),
    };
    if let Some(session) = &first {
        match network.prepare(session).await {
            Ok(()) => {}
            Err(error) if !error.findings().is_empty() => return Err(refused(&error)),
            Err(error) => tracing::warn!(%error, "the network is not looked at yet"),
        }
    }
    network.claims.join(Arc::new(network.clone()) as Arc<dyn Conclude>);
    // Set once: it starts once.
    let _ = service.network.set(network.clone());
    beside.spawn(heartbeat::run(network.clone(), Arc::clone(service), ends.clone()));
    for work in [
        Box::pin(looked_after(network.clone())) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
        Box::pin(waiting::run(network.clone(), Arc::clone(service))),
        Box::pin(pulling::run(network, Arc::clone(service), ends.clone())),
    ] {
        let mut ends = ends.clone();
        beside.spawn(async move {
            tokio::select! {
                () = work => {}
                _ = ends.wait_for(|ends| *ends) => {}
            }
        });
    }
    Ok(())
}

/// What the network has to be able to do.
fn wanted(settings: &crate::config::Network) -> Setup {
    Setup {
        ack_wait: settings.ack_wait,
        heartbeat: settings.heartbeat,
        replicas: NonZeroU32::new(settings.replicas).unwrap_or(NonZeroU32::MIN),
        queue: u64::from(settings.queue.get()),
        nodes: FLEET,
    }
}

/// Prepares what was not prepared at the start, and again where it is found missing.
async fn looked_after(network: Network) {
    let mut prepared = network.prepared.subscribe();
    loop {
        if prepared.wait_for(|prepared| !*prepared).await.is_err() {
            return;
        }
        let Some(session) = network.link.up().await else { return };
        if let Err(error) = network.prepare(&session).await {
            tracing::error!(%error, "nothing is pulled from the network");
            *network.held_off.lock() = Some(error.to_string());
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Network {
    /// Has streams, buckets and consumers as they have to be.
    pub(super) async fn prepare(&self, session: &Session) -> Result<(), SetupError> {
        let monitors =
            Monitors { addresses: self.settings.monitor.clone(), assume_synced: self.settings.assume_synced };
        for note in sync::synced(session, &monitors).await? {
            tracing::warn!(note, "network");
        }
        let report = setup::prepare(session, &wanted(&self.settings)).await?;
        for stream in &report.created {
            tracing::info!(stream, "made in the network");
        }
        for warning in &report.warnings {
            tracing::warn!(warning, "network");
        }
        *self.held_off.lock() = None;
        self.prepared.send_replace(true);
        Ok(())
    }
}
