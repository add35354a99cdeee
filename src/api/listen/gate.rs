//! The door: takes connections up to a number, in all and from one address, and closes those beyond it at once.
//!
//! A client that is closed knows at once and tries again; one that is kept waiting does not, and neither do probes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum_server::{AddrListener, Address};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::Limits;
use super::activity::Activity;
use super::bounded::Bounded;
use super::place::network;
use crate::clock;

/// How often it is told that connections are closed: a flood must not fill the log.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    activity: Arc<Activity>,
}

impl Peer {
    /// Its address. Behind a proxy, the proxy's: what a client says about itself is not believed.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Connected<Self> for Peer {
    fn connect_info(peer: Self) -> Self {
        peer
    }
}

impl Address for Peer {
    type Stream = Bounded;
    type Listener = Gate;
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    of: HashMap<IpAddr, usize>,
    told: Option<Instant>,
}

/// A place among the connections; free again when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    inside: Arc<Mutex<Inside>>,
    network: IpAddr,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.inside.lock();
        inside.all = inside.all.saturating_sub(1);
        if let Some(count) = inside.of.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inside.of.remove(&self.network);
            }
        }
    }
}

/// A listening socket with a limit.
#[derive(Debug)]
pub struct Gate {
    socket: TcpListener,
    limits: Limits,
    inside: Arc<Mutex<Inside>>,
}

impl Gate {
    pub(super) fn new(socket: std::net::TcpListener, limits: Limits) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpListener::from_std(socket)?, limits, inside: Arc::default() })
    }

    fn enter(&self, address: IpAddr) -> Option<Pass> {
        let network = network(address);
        let mut inside = self.inside.lock();
        let from_there = inside.of.get(&network).copied().unwrap_or(0);
        if inside.all < self.limits.connections.get()
            && from_there < self.limits.connections_per_address.get()
        {
            inside.all += 1;
            inside.of.insert(network, from_there + 1);
            return Some(Pass { inside: Arc::clone(&self.inside), network });
        }
        let now = clock::now();
        if inside.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY) {
            inside.told = Some(now);
            let (all, address) = (inside.all, tracing::field::display(address));
            drop(inside);
            tracing::warn!(
                event = super::CROWDED,
                address,
                all,
                from_there,
                "too many connections: closing new ones"
            );
        }
        None
    }
}

impl AddrListener<Bounded, Peer> for Gate {
    async fn bind_to(_: Peer) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a gate is made from a socket that is bound already"))
    }

    async fn accept_stream(&self) -> io::Result<(Bounded, Peer)> {
        loop {
            let (socket, address): (TcpStream, _) = self.socket.accept().await?;
            let Some(pass) = self.enter(address.ip()) else { continue };
            // Without it a small answer waits for the client's acknowledgement. It may be gone already.
            let _ = socket.set_nodelay(true);
            let activity = Activity::new();
            let peer = Peer { address, activity: Arc::clone(&activity) };
            return Ok((
                Bounded::new(socket, activity, self.limits.idle_time, self.limits.write_time, pass),
                peer,
            ));
        }
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        self.socket.local_addr().map(|address| Peer { address, activity: Activity::new() })
    }
}
