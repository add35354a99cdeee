//! Listeners: where they may be bound, TLS, limits on connections, and an orderly end.
//!
//! [`resolve`], [`permit`] and [`bind`] come before anything is served, so that a wrong address stops a start; [`serve`]
//! answers until it is told to stop. Every connection is bounded in number, in the time that it may take to ask, to be idle
//! or not to read, and in its headers. Knows nothing of tokens or routes. Reads of a stream that an API route keeps open
//! end by the API's own word: here they only meet the deadline.

mod activity;
mod bounded;
mod gate;
mod place;
mod tls;
mod validity;

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};

pub use gate::Peer;
pub use place::{ListenError, Listener, bind, permit, resolve};
pub use tls::{Tls, TlsError, TlsFiles};

pub(crate) use place::network;

use gate::Gate;

/// New connections are closed: as many are open as may be. Fields: `address`, `all`, `from_there`.
pub(crate) const CROWDED: &str = "listen.crowded";

/// Streams of one HTTP/2 connection at once: a page's requests and its event streams, with room.
const STREAMS: u32 = 128;

/// How often a quiet HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What one HTTP/2 stream may have waiting to be sent.
const SEND_BUFFER: usize = 256 * 1024;

/// How much a listener takes of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; one more is closed at once.
    pub connections: NonZeroUsize,
    /// Of them from one address (IPv6: from one /64).
    pub connections_per_address: NonZeroUsize,
    /// For the TLS handshake, and again for a request's headers; an HTTP/1 connection that waits for its next request is
    /// closed after the same time.
    pub header_time: Duration,
    /// How long a connection may have no request under way.
    pub idle_time: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_time: Duration,
    /// Bytes of a request's headers; at least 8 KiB.
    pub header_bytes: usize,
    /// How many headers a request may have.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Below the usual limit of 1,024 open files, of which the journal and slots need some.
        const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
        // One client cannot shut out the others.
        const PER_ADDRESS: NonZeroUsize = NonZeroUsize::new(384).unwrap();
        Self {
            connections: CONNECTIONS,
            connections_per_address: PER_ADDRESS,
            // A client on a slow line needs a second or two.
            header_time: Duration::from_secs(15),
            // Above the pause between a page's or command's requests.
            idle_time: Duration::from_secs(75),
            // A suspended laptop or a stuck reader, not a slow line: that takes something every second.
            write_time: Duration::from_secs(30),
            // Browsers send 1 to 2 KiB; proxies add some.
            header_bytes: 32 * 1024,
            headers: 100,
        }
    }
}

/// Answers on `listener` by `router` until `stop` is done: then takes nothing new, lets what is under way end for at most
/// `grace`, closes what is left, and returns. Dropped, it closes everything at once.
///
/// Each request has [`axum::extract::ConnectInfo`] of [`Peer`] in its extensions.
pub async fn serve(
    listener: Listener,
    tls: Option<&Tls>,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
    grace: Duration,
) -> io::Result<()> {
    let handle = Handle::<Peer>::new();
    let server = Server::<Peer>::from_listener(Gate::new(listener.into_socket(), limits)?);
    let router = router.layer(from_fn(activity::track)).into_make_service_with_connect_info::<Peer>();
    match tls {
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(tls.config()).handshake_timeout(limits.header_time);
            let server = bounded_server(server.acceptor(acceptor), limits, &handle);
            until(server.serve(router), handle, stop, grace).await
        }
        None => until(bounded_server(server, limits, &handle).serve(router), handle, stop, grace).await,
    }
}

/// `server` with everything that the HTTP library can bound.
fn bounded_server<A>(mut server: Server<Peer, A>, limits: Limits, handle: &Handle<Peer>) -> Server<Peer, A> {
    let http = server.http_builder();
    http.http1()
        .header_read_timeout(limits.header_time)
        // Below 8 KiB the library would panic.
        .max_buf_size(limits.header_bytes.max(8_192))
        .max_headers(limits.headers);
    http.http2()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    server
        .handle(handle.clone())
        // Also bounds the time until it is clear which HTTP is spoken.
        .first_request_timeout(limits.header_time)
        .accept_error_handler(|peer, error| {
            let address = peer.map(|peer| tracing::field::display(peer.address()));
            tracing::debug!(address, error = %error, "a connection was not taken");
        })
}

async fn until(
    serving: impl Future<Output = io::Result<()>>,
    handle: Handle<Peer>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> io::Result<()> {
    let _closed = CloseOnDrop(handle.clone());
    let mut serving = pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop => {}
    }
    handle.graceful_shutdown(Some(grace));
    serving.await
}

/// Connections run as tasks of their own: they end with the listener, however it ends.
struct CloseOnDrop(Handle<Peer>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

#[cfg(test)]
mod tests;
