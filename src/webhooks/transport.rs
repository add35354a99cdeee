//! One try over the network: the host looked up once, its addresses checked, and the connection made to those alone.
//!
//! Owns the HTTP client. Sends nothing but what it is given, through no proxy, follows no redirect, keeps no cookies and no
//! connection, and reads a bounded part of the answer, of which only status and `Retry-After` leave this file.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, redirect, retry};
use tokio::sync::OnceCell;

use super::outbox::Reply;
use super::target::{Reach, Target};

/// To make a connection, TLS included: far above what any working path needs.
const CONNECT: Duration = Duration::from_secs(5);
/// Of an answer's body so much is read, so that a receiver that writes a little sees no broken connection.
const MOST_ANSWER: usize = 64 * 1024;
/// For that body: its status has decided already.
const ANSWER: Duration = Duration::from_secs(2);
/// A longer chain of causes says nothing more.
const MOST_TEXT: usize = 300;

/// One try.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where to.
    pub target: Target,
    /// All of its headers, but those that HTTP itself needs.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, as it stands.
    pub retry_after: Option<String>,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The host stands for an address that must not be reached.
    #[error(
        "{host} is {address}, which is {what}; accepted: public addresses, or what [webhooks] allow names"
    )]
    Refused {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// What that is.
        what: &'static str,
    },
    /// The network, TLS or HTTP.
    #[error("{0}")]
    Failed(String),
}

/// What makes tries: HTTP, or a table in tests.
pub trait Transport: Send + Sync + 'static {
    /// Makes one. Takes as long as it takes: whoever calls gives it a time and drops the answer.
    fn post(&self, post: Post) -> Reply<'_, Result<Answer, TransportError>>;
}

/// What finds a host's addresses: the system, or a table in tests.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of `host`, a name.
    fn addresses(&self, host: &str) -> Reply<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, host: &str) -> Reply<'static, io::Result<Vec<IpAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// HTTP over a client that resolves through a guard.
pub struct HttpTransport {
    lookup: Arc<dyn Lookup>,
    ca_file: Option<PathBuf>,
    public: OnceCell<Client>,
    named: OnceCell<Client>,
}

impl HttpTransport {
    /// Over `lookup`; `ca_file` holds certificates (PEM) of further authorities to trust, for receivers of one's own. Both
    /// are first used with the first try.
    pub fn new(lookup: Arc<dyn Lookup>, ca_file: Option<PathBuf>) -> Self {
        Self { lookup, ca_file, public: OnceCell::new(), named: OnceCell::new() }
    }

    /// A client whose connections go where `reach` allows. Making one reads the system's certificates, so it is made once,
    /// away from the runtime's threads.
    async fn client(&self, reach: Reach) -> Result<&Client, TransportError> {
        let cell = if reach == Reach::Public { &self.public } else { &self.named };
        cell.get_or_try_init(|| async {
            let guard = Guard { lookup: Arc::clone(&self.lookup), reach };
            let ca_file = self.ca_file.clone();
            let made = tokio::task::spawn_blocking(move || build(guard, ca_file.as_deref())).await;
            made.map_err(|error| TransportError::Failed(error.to_string()))?
        })
        .await
    }
}

impl Transport for HttpTransport {
    fn post(&self, post: Post) -> Reply<'_, Result<Answer, TransportError>> {
        Box::pin(async move {
            let Post { target: Target { url, reach }, headers, body } = post;
            // A host that is an address is not looked up, so the guard does not see it.
            if let Some((host, address)) = literal(&url)
                && let Some(what) = reach.refuses(address)
            {
                return Err(TransportError::Refused { host, address, what });
            }
            let request = self.client(reach).await?.post(url).headers(headers).body(body);
            let mut response = request.send().await.map_err(failed)?;
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let answer =
                Answer { status: response.status().as_u16(), retry_after: retry_after.map(str::to_owned) };
            let read = async {
                let mut count = 0;
                while let Ok(Some(piece)) = response.chunk().await {
                    count += piece.len();
                    if count >= MOST_ANSWER {
                        break;
                    }
                }
            };
            // What comes after the status changes nothing, nor does it that nothing comes.
            let _ = tokio::time::timeout(ANSWER, read).await;
            Ok(answer)
        })
    }
}

/// Looks a host up and lets its addresses through only if all of them may be reached. The connection is made to what comes
/// out of here and nothing else, so that a name cannot stand for one address while it is checked and for another after.
struct Guard {
    lookup: Arc<dyn Lookup>,
    reach: Reach,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, reach) = (name.as_str().to_owned(), self.reach);
        let found = self.lookup.addresses(&host);
        Box::pin(async move {
            let addresses = found.await?;
            if addresses.is_empty() {
                return Err(format!("{host} has no address").into());
            }
            // One that is refused condemns all: a name that mixes them is not to be trusted with the choice.
            if let Some((address, what)) =
                addresses.iter().find_map(|address| Some((*address, reach.refuses(*address)?)))
            {
                return Err(TransportError::Refused { host, address, what }.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

fn build(guard: Guard, ca_file: Option<&Path>) -> Result<Client, TransportError> {
    let mut authorities = Vec::new();
    if let Some(path) = ca_file {
        let wrong = |error: &dyn Error| {
            TransportError::Failed(format!("[webhooks] ca_file {}: {error}", path.display()))
        };
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
    }
    Client::builder()
        .https_only(guard.reach == Reach::Public)
        .dns_resolver(Arc::new(guard))
        .tls_certs_merge(authorities)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .connect_timeout(CONNECT)
        // Each try looks its host up anew; a kept connection would pass that by.
        .pool_max_idle_per_host(0)
        // One request per connection gains nothing by HTTP/2, whose bounds are more and harder to see.
        .http1_only()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .build()
        .map_err(failed)
}

/// The host of an address that is a number.
fn literal(url: &reqwest::Url) -> Option<(String, IpAddr)> {
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some((host.to_owned(), address))
}

/// What went wrong, with all causes and without the address, whose path may be a secret.
fn failed(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        if let Some(refused) = it.downcast_ref::<TransportError>() {
            return refused.clone();
        }
        let next = it.to_string();
        // Some layers repeat what they wrap.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = it.source();
    }
    TransportError::Failed(text.chars().take(MOST_TEXT).collect())
}

#[cfg(test)]
mod tests;
